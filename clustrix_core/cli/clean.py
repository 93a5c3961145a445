"""``clustrix clean``: away with what finished jobs have left."""

from __future__ import annotations

import sys

import click

from clustrix_core.cli import jobbook, output
from clustrix_core.cli.asking import agreed
from clustrix_core.cli.command import Command
from clustrix_core.cli.duration import DURATION
from clustrix_core.cli.state import cluster_option, state


@click.command("clean", cls=Command, params=[cluster_option("Only jobs of this cluster.")])
@click.option("--older-than", metavar="TIME", type=DURATION, default=0.0, help="Only jobs that ended so long ago.")
@click.option("--dry-run", is_flag=True, help="Only tell which jobs would go; nothing is contacted.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def command(older_than: float, dry_run: bool, yes: bool) -> None:
    """Remove finished jobs: their results here, their directories on the clusters, and their lines in the list.

    Data there that no job needs any more goes with them.

    Jobs in flight are never touched. At a terminal you are asked first.
    """
    from clustrix_core.api.cleaning import clean, finished

    journal, cluster = jobbook.journal(), state().cluster
    if not dry_run:
        jobbook.look(journal.entries())
    entries = finished(journal, older_than, cluster)
    if not dry_run and entries and not yes and not state().json and sys.stdin.isatty():
        entries = entries if agreed(f"Remove {_finished(len(entries))}, results included?") else []
    failed = {} if dry_run or not entries else clean(entries)
    if state().json:
        output.document({"removed": [entry.id for entry in entries], "dry_run": dry_run, "not_cleaned": [*failed]})
    else:
        for entry in entries if dry_run else ():
            output.line(f"{entry.id}  {output.plain(entry.label)}  {entry.state}")
        done = "would be" if dry_run else "was" if len(entries) == 1 else "were"
        output.say(f"{_finished(len(entries))} {done} removed.")
    for name, error in failed.items():
        output.say(f"Not cleaned: {name}: {error}\nIts jobs stay in the list; the next `clustrix clean` tries again.")


def _finished(number: int) -> str:
    return f"{number} finished {'job' if number == 1 else 'jobs'}"
