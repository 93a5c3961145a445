"""``concurrent.futures.Executor`` over a cluster."""

from __future__ import annotations

import concurrent.futures
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from clustrix_core.api.function import ClusterFunction, Options
from clustrix_core.api.job import Job
from clustrix_core.api.map import Map, in_order
from clustrix_core.config import ClusterConfig
from clustrix_core.model import JobState

T = TypeVar("T")


class Executor(concurrent.futures.Executor):
    """Runs functions on a cluster: ``with Executor("hpc", cores=2) as pool: pool.submit(f, x)``.

    ``cluster`` names a configured cluster, None is the default one; the options are those of ``@cluster``. Behaves as
    ``concurrent.futures.Executor`` documents: RuntimeError after ``shutdown``, ``with`` waits for all.
    """

    def __init__(self, cluster: str | ClusterConfig | None = None, **options: Any) -> None:
        self._options = Options().but(**{**({"cluster": cluster} if cluster is not None else {}), **options})
        self._lock = threading.Lock()
        self._closed = False
        self._jobs: weakref.WeakSet[Job[Any]] = weakref.WeakSet()
        self._maps: weakref.WeakSet[Map[Any]] = weakref.WeakSet()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Job[T]:
        """Send one call off; returns its Job. Raises RuntimeError after ``shutdown``."""
        with self._lock:
            self._check_open()
            job = self._function(fn).submit(*args, **kwargs)
            self._jobs.add(job)
            return job

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        **_: Any,
    ) -> Iterator[T]:
        """Send off one call for each element as one native array; returns an iterator over the values, in order.

        Raises TimeoutError where a value is not there ``timeout`` seconds after this call. ``chunksize`` above 1 is the
        number of calls that a task claims at a time.
        """
        with self._lock:
            self._check_open()
            function = self._function(fn)
            results = (function.options(chunk=chunksize) if chunksize > 1 else function).map(*iterables)
            self._maps.add(results)
            return _until_error(in_order(results, timeout), results)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls. ``wait`` for all to finish; ``cancel_futures`` cancels those that have not begun.

        A map has begun when its first call has: the scheduler knows it as one job.
        """
        with self._lock:
            self._closed = True
            jobs, maps = list(self._jobs), list(self._maps)
        if cancel_futures:
            for future in _not_begun([*jobs, *maps]):
                future.cancel()
        if wait:
            concurrent.futures.wait(jobs)
            for results in maps:
                for _ in results.as_completed():
                    pass

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def _function(self, fn: Callable[..., T]) -> ClusterFunction[..., T]:
        plain = fn.local if isinstance(fn, ClusterFunction) else fn
        return ClusterFunction(plain, self._options)


def _not_begun(futures: list[Job[Any] | Map[Any]]) -> Iterator[Job[Any] | Map[Any]]:
    """Yield what waits for its turn, after one question to each cluster."""
    accepted: dict[str, dict[str, Job[Any] | Map[Any]]] = defaultdict(dict)
    for future in futures:
        if future.done():
            continue
        flight = future._known[1]
        if flight.handle is None:
            yield future
        else:
            accepted[flight.cluster.name][flight.spec.id] = future
    for jobs in accepted.values():
        known = [future._known for future in jobs.values()]
        engine, cluster = known[0][0], known[0][1].cluster
        handles = [flight.handle for _, flight in known if flight.handle is not None]
        for job, said in engine.dispatch.status(handles, cluster).items():
            if said.state is JobState.PENDING:
                yield jobs[job]


def _until_error(values: Iterator[T], keep: Map[T]) -> Iterator[T]:
    # A generator ends at the first exception, as the documentation of concurrent.futures has it.
    yield from values
    del keep
