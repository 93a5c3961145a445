"""What has become of a submission whose answer was lost: a toy scheduler made of programs on PATH."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clustrix_core import batch
from clustrix_core.batch.find import ENDED, UNANSWERED, UNSURE
from clustrix_core.errors import ClustrixError, CommandError, SubmitRejected, TransportError
from clustrix_core.model import Cluster, JobHandle
from tests.unit.schedulers import Scheduler, cluster, handle, job, put, toy, toys

__all__ = ["toys"]
NAME = job().name


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    made = tmp_path / 'it\'s a "work dir" ☃ $(id)'
    made.mkdir()
    return made


def here(work_dir: Path) -> Cluster:
    return cluster(work_dir, site=not (work_dir / "worker").exists())


def find(work_dir: Path, number: int = 0) -> JobHandle | None:
    return batch.find(toy(), job(submission=number), here(work_dir))


def submit(work_dir: Path, number: int = 0) -> JobHandle:
    return batch.submit(toy(), job(submission=number), "#!/bin/sh\n", here(work_dir))


def age(work_dir: Path, seconds: float) -> None:
    (file,) = (work_dir / job().dir).glob("submission-*")
    os.utime(file, (time.time() - seconds,) * 2)


def test_the_answer_is_found_where_the_scheduler_gave_it(toys: Scheduler, work_dir: Path) -> None:
    """Also where neither queue nor accounting knows the job yet."""
    toys.answer("toysub", out="Welcome\n17\n", err="and a warning\n")
    submit(work_dir)
    assert find(work_dir) == handle(submitted=0.0) and toys.names == ["toysub"]


def test_an_answer_that_names_no_job_is_no_reason_to_submit_again(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toysub", out="Thank you for computing with us.\n")

    def number(said: str) -> str:
        return str(int(said))

    odd = toy(read_job_id=number)
    here = cluster(work_dir)
    with pytest.raises(TransportError, match="there may be a job"):
        batch.submit(odd, job(), "#!/bin/sh\n", here)
    with pytest.raises(TransportError, match="has accepted the job"):
        batch.find(odd, job(), here)
    toys.answer("toyq", out=f"17 {NAME} Q\n")
    assert batch.find(odd, job(), here) == handle(submitted=0.0)


def test_a_job_is_found_by_its_name(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toyq", out=f"16 another Q\n17 {NAME} Q\n")
    found = batch.find(toy(), job(tasks=3), cluster(work_dir))
    assert found == handle(tasks=3) and toys.names == ["toyq"]


def test_a_job_that_has_left_the_queue_is_found_in_accounting(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toyacct", out=f"17 {NAME} C\n")
    assert find(work_dir) == handle()


@pytest.mark.parametrize("name", ["results-0.0.0.0", "status-0.0", "status-0.3"])
def test_a_job_that_left_something_was_there(toys: Scheduler, work_dir: Path, name: str) -> None:
    """Without accounting nobody knows it any more: it must not run twice all the same."""
    put(work_dir, handle(), {name: b"x"})
    toys.answer("toyacct", err="no such job", rc=1)
    assert find(work_dir) == handle(native="")


def test_what_another_round_left_does_not_count(toys: Scheduler, work_dir: Path) -> None:
    put(work_dir, handle(), {"results-0.0.0.0": b"x", "status-0.0": b"x", "payload": b"x", "job-1.sh": b"x"})
    assert batch.find(toy(), job(round=1), cluster(work_dir)) is None


@pytest.mark.parametrize("staged", [True, False])
def test_a_job_that_never_was_is_not_found(toys: Scheduler, work_dir: Path, staged: bool) -> None:
    if staged:
        put(work_dir, handle(), {"payload": b"x", "job-0.sh": b"x"})
    assert find(work_dir) is None


def test_what_was_given_up_comes_too_late(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toysub", out="17\n")
    assert find(work_dir) is None
    with pytest.raises(TransportError, match="given up"):
        submit(work_dir)
    assert "toysub" not in toys.names
    assert submit(work_dir, number=1).native == "17"


def test_either_a_submission_wins_or_who_gives_it_up(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toysub", out="17\n")
    find(work_dir, number=99)  # the directory of the job is there

    def race(number: int) -> tuple[bool, bool]:
        with ThreadPoolExecutor(2) as pool:
            sent, found = pool.submit(submit, work_dir, number), pool.submit(find, work_dir, number)
            gone = isinstance(found.exception(), TransportError) or found.result() is not None
            return sent.exception() is None, gone

    assert all(sent == seen for sent, seen in map(race, range(20)))


@pytest.mark.parametrize(("word", "rc"), [("sent\n", ""), ("", ""), ("sent\n", "1"), ("sent\n", "0\n17")])
def test_what_the_scheduler_has_not_answered_may_still_be_accepted(
    toys: Scheduler, work_dir: Path, word: str, rc: str
) -> None:
    """The client was killed while sbatch ran: neither an answer nor a job is there yet."""
    put(
        work_dir, handle(), {"submission-0.0": word.encode(), "answer-0.0": rc.encode(), "answer-0.0.err": b"slow down"}
    )
    with pytest.raises(TransportError, match="may still accept") as raised:
        find(work_dir)
    assert raised.value.transient
    age(work_dir, UNANSWERED - 10)
    with pytest.raises(TransportError, match="may still accept"):
        find(work_dir)
    age(work_dir, UNANSWERED + 10)
    assert find(work_dir) is None


@pytest.mark.parametrize("off", [-3600, 3600])
def test_a_login_node_whose_clock_is_not_that_of_its_files(
    toys: Scheduler, work_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, off: int
) -> None:
    (tmp_path / "bin").mkdir()
    date = tmp_path / "bin" / "date"
    date.write_text(f'#!/bin/sh\ncase $* in -r*) exec /bin/date "$@";; *) echo $(($(/bin/date +%s) + {off}));; esac\n')
    date.chmod(0o755)
    monkeypatch.setenv("PATH", str(date.parent), prepend=os.pathsep)
    put(work_dir, handle(), {"submission-0.0": b"sent\n"})
    age(work_dir, UNANSWERED - 10)
    with pytest.raises(TransportError, match="may still accept"):
        find(work_dir)
    age(work_dir, UNANSWERED + 10)
    assert find(work_dir) is None


def test_a_command_that_has_ended_without_an_answer_is_not_waited_for_long(toys: Scheduler, work_dir: Path) -> None:
    """Its login was killed, or its node: nobody is there any more who could bring the job to the scheduler."""
    command = subprocess.Popen(["sleep", "30"], start_new_session=True)
    put(work_dir, handle(), {"submission-0.0": f"sent {command.pid} {os.uname().nodename}\n".encode()})
    age(work_dir, ENDED + 10)
    with pytest.raises(TransportError, match="may still accept"):
        find(work_dir)
    command.kill()
    command.wait()
    assert find(work_dir) is None
    age(work_dir, ENDED - 10)
    with pytest.raises(TransportError, match="may still accept"):
        find(work_dir)
    put(work_dir, handle(), {"submission-0.0": f"sent {command.pid} another-login-node\n".encode()})
    age(work_dir, ENDED + 10)
    with pytest.raises(TransportError, match="may still accept"):
        find(work_dir)


def test_the_processes_of_a_submission_are_known_while_it_is_sent(toys: Scheduler, work_dir: Path) -> None:
    there = here(work_dir)
    program = toys.bin / "toysub"
    program.write_text("#!/bin/sh\nexec sleep 30\n")
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(batch.submit, toy(), job(), "#!/bin/sh\n", there)
        file = work_dir / job().dir / "submission-0.0"
        end = time.monotonic() + 10
        while not file.exists() or not file.read_text().endswith("\n"):
            assert time.monotonic() < end
            time.sleep(0.01)
        age(work_dir, ENDED + 10)
        with pytest.raises(TransportError, match="may still accept"):
            find(work_dir)
        os.killpg(int(file.read_text().split()[1]), signal.SIGKILL)
        assert isinstance(sent.exception(10), TransportError)
    assert find(work_dir) is None


def test_a_scheduler_that_answered_nothing_in_time_may_have_accepted(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toysub", err="toysub: Socket timed out\n", rc=1)
    with pytest.raises(TransportError, match="may have been accepted"):
        submit(work_dir)
    with pytest.raises(TransportError, match="may still accept"):
        find(work_dir)
    age(work_dir, UNSURE + 10)
    assert find(work_dir) is None
    toys.answer("toyq", out=f"17 {NAME} Q\n")
    assert find(work_dir) == handle()


def test_what_was_refused_is_not_there(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toysub", err="toysub: invalid partition\n", rc=1)
    with pytest.raises(SubmitRejected):
        submit(work_dir)
    assert find(work_dir) is None


@pytest.mark.parametrize("program", ["toyq", "toyacct"])
def test_an_outage_while_looking_is_not_an_absence(toys: Scheduler, work_dir: Path, program: str) -> None:
    toys.answer(program, err="cannot reach the server", rc=1)
    with pytest.raises(CommandError) as raised:
        find(work_dir)
    assert raised.value.transient


def test_a_work_dir_that_is_gone_is_not_an_absence(toys: Scheduler, work_dir: Path) -> None:
    there = cluster(work_dir)
    work_dir.rename(work_dir.with_name("elsewhere"))
    with pytest.raises(ClustrixError, match="looking for the job failed") as raised:
        batch.find(toy(), job(), there)
    assert raised.value.transient
