"""The end of a round: what no task will bring any more is told or sent once more; the end of a job is journalled."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from clustrix_core.engine import ends, reading, retries, specs
from clustrix_core.engine.flight import Ended, Flight
from clustrix_core.entry import OVER, REFUSED, Entry
from clustrix_core.errors import CancelledByCaller, ClustrixError
from clustrix_core.model import Cluster, JobHandle, JobState

if TYPE_CHECKING:
    from clustrix_core.engine.engine import Engine

_log = logging.getLogger("clustrix.engine")
TAIL = 4096  # bytes of the log that an error shows
LOGS = 16  # tasks of one round whose logs are read for that


def land(engine: Engine, flight: Flight) -> None:
    """A round is over: deliver the errors of the calls that will never come, or send what is left once more."""
    ended, left = flight.sort_out()
    if not flight.withdrawn:
        ended, again = retries.sort_out(flight, ended)
        left = sorted([*left, *again])
    errors = dict(_explained(engine, flight, ended))
    if flight.withdrawn:
        errors.update(dict.fromkeys(left, cancelled(flight)))
    flight.entry.ends.update(ends.write(errors))
    engine.monitor(flight.cluster).drop(flight)
    goes_on = bool(left) and not flight.withdrawn
    if not goes_on:
        over(engine, flight)
    for call, error in errors.items():
        flight.settle(call, error)
    if goes_on:
        _again(engine, flight, left)


def cancel(engine: Engine, flight: Flight) -> None:
    """The scheduler has taken a cancellation, or never had the job: nothing more comes of it."""
    error = cancelled(flight)
    flight.entry.ends.update(ends.write(dict.fromkeys(flight.missing, error)))
    over(engine, flight)
    accepted = engine.journal.get(flight.spec.id).handle
    if flight.handle is None and accepted is not None:
        # Another client has brought it there since we looked, and saw no reason yet to end it.
        engine.dispatch.cancel([accepted], engine.places.ready(flight.cluster))
    flight.fail(error)


def over(engine: Engine, flight: Flight) -> None:
    """Journal that a job is over and tell the listeners, before the last outcome: a script may end when it has it."""
    entry = flight.entry
    with flight.lock:  # the monitor and a caller that cancels may both get here
        if entry.phase in (OVER, REFUSED):
            return
        entry.phase = OVER
    failed = bool(entry.ends or flight.inbox.raised)
    state = JobState.FAILED if failed else JobState.SUCCEEDED
    if entry.ends:
        state = JobState(next(iter(entry.ends.values()))["data"].get("state", JobState.FAILED.value))
    entry.state = state.value
    entry.reason = next((end["data"].get("reason") or "" for end in entry.ends.values()), flight.inbox.raised)
    try:
        engine.journal.end(entry, discard=not keeps(entry, failed or flight.inbox.unreadable))
    except Exception:  # a full disk must not cost the caller a value that is here
        _log.exception("the end of job %s could not be journalled", entry.id)
    engine.submissions.forget(entry.id)
    if state is JobState.SUCCEEDED:  # what failed may be wanted again: `clustrix retry`
        shutil.rmtree(engine.outbox / entry.id, ignore_errors=True)
    _tell(engine, flight, state)


def keeps(entry: Entry, failed: bool) -> bool:
    """Return whether the directory of a job that is over stays on its cluster until somebody cleans it."""
    # A submission that was given up may still be on its way: what lies there keeps it from running the job once more.
    cleanup = entry.settings.get("cleanup", "success")
    return cleanup == "never" or (cleanup == "success" and failed) or bool(entry.spec.get("submission"))


def cancelled(flight: Flight) -> CancelledByCaller:
    """Return the error of calls that were cancelled by their caller."""
    job = flight.spec.id
    return CancelledByCaller(f"{flight.spec.label} (job {job}) was cancelled here", job=job, state="CANCELLED")


def _explained(engine: Engine, flight: Flight, ended: Mapping[int, Ended]) -> Iterator[tuple[int, ClustrixError]]:
    logs: dict[int, str] = {}
    for call, end in ended.items():
        if isinstance(end, ClustrixError):
            yield call, end
            continue
        assert flight.handle is not None
        task, said = end
        handle = dataclasses.replace(flight.handle, task=task)
        if task not in logs:
            # Thousands may have ended alike: so many logs that somebody will read them, and no more.
            wanted = len(logs) < LOGS and flight.began
            logs[task] = _tail(engine, handle, flight.cluster) if wanted else ""
        yield call, ends.explain(said, flight.spec, handle, flight.cluster, logs[task])


def _tail(engine: Engine, handle: JobHandle, cluster: Cluster) -> str:
    try:
        return engine.dispatch.logs(handle, cluster, -TAIL).text
    except ClustrixError:
        return ""  # the end is known; its log is a courtesy


def _again(engine: Engine, flight: Flight, left: Sequence[int]) -> None:
    flight.todo = list(left)
    flight.spec = dataclasses.replace(flight.spec, round=flight.spec.round + 1)
    flight.entry.spec.update(specs.to_json(flight.spec), todo=list(left))
    if not engine.journal.again(flight.entry, engine.name):
        # Another client of this user watches the same job and was faster.
        flight.entry = engine.journal.get(flight.spec.id)
        reading.wait_for_owner(engine, flight)
        return
    engine.submissions.start(flight)


def _tell(engine: Engine, flight: Flight, state: JobState) -> None:
    before = flight.status
    if state is not before.state and flight.handle is not None:
        flight.status = dataclasses.replace(before, state=state)
        engine.dispatch.job_changed(flight.handle, before, flight.status, flight.cluster)


__all__ = ["cancel", "keeps", "land", "over"]
