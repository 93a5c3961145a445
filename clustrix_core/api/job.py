"""A job as its caller holds it: a future that also knows its scheduler."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from clustrix_core.api import forks
from clustrix_core.errors import CancelledByCaller, CannotTravel, ValueGone
from clustrix_core.model import JobStatus

if TYPE_CHECKING:
    import asyncio

    from clustrix_core.api.kept import Kept
    from clustrix_core.engine import Engine, Flight
    from clustrix_core.worker.progress import Progress

T = TypeVar("T")


class Job(concurrent.futures.Future, Generic[T]):  # type: ignore[type-arg]
    """One call on a cluster, a ``concurrent.futures.Future``.

    ``result()`` returns the function's value or raises its exception, with the remote traceback attached, or a JobError
    that says how the job ended without one. ``await job``, ``concurrent.futures.wait`` and ``as_completed`` work.
    As an argument of another call it stands for its value: that call runs after it, and finds the value over there.
    In a forked child, which cannot watch its parent's jobs, it has ended with CannotTravel unless it had a value.
    """

    def __init__(self) -> None:
        super().__init__()
        self._flight: Flight | None = None
        self._engine: Engine | None = None
        forks.remember(self)

    def _leave(self) -> None:
        self._engine = None
        self._condition = threading.Condition()  # a thread that is not here may have held the other
        if not self.done():
            super().__init__()  # who waits for it, and its callbacks, are the parent's
            self.set_exception(self._left)

    def _bind(self, engine: Engine, flight: Flight) -> None:
        self._engine, self._flight = engine, flight

    def _deliver(self, call: int, value: Any, error: BaseException | None) -> None:
        # The state of the future decides a race between a value and a cancellation: who comes first wins.
        try:
            if isinstance(error, CancelledByCaller):
                self._end_cancelled()
            elif error is not None:
                self.set_exception(error)
            else:
                self.set_result(value)
        except concurrent.futures.InvalidStateError:
            pass

    def _end_cancelled(self) -> None:
        if super().cancel():
            self.set_running_or_notify_cancel()

    @property
    def id(self) -> str:
        """The job's id, 16 hex digits; ``clustrix.get_job(id)`` finds it again in any process."""
        assert self._flight is not None
        return self._flight.spec.id

    @property
    def name(self) -> str:
        """The name that the scheduler shows."""
        assert self._flight is not None
        return self._flight.spec.name

    def status(self) -> JobStatus:
        """Return what is known of the job; asks the scheduler while it is in flight."""
        engine, flight = self._known
        return engine.status(flight.spec.id)

    @property
    def progress(self) -> Progress | None:
        """How far the function said it is (``report_progress``), as last seen; None before its first report.

        ``done``, ``total`` (or None) and ``text`` are its own words, ``at`` is when, in seconds since the epoch by the
        clock over there. Asking costs the cluster nothing: reports come with the looks for results.
        """
        return self._flight.inbox.progress().get(0) if self._flight is not None else None

    def logs(self) -> str:
        """Return what the job has written to stdout and stderr so far."""
        engine, flight = self._known
        return read_all(lambda since: engine.logs(flight.spec.id, since))

    def running(self) -> bool:
        """Return whether the job was last seen running."""
        return not self.done() and self._flight is not None and self._flight.status.state.value == "RUNNING"

    def cancel(self) -> bool:
        """End the job, running or not. True once the scheduler took it; False when it was over before."""
        if self.cancelled():
            return True
        engine, flight = self._known
        if self.done():
            return False
        return engine.cancel(flight) and self.cancelled()

    @overload
    def result(self, timeout: float | None = None, *, keep: Literal[False] = False) -> T: ...
    @overload
    def result(self, timeout: float | None = None, *, keep: Literal[True]) -> Kept[T]: ...
    def result(self, timeout: float | None = None, *, keep: bool = False) -> T | Kept[T]:
        """Return the value. Raises the function's exception, a JobError, or TimeoutError after ``timeout`` seconds.

        ``keep``: wait for it and leave it on the cluster; return a ``Kept``, which another call there takes. Asked for
        before the job ends, large values are not sent here at all. Raises ValueGone where its files may be gone.
        """
        if keep:
            self._keep()
        value = self._outcome(timeout)
        if not keep and not _is_left(value):
            return value  # type: ignore[no-any-return]
        kept = self._as_kept()
        return kept if keep else kept.result()

    def _keep(self) -> None:
        engine, flight = self._known
        if not engine.keep(flight):
            raise ValueGone(
                f"the files of {self!r} may be gone from {flight.entry.cluster}: it was over before",
                job=self.id,
                hint="Ask right after submit(), before the job ends. Its value, if it had one, is here: job.result().",
            )

    def _left_there(self) -> Kept[T] | None:
        """Return what stands for a value that stays on the cluster; None where it does not."""
        return self._as_kept() if self.done() and _is_left(self._result) else None

    def _as_kept(self) -> Kept[T]:
        from clustrix_core.api.kept import Kept

        _, flight = self._known
        return Kept(self.id, flight.spec.label, flight.entry.cluster, flight.inbox.size)

    def _outcome(self, timeout: float | None) -> Any:
        try:
            return super().result(timeout)
        except CancelledByCaller:
            raise
        except concurrent.futures.CancelledError:
            raise self._cancelled() from None

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the exception that ``result`` would raise, or None."""
        try:
            return super().exception(timeout)
        except concurrent.futures.CancelledError:
            raise self._cancelled() from None

    def __await__(self) -> Generator[Any, None, T]:
        """Wait in asyncio. Cancelling who waits cancels the job; ``asyncio.shield(job)`` keeps it.

        ``asyncio.run`` cancels what still waits when it ends, shields included: a job that is to go on after it is
        waited for with ``asyncio.shield(asyncio.wrap_future(job))``.
        """
        return _as_asyncio(self).__await__()

    def __reduce__(self) -> Any:
        from clustrix_core.payload import references  # what packs is not imported before something is packed

        return references.reduce(self)

    def __repr__(self) -> str:
        shown = f"{self._flight.spec.name} {self._flight.status.state}" if self._flight else "unsubmitted"
        return f"<Job {shown}>"

    @property
    def _known(self) -> tuple[Engine, Flight]:
        if self._engine is None or self._flight is None:
            raise self._left
        return self._engine, self._flight

    @property
    def _left(self) -> CannotTravel:
        return forks.left(self, self._flight.spec.id if self._flight else None)

    def _cancelled(self) -> CancelledByCaller:
        job = self._flight.spec if self._flight else None
        return CancelledByCaller(f"job {job.id if job else ''} was cancelled here", job=job.id if job else None)


def _is_left(value: Any) -> bool:
    from clustrix_core.engine.values import Left  # `import clustrix` is to cost next to nothing

    return isinstance(value, Left)


def _as_asyncio(job: Job[T]) -> asyncio.Future[T]:
    """Like ``asyncio.wrap_future``, but cancelling talks to the scheduler in a thread, not in the event loop."""
    import asyncio  # costs as much as the rest of Clustrix together

    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[T] = loop.create_future()

    def arrived(_: object) -> None:
        try:
            loop.call_soon_threadsafe(hand_over)
        except RuntimeError:  # the loop has closed: nobody waits any more
            pass

    def hand_over() -> None:
        if waiting.done():
            return
        if job.cancelled():
            waiting.cancel()
        elif (error := job.exception()) is not None:
            waiting.set_exception(raisable(error))
        else:
            waiting.set_result(job.result())

    def gone(future: asyncio.Future[T]) -> None:
        if future.cancelled() and not job.done():
            threading.Thread(target=job.cancel, name="clustrix cancel", daemon=True).start()

    waiting.add_done_callback(gone)
    job.add_done_callback(arrived)
    return waiting


def read_all(read: Callable[[int], Any]) -> str:
    """Return a whole log, chunk by chunk."""
    text: list[str] = []
    since = 0
    while True:
        chunk = read(since)
        if chunk.next <= since or not chunk.text:
            return "".join(text)
        text.append(chunk.text)
        since = chunk.next


def raisable(error: BaseException) -> BaseException:
    """Return an error as a generator may raise it: StopIteration would end whoever iterates or awaits, silently."""
    if not isinstance(error, (StopIteration, StopAsyncIteration)):
        return error
    told = RuntimeError(f"the call raised {type(error).__name__}")
    told.__cause__ = error
    return told


__all__ = ["Job", "raisable", "read_all"]
