"""``clustrix logs``: what a job has written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from clustrix_core.cli import following, jobbook, output
from clustrix_core.cli.command import Command
from clustrix_core.cli.completion import jobs
from clustrix_core.cli.state import state

if TYPE_CHECKING:
    from clustrix_core.api.logs import Log


@click.command("logs", cls=Command)
@click.argument("id", shell_complete=jobs)
@click.option("-f", "--follow", is_flag=True, help="Go on until the job is over.")
@click.option("--task", metavar="N", type=click.IntRange(min=0), default=0, help="The task of an array: 0, 1, …")
def command(id: str, follow: bool, task: int) -> None:
    """Print what a job has written to stdout and stderr, also while it runs."""
    from clustrix_core.api.logs import Log

    log = Log(jobbook.journal().get(id).id, task)
    if state().json:
        _as_document(log, follow, task)
        return
    written = 0

    def write(text: str) -> None:
        nonlocal written
        written += len(text)
        output.write(text)

    _read(log, follow, write)
    if not written:
        output.say(log.why_empty())


def _read(log: Log, follow: bool, write: following.Write) -> None:
    over = following.asking(log.is_over) if follow else (lambda pause: True)
    following.follow(log.read, over, write, once=not follow)


def _as_document(log: Log, follow: bool, task: int) -> None:
    text: list[str] = []
    _read(log, follow, text.append)
    output.document({"id": log.job, "task": task, "log": "".join(text)})
