"""One job between submission and its last outcome: what follows from what was heard of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from clustrix_core.engine.flight import UNKNOWN_FOR, Flight
from clustrix_core.engine.inbox import Inbox
from clustrix_core.journal import Entry
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


def test_a_task_that_runs_again_has_not_ended(flight: Flight) -> None:
    flight.heard(JobStatus(JobState.UNKNOWN, tasks={2: DEAD}), 1001)
    flight.heard(JobStatus(JobState.RUNNING, tasks={2: BUSY}), 1002)
    assert flight.status.tasks == {2: BUSY}


def test_a_marker_that_cannot_be_read_is_none(flight: Flight) -> None:
    (flight.mirror / "status-0.0").write_text("EXIT 3\n")
    (flight.mirror / "status-0.1").mkdir()
    assert {task: said.exit_code for task, said in flight.markers().items()} == {0: 3}
