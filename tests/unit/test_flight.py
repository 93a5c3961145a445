"""One job between submission and its last outcome: what follows from what was heard of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from clustrix_core.engine import retries
from clustrix_core.engine.flight import GRACE, UNKNOWN_FOR, Flight
from clustrix_core.engine.inbox import Death, Inbox
from clustrix_core.entry import Entry
from clustrix_core.model import JobHandle, JobSpec, JobState, JobStatus, TaskStatus
from clustrix_core.resources import Resources
from tests.unit import toys

JOB = "0123456789abcdef"
WELL, DEAD = TaskStatus(JobState.SUCCEEDED, "COMPLETED"), TaskStatus(JobState.NODE_FAIL, "NODE_FAIL", exit_code=1)
BUSY = TaskStatus(JobState.RUNNING)


@pytest.fixture
def flight(tmp_path: Path) -> Flight:
    """A job of four tasks, a call each, in the air."""
    entry = Entry(JOB, "f", "here", {}, "map", {"calls": 4}, "me")
    inbox = Inbox(tmp_path, JOB, "00" * 32, 4)
    spec = JobSpec(JOB, "f", Resources(), calls=4, tasks=4)
    found = Flight(entry, spec, toys.cluster(), tmp_path, lambda *_: None, inbox, [0, 1, 2, 3])
    found.take_off(spec, JobHandle(JOB, spec.name, "1", tasks=4))
    return found


def test_a_lost_job_keeps_what_was_known_of_its_tasks(flight: Flight) -> None:
    flight.heard(JobStatus(JobState.RUNNING, tasks={0: WELL, 1: BUSY, 2: BUSY, 3: BUSY}), 1000)
    flight.heard(JobStatus(JobState.UNKNOWN, tasks={0: WELL, 2: DEAD}), 1001)
    flight.heard(JobStatus(JobState.UNKNOWN), 1001 + UNKNOWN_FOR)
    assert flight.status.state is JobState.LOST
    assert flight.status.tasks == {0: WELL, 2: DEAD}
    assert [flight.status.task(n).state.value for n in range(4)] == ["SUCCEEDED", "LOST", "NODE_FAIL", "LOST"]


def test_calls_of_a_lost_job_are_told_of_their_own_task(flight: Flight) -> None:
    flight.inbox._claimed = {f"0.{task}.1.0": [(task, 1)] for task in (1, 2)}  # what these two have begun
    flight.heard(JobStatus(JobState.UNKNOWN, tasks={2: DEAD}), 1001)
    flight.heard(JobStatus(JobState.UNKNOWN), 1001 + UNKNOWN_FOR)
    ended, left = flight.sort_out()
    assert left == [0, 3] and {call: end[1].state.value for call, end in ended.items()} == {1: "LOST", 2: "NODE_FAIL"}


def test_a_lost_job_of_which_nothing_was_heard_is_lost_as_a_whole(flight: Flight) -> None:
    flight.heard(JobStatus(JobState.UNKNOWN, tasks={2: DEAD}), 1001)
    flight.heard(JobStatus(JobState.UNKNOWN), 1001 + UNKNOWN_FOR)
    ended, left = flight.sort_out()
    assert left == [] and {end[1].state for end in ended.values()} == {JobState.LOST}


def test_what_a_task_had_claimed_whose_results_are_lost_is_not_run_again_unasked(flight: Flight) -> None:
    gone = TaskStatus(JobState.RESULT_LOST, "Evicted", "nobody had fetched its result")
    flight.arrived.add(0)
    flight.heard(JobStatus(JobState.RESULT_LOST, tasks={0: WELL, 1: gone, 2: gone, 3: gone}), 1000)
    ended, left = flight.sort_out()
    assert left == [] and {call: end[1] for call, end in ended.items()} == dict.fromkeys((1, 2, 3), gone)
    flight.spec = dataclasses.replace(flight.spec, resources=Resources(retries=1))
    assert retries.sort_out(flight, ended) == ({}, [1, 2, 3])


def test_a_task_that_runs_again_has_not_ended(flight: Flight) -> None:
    flight.heard(JobStatus(JobState.UNKNOWN, tasks={2: DEAD}), 1001)
    flight.heard(JobStatus(JobState.RUNNING, tasks={2: BUSY}), 1002)
    assert flight.status.tasks == {2: BUSY}


def test_a_marker_that_cannot_be_read_is_none(flight: Flight) -> None:
    (flight.mirror / "status-0.0").write_text("EXIT 3\n")
    (flight.mirror / "status-0.1").mkdir()
    assert {task: said.exit_code for task, said in flight.markers().items()} == {0: 3}


# ---------------------------------------------------------------- another try


def tried(flight: Flight, most: int, width: int = 1) -> tuple[dict[int, str], list[int], list[int]]:
    """Return how calls have ended for good, those that are tried again and those not begun."""
    flight.spec = dataclasses.replace(flight.spec, resources=Resources(retries=most), tasks=1, width=width)
    flight.inbox._claimed = {"0.0.0.0": [(0, 4)]}
    ended, left = flight.sort_out()
    final, again = retries.sort_out(flight, ended)
    return {call: end[1].reason for call, end in final.items()}, again, left


def test_what_runs_when_a_node_fails_is_tried_again_until_its_retries_are_used_up(flight: Flight) -> None:
    for tries in (1, 2):
        flight.heard(JobStatus(JobState.NODE_FAIL, tasks={0: DEAD}), 1000)
        assert tried(flight, 2) == ({}, [0], [1, 2, 3])
        assert flight.entry.spec["tries"] == {"0": tries}
    assert tried(flight, 2) == ({0: "its retries are used up (2)"}, [], [1, 2, 3])


def test_without_retries_nothing_is_tried_again(flight: Flight) -> None:
    flight.heard(JobStatus(JobState.NODE_FAIL, tasks={0: DEAD}), 1000)
    assert tried(flight, 0) == ({0: ""}, [], [1, 2, 3])
    assert "tries" not in flight.entry.spec


def test_calls_that_ask_go_on_and_those_behind_them_were_not_begun(flight: Flight) -> None:
    flight.inbox.again = {0: (0, 0), 1: (0, 0)}
    flight.heard(JobStatus(JobState.PREEMPTED, tasks={0: TaskStatus(JobState.PREEMPTED, "PREEMPTED")}), 1000)
    assert tried(flight, 1, 2) == ({}, [0, 1], [2, 3])


def test_asking_in_an_earlier_round_is_over(flight: Flight) -> None:
    flight.inbox.again = {0: (0, 0)}
    flight.spec = dataclasses.replace(flight.spec, round=1)
    assert flight._asked_again() == {}


def test_a_call_that_has_asked_is_not_waited_for(flight: Flight) -> None:
    flight.arrived.update({0, 1, 2})
    flight.inbox.again = {3: (0, 0)}
    flight.heard(JobStatus(JobState.SUCCEEDED, tasks=dict.fromkeys(range(4), WELL)), 1000)
    assert not flight.landed(1000) and flight.landed(1000 + GRACE)
    flight.inbox.again = {}
    assert not flight.landed(1000 + GRACE)


def test_a_death_of_an_earlier_round_is_not_the_end_of_this_one(flight: Flight) -> None:
    flight.inbox.died = {0: Death(0, "it was killed", signal=11)}
    flight.heard(JobStatus(JobState.FAILED, tasks={0: TaskStatus(JobState.FAILED)}), 1000)
    assert tried(flight, 2)[0][0] == "it was killed"
    flight.spec = dataclasses.replace(flight.spec, round=1)
    flight.heard(JobStatus(JobState.NODE_FAIL, tasks={0: DEAD}), 1000)
    flight.inbox._claimed = {"1.0.0.0": [(0, 4)]}
    ended, left = flight.sort_out()
    assert ended == {0: (0, DEAD)} and left == [1, 2, 3]
