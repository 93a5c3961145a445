"""``clustrix explain``: what a function reaches, and what would be done about it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clustrix_core.cli import output
from clustrix_core.cli.command import Command
from clustrix_core.cli.state import cluster_option, state
from clustrix_core.cli.target import Target
from clustrix_core.errors import ConfigError

if TYPE_CHECKING:
    from clustrix_core.reach.graph import Place, Step
    from clustrix_core.reach.piles import Installed, Own, Reach

_KINDS = {"source": "module, as source", "file": "data file", "folder": "data folder"}
_STEPS = 4  # of a chain that are shown; --json has them all


@click.command("explain", cls=Command)
@click.argument("function", metavar="FILE.py[:FUNCTION]")
def command(function: str) -> None:
    """Say what a function reaches: what of it travels, what must be installed over there, and what cannot be told.

    The file is read, not run, and no cluster is contacted. Without FUNCTION the only one under @cluster is meant, else
    main(). Behind each entry stands why it is there: the chain of names, and the line that names it.
    """
    from clustrix_core.reach import analysis

    target = Target.of(function)
    reach = analysis.of_file(str(target.file), target.function or _meant(target.file))
    today = _today(reach)
    if state().json:
        output.document({**reach.as_data(), "today": today})
        return
    output.write("\n".join(_report(reach, today)) + "\n")


command.params.insert(1, cluster_option("The cluster that the answer is for; absent: the default one."))


def _meant(file: Path) -> str:
    """Return the function that is meant where none is named."""
    from clustrix_core.reach import analysis

    found, decorated = analysis.functions(str(file))
    if len(decorated) == 1:
        return decorated[0]
    if "main" in found or not found:
        return "main"
    among = decorated or found
    raise click.UsageError(
        f"which function of {file.name}? One of {', '.join(f'{file.name}:{name}' for name in among)}."
    )


# -- what would be done


def _today(reach: Reach) -> list[str]:
    """Return what this version does about what a function reaches, in sentences."""
    said = ["What is yours travels with each job; nothing of it needs to be there."]
    if any(not one.travels for one in reach.own):
        said.append("Data files do not travel: read them before the call and hand over what is in them, or copy them.")
    if reach.installed:
        said.append(f"Distributions {_installing()}.")
    return said


def _installing() -> str:
    """Return what is done about what must be installed, as the configuration says."""
    from clustrix_core import config

    try:
        asked = config.find(state().cluster).environment
    except ConfigError:
        asked = "none"
    if asked == "none":
        return f"must be installed {_where()} already, or say environment: auto: then they are installed there"
    if asked == "auto":
        return f"are installed {_where()}, at the versions that are here"
    words = asked if isinstance(asked, str) else ", ".join(asked)
    return f"must be in the environment that is built {_where()}: {words}"


def _where() -> str:
    """Return where the function would run, as the configuration says; it is not asked of anybody."""
    from clustrix_core import config

    try:
        cluster = config.find(state().cluster)
    except ConfigError as error:
        if state().cluster is not None:
            raise
        return f"on the cluster (which one, the configuration does not tell: {error.args[0]})"
    place = cluster.host or "this machine"
    python = f", for {cluster.python}," if cluster.python else ""
    return f"on {place}{python}" if cluster.name == place else f"on {cluster.name} ({place}){python}"


# -- for people


def _report(reach: Reach, today: Iterable[str]) -> Iterator[str]:
    yield f"{reach.function}, {_short(reach.place)}"
    yield from _pile("Travels", [line for one in reach.own if one.travels for line in _own(one)])
    yield from _pile("Does not travel", [line for one in reach.own if not one.travels for line in _own(one)])
    yield from _pile("Must be installed", [line for one in reach.installed for line in _installed(one)])
    yield from _pile(
        "Standard library", [", ".join(sorted({one.module for one in reach.standard}))] * bool(reach.standard)
    )
    yield from _pile("Cannot be told", [line for one in reach.doubts for line in (f"{_short(one.place)}: {one.text}",)])
    yield from _pile("What would be done", today)
    if not reach.complete:
        yield ""
        yield "Not all was read: the limit was reached."
    yield ""
    yield f"{reach.files} files, {reach.bytes} bytes read."


def _pile(title: str, lines: Iterable[str]) -> Iterator[str]:
    found = [*lines]
    if found:
        yield ""
        yield f"{title}:"
        yield from (f"  {output.plain(line)}" for line in found)


def _own(one: Own) -> Iterator[str]:
    kind = _KINDS.get(one.kind, one.kind)
    name = _path(one.name) if one.kind in ("file", "folder") else one.name
    yield f"{kind} {name}"
    yield f"    {_why(one.why)}"


def _installed(one: Installed) -> Iterator[str]:
    name = f"{one.distribution} {one.version}" if one.distribution else "of no distribution"
    sure = {0: "", 1: ", optional"}.get(one.need, ", perhaps")
    yield f"{name} ({', '.join(one.modules)}){sure}"
    yield f"    {_why(one.why)}"


def _why(why: tuple[Step, ...]) -> str:
    """Return a chain: the names, and where the last of them stands."""
    names = [step.name for step in why]
    if len(names) > _STEPS:
        names = [names[0], "…", *names[-_STEPS + 2 :]]
    names = [_path(name) if os.sep in name else name for name in names]
    return f"{' → '.join(names)}, {_short(why[-1].place)}"


def _short(place: Place) -> str:
    return f"{_path(place.file)}:{place.line}" if place.line else _path(place.file)


def _path(path: str) -> str:
    """Return a path as one would write it here."""
    near = os.path.relpath(path) if os.path.isabs(path) else path
    return path if near.startswith(os.pardir) else near
