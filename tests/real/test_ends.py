"""How jobs end: each end is typed, tells all that is known, and is in the caller's hand soon after it happened."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
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
    JobPreempted,
    JobTimeout,
    SubmitRejected,
    cluster,
)
from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.config import ClusterConfig
from clustrix_core.engine import flight
from tests.real.onlooker import PROMPT, SLACK, Onlooker, scontrol, until
from tests.testbeds.slurm import SlurmBed

MB = 2**20


@pytest.fixture
def onlooker(there: ClusterConfig, request: pytest.FixtureRequest) -> Onlooker:
    bed = None if there.backend == "local" else request.getfixturevalue("slurm_bed")
    return Onlooker(there, bed)


only_slurm = pytest.mark.parametrize("place", ["slurm"], indirect=True)
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


def check(error: Any, kind: type[JobError], job: Any, log: str = "", **known: Any) -> None:
    """What every typed end has."""
    assert type(error) is kind, repr(error)
    assert error.job == job.id
    assert error.cluster == job._flight.cluster.name
    assert error.state == known.get("state", error.state)
    assert log in error.log
    assert log in str(error)
    assert error.reason and error.reason in str(error)
    (kept,) = [info for info in clustrix.jobs() if info.id == job.id]
    assert kept.state == error.state
    # Another client gets the same end, without asking the cluster.
    again = clustrix.get_job(job.id).exception(10)
    assert (type(again), again.state, again.exit_code, again.log) == (kind, error.state, error.exit_code, error.log)


# ---------------------------------------------------------------- FAILED


def test_a_setup_line_fails(onlooker: Onlooker) -> None:
    job = quick.options(setup=["echo preparing", "false", "echo never"]).submit()
    error = onlooker.ending(job).error()
    check(error, JobFailed, job, "preparing", state="FAILED")
    assert error.exit_code == 1
    assert "never" not in error.log
    if onlooker.slurm:
        assert "NonZeroExitCode" in error.reason


@only_slurm
def test_a_cluster_without_the_module_command(onlooker: Onlooker, there: ClusterConfig) -> None:
    config.configure(default=ClusterConfig(**{**there.settings(), "resources": {"modules": ["gcc"]}}))
    error = quick.submit().exception(60)
    assert type(error) is ConfigError and "there is no module command" in str(error)
    config.configure(default=there)
    assert quick.submit().result(60) == 1  # the first contact is made: now only the job itself can find out
    job = quick.options(modules=["gcc"]).submit()
    error = onlooker.ending(job).error()
    check(error, JobFailed, job, "there is no module command", state="FAILED")
    assert error.exit_code == 127


def test_the_script_is_killed(onlooker: Onlooker) -> None:
    job = quick.options(setup=["echo preparing", "kill -9 $$"]).submit()
    error = onlooker.ending(job).error()
    check(error, JobFailed, job, "preparing", state="FAILED")
    assert error.exit_code == 137


@pytest.mark.parametrize(("how", "code", "word"), [("exit", 3, "exit code 3"), ("segfault", 139, "SIGSEGV")])
def test_the_process_of_the_call_dies(onlooker: Onlooker, how: str, code: int, word: str) -> None:
    job = die.submit(how)
    error = onlooker.ending(job).error()
    check(error, JobFailed, job, "die begins", state="FAILED")
    assert error.exit_code == code
    assert word in error.reason


@only_slurm
def test_the_node_cannot_start_it(onlooker: Onlooker) -> None:
    job = quick.options(directives=["--hold"]).submit()
    shutil.rmtree(onlooker.directory(job))
    ending = onlooker.ending(job)
    onlooker.bed.run("scontrol", "release", onlooker.handle(job).native)  # type: ignore[union-attr]
    error = ending.error()
    check(error, JobFailed, job, state="FAILED")
    assert "JobLaunchFailure" in error.reason
    assert error.exit_code


@only_slurm
def test_a_dependency_that_never_comes_true(onlooker: Onlooker) -> None:
    bad = quick.options(setup=["exit 1"]).submit()
    native = onlooker.handle(bad).native
    job = quick.options(directives=[f"--dependency=afterok:{native}"]).submit()
    check(onlooker.ending(job).error(), JobCancelled, job, state="CANCELLED")


# ---------------------------------------------------------------- TIMEOUT


# A minute is the least that Slurm knows: a client of its own waits for it while the other tests run.
OVER_TIME = """
import json, time
from clustrix import JobError, cluster

@cluster(time="00:01:00", constraint="n1")
def slow(seconds, value=None):
    print("slow begins", flush=True)
    time.sleep(seconds)
    return value

