"""Many calls of one function: one native array behind an iterator."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from clustrix_core.api import forks, progress
from clustrix_core.api.job import raisable, read_all
from clustrix_core.errors import CancelledByCaller, CannotTravel
from clustrix_core.model import JobStatus

if TYPE_CHECKING:
    from clustrix_core.engine import Engine, Flight
    from clustrix_core.worker.progress import Progress

T = TypeVar("T")
_Outcome = tuple[Any, BaseException | None]


class Done(Generic[T]):
    """One finished call of a map: ``index`` is its place in the input."""

    def __init__(self, index: int, value: Any, error: BaseException | None) -> None:
        self.index, self._value, self._error = index, value, error

    def result(self) -> T:
        """Return the value or raise the exception of this call."""
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[no-any-return]

    def exception(self) -> BaseException | None:
        return self._error

    def __repr__(self) -> str:
        return f"<Done {self.index}: {self._error or self._value!r}>"


class Map(Generic[T]):
    """The calls of a map. Iterating yields results in order, as they arrive.

    A call that raised raises in its place and the next ``next()`` goes on behind it; with ``return_exceptions`` the
    exception is yielded instead. ``as_completed()`` yields ``Done`` objects in the order in which they arrive.
    In a forked child, which cannot watch its parent's jobs, calls without an outcome have ended with CannotTravel.
    """

    def __init__(self, calls: int, label: str, return_exceptions: bool = False) -> None:
        self._calls, self._label, self._return_exceptions = calls, label, return_exceptions
        self._outcomes: dict[int, _Outcome] = {}
        self._order: list[int] = []
        self._news = threading.Condition()
        self._flight: Flight | None = None
        self._engine: Engine | None = None
        forks.remember(self)

    def _leave(self) -> None:
        self._engine = None
        self._news = threading.Condition()  # a thread that is not here may have held the other
        error = self._left
        for call in set(range(self._calls)).difference(self._order):
            self._outcomes.setdefault(call, (None, error))
            self._order.append(call)

    def _bind(self, engine: Engine, flight: Flight) -> None:
        self._engine, self._flight = engine, flight

    def _deliver(self, call: int, value: Any, error: BaseException | None) -> None:
        with self._news:
            if call not in self._outcomes:
                self._outcomes[call] = (value, error)
                self._order.append(call)
                self._news.notify_all()

    def __len__(self) -> int:
        return self._calls

    def __iter__(self) -> Iterator[T]:
        return _InOrder(self)

    def as_completed(self, timeout: float | None = None) -> Iterator[Done[T]]:
        """Yield each call as it finishes. Raises TimeoutError ``timeout`` seconds after the call of this method."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for number in range(self._calls):
            self._wait(lambda number=number: len(self._order) > number, deadline)
            index = self._order[number]
            yield Done(index, *self._outcomes[index])

    def results(self) -> list[T]:
        """Wait for all calls and return their values in order; raises the first exception in that order."""
        return list(self)

    def done(self) -> bool:
        """Return whether every call has finished."""
        return len(self._order) == self._calls

    def cancel(self) -> bool:
        """End what has not finished. True once the scheduler took it; False when all was over before."""
        if self._flight is None:
            return False
        engine, flight = self._known
        return engine.cancel(flight)

    def cancelled(self) -> bool:
        return any(isinstance(error, CancelledByCaller) for _, error in self._outcomes.values())

    @property
    def id(self) -> str:
        """The job's id; empty for a map without calls, which needs no job."""
        return self._flight.spec.id if self._flight else ""

    @property
    def name(self) -> str:
        return self._flight.spec.name if self._flight else self._label

    def status(self) -> JobStatus:
        """Return what is known of the job, task by task."""
        engine, flight = self._known
        return engine.status(flight.spec.id)

    @property
    def progress(self) -> dict[int, Progress]:
        """How far the calls that have not finished said they are, by their place in the input; see ``Job.progress``."""
        said = self._flight.inbox.progress() if self._flight is not None else {}
        return {call: one for call, one in said.items() if call not in self._outcomes}

    def logs(self, task: int = 0) -> str:
        """Return what one task of the array has written so far."""
        engine, flight = self._known
        return read_all(lambda since: engine.logs(flight.spec.id, since, task))

    def __reduce__(self) -> Any:
        raise CannotTravel(f"{self!r} belongs to this process", hint="Send its results instead: list(results).")

    def __repr__(self) -> str:
        return f"<Map {self.name}: {len(self._order)} of {self._calls} done>"

    @property
    def _known(self) -> tuple[Engine, Flight]:
        if self._flight is None:
            raise ValueError("a map without calls has no job")
        if self._engine is None:
            raise self._left
        return self._engine, self._flight

    @property
    def _left(self) -> CannotTravel:
        return forks.left(self, self.id or None)

    def _wait(self, arrived: Any, deadline: float | None) -> None:
        with self._news:
            if arrived():
                return
        with progress.bar(self) as shown:
            while True:
                with self._news:
                    left = None if deadline is None else deadline - time.monotonic()
                    if self._news.wait_for(arrived, progress.TICK if left is None else min(left, progress.TICK)):
                        return
                if left is not None and left <= progress.TICK:
                    raise TimeoutError(f"{self!r} after the timeout")
                shown(len(self._order))


class _InOrder(Iterator[Any]):
    def __init__(self, source: Map[Any], timeout: float | None = None) -> None:
        self._map, self._next = source, 0
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def __next__(self) -> Any:
        index = self._next
        if index >= len(self._map):
            raise StopIteration
        self._map._wait(lambda: index in self._map._outcomes, self._deadline)
        self._next += 1
        value, error = self._map._outcomes[index]
        if error is None:
            return value
        if self._map._return_exceptions:
            return error
        raise raisable(error)


def in_order(source: Map[T], timeout: float | None) -> Iterator[T]:
    """Return an iterator over a map's results that raises TimeoutError ``timeout`` seconds from now."""
    return _InOrder(source, timeout)
