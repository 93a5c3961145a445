"""``clustrix config``: the configuration, shown, checked, described."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clustrix_core.cli import output
from clustrix_core.cli.command import Command
from clustrix_core.cli.ending import OK, USAGE
from clustrix_core.cli.state import everywhere, state
from clustrix_core.errors import ClustrixError

if TYPE_CHECKING:
    from clustrix_core.config import Config
    from clustrix_core.plugins import Plugins


@click.group("config", params=everywhere(), no_args_is_help=False)
def command() -> None:
    """Show, check or describe the configuration."""


@command.command("show", cls=Command)
def show() -> None:
    """Print the configuration in force, environment variables included; secrets are asterisks."""
    from clustrix_core import config

    found = config.current()
    if state().json:
        output.document(_as_data(found))
        return
    output.say(f"From {found.source or 'environment variables and defaults: there is no configuration file'}.")
    output.write(config.dump(found, show=True) or "default: local\n")


@command.command("check", cls=Command)
@click.argument("file", type=click.Path(path_type=Path), required=False)
def check(file: Path | None) -> int:
    """Check the configuration, or a FILE; no cluster is contacted. `clustrix doctor` does that.

    The exit code is 2 where something is wrong.
    """
    from clustrix_core import config

    found = config.load(file) if file is not None else config.current()
    problems = [*_problems(found)]
    wrong = any(problem["severity"] == "error" for problem in problems)
    if state().json:
        output.document({"source": _text(found.source), "ok": not wrong, "problems": problems})
    else:
        for problem in problems:
            output.line(f"{problem['severity']}: {problem['message']}")
            if problem["hint"]:
                output.line(f"    {problem['hint']}")
        names = ", ".join(found.clusters) or "none, so jobs run on this machine"
        output.say(f"{found.source or 'No configuration file'}: clusters: {names}; default: {found.default or 'none'}.")
    return USAGE if wrong else OK


@command.command("schema", cls=Command)
def schema() -> None:
    """Print the JSON schema of a clustrix.yml, with the options of all installed backends, for editors."""
    from clustrix_core import config

    backends = _plugins().backends
    output.line(json.dumps(config.schema({name: info.options for name, info in backends.items()}), indent=2))


def _problems(found: Config) -> Iterator[dict[str, str]]:
    for problem in found.problems:
        yield {"severity": problem.severity, "message": problem.message, "hint": problem.hint}
    plugins = _plugins()
    for cluster in found.clusters.values():
        try:
            info = plugins.backend(cluster.backend)
            cluster.typed_options(info)
        except ClustrixError as error:
            message = f"cluster {cluster.name!r}: {error.args[0]}"
            yield {"severity": "error", "message": message, "hint": error.hint or ""}


def _as_data(found: Config) -> dict[str, Any]:
    from clustrix_core import config, options
    from clustrix_core.config import file

    shown, _ = file.parse(config.dump(found, show=True), options.Origin("the configuration"))
    data = shown or {}
    return {"source": _text(found.source), "default": found.default, "clusters": data.get("clusters") or {}}


def _plugins() -> Plugins:
    from clustrix_core.plugins import Plugins

    plugins = Plugins()
    plugins.load()
    return plugins


def _text(path: Path | None) -> str | None:
    return str(path) if path is not None else None
