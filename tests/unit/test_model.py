"""The nouns: names, states, and what survives a way through JSON."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustrix_core import keys
from clustrix_core.model import JobHandle, JobSpec, JobState, JobStatus, Node, Site, TaskStatus, job_dir
from clustrix_core.resources import Resources

S = JobState
HEX = st.text("0123456789abcdef", min_size=16, max_size=16)


def spec(label: str, id: str = "0123456789abcdef", round: int = 0) -> JobSpec:
    return JobSpec(id, label, Resources(), round=round)


@given(st.text(), HEX, st.integers(0, 10_000))
def test_names_fit_every_scheduler(label: str, id: str, round: int) -> None:
    name = spec(label, id, round).name
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,62}", name), name
    assert id in name


@given(st.text(), st.text(), HEX, HEX, st.integers(0, 20), st.integers(0, 20))
def test_names_are_unique(label: str, other: str, id: str, second: str, round: int, later: int) -> None:
    if (id, round) != (second, later):
        assert spec(label, id, round).name != spec(other, second, later).name


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("simulate", "simulate-0123456789abcdef"),
        ("pkg.mod.<locals>.<lambda>", "pkg.mod._locals_._lambda-0123456789abcdef"),
        ("3d_fft", "j3d_fft-0123456789abcdef"),
        ("☃", "job-0123456789abcdef"),
        ("", "job-0123456789abcdef"),
        ("--wrap=rm", "wrap_rm-0123456789abcdef"),
        ("a\n#SBATCH -p x", "a_SBATCH_-p_x-0123456789abcdef"),
    ],
)
def test_names_are_still_recognised(label: str, name: str) -> None:
    assert spec(label).name == name


def test_a_follow_up_round_has_a_name_of_its_own() -> None:
    assert spec("simulate", round=2).name == "simulate-0123456789abcdef-r2"
    assert spec("simulate", round=2).dir == spec("simulate").dir == job_dir("0123456789abcdef")


def test_job_directories_are_sharded() -> None:
    assert job_dir("0123456789abcdef") == "jobs/01/0123456789abcdef"
    shards = {job_dir(keys.new_job_id()).split("/")[1] for _ in range(2000)}
    assert len(shards) > 200


def test_every_state_is_an_end_or_is_not() -> None:
    assert {state for state in S if not state.over} == {S.PENDING, S.RUNNING, S.UNKNOWN}
    assert S.LOST.over and not S.UNKNOWN.over
    assert [str(state) for state in S] == [state.value for state in S] == [state.name for state in S]


def task(state: JobState, **more: object) -> TaskStatus:
    return TaskStatus(state, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tasks", "expected", "state"),
    [
        ({}, 3, S.UNKNOWN),
        ({0: S.SUCCEEDED}, 1, S.SUCCEEDED),
        ({0: S.SUCCEEDED, 1: S.SUCCEEDED}, 3, S.UNKNOWN),  # one is not known of: late, or lost
        ({0: S.FAILED, 1: S.FAILED}, 3, S.UNKNOWN),
        ({0: S.FAILED, 1: S.RUNNING}, 3, S.RUNNING),
        ({0: S.SUCCEEDED, 1: S.PENDING, 2: S.RUNNING}, 3, S.RUNNING),
        ({0: S.SUCCEEDED, 1: S.PENDING, 2: S.UNKNOWN}, 3, S.PENDING),
        ({0: S.SUCCEEDED, 1: S.UNKNOWN}, 2, S.UNKNOWN),
        ({0: S.SUCCEEDED, 1: S.OUT_OF_MEMORY, 2: S.SUCCEEDED}, 3, S.OUT_OF_MEMORY),
        ({0: S.SUCCEEDED, 1: S.SUCCEEDED, 2: S.SUCCEEDED}, 3, S.SUCCEEDED),
    ],
)
def test_a_job_is_what_its_tasks_are(tasks: dict[int, JobState], expected: int, state: JobState) -> None:
    assert JobStatus.of({index: task(one) for index, one in tasks.items()}, expected).state is state


@given(st.dictionaries(st.integers(0, 5), st.sampled_from(S), max_size=6))
def test_a_job_is_over_when_all_tasks_are_and_never_earlier(tasks: dict[int, JobState]) -> None:
    status = JobStatus.of({index: task(state) for index, state in tasks.items()}, 6)
    assert status.state.over == (len(tasks) == 6 and all(state.over for state in tasks.values()))
    if status.state is S.SUCCEEDED:
        assert set(tasks.values()) == {S.SUCCEEDED}


def test_the_words_of_the_task_that_tells_are_those_of_the_job() -> None:
    failed = task(S.FAILED, word="FAILED", reason="NonZeroExitCode", exit_code=3)
    status = JobStatus.of({0: task(S.SUCCEEDED), 1: failed}, 2)
    assert (status.word, status.reason, status.exit_code) == ("FAILED", "NonZeroExitCode", 3)
    assert status.task(1) == failed
    assert status.task(7) == failed  # without a row of its own: what is known of the job


def test_what_is_kept_survives_json() -> None:
    site = Site("/scratch/a b ☃", (3, 6), "ada", (Node(3, 2**40), Node(1)), 1001, None, "Slurm 22.05.8", 1.5)
    assert Site.from_json(json.loads(json.dumps(site.to_json()))) == site
    handle = JobHandle("00aa", "simulate-00aa", "4711", 3, 1, 17.25, 2, True)
    assert JobHandle.from_json(json.loads(json.dumps(handle.to_json()))) == handle
