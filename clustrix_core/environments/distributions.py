"""What is installed here: the distributions behind modules, and how another machine gets the same."""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import Distribution, distributions, packages_distributions
from pathlib import Path
from typing import Any, NamedTuple

from clustrix_core.environments.recipe import File
from clustrix_core.environments.requirements import address, name_of, normal
from clustrix_core.environments.wheels import rewheel

# What every job gets anyway, with the worker.
_OURS = {"clustrix", "cloudpickle"}
_STANDARD = frozenset(sys.stdlib_module_names) | {"__main__", "__mp_main__", "clustrix", "clustrix_core", "cloudpickle"}
_EXTRA = re.compile(r";.*\bextra\s*==")


class Pin(NamedTuple):
    """A line of a requirements file, and the file that goes along with it where no index has it."""

    line: str
    file: File | None = None


def everything() -> list[Distribution]:
    """Return what is installed here as ``pip list --format=freeze`` has it, but for ourselves and editable packages.

    The modules of editable packages are the user's own, and travel as such.
    """
    return [one for name, one in sorted(_installed().items()) if not _is_ours(one) and not _is_editable(one)]


def behind(modules: Iterable[str]) -> list[Distribution]:
    """Return the distributions that modules come from, by name. Modules that nobody has installed have none."""
    found: dict[str, Distribution] = {}
    known = _by_module()
    for module in set(modules):
        top = module.partition(".")[0]
        if top in _STANDARD:
            continue
        names = known.get(top, ())
        for name in _within(module, names) if len(names) > 1 else names:
            one = _installed().get(name)
            if one is not None and not _is_ours(one) and not _is_editable(one):
                found[name] = one
    return [one for _, one in sorted(found.items())]


def constraints(picked: Sequence[Distribution]) -> Iterator[str]:
    """Yield the local versions of what some distributions need, and of what that needs, where it is installed here."""
    seen = {_name(one) for one in picked}
    waiting = list(picked)
    while waiting:
        for line in waiting.pop().requires or ():
            name = name_of(line)
            one = _installed().get(name)
            if one is None or name in seen or _EXTRA.search(line):
                continue
            seen.add(name)
            waiting.append(one)
    for name in sorted(seen - {_name(one) for one in picked}):
        one = _installed()[name]
        if not _origin(one):
            yield f"{one.metadata['Name']}=={one.version}"


def pin(one: Distribution, wheels: Path) -> Pin:
    """Return how to get a distribution in the version that is here; ``wheels`` is where one is packed that lies here
    alone."""
    name, origin = one.metadata["Name"], _origin(one)
    url = str(origin.get("url", ""))
    if not url:
        return Pin(f"{name}=={one.version}")
    if url.startswith("file:"):
        file = File.of(rewheel(one, wheels))
        return Pin(f"{name} @ clustrix:{file.sha256}/{file.name}", file)
    address(url, name)
    vcs = origin.get("vcs_info")
    if vcs:
        return Pin(f"{name} @ {vcs['vcs']}+{url}@{vcs['commit_id']}")
    return Pin(f"{name} @ {url}")


def installed() -> list[Distribution]:
    """Return all that is installed here, by name."""
    return [one for _, one in sorted(_installed().items())]


def _installed() -> Mapping[str, Distribution]:
    return _looked_up(_state())[0]


def _by_module() -> Mapping[str, Collection[str]]:
    return _looked_up(_state())[1]


def _state() -> tuple[tuple[str, int], ...]:
    """Return what changes when something is installed or removed here."""
    found = []
    for path in sys.path:
        try:
            found.append((path, os.stat(path or ".").st_mtime_ns))
        except OSError:
            continue
    return tuple(found)


@functools.lru_cache(1)
def _looked_up(state: object) -> tuple[Mapping[str, Distribution], Mapping[str, Collection[str]]]:
    installed: dict[str, Distribution] = {}
    for one in distributions():
        if one.metadata["Name"]:  # half-removed ones have none
            installed.setdefault(_name(one), one)
    modules = {top: {normal(name) for name in names} for top, names in packages_distributions().items()}
    return installed, modules


def _name(one: Distribution) -> str:
    return normal(one.metadata["Name"])


def _within(module: str, names: Iterable[str]) -> Iterator[str]:
    """Yield those of the distributions that share a package, like google, which hold this module or one inside it."""
    path = module.replace(".", "/")
    for name in names:
        one = _installed().get(name)
        files = [str(file) for file in (one.files or ())] if one else []
        if any(file.startswith((f"{path}/", f"{path}.")) for file in files):
            yield name


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