def end(job):
    error = job if isinstance(job, BaseException) else job.exception()
    found = {name: getattr(error, name) for name in ("state", "reason", "exit_code", "log")}
    return dict(found, kind=type(error).__name__, text=str(error))

results = slow.options(return_exceptions=True).map([0, 300, 1], value="arrived")
job = slow.submit(300)
while job._flight.handle is None:
    time.sleep(0.01)
print(job._flight.handle.native, flush=True)
job.exception()
print(time.time(), flush=True)
first, second, third = results
print(json.dumps({"job": end(job), "map": [first, end(second), third]}), flush=True)
"""


@pytest.fixture(scope="session", autouse=True)
def over_time(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OverTime | None]:
    if not any(item.name.startswith(OverTime.TEST) for item in request.session.items):
        yield None
        return
    client = OverTime(request.getfixturevalue("slurm_bed"), tmp_path_factory.mktemp("over-time"))
    yield client
    client.stop()


class OverTime:
    """The client that waits for two walltimes to pass, and an onlooker who notes when Slurm ended its job."""

    TEST = "test_slurm_ends_what_runs_over_its_walltime"

    def __init__(self, bed: SlurmBed, directory: Path) -> None:
        (directory / "clustrix.yml").write_text(
            f"backend: slurm\nhost: {bed.alias}\nssh_config: {bed.ssh_config}\n", "utf-8"
        )
        (directory / "client.py").write_text(OVER_TIME, "utf-8")
        environment = {**os.environ, "CLUSTRIX_HOME": str(directory / "home")}
        environment["CLUSTRIX_CONFIG"] = str(directory / "clustrix.yml")
        self.said = directory / "said"
        with self.said.open("w") as said:
            self.process = subprocess.Popen([sys.executable, "client.py"], cwd=directory, env=environment, stdout=said)
        self.shown = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopped.wait(0.2):
            if self.lines() and "JobState=TIMEOUT" in scontrol(self.lines()[0]):
                self.shown = time.time()
                return

    def lines(self) -> list[str]:
        return self.said.read_text("utf-8").splitlines()

    def stop(self) -> None:
        self._stopped.set()
        self.process.kill()
        self.process.wait()
        self._thread.join()


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
    error = onlooker.ending(job).error()
    check(error, JobOutOfMemory, job, "eat begins", state="OUT_OF_MEMORY")
    assert error.exit_code == 137
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
    assert type(said[5]) is JobOutOfMemory, repr(said[5])
    assert [value for value in said if value != MB] == [said[5]]


# ---------------------------------------------------------------- CANCELLED by somebody else


def test_cancelled_by_somebody_else_while_it_runs(onlooker: Onlooker) -> None:
    job = slow.submit(300)
    onlooker.wait_until_running(job)
    ending = onlooker.ending(job)
    onlooker.cancel(job)
    check(ending.error(), JobCancelled, job, "slow begins", state="CANCELLED")
    assert not job.cancelled()


@only_slurm
def test_cancelled_by_somebody_else_while_it_waits(onlooker: Onlooker) -> None:
    job = quick.options(directives=["--hold"]).submit()
    ending = onlooker.ending(job)
    onlooker.cancel(job)
    check(ending.error(), JobCancelled, job, state="CANCELLED")


@only_slurm
def test_one_task_of_a_map_is_cancelled_by_somebody_else(onlooker: Onlooker) -> None:
    results = slow.options(return_exceptions=True, max_parallel=3).map([2, 2, 300], value="arrived")
    log = onlooker.directory(results)
    until(lambda: (log / "log-0.2").exists() and (log / "log-0.2").stat().st_size, "the third call began")
    onlooker.bed.run("scancel", f"{onlooker.handle(results).native}_2")  # type: ignore[union-attr]
    *others, cancelled = results
    assert others == ["arrived", "arrived"]
    assert type(cancelled) is JobCancelled and "slow begins" in cancelled.log


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
    assert type(said[5]) is JobFailed, repr(said[5])
    assert said[5].exit_code == 137
    assert "call 5" in said[5].log
    # Calls that shared a task with it and had begun may have ended with it; nothing else has.
    lost = [number for number, value in enumerate(said) if value != number]
    assert len(lost) <= 8
    assert {type(said[number]) for number in lost} == {JobFailed}


# ---------------------------------------------------------------- PREEMPTED


@only_slurm
@pytest.mark.timeout(240)
def test_preempted(onlooker: Onlooker) -> None:
    job = slow.options(partition="scav", constraint="n3", cores=8).submit(300)
    onlooker.wait_until_running(job)
    ending = onlooker.ending(job)
    urgent = quick.options(partition="urgent", constraint="n3", cores=8).submit("urgent")
    check(ending.error(), JobPreempted, job, "slow begins", state="PREEMPTED")
    assert urgent.result(60) == "urgent"


@only_slurm
@pytest.mark.timeout(240)
def test_preempted_and_run_again(onlooker: Onlooker, shared: Path) -> None:
    @cluster(partition="requeue", constraint="n2", cores=8)
    def patient(directory: Path) -> int:
        with (directory / "runs").open("a") as file:
            file.write("run\n")
        runs = len((directory / "runs").read_text().split())
        print("run", runs, flush=True)
        time.sleep(300 if runs == 1 else 0)
        return runs

    job = patient.submit(shared)
    onlooker.wait_until_running(job)
    assert quick.options(partition="urgent", constraint="n2", cores=8).submit("urgent").result(60) == "urgent"
    assert job.result(90) == 2


# ---------------------------------------------------------------- LOST


def test_lost_without_a_trace(onlooker: Onlooker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight, "UNKNOWN_FOR", 4.0)
    job = slow.submit(40)
    onlooker.wait_until_running(job)
    handle, directory = onlooker.handle(job), onlooker.directory(job)
    session.close()  # a laptop is closed; meanwhile:
    if onlooker.slurm:
        # By another name it is another job: neither squeue nor sacct know ours any more.
        onlooker.bed.run("scontrol", "update", f"jobid={handle.native}", "jobname=renamed")  # type: ignore[union-attr]
    else:
        onlooker.cancel(job)
    shutil.rmtree(directory)
    try:
        began = time.monotonic()
        job = clustrix.get_job(job.id)
        error = job.exception(60)
        assert time.monotonic() - began < 4 + 10
        check(error, JobLost, job, state="LOST")
        assert "neither the scheduler nor the job directory" in str(error)
    finally:
        if onlooker.slurm:
            onlooker.cancel(job)


# ---------------------------------------------------------------- refused


@only_slurm
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"directives": ["--partition=nosuch"]}, "invalid partition specified: nosuch"),
        ({"partition": "nosuch"}, "invalid partition specified: nosuch"),
        ({"memory": "900GB"}, "Memory specification can not be satisfied"),
        ({"directives": ["--no-such-option"]}, "unrecognized option"),
        ({"directives": ["--begin=never"]}, "Invalid --begin specification"),
    ],
    ids=["directive", "partition", "memory", "option", "begin"],
)
def test_refused_in_the_schedulers_own_words(onlooker: Onlooker, options: dict[str, Any], words: str) -> None:
    job = quick.options(**options).submit()
    error = job.exception(60)
    assert type(error) is SubmitRejected, repr(error)
    assert words.lower() in str(error).lower()
    assert error.cluster == "slurm" and error.hint
    assert job.name not in onlooker.bed.run("squeue", "-h", "-t", "PD,R", "-o", "%j")  # type: ignore[union-attr]
    (kept,) = [info for info in clustrix.jobs() if info.id == job.id]
    assert kept.state == "FAILED" and words.lower() in kept.reason.lower()
    assert type(clustrix.get_job(job.id).exception(10)) is SubmitRejected


@only_slurm
def test_a_refused_map_refuses_every_call(onlooker: Onlooker) -> None:
    results = quick.options(partition="nosuch", return_exceptions=True).map(range(30))
    assert [type(error) for error in results] == [SubmitRejected] * 30


@hosts
def test_a_host_refuses_what_it_does_not_have(onlooker: Onlooker) -> None:
    error = quick.options(cores=9999).submit().exception(60)
    assert type(error) is ConfigError and "9999" in str(error)


def test_the_tests_run_where_they_say(onlooker: Onlooker) -> None:
    job = cluster(lambda: (os.environ.get("SLURM_JOB_ID"), sys.version_info[:2])).submit()
    native, version = job.result(60)
    assert (native == onlooker.handle(job).native) is onlooker.slurm
    assert version == sys.version_info[:2]


# The last of all, so that it need not wait.
@only_slurm
@pytest.mark.timeout(200)
def test_slurm_ends_what_runs_over_its_walltime(place: str, over_time: OverTime) -> None:
    _, heard, said = until(lambda: over_time.lines() if over_time.process.poll() is not None else [], "both ended", 180)
    assert float(heard) - over_time.shown < PROMPT + SLACK
    ends = json.loads(said)
    job, (first, second, third) = ends["job"], ends["map"]
    assert (job["kind"], job["state"]) == ("JobTimeout", "TIMEOUT")
    assert "TIMEOUT" in job["reason"] and "TIMEOUT" in job["text"]
    assert "slow begins" in job["log"]
    assert (first, third) == ("arrived", "arrived")
    assert second["kind"] == "JobTimeout" and "slow begins" in second["log"]
