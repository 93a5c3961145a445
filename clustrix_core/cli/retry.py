"""``clustrix retry``: a job that failed, once more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from clustrix_core.cli import jobbook, output, waiting
from clustrix_core.cli.command import Command
from clustrix_core.cli.completion import jobs
from clustrix_core.cli.flags import given_resources, resource_flags
from clustrix_core.cli.state import state


class Retry(Command):
    """The command with the flags of resources."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += resource_flags()


@click.command("retry", cls=Retry)
@click.argument("id", shell_complete=jobs)
@click.option("-w", "--wait", is_flag=True, help="Wait for the new job and print its value.")
@click.pass_context
def command(context: click.Context, id: str, wait: bool) -> int:
    """Submit a job that did not succeed once more, as a new job, and print its id.

    Flags change what it asks for: `clustrix retry ID --time 02:00:00`. What the job was made of is kept on this
    machine for as long as it has not been cleaned.
    """
    job = _submitted(id, given_resources(context))
    if wait:
        return waiting.finish(job)
    with waiting.going_on(job):
        waiting.accepted(job)
    if state().json:
        output.document({"id": job.id, "name": job.name, "retry_of": id})
    else:
        output.line(job.id)
    return 0


def _submitted(id: str, changes: Mapping[str, Any]) -> waiting.Waited:
    from clustrix_core.api import session
    from clustrix_core.api.job import Job
    from clustrix_core.api.map import Map
    from clustrix_core.engine.again import retry

    running = session.engine()
    entry = running.journal.get(id)
    jobbook.look([entry])
    found: waiting.Waited = Map(int(entry.spec["calls"]), entry.label) if entry.kind == "map" else Job()
    found._bind(running, retry(running, entry.id, found._deliver, changes))
    return found
