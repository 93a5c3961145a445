"""What is installed here: the distributions behind modules, and how another machine gets the same."""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path
from typing import Any, NamedTuple

from clustrix_core.environments.recipe import File
from clustrix_core.environments.requirements import address, name_of, normal
from clustrix_core.environments.wheels import rewheel
from clustrix_core.reach import distributions as metadata
from clustrix_core.reach.shelf import Shelf
from clustrix_core.reach.world import World

# What every job gets anyway, with the worker.
_OURS = {"clustrix", "cloudpickle"}
# The file that was started may lie among what is installed: that of pytest, or of a notebook's kernel.
_MAIN = ("__main__", "__mp_main__")
_EXTRA = re.compile(r";.*\bextra\s*==")


class Pin(NamedTuple):
    """A line of a requirements file, and the file that goes along with it where no index has it."""

    line: str
    file: File | None = None


def everything() -> list[Distribution]:
    """Return what is installed here as ``pip list --format=freeze`` has it, but for ourselves and editable packages.

    The modules of editable packages are the user's own, and travel as such.
    """
    return [one for one in installed() if not _is_ours(one) and not _is_editable(one)]


def behind(modules: Iterable[str]) -> list[Distribution]:
    """Return the distributions that modules come from, by name. Modules that nobody has installed have none."""
    world = World(Shelf(), live=True)
    found: dict[str, Distribution] = {}
    for module in sorted(set(modules)):
        top, *parts = module.split(".")
        if top in _MAIN or world.find(top).kind != "installed":
            continue
        for release in metadata.behind(world, top, tuple(parts)).values():
            one = _known(release.name) if release is not None else None
            if one is not None and not _is_ours(one) and not _is_editable(one):
                found[_name(one)] = one
    return [one for _, one in sorted(found.items())]


def constraints(picked: Sequence[Distribution]) -> Iterator[str]:
    """Yield the local versions of what some distributions need, and of what that needs, where it is installed here."""
    seen = {_name(one): one for one in picked}
    waiting = list(picked)
    while waiting:
        for line in waiting.pop().requires or ():
            name = name_of(line)
            if name in seen or _EXTRA.search(line) or (one := _known(name)) is None:
                continue
            seen[name] = one
            waiting.append(one)
    for name in sorted(seen.keys() - {_name(one) for one in picked}):
        if not _origin(seen[name]):
            yield "{}=={}".format(*_label(seen[name]))


def pin(one: Distribution, wheels: Path) -> Pin:
    """Return how to get a distribution in the version that is here; ``wheels`` is where one is packed that lies here
    alone."""
    (name, version), origin = _label(one), _origin(one)
    url = str(origin.get("url", ""))
    if not url:
        return Pin(f"{name}=={version}")
    if url.startswith("file:"):
        file = File.of(rewheel(one, wheels))
        return Pin(f"{name} @ clustrix:{file.sha256}/{file.name}", file)
    address(url, name)
    vcs = origin.get("vcs_info")
    if vcs:
        return Pin(f"{name} @ {vcs['vcs']}+{url}@{vcs['commit_id']}")
    return Pin(f"{name} @ {url}")


def installed() -> list[Distribution]:
    """Return all that is installed here, by name; of two of a name the one that is imported."""
    found: dict[str, Distribution] = {}
    for one in distributions():
        if one.metadata["Name"]:  # half-removed ones have none
            found.setdefault(_name(one), one)
    return [one for _, one in sorted(found.items())]


def _known(name: str) -> Distribution | None:
    return _found(name, _state()) if name else None


def _state() -> tuple[tuple[str, int], ...]:
    """Return what changes when something is installed or removed here."""
    found = []
    for path in sys.path:
        try:
            found.append((path, os.stat(path or ".").st_mtime_ns))
        except OSError:
            continue
    return tuple(found)


@functools.lru_cache(1024)
def _found(name: str, state: object) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


@functools.lru_cache(1024)  # each look at the metadata reads it anew
def _label(one: Distribution) -> tuple[str, str]:
    return one.metadata["Name"], one.version


def _name(one: Distribution) -> str:
    return normal(_label(one)[0])


def _is_ours(one: Distribution) -> bool:
    return _name(one) in _OURS or any(point.group == "clustrix" for point in one.entry_points)


def _is_editable(one: Distribution) -> bool:
    return bool(_origin(one).get("dir_info", {}).get("editable"))


def _origin(one: Distribution) -> dict[str, Any]:
    """Return where a distribution was installed from, where that was no index: PEP 610."""
    try:
        found = json.loads(one.read_text("direct_url.json") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
