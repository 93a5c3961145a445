"""The environments that there are on a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clustrix_core import bundle
from clustrix_core.batch.script import python
from clustrix_core.batch.site import where
from clustrix_core.environments.talk import Lines
from clustrix_core.errors import CommandError
from clustrix_core.model import Cluster
from clustrix_core.transport import check


@dataclass(frozen=True)
class Environment:
    """One environment. ``state`` is complete, building, failed or empty; ``used`` when a job was last submitted with
    it, in seconds since the epoch by the cluster's clock; ``bytes`` and ``seconds`` what it takes and took."""

    key: str
    state: str
    name: str
    python: str
    used: float | None
    bytes: int | None
    seconds: float | None
    path: str
    requirements: tuple[str, ...]
    why: str


def listed(cluster: Cluster) -> list[Environment]:
    """Return the environments in a cluster's work_dir, the one that was used last first."""
    said: Sequence[Mapping[str, Any]] = _ask(cluster, "list", "environments")
    return sorted(map(_environment, said), key=lambda one: one.used or 0.0, reverse=True)


def log(cluster: Cluster, key: str) -> str:
    """Return the end of the log of an environment's last build."""
    return str(_ask(cluster, "log", "log", [key]) or "")


def remove(cluster: Cluster, keys: Iterable[str]) -> list[str]:
    """Remove environments; return the keys of those that were there."""
    wanted = list(keys)
    return [key for key in _ask(cluster, "remove", "removed", wanted) if key in wanted] if wanted else []


def _ask(cluster: Cluster, mode: str, word: str, keys: Iterable[str] = ()) -> Any:
    heard: dict[str, Any] = {}
    lines = Lines(heard.__setitem__)
    command = f"cd -- {where(cluster)} || exit 65; exec {python(cluster)} worker/{bundle.digest()} environments {mode}"
    completed = cluster.transport.run(command, ["\n".join(keys).encode()], lines.feed)
    check(completed, "looking at the environments", cluster=cluster.name)
    if word not in heard and mode != "log":
        raise CommandError("looking at the environments failed: there is no answer", transient=True)
    return heard.get(word)


def _environment(said: Mapping[str, Any]) -> Environment:
    recipe, facts = said.get("recipe") or {}, said.get("facts") or {}
    return Environment(
        key=str(said["key"]),
        state=str(said["state"]),
        name=str(recipe.get("name", "")),
        python=str(facts.get("python", "")),
        used=said.get("used"),
        bytes=facts.get("bytes"),
        seconds=facts.get("seconds"),
        path=str(said["path"]),
        requirements=tuple(map(str, recipe.get("lines", ()))),
        why=str(said.get("why", "")),
    )


__all__ = ["Environment", "listed", "log", "remove"]
