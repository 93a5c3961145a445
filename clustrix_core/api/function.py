"""``@cluster``: a function that runs elsewhere when it is called."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import inspect
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, ParamSpec, TypeVar, overload

from clustrix_core.api import progress, session
from clustrix_core.api.job import Job
from clustrix_core.api.map import Map
from clustrix_core.config import ClusterConfig
from clustrix_core.errors import ConfigError
from clustrix_core.resources import Resources, nearest

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Options:
    """How calls run. ``resources`` are those of one call; unset ones come from the cluster's configuration."""

    cluster: str | ClusterConfig | None = None
    backend: str | None = None
    chunk: int | None = None
    max_parallel: int | None = None
    return_exceptions: bool = False
    environment: str | Sequence[str] | None = None
    resources: Mapping[str, Any] = field(default_factory=dict)

    def but(self, **changes: Any) -> Options:
        """Return a copy with ``changes``, checked. Raises ConfigError."""
        mine = {f.name for f in dataclasses.fields(self)} - {"resources"}
        known = {f.name for f in dataclasses.fields(Resources)}
        for name in changes:
            if name not in mine | known:
                raise ConfigError(f"unknown option {name!r}", hint=nearest(name, mine | known))
        for name in ("chunk", "max_parallel"):
            value = changes.get(name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ConfigError(f"{name}={value!r} is not a whole number of at least 1")
        environment_is_known(changes.get("environment"))
        resources = {**self.resources, **{name: value for name, value in changes.items() if name in known}}
        Resources().but(**resources)
        return dataclasses.replace(
            self, resources=resources, **{name: value for name, value in changes.items() if name in mine}
        )


def environment_is_known(value: Any) -> None:
    """Raise ConfigError for what cannot be an environment."""
    words = [value] if isinstance(value, str) else value
    if words is not None and not (isinstance(words, (list, tuple)) and all(isinstance(word, str) for word in words)):
        raise ConfigError(
            f"environment={value!r} is not an environment",
            hint="Write none, auto, freeze, a requirements file or list, or a conda name.",
        )


class ClusterFunction(Generic[P, R]):
    """A function whose calls run on a cluster. Made by ``@cluster``; ``.local`` is the plain function."""

    def __init__(self, function: Callable[P, R], options: Options) -> None:
        functools.update_wrapper(self, function)
        self.local: Callable[P, R] = function
        self._options = options

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run one call there and return its value. Inside a job: right here, as plain Python."""
        if session.inside():
            return self.local(*args, **kwargs)
        return _wait(self.submit(*args, **kwargs))

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Send one call off. Returns when it is safe on this machine's disk: it will run even if this process dies."""
        _check_call(self.local, args, kwargs)
        job: Job[R] = Job()
        session.submit(self.local, [(args, kwargs)], {}, self._options, job, "call")
        return job

    def map(self, *iterables: Iterable[Any], **constants: Any) -> Map[R]:
        """Send off one call for each element (of several iterables: up to the shortest), all as one native array.

        ``constants`` are keywords that every call gets.
        """
        if not iterables:
            raise TypeError("map() needs at least one iterable")
        calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [(args, {}) for args in zip(*iterables)]  # noqa: B905 - like the builtin, up to the shortest
        for args, _ in calls:
            _check_call(self.local, args, constants)
        result: Map[R] = Map(len(calls), label(self.local), self._options.return_exceptions)
        if calls:
            session.submit(self.local, calls, constants, self._options, result, "map")
        return result

    def options(self, **changes: Any) -> ClusterFunction[P, R]:
        """Return this function with other options: ``f.options(cores=8, cluster="hpc").submit(…)``."""
        return ClusterFunction(self.local, self._options.but(**changes))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        return ClusterFunction(types.MethodType(self.local, instance), self._options)

    def __reduce__(self) -> Any:
        from clustrix_core.worker.inside import restore

        return restore, (self.local, {})

    def __repr__(self) -> str:
        return f"<cluster function {label(self.local)}>"


@overload
def cluster(function: Callable[P, R], /) -> ClusterFunction[P, R]: ...
@overload
def cluster(
    name: str | ClusterConfig | None = None, /, **options: Any
) -> Callable[[Callable[P, R]], ClusterFunction[P, R]]: ...
def cluster(first: Any = None, /, **options: Any) -> Any:
    """Make calls of a function run on a cluster.

    ``@cluster``, ``@cluster("hpc")`` or ``@cluster(cores=4, memory="8GB", time="01:00:00")``. ``cluster=`` names a
    configured cluster or is a ClusterConfig, ``backend=`` takes a cluster of that backend with its defaults; the other
    options are the resources of one call, ``environment`` (what is installed for it), and ``chunk``, ``max_parallel``
    and ``return_exceptions`` for maps.
    Raises ConfigError for options that are unknown or make no sense.
    """
    if isinstance(first, (str, ClusterConfig)):
        options = {"cluster": first, **options}
    elif isinstance(first, (staticmethod, classmethod)):
        raise ConfigError(f"@cluster goes under @{type(first).__name__}, next to the function")
    elif callable(first):
        return ClusterFunction(first, Options().but(**options))
    elif first is not None:
        raise ConfigError(f"cluster() takes a function or the name of a cluster, not {first!r}")
    checked = Options().but(**options)
    return lambda function: ClusterFunction(function, checked)


def label(function: Callable[..., Any]) -> str:
    """Return a function's name as people would say it."""
    plain = getattr(function, "func", function)
    name = getattr(plain, "__name__", None) or type(plain).__name__
    return "lambda" if name == "<lambda>" else str(name)


def _check_call(function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """Raise TypeError now for arguments that the function could not take there."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some builtins have none
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{label(function)}(): {error}") from None


def _wait(job: Job[R]) -> R:
    try:
        with progress.spinner(job.name, lambda: progress.standing(job._known[1])) as update:
            while True:
                # Looked at through `wait`: a TimeoutError of the function itself must not be taken for ours.
                if concurrent.futures.wait([job], progress.TICK if progress.wanted() else None).done:
                    return job.result()
                update()
    except KeyboardInterrupt:
        print(f"\n{job.name} goes on without you. Its result: clustrix result {job.id}", file=sys.stderr)
        raise
