"""``clustrix plugin``: for those who write one. ``clustrix plugins`` lists what is installed."""

from __future__ import annotations

import shlex
from importlib.metadata import PackageNotFoundError, distribution, entry_points
from pathlib import Path

import click

from clustrix_core import skeleton
from clustrix_core.cli import output
from clustrix_core.cli.command import Command
from clustrix_core.cli.state import everywhere, state
from clustrix_core.errors import ConfigError

GROUP = "clustrix"
_KINDS = "\n".join(f"{kind}: {what}." for kind, what in skeleton.KINDS.items())


@click.group("plugin", params=everywhere(), no_args_is_help=False)
def command() -> None:
    """Begin a plugin of your own. `clustrix plugins` lists those that are installed."""


@command.command(
    "new",
    cls=Command,
    help=f"""Write a distribution clustrix-NAME that can be installed at once and whose tests pass.

Comments that begin with REPLACE say where yours goes. docs/write-a-plugin.md goes through all of it.

\b
{_KINDS}""",
)
@click.argument("name")
@click.option("--kind", type=click.Choice([*skeleton.KINDS]), default="backend", show_default=True, help="See above.")
@click.option(
    "--directory",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The new directory; absent: clustrix-NAME in this one.",
)
def new(name: str, kind: str, directory: Path | None) -> None:
    _free(skeleton.named(name), kind)
    there = directory or Path(f"clustrix-{name}")
    files = skeleton.write(name, kind, there)
    if state().json:
        found = {"name": name, "kind": kind, "distribution": f"clustrix-{name}", "directory": str(there.absolute())}
        output.document({**found, "files": [str(file) for file in files]})
        return
    for file in files:
        output.line(str(there / file))
    where = shlex.quote(str(there))
    output.say(f"\nNext: pip install -e {shlex.quote(f'{there}[test]')} && pytest {where}")
    output.say(f"Then: grep -rn REPLACE {where}")


def _free(name: str, kind: str) -> None:
    """Raise ConfigError where a plugin of that name is installed, or is one of ours."""
    from clustrix_core.cli.root import COMMANDS
    from clustrix_core.plugins import EXTRAS, Plugins

    for point in entry_points(group=GROUP):
        if point.name == name:
            whose = f" by {point.dist.name}" if point.dist else ""
            raise ConfigError(f"the name {name!r} is taken{whose}", hint="`clustrix plugins` lists them.")
    if kind == "wrapper" and name in [command for _, command, _, _ in COMMANDS]:
        raise ConfigError(f"{name!r} is a command of clustrix, and the skeleton's command is called like it")
    plugins = Plugins()
    plugins.load()
    if name in plugins.backends:  # a plugin may be called otherwise than its backend
        raise ConfigError(f"the backend {name!r} is that of the plugin {plugins.owners[name]!r}")
    if name in EXTRAS:
        raise ConfigError(f'{name!r} is a backend of Clustrix\'s own: pip install "clustrix[{name}]"')
    try:
        found = distribution(f"clustrix-{name}")
    except PackageNotFoundError:
        return
    raise ConfigError(f"a distribution {found.name} is installed already")
