"""What must hold after each scenario. Each function returns in words what does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.sweep.place import Place

GONE = 10.0  # seconds for the last processes of a job to end, and for a scheduler to forget it
_CANCELLED = "typed CancelledByCaller"
_ENDS = {
    "call": ["value 'value'"],
    "map": ["value 0", "raised ValueError('one')", "value 20"],
    "cancel": [_CANCELLED],
    "data": [f"value {bytes(range(200))[::-1]!r}"[:100]],
}
_STATES = {"call": "SUCCEEDED", "map": "FAILED", "cancel": "CANCELLED", "data": "SUCCEEDED"}


def is_typed(end: str) -> bool:
    """Return whether a call ended with an error of ours."""
    return end.startswith("typed")


def client(code: int, error: str) -> list[str]:
    """A client ends by itself, and without a trace of an error that nobody expected."""
    return [f"a client ended with {code}: {error}"] if code or "Traceback" in error else []


def ends(story: str, told: Sequence[str], *, strict: bool) -> list[str]:
    """Each call ends as its function says, or, unless ``strict``, with a typed error."""
    expected = _ENDS[story]
    if not strict and len(told) == 1 and is_typed(told[0]):
        return []  # `submit` or `cancel` itself has said so, for all calls
    right = [(not strict and is_typed(end)) or end.startswith(want) for end, want in zip(told, expected, strict=False)]
    return [] if len(told) == len(expected) and all(right) else [f"ends {told}"]


def jobs(rows: Sequence[Mapping[str, Any]], told: Mapping[str, Sequence[str]]) -> list[str]:
    """There is one job, or none where its client died before it had journalled it; somebody can ask for it."""
    ids = [row["id"] for row in rows]
    return [f"jobs {ids}, told of {list(told)}"] if len(ids) > 1 or set(told) != set(ids) else []


def row(story: str, job: Mapping[str, Any], told: Sequence[str], ran: Sequence[str]) -> list[str]:
    """The journal says that the job is over, and how."""
    wrong = []
    if job["phase"] not in ("over", "refused"):
        wrong.append(f"the journal says {job['phase']}, {job['state']}")
    failed = any(is_typed(end) and not end.startswith(_CANCELLED) for end in told)
    if not failed and job["state"] != _STATES[story]:
        wrong.append(f"the journal says {job['state']}, not {_STATES[story]}: {job['reason']}")
    if job["phase"] == "refused" and ran:
        wrong.append("the job was refused, and yet it ran")
    return wrong


def runs(story: str, ran: Sequence[str], told: Sequence[Sequence[str]]) -> list[str]:
    """Each call has run at most once, whatever happened, and exactly once where it brought something."""
    known = {str(call) for call in range(len(_ENDS[story]))}
    valued = {str(call) for ends in told for call, end in enumerate(ends) if not is_typed(end)}
    right = set(ran) <= known and len(ran) == len(set(ran)) and valued <= set(ran)
    return [] if right else [f"runs {list(ran)}, ends {list(told)}"]


def still_there(look: Callable[[], list[str]]) -> list[str]:
    """Nothing is there any more, soon."""
    deadline = time.monotonic() + GONE
    while (found := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return [f"still there: {found}"] if found else []


def left(place: Place) -> list[str]:
    """No process goes on; a job directory is removed, or will be with the next contact, or is kept as configured."""
    wrong = still_there(place.processes)
    rows, there = place.jobs(), place.directories()
    if strange := there - {job["id"] for job in rows}:
        wrong.append(f"directories of no job: {strange}")
    for job in rows:
        # Where a submission was given up the directory stays: it may still arrive, and must find what stops it.
        stays = job["phase"] == "over" and (job["state"] != "SUCCEEDED" or job["spec"]["submission"] > 0)
        mark = {0: "nothing", 1: "files", 2: "garbage"}[job["on_cluster"]]
        # What is marked may be gone already: the mark goes after it.
        right = (("files",) if stays else ("garbage",)) if job["id"] in there else ("garbage", "nothing")
        if mark not in right:
            wrong.append(f"{job['state']}, {mark}, directory {'there' if job['id'] in there else 'gone'}")
    return wrong
