"""``clustrix jobs``: the list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from clustrix_core.cli import jobbook, output
from clustrix_core.cli.command import Command
from clustrix_core.cli.state import cluster_option, state

if TYPE_CHECKING:
    from clustrix_core.entry import Entry

LIMIT = 20
COLUMNS = ("ID", "NAME", "CLUSTER", "STATE", "CALLS", "SUBMITTED", "TOOK", "REASON")


@click.command("jobs", cls=Command, params=[cluster_option("Only jobs of this cluster.")])
@click.option("-a", "--all", "everything", is_flag=True, help="All jobs, however old.")
@click.option(
    "-n", "--limit", metavar="N", type=click.IntRange(min=1), help=f"So many of the latest jobs; absent: {LIMIT}."
)
@click.option("--offline", is_flag=True, help="Contact no cluster: states are as last seen.")
def command(everything: bool, limit: int | None, offline: bool) -> None:
    """List your jobs: the latest, and all that are not over.

    Clusters are asked about jobs in flight, once each. One that does not answer is named, and its jobs are shown as
    they were seen last.
    """
    entries = _chosen(None if everything else limit or LIMIT, state().cluster)
    seen = {} if offline else jobbook.look(entries)
    rows = [jobbook.described(entry, seen.get(entry.id)) for entry in entries]
    if state().json:
        output.document(rows)
    elif rows:
        output.table(COLUMNS, [_row(row) for row in rows], states=COLUMNS.index("STATE"))
    else:
        output.say(f"There are no jobs of {state().cluster} yet." if state().cluster else "There are no jobs yet.")


def _chosen(limit: int | None, cluster: str | None) -> list[Entry]:
    latest = jobbook.journal().entries(limit=limit, cluster=cluster)
    known = {entry.id for entry in latest}
    still_open = jobbook.journal().entries(only_open=True, cluster=cluster) if limit is not None else []
    return [*latest, *(entry for entry in still_open if entry.id not in known)]


def _row(row: dict[str, Any]) -> tuple[Any, ...]:
    return (
        row["id"],
        row["name"],
        row["cluster"],
        row["state"],
        row["calls"],
        jobbook.ago(row["created"]),
        jobbook.took(row["created"], row["finished"]),
        row["reason"],
    )
