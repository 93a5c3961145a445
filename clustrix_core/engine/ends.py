"""From what the scheduler says of an end to the error that the caller gets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from clustrix_core.batch.queue import expand
from clustrix_core.entry import error_data
from clustrix_core.errors import (
    ClustrixError,
    JobCancelled,
    JobError,
    JobFailed,
    JobLost,
    JobOutOfMemory,
    JobPreempted,
    JobTimeout,
    NodeFailed,
    ResultLost,
)
from clustrix_core.model import Cluster, JobHandle, JobSpec, JobState, TaskStatus
from clustrix_core.quantities import format_time

KINDS: dict[JobState, type[JobError]] = {
    JobState.FAILED: JobFailed,
    JobState.CANCELLED: JobCancelled,
    JobState.TIMEOUT: JobTimeout,
    JobState.OUT_OF_MEMORY: JobOutOfMemory,
    JobState.NODE_FAIL: NodeFailed,
    JobState.PREEMPTED: JobPreempted,
    JobState.RESULT_LOST: ResultLost,
    JobState.LOST: JobLost,
}
HINTS = {
    JobState.TIMEOUT: "Give it a longer time=.",
    JobState.OUT_OF_MEMORY: "Give it more memory=.",
    JobState.NODE_FAIL: "Submit it again: `clustrix retry {job}`, or give it retries=.",
    JobState.PREEMPTED: "Submit it again: `clustrix retry {job}`, give it retries=, or use another partition or qos.",
    JobState.RESULT_LOST: "Run it again: `clustrix retry {job}`, or give it retries=.",
    JobState.FAILED: "See the whole log: `clustrix logs {job}`.",
    JobState.LOST: "Look yourself: `clustrix logs {job}`, `clustrix status {job}`.",
}


def explain(said: TaskStatus, spec: JobSpec, handle: JobHandle, cluster: Cluster, log: str) -> JobError:
    """Return the typed error for a task that ended as ``said``, with the scheduler's words and the log's tail."""
    state = said.state if said.state in KINDS else JobState.LOST
    words = _words(said)
    hint = HINTS.get(state, "").format(job=spec.id)
    happened = _happened(state, said, spec)
    return KINDS[state](
        f"{spec.label} (job {spec.id}, {cluster.backend} {handle.native}) {happened}"
        + (f": {words}" if words and words not in happened else ""),
        cluster=cluster.name,
        job=spec.id,
        state=state.value,
        reason=words,
        exit_code=said.exit_code or None,  # accounting shows 0 for jobs that ran out of time
        log=log,
        hint=hint or None,
    )


def write(ended: Mapping[int, ClustrixError]) -> dict[str, dict[str, Any]]:
    """Return ends by call for the journal: calls that ended alike share an entry, keyed like ``0-4,7``."""
    alike: dict[str, tuple[list[int], dict[str, Any]]] = {}
    for call, error in ended.items():
        data = error_data(error)
        alike.setdefault(repr(data), ([], data))[0].append(call)
    return {_compact(calls): data for calls, data in alike.values()}


def read(ends: Mapping[str, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Return what ``write`` has written, by call."""
    return {call: data for calls, data in ends.items() for call in expand(calls)}


def _compact(calls: Iterable[int]) -> str:
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in _runs(sorted(calls)))


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    first = last = None
    for number in numbers:
        if first is None or last is None:
            first = number
        elif number != last + 1:
            yield first, last
            first = number
        last = number
    if first is not None and last is not None:
        yield first, last


def _words(said: TaskStatus) -> str:
    """Return the scheduler's word and reason. A sentence needs no word before it that only names the state."""
    named = said.word == said.state.value and " " in said.reason
    if named or said.word in ("EXIT", said.reason):
        return said.reason
    return ", ".join(filter(None, [said.word, said.reason]))


def _happened(state: JobState, said: TaskStatus, spec: JobSpec) -> str:
    if state is JobState.FAILED:
        return f"failed with exit code {said.exit_code}" if said.exit_code else "failed"
    limit = f" of {format_time(spec.walltime)}" if spec.walltime else ""
    memory = f" of {spec.resources.memory // 2**20} MB" if spec.resources.memory else ""
    return {
        JobState.CANCELLED: "was cancelled",
        JobState.TIMEOUT: f"ran over its walltime{limit}",
        JobState.OUT_OF_MEMORY: f"ran out of its memory{memory}",
        JobState.NODE_FAIL: "lost its node",
        JobState.PREEMPTED: "was preempted",
        JobState.RESULT_LOST: "ended well, but its result is lost",
    }.get(state, "left no result")
