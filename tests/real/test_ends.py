"""How jobs end: each end is typed, tells all that is known, and is in the caller's hand soon after it happened."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import clustrix
from clustrix import (
    ConfigError,
    JobCancelled,
    JobError,
    JobFailed,
    JobLost,
    JobOutOfMemory,
    JobTimeout,
    cluster,
)
from clustrix_core.api import session
from clustrix_core.engine import flight
from tests.real.onlooker import Onlooker, check
from tests.testbeds.pbs.jobs import CPUS

MB = 2**20


hosts = pytest.mark.parametrize("place", ["local", "ssh"], indirect=True)


@cluster
def quick(value: Any = 1) -> Any:
    return value


@cluster
def slow(seconds: float, value: Any = None) -> Any:
    print("slow begins", flush=True)
    time.sleep(seconds)
    return value


@cluster
def eat(size: int) -> int:
    print("eat begins", flush=True)
    held = bytearray(size)
    held[::4096] = b"x" * len(held[::4096])
    time.sleep(30)
    return len(held)


@cluster
def die(how: str) -> None:
    print("die begins", flush=True)
    if how == "exit":
        os._exit(3)
    if how == "segfault":
        ctypes.string_at(0)
    os.kill(os.getpid(), signal.SIGKILL)


# ---------------------------------------------------------------- FAILED


def test_a_setup_line_fails(onlooker: Onlooker) -> None:
    job = quick.options(setup=["echo preparing", "false", "echo never"]).submit()
    error = onlooker.ending(job).error()
    check(error, JobFailed, job, "preparing", state="FAILED")
    assert error.exit_code == 1
    assert "never" not in error.log
    if onlooker.place.backend == "slurm":
        assert "NonZeroExitCode" in error.reason


def test_the_script_is_killed(onlooker: Onlooker) -> None:
    job = quick.options(setup=["echo preparing", "kill -9 $$"]).submit()
    error = onlooker.ending(job).error()
    if (kind := killed(onlooker)) is JobFailed:
        check(error, kind, job, "preparing", state="FAILED")
    else:  # nobody has seen it run: then there is no log to fetch
        check(error, kind, job, state="CANCELLED")
    assert error.exit_code == 137


def killed(onlooker: Onlooker) -> type[JobError]:
    """What becomes of a job whose script is killed. Grid Engine keeps the same record of one that was deleted."""
    return JobCancelled if onlooker.place.backend == "sge" else JobFailed


@pytest.mark.parametrize(("how", "code", "word"), [("exit", 3, "exit code 3"), ("segfault", 139, "SIGSEGV")])
def test_the_process_of_the_call_dies(onlooker: Onlooker, how: str, code: int, word: str) -> None:
    job = die.submit(how)
    error = onlooker.ending(job).error()
    check(error, JobFailed, job, "die begins", state="FAILED")
    assert error.exit_code == code
    assert word in error.reason


# ---------------------------------------------------------------- TIMEOUT


@hosts
def test_the_supervisor_ends_what_runs_over_its_time(onlooker: Onlooker) -> None:
    job = slow.options(time=3).submit(300)
    error = onlooker.ending(job).error()
    check(error, JobTimeout, job, "slow begins", state="TIMEOUT")
    assert error.exit_code and "3 s" in error.reason


@hosts
def test_one_call_of_a_map_runs_over_its_time(onlooker: Onlooker) -> None:
    results = slow.options(time=3, return_exceptions=True).map([0, 300, 1], value="arrived")
    first, second, third = results
    assert (first, third) == ("arrived", "arrived")
    assert type(second) is JobTimeout and "slow begins" in second.log


# ---------------------------------------------------------------- OUT_OF_MEMORY


def test_more_memory_than_asked_for(onlooker: Onlooker) -> None:
    job = eat.options(memory="30MB").submit(200 * MB)
    if onlooker.place.backend == "sge":  # its limit is one of virtual memory: no process gets more
        assert type(job.exception(60)) is MemoryError
        return
    error = onlooker.ending(job).error()
    check(error, JobOutOfMemory, job, "eat begins", state="OUT_OF_MEMORY")
    # PBS asks a job to end before it kills it.
    assert error.exit_code == (143 if onlooker.place.backend == "pbs" else 137)
    assert "30 MB" in str(error)


def test_one_call_of_a_wide_task_takes_all_the_memory(onlooker: Onlooker) -> None:
    @cluster(memory="50MB", return_exceptions=True)
    def some(size: int) -> int:
        time.sleep(0.2)
        held = bytearray(size)
        held[::4096] = b"x" * len(held[::4096])
        return len(held)

    sizes = [MB] * 24
    sizes[5] = 1200 * MB  # more than the widest task has
    results = some.map(sizes)
    said = list(results)
    assert type(said[5]) is (MemoryError if onlooker.place.backend == "sge" else JobOutOfMemory), repr(said[5])
    ended = [value for value in said if value != MB]
    if onlooker.place.backend == "pbs":  # it ends the whole task, with the calls that run beside
        assert {type(error) for error in ended} == {JobOutOfMemory} and len(ended) <= CPUS
    else:
        assert ended == [said[5]]


# ---------------------------------------------------------------- CANCELLED by somebody else


def test_cancelled_by_somebody_else_while_it_runs(onlooker: Onlooker) -> None:
    job = slow.submit(300)
    onlooker.wait_until_running(job)
    ending = onlooker.ending(job)
    onlooker.cancel(job)
    check(ending.error(), JobCancelled, job, "slow begins", state="CANCELLED")
    assert not job.cancelled()


def test_a_map_is_cancelled_by_somebody_else(onlooker: Onlooker) -> None:
    results = slow.options(return_exceptions=True).map([300] * 2000)
    onlooker.wait_until_running(results)
    onlooker.cancel(results)
    began = time.monotonic()
    said = list(results)
    assert {type(error) for error in said} == {JobCancelled}
    assert time.monotonic() - began < 20
    # That many ends are kept in a few lines, and read again in no time.
    (kept,) = [info for info in clustrix.jobs() if info.id == results.id]
    assert kept.state == "CANCELLED"
    journal = Path(os.environ["CLUSTRIX_HOME"])
    assert sum(path.stat().st_size for path in journal.glob("jobs.db*")) < 2 * MB
    assert {type(error.exception()) for error in clustrix.get_job(results.id).as_completed(10)} == {JobCancelled}


# ---------------------------------------------------------------- one task of a map


def test_one_task_of_a_map_is_killed(onlooker: Onlooker) -> None:
    @cluster(return_exceptions=True)
    def killer(number: int) -> int:
        print("call", number, flush=True)
        if number == 5:
            with open(f"/proc/{os.getppid()}/stat") as file:  # this process serves a task, which the script has started
                script = int(file.read().rpartition(")")[2].split()[1])
            os.kill(script, signal.SIGKILL)
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(300)
        time.sleep(0.2)
        return number

    said = list(killer.map(range(16)))
    assert type(said[5]) is killed(onlooker), repr(said[5])
    assert said[5].exit_code == 137
    assert "call 5" in said[5].log
    # Calls that shared a task with it and had begun may have ended with it; nothing else has.
    lost = [number for number, value in enumerate(said) if value != number]
    assert len(lost) < 16
    assert {type(said[number]) for number in lost} == {killed(onlooker)}


# ---------------------------------------------------------------- LOST


def test_lost_without_a_trace(onlooker: Onlooker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight, "UNKNOWN_FOR", 4.0)
    job = slow.submit(40)
    onlooker.wait_until_running(job)
    directory = onlooker.directory(job)
    session.close()  # a laptop is closed; meanwhile:
    with onlooker.denied(job):
        shutil.rmtree(directory)
        began = time.monotonic()
        job = clustrix.get_job(job.id)
        error = job.exception(60)
        assert time.monotonic() - began < 4 + 10
        check(error, JobLost, job, state="LOST")
        assert "neither the scheduler nor the job directory" in str(error)


# ---------------------------------------------------------------- refused


@hosts
def test_a_host_refuses_what_it_does_not_have(onlooker: Onlooker) -> None:
    error = quick.options(cores=9999).submit().exception(60)
    assert type(error) is ConfigError and "9999" in str(error)


def test_the_tests_run_where_they_say(onlooker: Onlooker) -> None:
    job = cluster(lambda: (dict(os.environ), sys.version_info[:2])).submit()
    environment, version = job.result(60)
    found = {name: environment[name] for name in ("SLURM_JOB_ID", "PBS_JOBID", "SGE_O_WORKDIR") if name in environment}
    if onlooker.scheduler:
        assert environment[onlooker.scheduler.variable] == onlooker.handle(job).native
        assert len(found) == 1
    else:
        assert not found
    assert version == sys.version_info[:2]
