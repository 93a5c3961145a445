"""A client of the sweep, a process of its own.

    client.py STORY DIRECTORY [STEP FAULT]     lives through a story, disturbed at a step
    client.py --again STORY DIRECTORY          comes after one that is gone, and asks for what it left

Prints one line of JSON: how each call of each job ended, as this client was told.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import clustrix
from clustrix import ClustrixError, cluster
from clustrix_core.api import session

BOUND = 30.0  # seconds within which every call has ended, one way or the other


def note(directory: str, word: str) -> None:
    with open(f"{directory}/runs", "a") as file:
        file.write(f"{word}\n")


@cluster
def once(directory: str) -> str:
    note(directory, "0")
    time.sleep(1.0)
    return "value"


@cluster
def each(number: int, directory: str) -> int:
    note(directory, str(number))
    time.sleep(0.6)
    if number == 1:
        raise ValueError("one")
    return 10 * number


@cluster
def endless(directory: str) -> str:
    note(directory, "0")
    time.sleep(100)
    return "nobody waits for this"


@cluster
def turn(data: bytes, directory: str) -> bytes:
    note(directory, "0")
    return data[::-1]


def data(directory: str) -> Any:
    return turn.submit(bytes(range(200)) * 10_000, directory)  # 2 MB there, 2 MB back


def call(directory: str) -> Any:
    return once.submit(directory)


def map(directory: str) -> Any:
    return each.map(range(3), directory=directory)


def cancel(directory: str) -> Any:
    job = endless.submit(directory)
    until(lambda: job.done() or Path(directory, "runs").exists(), BOUND)
    job.cancel()
    return job


STORIES: dict[str, Callable[[str], Any]] = {"call": call, "map": map, "cancel": cancel, "data": data}


def hasten() -> None:
    """Shorten what only takes time, in this process."""
    constants: dict[str, dict[str, float]] = {
        "batch.find": {"UNANSWERED": 15, "UNSURE": 3},
        "engine.submission": {"_PAUSE_FIRST": 0.2, "_PAUSE_LAST": 1.0},
        "engine.uploads": {"_PAUSE": 0.2},
        "engine.cadence": {"LOOK_FIRST": 0.3, "LOOK_LAST": 0.6, "ASK_FIRST": 0.4, "ASK_LAST": 2.0},
        "engine.monitor": {"_TIDY_AFTER": 0.2, "_BACKOFF": 1.0, "UNKNOWN_FOR": 6.0},
        "engine.flight": {"UNKNOWN_FOR": 6.0, "LAG": 6.0},
    }
    import clustrix_core.engine

    assert clustrix_core.engine
    for module, values in constants.items():
        for name, value in values.items():
            assert hasattr(sys.modules[f"clustrix_core.{module}"], name), f"{module}.{name}"
            setattr(sys.modules[f"clustrix_core.{module}"], name, value)


def until(true: Callable[[], Any], patience: float) -> None:
    deadline = time.monotonic() + patience
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)


def ends(job: Any) -> list[str]:
    """Return in words how the calls of a job have ended; waits for that."""
    deadline = time.monotonic() + BOUND
    until(job.done, BOUND)
    if isinstance(job, clustrix.Job):
        return [_end(lambda: job.result(0))]
    done = {}
    try:
        for one in job.as_completed(max(deadline - time.monotonic(), 0.1)):
            done[one.index] = _end(one.result)
    except TimeoutError:
        pass
    return [done.get(index, "nothing") for index in range(len(job))]


def _end(result: Callable[[], Any]) -> str:
    try:
        return f"value {result()!r}"[:100]
    except TimeoutError:
        return "nothing"
    except ClustrixError as error:
        return f"typed {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    except Exception as error:
        return f"raised {error!r}"


def adopt(story: str, id: str) -> Any:
    job = clustrix.get_job(id)
    if story == "cancel":
        job.cancel()
    return job


def live(story: str, begin: Callable[[], Any]) -> list[str]:
    try:
        return ends(begin())
    except ClustrixError as error:
        return [f"typed {type(error).__name__}: {' '.join(str(error).split())[:300]}"]


def tidy() -> None:
    """Wait a little, as a program does that goes on: what ended jobs have left is removed meanwhile."""
    journal = session.engine().journal
    until(lambda: not any(journal.garbage(entry.place) for entry in journal.entries()), 2.0)


def main() -> None:
    hasten()
    if sys.argv[1] == "--again":
        story = sys.argv[2]
        told = {info.id: live(story, lambda id=info.id: adopt(story, id)) for info in clustrix.jobs()}
    else:
        from tests.sweep.steps import Steps, install

        story, directory, *disturbance = sys.argv[1:]
        install(Steps(Path(directory, "steps"), *disturbance))
        told = {"": live(story, lambda: STORIES[story](directory))}
    tidy()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
