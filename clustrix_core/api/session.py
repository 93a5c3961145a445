"""The one engine of this process, and what is asked of it by name."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clustrix_core import config
from clustrix_core.errors import ConfigError, InsideJobError

if TYPE_CHECKING:
    from clustrix_core.api.function import Options
    from clustrix_core.api.job import Job
    from clustrix_core.api.map import Map
    from clustrix_core.engine import Engine
    from clustrix_core.entry import Entry
    from clustrix_core.environments import Recipe
    from clustrix_core.resources import Resources

_engines: dict[Path, Engine] = {}
_lock = threading.Lock()


def engine() -> Engine:
    """Return this process's engine, made at first use."""
    home = config.home()
    with _lock:
        if home not in _engines:
            from clustrix_core.engine import Engine

            _engines[home] = Engine(home)
        return _engines[home]


def _forget_engines() -> None:
    # Threads do not survive a fork: the child makes an engine of its own.
    global _lock
    _engines.clear()
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_engines)


def inside() -> bool:
    """Return whether this process is itself a job of Clustrix."""
    return bool(os.environ.get("CLUSTRIX_JOB"))


def submit(
    function: Callable[..., Any],
    calls: Sequence[tuple[tuple[Any, ...], dict[str, Any]]],
    constants: Mapping[str, Any],
    options: Options,
    target: Job[Any] | Map[Any],
    kind: str,
) -> None:
    """Send calls off and bind them to a Job or a Map."""
    from clustrix_core import payload
    from clustrix_core.api.function import label
    from clustrix_core.api.producers import Producers
    from clustrix_core.engine import Request
    from clustrix_core.engine.places import place

    settings, running = settings_for(options), engine()
    producers = Producers(running, place(settings))

    resources = settings.resources.but(**options.resources)
    reached: set[str] = set()
    foreign = may_bring_python(options, settings)

    def pack(directory: Path, python: tuple[int, int] | None) -> None:
        producers.renew()
        version = None if foreign else python
        reached.update(payload.pack(directory, function, calls, constants, producers.refer, version))

    request = Request(
        label=options.resources.get("name") or label(function),
        kind=kind,
        settings=settings,
        resources=resources,
        calls=len(calls),
        pack=pack,
        recipe=lambda: recipe_for(options, settings, resources, lambda: {*reached, *imports_of(function)}),
        after=lambda: producers.ids,
        sources=payload.sources(function),
        chunk=options.chunk,
        max_parallel=options.max_parallel or settings.max_parallel,
    )
    target._bind(running, running.submit(request, target._deliver))


def recipe_for(
    options: Options,
    settings: config.ClusterConfig,
    resources: Resources,
    reached: Callable[[], Iterable[str]] = tuple,
) -> Recipe | None:
    """Return what must be installed for a job; None for nothing. Raises ConfigError."""
    from clustrix_core import environments

    asked = _environment(options, settings)
    return None if asked == "none" else environments.recipe(asked, settings, resources, reached)


def may_bring_python(options: Options, settings: config.ClusterConfig) -> bool:
    """Return whether the environment of a job may have a Python of its own."""
    from clustrix_core import environments

    asked = _environment(options, settings)
    return asked != "none" and environments.may_bring_python(asked, settings)


def _environment(options: Options, settings: config.ClusterConfig) -> str | Collection[str]:
    return settings.environment if options.environment is None else options.environment


def imports_of(function: Callable[..., Any]) -> set[str]:
    """Return the installed modules that a function reaches, as far as its source and what it is bound to tell."""
    from clustrix_core.reach import analysis

    return {module for one in analysis.of_function(function).installed for module in one.modules}


def settings_for(options: Options) -> config.ClusterConfig:
    """Return the settings of the cluster that these options name. Raises ConfigError, InsideJobError."""
    if options.cluster is not None and options.backend is not None:
        raise ConfigError("give cluster= or backend=, not both")
    if inside() and config.current().source is None and not isinstance(options.cluster, config.ClusterConfig):
        raise InsideJobError(
            "this is already a job: no cluster is configured here",
            hint="Call the function itself (it runs in place), or put a clustrix.yml where the job finds it.",
        )
    if isinstance(options.cluster, config.ClusterConfig):
        return options.cluster
    return config.find(options.cluster, options.backend)


@dataclass(frozen=True)
class JobInfo:
    """One job of the journal. Times are seconds since the epoch."""

    id: str
    name: str
    cluster: str
    kind: str
    state: str
    reason: str
    calls: int
    created: float
    finished: float | None

    @classmethod
    def of(cls, entry: Entry) -> JobInfo:
        return cls(
            entry.id,
            entry.label,
            entry.cluster,
            entry.kind,
            entry.state,
            entry.reason,
            int(entry.spec["calls"]),
            entry.created,
            entry.finished,
        )


def jobs(limit: int | None = None) -> list[JobInfo]:
    """Return the jobs of this user's clients, the latest first, as last seen."""
    return [JobInfo.of(entry) for entry in engine().journal.entries(limit=limit)]


def get_job(id: str) -> Job[Any] | Map[Any]:
    """Return a job of this or an earlier process; its outcomes are delivered as they come.

    ``id`` may be shortened as long as it is unambiguous. A map comes back as a Map. Raises ConfigError.
    """
    from clustrix_core.api.job import Job
    from clustrix_core.api.map import Map

    running = engine()
    entry = running.journal.get(id)
    found: Job[Any] | Map[Any] = Map(int(entry.spec["calls"]), entry.label) if entry.kind == "map" else Job()
    found._bind(running, running.attach(entry.id, found._deliver))
    return found


def close() -> None:
    """Stop watching jobs and drop all connections of this process; the jobs themselves go on."""
    with _lock:
        for running in _engines.values():
            running.close()
        _engines.clear()
