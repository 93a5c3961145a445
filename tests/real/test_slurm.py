"""What only Slurm does to jobs, each end provoked for real."""

from __future__ import annotations

import json
import os
import shutil
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
    JobFailed,
    JobPreempted,
    SubmitRejected,
    cluster,
)
from clustrix_core import config
from clustrix_core.config import ClusterConfig
from tests.real.onlooker import PROMPT, SLACK, Onlooker, check, until
from tests.testbeds.slurm import SlurmBed

pytestmark = pytest.mark.parametrize("place", ["slurm"], indirect=True)


@cluster
def quick(value: Any = 1) -> Any:
    return value


@cluster
def slow(seconds: float, value: Any = None) -> Any:
    print("slow begins", flush=True)
    time.sleep(seconds)
    return value


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


def test_the_node_cannot_start_it(onlooker: Onlooker) -> None:
    job = quick.options(directives=["--hold"]).submit()
    shutil.rmtree(onlooker.directory(job))
    ending = onlooker.ending(job)
    onlooker.bed.run("scontrol", "release", onlooker.handle(job).native)
    error = ending.error()
    check(error, JobFailed, job, state="FAILED")
    assert "JobLaunchFailure" in error.reason
    assert error.exit_code


def test_a_dependency_that_never_comes_true(onlooker: Onlooker) -> None:
    bad = quick.options(setup=["exit 1"]).submit()
    native = onlooker.handle(bad).native
    job = quick.options(directives=[f"--dependency=afterok:{native}"]).submit()
    check(onlooker.ending(job).error(), JobCancelled, job, state="CANCELLED")


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
        self.bed = bed
        self.said = directory / "said"
        with self.said.open("w") as said:
            self.process = subprocess.Popen([sys.executable, "client.py"], cwd=directory, env=environment, stdout=said)
        self.shown = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopped.wait(0.2):
            if self.lines() and self.bed.ended(self.lines()[0]) == "TIMEOUT":
                self.shown = time.time()
                return

    def lines(self) -> list[str]:
        return self.said.read_text("utf-8").splitlines()

    def stop(self) -> None:
        self._stopped.set()
        self.process.kill()
        self.process.wait()
        self._thread.join()


def test_cancelled_by_somebody_else_while_it_waits(onlooker: Onlooker) -> None:
    job = quick.options(directives=["--hold"]).submit()
    ending = onlooker.ending(job)
    onlooker.cancel(job)
    check(ending.error(), JobCancelled, job, state="CANCELLED")


def test_one_task_of_a_map_is_cancelled_by_somebody_else(onlooker: Onlooker) -> None:
    results = slow.options(return_exceptions=True, max_parallel=3).map([2, 2, 300], value="arrived")
    log = onlooker.directory(results)
    until(lambda: (log / "log-0.2").exists() and (log / "log-0.2").stat().st_size, "the third call began")
    onlooker.bed.run("scancel", f"{onlooker.handle(results).native}_2")
    *others, cancelled = results
    assert others == ["arrived", "arrived"]
    assert type(cancelled) is JobCancelled and "slow begins" in cancelled.log


@pytest.mark.timeout(240)
def test_preempted(onlooker: Onlooker) -> None:
    job = slow.options(partition="scav", constraint="n3", cores=8).submit(300)
    onlooker.wait_until_running(job)
    ending = onlooker.ending(job)
    urgent = quick.options(partition="urgent", constraint="n3", cores=8).submit("urgent")
    check(ending.error(), JobPreempted, job, "slow begins", state="PREEMPTED")
    assert urgent.result(60) == "urgent"


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
    assert job.name not in onlooker.bed.run("squeue", "-h", "-t", "PD,R", "-o", "%j")
    (kept,) = [info for info in clustrix.jobs() if info.id == job.id]
    assert kept.state == "FAILED" and words.lower() in kept.reason.lower()
    assert type(clustrix.get_job(job.id).exception(10)) is SubmitRejected


def test_a_refused_map_refuses_every_call(onlooker: Onlooker) -> None:
    results = quick.options(partition="nosuch", return_exceptions=True).map(range(30))
    assert [type(error) for error in results] == [SubmitRejected] * 30


# The last of all, so that it need not wait.
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
