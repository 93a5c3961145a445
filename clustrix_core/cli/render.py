"""``clustrix render``: the script of a job, to look at."""

from __future__ import annotations

import click

from clustrix_core.cli import output
from clustrix_core.cli.flags import given_options
from clustrix_core.cli.job_command import job_command
from clustrix_core.cli.run import decorated
from clustrix_core.cli.state import state
from clustrix_core.cli.target import Target


@job_command("render")
@click.option("--calls", metavar="N", type=click.IntRange(min=1), default=1, help="As for a map over N elements.")
def command(context: click.Context, words: list[str], behind: list[str] | None, calls: int) -> None:
    """Print the script of a job; nothing is submitted, and no cluster is contacted.

    It takes the same words as run. The id in the script is made of zeros.
    """
    from clustrix_core.api.commands import render

    if words:
        function = decorated(Target.of(words[0]).load(), context)
        cluster, script = render(function.local, function._options, calls)
    else:
        cluster, script = render(behind or [], given_options(context), calls)
    if state().json:
        output.document({"cluster": cluster.name, "backend": cluster.backend, "script": script})
    else:
        output.write(script)
