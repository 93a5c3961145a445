"""What the options that every command has were set to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click


@dataclass
class State:
    """``json``: stdout is one JSON document. ``debug``: say all, with tracebacks. ``cluster``: the name given."""

    json: bool = False
    debug: bool = False
    cluster: str | None = None


def state() -> State:
    """Return the state of the command that is running; of none, a fresh one."""
    context = click.get_current_context(silent=True)
    found = context.find_object(State) if context is not None else None
    return found or State()


def asks_for_json(words: Sequence[str]) -> bool:
    """Return whether ``--json`` is among the words: also errors in the words themselves are then told as JSON."""
    return "--json" in (words[: words.index("--")] if "--" in words else words)


def everywhere() -> list[click.Option]:
    """Return the options that every command has."""
    return [
        click.Option(
            ["--json"], is_flag=True, expose_value=False, callback=_setter("json"), help="One JSON document on stdout."
        ),
        click.Option(
            ["-v", "--debug"],
            is_flag=True,
            expose_value=False,
            callback=_setter("debug"),
            envvar="CLUSTRIX_DEBUG",
            help="Say all that is done, with the SSH trace, on stderr.",
        ),
    ]


def cluster_option(help: str = "The cluster that is meant; absent: the default one.") -> click.Option:
    """Return the option that names a cluster."""
    from clustrix_core.cli.completion import clusters

    return click.Option(
        ["-c", "--cluster"],
        metavar="NAME",
        expose_value=False,
        callback=_setter("cluster"),
        shell_complete=clusters,
        help=help,
    )


def _setter(name: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def take(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        if value:
            setattr(context.ensure_object(State), name, value)
        return value

    return take
