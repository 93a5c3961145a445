"""What waiting costs: looks and questions of one job, counted over computed time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustrix_core.engine import cadence
from clustrix_core.engine.cadence import ASK_FIRST, ASK_LAST, LOOK_FIRST, LOOK_LAST, next_ask, next_look

HOUR, DAY = 3600.0, 86400.0
SECONDS = st.floats(0, 30 * DAY)


def looks(until: float) -> Iterator[float]:
    """When a job without any news is looked at."""
    now = 0.0
    while (now := now + next_look(now)) <= until:
        yield now


def asks(until: float, walltime: float | None = None) -> Iterator[float]:
    """When the scheduler is asked about a job that began at once: at the next look after it is due."""
    asked = 0.0
    for now in looks(until):
        if now - asked >= next_ask(now, None if walltime is None else walltime - now):
            yield now
            asked = now


def test_a_quick_job_is_seen_at_once_and_the_scheduler_is_left_alone() -> None:
    times = list(looks(1.0))
    assert times[0] <= 0.02
    assert max(b - a for a, b in zip([0.0, *times], times, strict=False)) <= 0.1
    assert list(asks(0.99)) == []


def test_a_day_of_waiting_for_one_job() -> None:
    looked, asked = len(list(looks(DAY))), len(list(asks(DAY)))
    assert looked <= DAY / LOOK_LAST + 200 <= 30_000
    assert asked <= DAY / ASK_LAST + 150 <= 1_600
    # ... and a day is not slept through either.
    assert asked >= 1_000


def test_the_first_hour_is_watched_more_closely_than_the_last() -> None:
    times = list(asks(DAY))
    first, last = [t for t in times if t <= HOUR], [t for t in times if t > DAY - HOUR]
    assert len(first) > 1.5 * len(last)


@pytest.mark.parametrize("walltime", [60.0, 600.0, HOUR, 12 * HOUR])
def test_an_end_by_walltime_is_seen_within_seconds(walltime: float) -> None:
    """Such an end may leave no marker: then the scheduler's word is all there is."""
    times = list(asks(walltime + 120.0, walltime))
    for end in (walltime, walltime + 5.0, walltime + 31.0):  # schedulers are late by up to a minute
        assert min(t for t in times if t >= end) - end <= 6.0


def test_a_known_end_costs_little_more() -> None:
    assert len(list(asks(DAY, walltime=DAY - HOUR))) <= len(list(asks(DAY))) + 100


@given(SECONDS)
def test_looks_are_bounded(quiet: float) -> None:
    assert LOOK_FIRST <= next_look(quiet) <= LOOK_LAST


@given(SECONDS, st.none() | st.floats(-30 * DAY, 30 * DAY))
def test_questions_are_bounded(age: float, to_end: float | None) -> None:
    assert ASK_FIRST <= next_ask(age, to_end) <= ASK_LAST


@given(SECONDS, SECONDS)
def test_the_longer_it_is_quiet_the_longer_the_pause(one: float, other: float) -> None:
    assert next_look(min(one, other)) <= next_look(max(one, other))
    assert next_ask(min(one, other), None) <= next_ask(max(one, other), None)


def day(jobs: int, spread: bool) -> tuple[list[float], list[float]]:
    """When a client looks and asks in a day in which it watches so many jobs: one after the other, or all at once.

    Each look is one command for all jobs and so is each question. Where they are spread, each job is news when it
    begins and when it ends, and lasts as long as it takes until the next one begins.
    """
    looks, asks = cadence.looks(here=False), cadence.asks()
    step = DAY / jobs if spread else DAY
    looked, asked, now, last = [], [], 0.0, 0.0
    while (now := now + max(next_look(now - step * int(now / step)), looks.wait(now))) <= DAY:
        looked.append(now)
        looks.spend(now)
        young = now - step * int(now / step)
        if now - max(last, now - young) >= next_ask(young, None) and not asks.wait(now):
            asked.append(now)
            asks.spend(now)
            last = now
    return looked, asked


DAYS = [(1, False), (100, True), (10_000, True), (10_000, False)]


@pytest.mark.parametrize(("jobs", "spread"), DAYS)
def test_a_day_costs_the_site_no_more_than_this(jobs: int, spread: bool) -> None:
    looked, asked = day(jobs, spread)
    assert len(looked) <= DAY + 600 and len(asked) <= DAY / 10 + 60
    for hour in range(24):
        here = [sum(3600 * hour < when <= 3600 * (hour + 1) for when in times) for times in (looked, asked)]
        assert here[0] <= 4200 and here[1] <= 420
    if jobs == 1 or not spread:
        assert len(looked) <= 29_000 and len(asked) <= 1_560


def test_the_page_tells_what_a_day_costs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "site.md").read_text("utf-8")
    table = {(int(row[0].replace(",", "")), row[1]): row[2:] for row in re.findall(ROW, page)}
    for jobs, spread in DAYS:
        looked, asked = day(jobs, spread)
        first = [sum(when <= 3600 for when in times) for times in (looked, asked)]
        figures = (first[0], len(looked), first[1], len(asked))
        assert table[jobs, SPREAD[spread]] == tuple(f"{figure:,}" for figure in figures), figures


SPREAD = {True: "one after the other", False: "all day long"}
ROW = r"(?m)^\| ([\d,]+) \| (one after the other|all day long) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$"
