"""From the record of one undisturbed client to all that can happen to one like it; then all of that happens."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.sweep import verdict
from tests.sweep.place import Configure, Place
from tests.sweep.steps import AFTER, BEFORE, FAULTS

AT_ONCE = 8
TRIES = 2
POLLS = ("fetch", "status", "changed", "job_changed")  # how many there are is a matter of time


@dataclass(frozen=True)
class Scenario:
    """One disturbance at one step of one story."""

    story: str
    step: str  # KIND NAME NUMBER
    fault: str

    @property
    def kills(self) -> bool:
        return self.fault in (BEFORE, AFTER)

    @property
    def name(self) -> str:
        """The hook or the journal's method."""
        return self.step.split()[1]

    def __str__(self) -> str:
        return f"{self.story}: {self.step}: {'killed ' if self.kills else ''}{self.fault}"


@dataclass(frozen=True)
class Happened:
    """What was wrong after a scenario, if anything; whether its step was reached; the typed errors that were told."""

    scenario: Scenario
    wrong: Sequence[str]
    reached: bool
    typed: Sequence[str]
    seconds: float


def undisturbed(story: str, directory: Path, configure: Configure) -> list[dict[str, Any]]:
    """Live through a story once; return its record."""
    place = Place(directory, configure)
    code, told, error = place.client(story, str(directory))
    assert (code, error) == (0, ""), error
    assert verdict.ends(story, told[""], strict=True) == [], told
    return place.record()


def enumerate_all(story: str, record: Sequence[Mapping[str, Any]]) -> Iterator[Scenario]:
    """Yield all that can happen at the steps of an undisturbed client."""
    alike = set(_polls_alike(record))
    for number, line in enumerate(record):
        key, when = line["key"], line["when"]
        if key.partition(" ")[2] in alike:
            continue
        if when == "answer":
            for fault in FAULTS:
                if fault != "half" or line["sent"]:
                    yield Scenario(story, key, fault)
        elif not _same_moment(line, record[number + 1 :]):
            yield Scenario(story, key, when)


def _polls_alike(record: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the polls, as ``NAME NUMBER``, that brought the same as an earlier one."""
    seen = set()
    for line in record:
        if line["when"] == "answer":
            name_and_number = line["key"].partition(" ")[2]
            name = name_and_number.split()[0]
            answer = (name, line["sent"], line["size"])
            if name in POLLS and answer in seen:
                yield name_and_number
            seen.add(answer)


def _same_moment(line: Mapping[str, Any], following: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the next step of the same thread begins, or ends, together with this one."""
    for later in following:
        if later["thread"] == line["thread"] and later["when"] != "answer":
            return bool(later["when"] == line["when"])
    return False


def run_all(
    scenarios: Sequence[Scenario],
    directory: Path,
    configure: Configure,
    left: Callable[[Place], list[str]] = verdict.left,
) -> list[Happened]:
    """Let all of them happen, some side by side. ``left`` says what one has left behind that it should not."""

    def one(numbered: tuple[int, Scenario]) -> Happened:
        number, scenario = numbered
        begun = time.monotonic()
        for attempt in range(TRIES):  # a busy machine looks less often while the same job runs
            place = Place(directory / f"{number:03}.{attempt}", configure)
            wrong, typed = _happen(scenario, place)
            wrong += left(place)
            reached = _reached(scenario, place.record())
            if reached or wrong:
                break
        return Happened(scenario, wrong, reached, typed, time.monotonic() - begun)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, enumerate(scenarios)))


def _reached(scenario: Scenario, record: Sequence[Mapping[str, Any]]) -> bool:
    when = scenario.fault if scenario.kills else BEFORE
    return any((line["key"], line["when"]) == (scenario.step, when) for line in record)


def _happen(scenario: Scenario, place: Place) -> tuple[list[str], list[str]]:
    """Let a client live through it, then let another one come; return what is wrong, and the typed errors told."""
    wrong: list[str] = []
    told_first: Sequence[str] = ()
    code, told, error = place.client(scenario.story, str(place.directory), scenario.step, scenario.fault)
    died = code == -signal.SIGKILL
    if not died:
        told_first = told.get("", [])
        wrong += verdict.client(code, error) + verdict.ends(scenario.story, told_first, strict=False)
    code, told, error = place.client("--again", scenario.story, str(place.directory))
    jobs = place.jobs()
    wrong += verdict.client(code, error) + verdict.jobs(jobs, told)
    for job in jobs:
        # Who only dies loses nothing; a cluster that fails may end a job with an error that says so.
        wrong += verdict.ends(scenario.story, told.get(job["id"], []), strict=died)
        wrong += verdict.row(scenario.story, job, told.get(job["id"], []), place.runs())
    wrong += verdict.runs(scenario.story, place.runs(), list(told.values()))
    return wrong, [end for ends in [told_first, *told.values()] for end in ends if verdict.is_typed(end)]
