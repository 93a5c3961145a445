"""Which installed distribution a module comes from, by the metadata that its installer has left.

``RECORD`` lists every file of a distribution and ``top_level.txt`` its modules; the second is missing in many, the
first in those that the packages of a system bring
(https://packaging.python.org/specifications/recording-installed-packages).
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from email.parser import Parser
from importlib.metadata import Distribution, distributions

from clustrix_core.reach.world import World


@dataclass(frozen=True)
class Release:
    """A distribution at its version here."""

    name: str
    version: str


def behind(world: World, name: str, parts: tuple[str, ...]) -> dict[str, Release | None]:
    """Return the distributions behind an installed module by the modules that tell; None: it belongs to none.

    Of a namespace package, which several distributions share, ``parts`` say which of them is meant.
    """
    found = world.find(name)
    if found.file is not None:
        return {name: _owner(found.file, found.places is not None)}
    inner = [world.find(f"{name}.{part}") for part in parts if part.isidentifier()]
    telling = [one for one in inner if one.kind == "installed"]
    if not telling:
        return {name: _only_one_in(found.places or ())}
    # Of `google.cloud.storage` the parts are one within the other, of `from google import a, b` side by side.
    return {key: owner for one in telling for key, owner in behind(world, one.name, parts[1:]).items()}


def _owner(file: str, is_package: bool) -> Release | None:
    """Return the distribution that a file belongs to."""
    root, steps = _root(file)
    if not steps:
        return None
    top = steps[0].partition(".")[0]
    line = re.compile(rf"^\"?{re.escape('/'.join(steps))}\"?,", re.MULTILINE)
    for one in _likely_first(root, top):
        files = _text(one, "RECORD")
        if line.search(files) if files else top in _top_level(one):
            return _release(one)
    return None


def _only_one_in(folders: Iterable[str]) -> Release | None:
    """Return the distribution that has files in a package without a file, where there is but one."""
    owners: set[Release] = set()
    for folder in folders:
        root, steps = _root(folder)
        line = re.compile(rf"^\"?{re.escape('/'.join(steps))}/", re.MULTILINE)
        found = (one for one in _likely_first(root, steps[0] if steps else "") if steps)
        owners.update(_release(one) for one in found if line.search(_text(one, "RECORD")))
    return owners.pop() if len(owners) == 1 else None


def _root(file: str) -> tuple[str, list[str]]:
    """Return the folder of installed distributions that a file is in, and its way from there."""
    folder, steps = os.path.dirname(file), [os.path.basename(file)]
    while os.path.basename(folder) not in ("site-packages", "dist-packages"):
        above, step = os.path.split(folder)
        if above == folder:
            return _beside_metadata(file)
        folder, steps = above, [step, *steps]
    return folder, steps


def _beside_metadata(file: str) -> tuple[str, list[str]]:
    """The same where no folder has the usual name: the folder above of the outermost package."""
    folder, steps = os.path.dirname(file), [os.path.basename(file)]
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, step = os.path.split(folder)
        steps.insert(0, step)
    return folder, steps


def _likely_first(root: str, top: str) -> list[Distribution]:
    """Return the distributions of a folder, those first that are called as the module is."""
    wanted = re.sub(r"[-_.]+", "_", top).lower()
    return sorted(_all_in(root), key=lambda one: wanted not in _called(one))


@functools.lru_cache(16)
def _listed(root: str, changed: float) -> tuple[Distribution, ...]:
    return tuple(distributions(path=[root]))


def _all_in(root: str) -> tuple[Distribution, ...]:
    try:
        return _listed(root, os.stat(root).st_mtime)
    except OSError:
        return ()


def _called(one: Distribution) -> str:
    # The name of its folder; reading the metadata of all would take a hundred times as long.
    path = getattr(one, "_path", None)
    return re.sub(r"[-_.]+", "_", os.path.basename(str(path))).lower() if path is not None else ""


def _top_level(one: Distribution) -> set[str]:
    return set(_text(one, "top_level.txt").split())


def _text(one: Distribution, name: str) -> str:
    """Return a file of the metadata; nothing where it is missing or damaged."""
    try:
        return one.read_text(name) or ""
    except (OSError, ValueError):
        return ""


def _release(one: Distribution) -> Release:
    facts = Parser().parsestr(_text(one, "METADATA") or _text(one, "PKG-INFO") or _text(one, ""), headersonly=True)
    return Release(str(facts["Name"] or _called(one).partition("_")[0]), str(facts["Version"] or "?"))
