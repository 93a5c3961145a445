"""From what ``environment:`` says to a recipe."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from pathlib import Path

from clustrix_core.config import ClusterConfig, home
from clustrix_core.environments import distributions, requirements
from clustrix_core.environments.recipe import File, Recipe
from clustrix_core.errors import ConfigError
from clustrix_core.resources import Resources, nearest

NONE, AUTO, FREEZE = "none", "auto", "freeze"
WORDS = (NONE, AUTO, FREEZE)
_FILE = re.compile(r".*([/\\]|\.(txt|in|toml|lock|cfg|ya?ml)$)", re.DOTALL)
_CONDA = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
Reached = Callable[[], Iterable[str]]
_KINDS = "Write none, auto, freeze, a requirements file or list, or the name of a conda environment."


def recipe(
    asked: str | Collection[str], settings: ClusterConfig, resources: Resources, reached: Reached = tuple
) -> Recipe | None:
    """Return the recipe for what was asked; None where nothing has to be installed.

    ``reached`` is asked, where it matters, for the modules that a function reaches. Files are read, wheels hashed: what
    is wrong with them is a ConfigError here.
    """
    words = (asked,) if isinstance(asked, str) else tuple(asked)
    if words == (NONE,):
        return None
    listed = not isinstance(asked, str)
    found = Recipe(
        name=", ".join(words)[:100],
        manager=settings.manager,
        index=requirements.address(settings.index or "", "index"),
        find_links=tuple(requirements.address(place, "find_links") for place in settings.find_links),
        wheels=_wheels(settings.wheels),
        offline=bool(settings.wheels) and not settings.index,
        modules=resources.modules,
        build=settings.build,
    )
    for word in words:
        found = _with(found, word, listed, reached)
    if found.manager == "conda" or found.conda:
        found = replace(found, version=sys.version_info[:2])
    return found if found.lines or found.conda else None


def may_bring_python(asked: str | Collection[str], settings: ClusterConfig) -> bool:
    """Return whether what was asked for may have a Python of its own, whatever the cluster's is."""
    return settings.manager == "conda" or (isinstance(asked, str) and asked not in WORDS and not _is_file(asked))


def _with(found: Recipe, word: str, listed: bool, reached: Reached) -> Recipe:
    """Return a recipe with one more word of what was asked."""
    if word in (AUTO, FREEZE):
        picked = distributions.behind(reached()) if word == AUTO else distributions.everything()
        pins = [distributions.pin(one, home() / "wheels") for one in picked]
        lines = tuple(pin.line for pin in pins)
        local = tuple(pin.file for pin in pins if pin.file)
        held = tuple(distributions.constraints(picked)) if word == AUTO else ()
        return replace(
            found,
            lines=(*found.lines, *lines),
            local=(*found.local, *local),
            constraints=(*found.constraints, *held),
        )
    if word == NONE:
        raise ConfigError("environment: none stands alone")
    if _is_file(word):
        read = requirements.read(Path(word).expanduser())
        return replace(found, lines=(*found.lines, *read.lines), constraints=(*found.constraints, *read.constraints))
    if listed:
        return replace(found, lines=(*found.lines, requirements.checked(word, "environment")))
    if not _CONDA.fullmatch(word):
        raise ConfigError(f"environment={word!r} is not an environment", hint=_KINDS)
    hint = nearest(word, WORDS)
    if hint.startswith("Did you mean"):
        raise ConfigError(f"environment={word!r} is neither a word for one nor a file", hint=f"{hint} {_KINDS}")
    return replace(found, conda=word)


def _is_file(word: str) -> bool:
    return bool(_FILE.fullmatch(word)) and not requirements.is_requirement(word)


def _wheels(folder: str | None) -> tuple[File, ...]:
    if not folder:
        return ()
    place = Path(folder).expanduser()
    found = tuple(File.of(path) for path in sorted(place.glob("*.whl")))
    if not found:
        raise ConfigError(
            f"wheels={folder!r}: there are no wheels", hint=f"Fill it: pip download -d {folder} -r requirements.txt"
        )
    return found
