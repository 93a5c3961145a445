"""Why an environment is built: what is different from the last one of that cluster, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from clustrix_core.environments.recipe import Recipe
from clustrix_core.environments.requirements import name_of

_SHOWN = 8
_OTHER = {
    "version": "the version of Python",
    "modules": "modules",
    "manager": "manager",
    "index": "index",
    "find_links": "find_links",
    "offline": "whether an index is asked",
    "conda": "the conda environment",
}


def reason(recipe: Recipe, last: Mapping[str, Any] | None) -> str:
    """Return why a recipe needs a build where ``last`` is the one that was used last."""
    if last is None:
        return "it is the first one there"
    mine = recipe.to_json()
    words = [said for name, said in _OTHER.items() if mine[name] != last.get(name)]
    found = [*_listed(mine["lines"], last.get("lines", ())), *_listed(mine["constraints"], last.get("constraints", ()))]
    if _hashes(mine["wheels"]) != _hashes(last.get("wheels", ())):
        found.append("other wheels")
    if words:
        found.append(f"{' and '.join(words)} changed")
    if not found:
        return "the cluster's Python has changed, or it was removed"
    more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"compared with the last one: {', '.join(found[:_SHOWN])}{more}"


def _listed(now: Iterable[str], before: Iterable[str]) -> list[str]:
    mine, theirs = ({name_of(line) or line: line for line in lines} for lines in (now, before))
    changed = [f"{line} instead of {theirs[name]}" for name, line in mine.items() if theirs.get(name, line) != line]
    added = [f"+ {line}" for name, line in mine.items() if name not in theirs]
    gone = [f"- {line}" for name, line in theirs.items() if name not in mine]
    return [*added, *gone, *changed]


def _hashes(files: Iterable[Mapping[str, str]]) -> set[str]:
    return {file["sha256"] for file in files}
