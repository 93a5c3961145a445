"""The commands of plugins. Asking costs the import of all plugins, so only those are asked that may have some."""

from __future__ import annotations

import importlib.util
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import click

GROUP = "clustrix"
HOOK = b"register_commands"


def register(cli: click.Group) -> None:
    """Let plugins add their commands. One that is broken costs nobody anything; `clustrix plugins` shows it."""
    if not any(may_have_commands(point) for point in entry_points(group=GROUP)):
        return
    from clustrix_core.dispatch import Dispatch
    from clustrix_core.plugins import Plugins

    plugins = Plugins()
    plugins.load()
    Dispatch(plugins).register_commands(cli)


def may_have_commands(point: EntryPoint) -> bool:
    """Return whether a plugin may answer the hook: hooks are functions of the plugin's module, so it names them."""
    if point.attr or "." in point.module:
        # An object may come from anywhere; and looking for a submodule would import its package.
        return not point.module.startswith("clustrix_core.")
    try:
        spec = importlib.util.find_spec(point.module)
        return spec is None or spec.origin is None or HOOK in Path(spec.origin).read_bytes()
    except (ImportError, OSError, ValueError):
        return True
