"""What a scheduler knows of jobs, joined with what the jobs left: a toy scheduler made of programs on PATH."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustrix_core import batch
from clustrix_core.batch import queue
from clustrix_core.batch.queue import AT_ONCE, expand, read_marker
from clustrix_core.errors import CommandError
from clustrix_core.model import Cluster, JobHandle, JobState, JobStatus
from clustrix_core.transport.counting import Counting
from tests.unit.schedulers import JOB, Scheduler, cluster, handle, job, put, toy, toys

__all__ = ["toys"]
S = JobState
OTHER = "fedcba9876543210"


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    made = tmp_path / 'it\'s a "work dir" ☃ $(id)'
    made.mkdir()
    return made


def runs(cluster: Cluster) -> int:
    assert isinstance(cluster.transport, Counting)
    return cluster.transport.runs


def ask(work_dir: Path, *handles: JobHandle) -> JobStatus:
    """The status of the first of some jobs."""
    here = cluster(work_dir, site=not (work_dir / "worker").exists())
    return batch.status(toy(), handles or [handle()], here)[(handles or [handle()])[0].job]


NAME = job().name


def test_the_queue_is_asked_once_and_accounting_not_at_all(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toyq", out=f"17 {NAME} R\n18 {job(OTHER).name} Q\n19 somebody_elses F\n")
    here = cluster(work_dir)
    found = batch.status(toy(), [handle(), handle(OTHER, "18")], here)
    assert {id: status.state for id, status in found.items()} == {JOB: S.RUNNING, OTHER: S.PENDING}
    assert runs(here) == 1 and toys.names == ["toyq"]
    assert toys.calls[0].stdin == f"{JOB} 0\n{OTHER} 0\n"


def test_accounting_is_asked_for_what_is_missing_alone(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toyq", out=f"17 {NAME} R\n")
    toys.answer("toyacct", out=f"18 {job(OTHER).name} F\n")
    here = cluster(work_dir)
    found = batch.status(toy(), [handle(), handle(OTHER, "18")], here)
    assert {id: status.state for id, status in found.items()} == {JOB: S.RUNNING, OTHER: S.FAILED}
    assert runs(here) == 2 and [call.argv for call in toys.calls] == [
        ("toyq", "-u", "ada"),
        ("toyacct", job(OTHER).name),
    ]


def test_two_hundred_jobs_in_flight_are_one_exec_and_one_query(toys: Scheduler, work_dir: Path) -> None:
    handles = [handle(f"{number:016x}", str(number)) for number in range(200)]
    toys.answer("toyq", out="".join(f"{one.native} {one.name} {'QR'[n % 2]}\n" for n, one in enumerate(handles)))
    here = cluster(work_dir)
    found = batch.status(toy(), handles, here)
    assert runs(here) == 1 and toys.names == ["toyq"]
    assert [found[one.job].state for one in handles] == [S.PENDING, S.RUNNING] * 100
    assert isinstance(here.transport, Counting) and len(here.transport.commands[0]) < 1500


def test_no_jobs_are_no_exec(toys: Scheduler, work_dir: Path) -> None:
    here = cluster(work_dir)
    assert batch.status(toy(), [], here) == {}
    batch.cancel(toy(), [], here)
    assert runs(here) == 0


@pytest.mark.parametrize("number", [AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE + 1])
def test_accounting_is_asked_about_every_job_however_many(toys: Scheduler, work_dir: Path, number: int) -> None:
    handles = [handle(f"{n:016x}", str(n)) for n in range(number)]
    toys.answer("toyacct", out="".join(f"{one.native} {one.name} F\n" for one in handles))
    here = cluster(work_dir)
    found = batch.status(toy(), handles, here)
    assert {status.state for status in found.values()} == {S.FAILED} and len(found) == number
    asked = [name for call in toys.calls if call.argv[0] == "toyacct" for name in call.argv[1:]]
    assert asked == [one.name for one in handles] and runs(here) == 1 + -(-number // AT_ONCE)


def test_jobs_that_nobody_knows_are_unknown_and_none_is_left_out(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toyacct", err="toyacct: no such job\n", rc=1)
    found = batch.status(toy(), [handle(), handle(OTHER, "18")], cluster(work_dir))
    assert {id: (status.state, status.reason) for id, status in found.items()} == {
        JOB: (S.UNKNOWN, ""),
        OTHER: (S.UNKNOWN, ""),
    }


def test_words_that_nobody_knows_are_unknown_and_shown(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toyq", out=f"17 {NAME} FROBNICATED\n")
    status = ask(work_dir)
    assert (status.state, status.word) == (S.UNKNOWN, "FROBNICATED")
    assert "toy says FROBNICATED" in status.reason  # that it is known keeps it from being given up soon


@pytest.mark.parametrize("line", [f"99 {NAME} F", "17 another_job F", f"17 {NAME}x F", f"17 x{NAME} F"])
def test_a_job_of_another_name_or_id_is_not_ours(toys: Scheduler, work_dir: Path, line: str) -> None:
    """Ids are used again after a reset; names never are."""
    toys.answer("toyq", out=line + "\n")
    assert ask(work_dir).state is S.UNKNOWN


def test_a_queue_that_cannot_be_asked_is_an_outage_and_no_end(toys: Scheduler, work_dir: Path) -> None:
    put(work_dir, handle(), {"status-0.0": b"EXIT 1\n"})
    toys.answer("toyq", err="toyq: cannot reach the server\n", rc=1)
    with pytest.raises(CommandError, match="cannot reach the server") as raised:
        ask(work_dir)
    assert raised.value.transient and raised.value.returncode == 1


def test_a_host_without_the_scheduler_is_an_outage(toys: Scheduler, work_dir: Path) -> None:
    toys.remove("toyq")
    with pytest.raises(CommandError, match="not found"):
        ask(work_dir)


def test_a_work_dir_that_is_away_is_an_outage(toys: Scheduler, tmp_path: Path) -> None:
    with pytest.raises(CommandError) as raised:
        batch.status(toy(), [handle()], cluster(tmp_path / "nowhere", site=False))
    assert raised.value.transient and toys.calls == []


def test_accounting_that_is_down_is_named_and_costs_nobody_else(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toyq", out=f"17 {NAME} R\n")
    toys.answer("toyacct", err="toyacct: connection refused\n", rc=1)
    found = batch.status(toy(), [handle(), handle(OTHER, "18")], cluster(work_dir))
    assert found[JOB].state is S.RUNNING
    assert found[OTHER].state is S.UNKNOWN and "connection refused" in found[OTHER].reason


# -- markers


def test_an_answer_that_cannot_be_read_is_an_outage(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toyq", out=f"17 {NAME} R x,y\n")  # over which the toy's reader trips
    with pytest.raises(CommandError, match="cannot be read") as caught:
        ask(work_dir)
    assert caught.value.transient


def test_a_failure_keeps_no_other_job_from_being_cancelled(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toydel", err="the server is away", rc=1)
    here = cluster(work_dir)
    with pytest.raises(CommandError, match="the server is away"):
        batch.cancel(toy(), [handle(f"{n:016x}", str(n)) for n in range(2 * AT_ONCE)], here)
    assert toys.names == ["toydel"] * 2


def test_a_good_end_with_a_bad_exit_code_is_none(toys: Scheduler, work_dir: Path) -> None:
    def read(handles: Sequence[JobHandle], answer: str) -> list[batch.Row]:
        return [batch.Row("17", NAME, "C", exit_code=3)]

    dialect = toy(queries=(batch.Query(lambda handles, cluster: ["toyq"], read),))
    found = batch.status(dialect, [handle()], cluster(work_dir))[JOB]
    assert (found.state, found.exit_code) == (S.FAILED, 3) and "exit code 3" in found.reason


@pytest.mark.parametrize(
    ("said", "marker", "state", "code", "asked"),
    [
        ("", "EXIT 0", S.SUCCEEDED, 0, ["toyq"]),
        ("R", "EXIT 0", S.SUCCEEDED, 0, ["toyq"]),  # still completing
        ("F", "EXIT 0", S.SUCCEEDED, 0, ["toyq"]),  # killed after its end
        ("C", "EXIT 0", S.SUCCEEDED, 0, ["toyq"]),
        ("", "EXIT 3", S.FAILED, 3, ["toyq", "toyacct"]),
        ("F", "EXIT 3", S.FAILED, 3, ["toyq"]),
        ("C", "EXIT 3", S.FAILED, 3, ["toyq"]),
        ("R", "EXIT 143", S.RUNNING, None, ["toyq"]),  # requeued: the marker is that of an earlier run
        ("Q", "EXIT 143", S.PENDING, None, ["toyq"]),
        ("X", "EXIT 3", S.FAILED, 3, ["toyq"]),
        ("", "TIMEOUT 143 over its walltime", S.TIMEOUT, 143, ["toyq"]),
        ("R", "TIMEOUT 143 over its walltime", S.TIMEOUT, 143, ["toyq"]),
        ("", "OUT_OF_MEMORY 137", S.OUT_OF_MEMORY, 137, ["toyq"]),
    ],
)
def test_a_clean_or_typed_marker_is_the_truth_else_the_schedulers_word(
    toys: Scheduler, work_dir: Path, said: str, marker: str, state: JobState, code: int | None, asked: list[str]
) -> None:
    put(work_dir, handle(), {"status-0.0": f"{marker}\n".encode()})
    if said:
        toys.answer("toyq", out=f"17 {NAME} {said}\n")
    status = ask(work_dir)
    assert (status.state, status.exit_code) == (state, code)
    assert toys.names == asked


def test_the_schedulers_typed_end_explains_an_exit_code(toys: Scheduler, work_dir: Path) -> None:
    put(work_dir, handle(), {"status-0.0": b"EXIT 137\n"})
    toys.answer("toyacct", out=f"17 {NAME} KILLED\n")
    here = cluster(work_dir)
    status = batch.status(toy(states={"KILLED": S.OUT_OF_MEMORY}), [handle()], here)[JOB]
    assert (status.state, status.word, status.exit_code) == (S.OUT_OF_MEMORY, "KILLED", 137)


@pytest.mark.parametrize(
    "text", [b"", b"EXIT", b"EXIT \n", b"EXIT x\n", b"EXIT 0", b"nonsense 0\n", b"RUNNING 0\n", b"\xff\n"]
)
def test_a_damaged_marker_says_nothing(toys: Scheduler, work_dir: Path, text: bytes) -> None:
    put(work_dir, handle(), {"status-0.0": text, "status-0.1.new": b"EXIT 0\n", "status-1.0": b"EXIT 0\n"})
    assert ask(work_dir).state is S.UNKNOWN


def test_markers_of_another_round_or_job_are_not_ours(toys: Scheduler, work_dir: Path) -> None:
    put(work_dir, handle(), {"status-0.0": b"EXIT 0\n", "status-1.0": b"EXIT 3\n"})
    put(work_dir, handle(OTHER), {"status-0.0": b"EXIT 4\n"})
    assert ask(work_dir, handle(round=0)).state is S.SUCCEEDED
    assert ask(work_dir, handle(round=1)).exit_code == 3


def test_the_reason_of_a_marker_is_kept_as_it_is(toys: Scheduler, work_dir: Path) -> None:
    reason = "over its memory of 100 MB \\c $(id) * ☃ \u2028 'x'"
    put(work_dir, handle(), {"status-0.0": f"OUT_OF_MEMORY 137 {reason}\n".encode()})
    assert ask(work_dir).reason == reason


@given(st.text())
def test_no_marker_breaks_the_reader(line: str) -> None:
    said = read_marker(line)
    assert said is None or said.state.over


# -- arrays


def test_tasks_are_told_apart(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toyq", out=f"17 {NAME} Q 3,4\n17 {NAME} R 2\n17 {NAME} F 1\n")
    put(work_dir, handle(), {"status-0.0": b"EXIT 0\n"})
    status = ask(work_dir, handle(tasks=5))
    assert status.state is S.RUNNING
    assert [status.task(index).state for index in range(5)] == [S.SUCCEEDED, S.FAILED, S.RUNNING, S.PENDING, S.PENDING]


def test_an_array_is_over_when_every_task_is(toys: Scheduler, work_dir: Path) -> None:
    put(work_dir, handle(), {f"status-0.{index}": b"EXIT 0\n" for index in range(12)})
    assert ask(work_dir, handle(tasks=12)).state is S.SUCCEEDED
    assert toys.names == ["toyq"]
    assert ask(work_dir, handle(tasks=13)).state is S.UNKNOWN  # one left no trace: late, or lost


def test_what_is_said_of_a_task_outranks_what_is_said_of_the_job(toys: Scheduler, work_dir: Path) -> None:
    for lines in ([f"17 {NAME} C 1", f"17 {NAME} F"], [f"17 {NAME} F", f"17 {NAME} C 1"]):
        toys.answer("toyacct", out="\n".join(lines) + "\n")
        status = ask(work_dir, handle(tasks=2))
        assert [status.task(index).state for index in range(2)] == [S.FAILED, S.SUCCEEDED]


def test_what_the_queue_says_outranks_accounting(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toyq", out=f"17 {NAME} F 0\n")
    toys.answer("toyacct", out=f"17 {NAME} R 0,1\n")
    status = ask(work_dir, handle(tasks=2))
    assert [status.task(index).state for index in range(2)] == [S.FAILED, S.RUNNING]


@pytest.mark.parametrize(
    ("text", "indexes"),
    [
        ("7", [7]),
        ("1-3,7", [1, 2, 3, 7]),
        ("16-19%10", [16, 17, 18, 19]),
        ("0-6:2%1", [0, 2, 4, 6]),
        ("1-47:23", [1, 24, 47]),
        ("N/A", []),
        ("", []),
        ("1,3,...", [1, 3]),
        ("5-3", []),
    ],
)
def test_compact_lists_of_indexes(text: str, indexes: list[int]) -> None:
    assert list(expand(text)) == indexes


@given(st.text("0123456789,-:%.[]x "))
def test_no_list_breaks_the_reader(text: str) -> None:
    for number, index in enumerate(expand(text)):
        assert index >= 0
        if number > 1000:
            break


# -- cancel


def test_jobs_are_cancelled_in_one_exec(toys: Scheduler, work_dir: Path) -> None:
    here = cluster(work_dir)
    batch.cancel(toy(), [handle(), handle(OTHER, "18", round=1)], here)
    (call,) = toys.calls
    assert (call.argv, call.stdin, runs(here)) == (("toydel", "17", "18"), f"{JOB} 0\n{OTHER} 1\n", 1)


def test_hundreds_are_cancelled_in_several(toys: Scheduler, work_dir: Path) -> None:
    batch.cancel(toy(), [handle(f"{n:016x}", str(n)) for n in range(AT_ONCE + 1)], cluster(work_dir))
    assert [len(call.argv) - 1 for call in toys.calls] == [AT_ONCE, 1]


def test_a_job_already_over_is_no_error(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toydel", err="toydel: 17 is already over\n\ntoydel: 18 is already over\n", rc=1)
    batch.cancel(toy(), [handle()], cluster(work_dir))


@pytest.mark.parametrize(
    "err", ["toydel: access denied\n", "", "toydel: 17 is already over\ntoydel: 18: cannot reach the server\n"]
)
def test_any_other_failure_of_a_cancel_is_an_error(toys: Scheduler, work_dir: Path, err: str) -> None:
    toys.answer("toydel", err=err, rc=1)
    with pytest.raises(CommandError, match="cancelling failed") as raised:
        batch.cancel(toy(), [handle()], cluster(work_dir))
    assert raised.value.transient


def test_what_is_asked_at_once_fits_a_command_line() -> None:
    longest = max(len(job(label="x" * 99, round=99).name), 63)
    assert queue.AT_ONCE * (longest + 1) < 50_000
