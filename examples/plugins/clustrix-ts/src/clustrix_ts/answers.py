"""What `tsp -l` and `ps` answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from clustrix_core.batch import Row
from clustrix_core.errors import TransportError
from clustrix_core.model import JobHandle, JobState

# The words of `tsp -l`; an end is told apart by its E-Level, as `_end` has it.
STATES = {
    "queued": JobState.PENDING,
    "allocating": JobState.PENDING,
    "running": JobState.RUNNING,
    "finished": JobState.SUCCEEDED,
    "failed": JobState.FAILED,
    "terminated": JobState.CANCELLED,
    "timed out": JobState.TIMEOUT,
    "skipped": JobState.FAILED,
}
_TASK = r"\btimeout -k \d+ (?P<limit>\d+) \S+ \S+ (?P<name>\S+) (?P<task>\d+)\Z"
_LISTED = re.compile(
    r"(?P<id>\d+) +(?P<word>[a-z_]+) +(?:stdout|\(no output\)) +(?:(?P<level>-?\d+) +(?P<real>[\d.]+)/\S+ +)?.*" + _TASK
)
_RUNNING = re.compile(r"(?:\S*/)?" + _TASK.removeprefix(r"\b"))
_SIGNALLED = -1
_TERM, _TIMEOUT = 128 + 15, 124  # as the script and timeout(1) end


def read_job_id(answer: str) -> str:
    """Return the id of a job's first task."""
    match = re.search(r"^(\d+)\s*\Z", answer, re.MULTILINE)
    if match is None:
        raise TransportError(f"tsp answered {answer.strip()[:200]!r}, which names no job; there may be one")
    return match[1]


def read_queue(handles: Sequence[JobHandle], answer: str) -> Iterator[Row]:
    known = {handle.name: handle for handle in handles}
    for found in filter(None, map(_LISTED.match, answer.splitlines())):
        if handle := known.get(found["name"]):
            word, reason, code = _end(found) if found["level"] else (found["word"], "", None)
            if word == "skipped":
                reason = "the job that it had to wait for did not end well"
            # Of several tasks each has an id; the job is known by that of the first, which may be off the list.
            yield Row(handle.native or found["id"], found["name"], word, reason, code, (int(found["task"]),))


def read_processes(handles: Sequence[JobHandle], answer: str) -> Iterator[Row]:
    known = {handle.name: handle for handle in handles}
    for found in filter(None, map(_RUNNING.match, answer.splitlines())):
        if handle := known.get(found["name"]):
            yield Row(handle.native, found["name"], "running", "the queue was restarted", tasks=(int(found["task"]),))


def _end(found: re.Match[str]) -> tuple[str, str, int | None]:
    """Return the word, the reason and the exit code of a job that is over.

    E-Level is the exit code as a signed byte, and -1 after a signal, or where the job was ended while it waited. What
    did not heed the TERM of timeout(1) was killed, timeout with it: then only the time tells.
    """
    level, seconds, limit = int(found["level"]), float(found["real"]), int(found["limit"])
    code = level % 256
    if level == 0:
        return "finished", "", 0
    if limit and seconds >= limit and level in (_TIMEOUT, _SIGNALLED):
        return "timed out", f"E-Level {level} after {seconds:.0f} s", None if level == _SIGNALLED else code
    if code == _TERM or (level == _SIGNALLED and not seconds):
        return "terminated", f"E-Level {level}", _TERM
    if level == _SIGNALLED:
        return "failed", "E-Level -1: killed by a signal", None
    return "failed", f"E-Level {level}", code
