"""``clustrix result``: the value of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from clustrix_core.cli import jobbook, waiting
from clustrix_core.cli.command import Command
from clustrix_core.cli.completion import jobs
from clustrix_core.cli.duration import DURATION
from clustrix_core.cli.ending import NotFinished

if TYPE_CHECKING:
    from clustrix_core.entry import Entry

SOON = 10.0  # seconds for the results of a job that is over to arrive


@click.command("result", cls=Command)
@click.argument("id", shell_complete=jobs)
@click.option("--no-wait", is_flag=True, help="Do not wait: exit code 4 where the job has not finished.")
@click.option("--timeout", metavar="TIME", type=DURATION, help="Wait no longer than this: seconds, 90s, 5m, 2h.")
def command(id: str, no_wait: bool, timeout: float | None) -> int:
    """Wait for a job and print its value's repr; those of a map as a list.

    A function that raised prints its traceback on stderr and ends with exit code 1. With --json the value is printed
    where JSON can hold it, else {"repr": ...}.
    """
    from clustrix_core.api import session

    entry = jobbook.journal().get(id)
    if no_wait or timeout == 0:
        _check_over(entry)
        timeout = SOON
    return waiting.finish(session.get_job(entry.id), timeout)


def _check_over(entry: Entry) -> None:
    """Raise NotFinished unless a job is over, as its cluster says; and what kept the cluster from saying it."""
    seen = jobbook.look([entry]).get(entry.id)
    if seen is None:
        return
    if seen.error is not None:
        raise seen.error
    if not seen.status.state.over:
        raise NotFinished(f"{entry.label} (job {entry.id}) has not finished: {seen.status.state.value.lower()}")
