"""Environments as users ask for them: what is installed here, and what there is on a cluster."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clustrix_core.api import session
from clustrix_core.api.function import Options
from clustrix_core.config import ClusterConfig
from clustrix_core.environments import registry
from clustrix_core.environments.registry import Environment
from clustrix_core.errors import ConfigError
from clustrix_core.model import Cluster


def get_environment_requirements() -> dict[str, str]:
    """Return what is installed in this environment, as ``pip list --format=freeze`` has it: versions by name."""
    from clustrix_core.environments import distributions

    return {one.metadata["Name"]: one.version for one in distributions.installed()}


def get_environment_info() -> str:
    """Return the same as the text of a requirements file: lines ``name==version``."""
    return "\n".join(f"{name}=={version}" for name, version in get_environment_requirements().items())


@dataclass(frozen=True)
class Environments:
    """The environments of one cluster."""

    cluster: Cluster

    @classmethod
    def of(cls, settings: ClusterConfig) -> Environments:
        """Return those of a configured cluster, which is contacted. Raises ClustrixError."""
        places = session.engine().places
        return cls(places.ready(places.cluster(settings, settings.resources)))

    def all(self) -> list[Environment]:
        """Return all of them, the one that was used last first."""
        return registry.listed(self.cluster)

    def one(self, key: str) -> Environment:
        """Return one by its key or the beginning of it. Raises ConfigError."""
        found = [one for one in self.all() if key and one.key.startswith(key)]
        if len(found) == 1:
            return found[0]
        several = ", ".join(one.key for one in found)
        said = f"{key!r} is short for {several}" if found else f"there is no environment {key!r}"
        raise ConfigError(said, cluster=self.cluster.name, hint="`clustrix env ls` lists them.")

    def log(self, key: str) -> str:
        """Return the end of the log of the last build."""
        return registry.log(self.cluster, key)

    def remove(self, keys: Collection[str], force: bool = False) -> list[str]:
        """Remove environments and return the keys of those that were there.

        Raises ConfigError where a job of this user's that is not over needs one of them, unless ``force``.
        """
        needed = self.needed()
        for key in keys:
            if key in needed and not force:
                raise ConfigError(
                    f"job {needed[key]} needs the environment {key}",
                    hint="Wait for its end, or remove it all the same: --force.",
                )
        return registry.remove(self.cluster, keys)

    def old(self, seconds: float) -> list[Environment]:
        """Return those that no job has needed for so long, and builds that have failed; none that is being built."""
        latest, needed = time.time() - seconds, self.needed()
        return [
            one
            for one in self.all()
            if one.key not in needed
            and (one.state in ("failed", "empty") or (one.state == "complete" and (one.used or 0.0) <= latest))
        ]

    def needed(self) -> dict[str, str]:
        """Return the keys of the environments that jobs of this user's clients need, each with such a job."""
        entries = session.engine().journal.entries(only_open=True)
        return {str(entry.spec["environment"]): entry.id for entry in entries if entry.spec.get("environment")}


def build(options: Options, function: Callable[..., Any] | None = None) -> tuple[str, Mapping[str, Any]]:
    """Have the environment built that calls of a function, or commands, would run in; return its key and its facts.

    Raises ConfigError where nothing has to be installed, and BuildFailed.
    """
    settings, engine = session.settings_for(options), session.engine()
    resources = settings.resources.but(**options.resources)
    recipe = session.recipe_for(options, settings, resources, lambda: _reached(function) if function else ())
    if recipe is None:
        raise ConfigError(
            "there is nothing to install", hint="Set environment:; auto needs a function that imports something."
        )
    cluster = engine.places.ready(engine.places.cluster(settings, resources))
    assert cluster.site is not None
    return recipe.key(cluster.site), engine.builds.build(cluster, recipe, settings)


def _reached(function: Callable[..., Any]) -> Collection[str]:
    from clustrix_core import payload

    with _scratch() as path:
        return payload.pack(path, function, [], {}, python=payload.HERE) | session.imports_of(function)


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="clustrix-") as path:
        yield Path(path)


__all__ = ["Environment", "Environments", "build", "get_environment_info", "get_environment_requirements"]
