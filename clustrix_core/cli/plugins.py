"""``clustrix plugins``: what is installed, and what of it works."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from clustrix_core.cli import output
from clustrix_core.cli.command import Command
from clustrix_core.cli.state import state
from clustrix_core.plugins import Plugins

COLUMNS = ("PLUGIN", "FROM", "VERSION", "BACKEND", "STATE", "WHAT")
GROUP = "clustrix"


@click.command("plugins", cls=Command)
def command() -> None:
    """List the plugins, also those that are broken or switched off, with the reason.

    CLUSTRIX_DISABLE_PLUGINS=NAME,... switches plugins off before they are imported.
    """
    plugins = Plugins()
    plugins.load()
    found = [described(point, plugins) for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)]
    if state().json:
        output.document(found)
        return
    shown = ("name", "distribution", "version", "backend", "status")
    rows = [(*(one[name] for name in shown), one["error"] or one["summary"]) for one in found]
    output.table(COLUMNS, rows, states=COLUMNS.index("STATE"))


def described(point: EntryPoint, plugins: Plugins) -> dict[str, Any]:
    """Return what is known of a plugin as JSON-safe data."""
    backend = next((name for name, owner in plugins.owners.items() if owner == point.name), None)
    error = plugins.broken.get(point.name)
    status = "disabled" if point.name in plugins.disabled else "broken" if error is not None else "ok"
    return {
        "name": point.name,
        "distribution": point.dist.name if point.dist else None,
        "version": point.dist.version if point.dist else None,
        "module": point.value,
        "backend": backend,
        "summary": plugins.backends[backend].summary if backend else "",
        "status": status,
        "error": f"{type(error).__name__}: {error}" if error is not None else None,
    }
