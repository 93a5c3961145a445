"""``clustrix cancel``: end jobs."""

from __future__ import annotations

from typing import Any

import click

from clustrix_core.cli import jobbook, output
from clustrix_core.cli.command import Command
from clustrix_core.cli.completion import jobs
from clustrix_core.cli.state import state
from clustrix_core.errors import ClustrixError


@click.command("cancel", cls=Command)
@click.argument("ids", metavar="ID...", nargs=-1, required=True, shell_complete=jobs)
def command(ids: tuple[str, ...]) -> None:
    """End jobs, running or not. One that is over already is no error.

    An id that is unknown is an error before anything is cancelled.
    """
    journal = jobbook.journal()
    chosen = list(dict.fromkeys(journal.get(id).id for id in ids))
    done: list[dict[str, Any]] = []
    errors: list[ClustrixError] = []
    for job in chosen:
        try:
            done.append(_cancel(job))
        except ClustrixError as error:  # the others are to be cancelled nevertheless
            errors.append(error)
            output.note(f"Not cancelled: {error}")
    if errors:
        raise errors[0]
    if state().json:
        output.document(done)


def _cancel(job: str) -> dict[str, Any]:
    from clustrix_core.api import session

    taken = jobbook.is_open(jobbook.journal().get(job)) and session.get_job(job).cancel()
    entry = jobbook.journal().get(job)
    said = "cancelled" if taken else f"was over already: {entry.state.lower()}"
    output.note(f"{entry.label} (job {job}) {said}")
    return {"id": job, "cancelled": taken, "state": entry.state}
