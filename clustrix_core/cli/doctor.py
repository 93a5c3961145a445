"""``clustrix doctor``: what keeps jobs from running."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from clustrix_core.cli import output
from clustrix_core.cli.command import Command
from clustrix_core.cli.completion import clusters
from clustrix_core.cli.ending import FAILED, OK
from clustrix_core.cli.state import state

if TYPE_CHECKING:
    from clustrix_core.config import ClusterConfig
    from clustrix_core.model import Problem


@click.command("doctor", cls=Command)
@click.argument("cluster", required=False, shell_complete=clusters)
def command(cluster: str | None) -> int:
    """Contact a cluster and look for what would keep jobs from running there; absent: the default cluster.

    The exit code is 1 where there is an error; warnings are none.
    """
    from clustrix_core import config

    settings = config.find(cluster or state().cluster)
    output.note(f"Looking at {_where(settings)} …")
    problems = list(examine(settings))
    wrong = any(problem.severity == "error" for problem in problems)
    if state().json:
        rows = [{"severity": one.severity, "message": one.message, "hint": one.hint} for one in problems]
        output.document({"cluster": settings.name, "backend": settings.backend, "ok": not wrong, "problems": rows})
    else:
        for problem in problems:
            output.line(f"{problem.severity}: {problem.message}")
            if problem.hint:
                output.line(f"    {problem.hint}")
        if not problems:
            output.line(f"{settings.name}: nothing is wrong.")
    return FAILED if wrong else OK


def examine(settings: ClusterConfig) -> Iterator[Problem]:
    """Yield what is wrong with a cluster. Raises ClustrixError where it cannot even be asked."""
    from clustrix_core.api.commands import check
    from clustrix_core.model import Problem

    problems, broken = check(settings)
    for name, error in broken.items():
        yield Problem("warning", f"the plugin {name!r} cannot be used: {error}", "Mend or uninstall it.")
    yield from problems


def _where(settings: ClusterConfig) -> str:
    return f"{settings.name} ({settings.backend}, {settings.host or 'this machine'})"
