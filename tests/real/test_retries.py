"""Calls that are tried again: after which ends, how often, and what is told of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import clustrix
from clustrix import JobFailed, cluster
from tests.real.onlooker import Onlooker, until

only_slurm = pytest.mark.parametrize("place", ["slurm"], indirect=True)


@cluster(retries=2, retry_on="FAILED")
def die(directory: Path, times: int, call: int = 0) -> int:
    """Kill the process of the call so many times, then return how often it has begun."""
    with (directory / f"runs-{call}").open("a") as file:
        file.write("run\n")
    runs = len((directory / f"runs-{call}").read_text().split())
    if runs <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return runs


def test_a_call_that_dies_is_tried_again(onlooker: Onlooker, shared: Path) -> None:
    job = die.submit(shared, 2)
    assert job.result(100) == 3
    assert "clustrix: call 0: try 3 of 3" in job.logs()


def test_retries_are_used_up(onlooker: Onlooker, shared: Path) -> None:
    error = die.submit(shared, 9).exception(100)
    assert type(error) is JobFailed and "its retries are used up (2)" in str(error)
    assert (shared / "runs-0").read_text().split() == ["run"] * 3


def test_only_the_ends_that_are_named_count(onlooker: Onlooker, shared: Path) -> None:
    error = die.options(retry_on=["NODE_FAIL", "TIMEOUT", "ERROR"]).submit(shared, 9).exception(100)
    assert type(error) is JobFailed and "used up" not in str(error)
    assert (shared / "runs-0").read_text().split() == ["run"]


def test_of_a_map_only_what_has_died_is_made_again(onlooker: Onlooker, shared: Path) -> None:
    results = die.map([shared] * 12, [0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0], range(12))
    assert list(results) == [1, 1, 2, 1, 3, 1, 1, 1, 1, 1, 1, 1]


def test_exceptions_are_tried_again_in_the_same_job(onlooker: Onlooker, shared: Path) -> None:
    @cluster(retries=3, retry_on="ERROR")
    def flaky(directory: Path) -> str:
        runs = len(list(directory.glob("run-*")))
        (directory / f"run-{runs}").touch()
        if runs < 2:
            raise ValueError(f"run {runs}")
        return "well"

    job = flaky.submit(shared)
    assert job.result(100) == "well"
    assert job.logs().count("is tried again") == 2 and onlooker.handle(job).round == 0


def test_an_exception_is_no_reason_by_itself(onlooker: Onlooker, shared: Path) -> None:
    @cluster(retries=3)
    def wrong(directory: Path) -> None:
        with (directory / "runs").open("a") as file:
            file.write("run\n")
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        wrong(shared)
    assert (shared / "runs").read_text() == "run\n"


def test_another_process_goes_on_with_the_tries(client: Callable[..., str], onlooker: Onlooker, shared: Path) -> None:
    program = (
        "import os, pathlib, sys\n"
        "from clustrix import cluster\n"
        "@cluster(retries=2, retry_on='FAILED')\n"
        "def die(directory):\n"
        "    runs = len(list(pathlib.Path(directory).glob('run-*')))\n"
        "    pathlib.Path(directory, f'run-{runs}').touch()\n"
        "    if runs < 2: os._exit(9)\n"
        "    return runs\n"
        "print(die.submit(sys.argv[1]).id, flush=True)\n"
    )
    job = client("-c", program, shared).strip()
    found = clustrix.get_job(job)
    assert found.result(100) == 2
    until(lambda: clustrix.get_job(job).result(5) == 2, "it is told again")


@only_slurm
@pytest.mark.timeout(240)
def test_preempted_calls_are_tried_again(onlooker: Onlooker, shared: Path) -> None:
    @cluster(partition="scav", constraint="n3", cores=8, retries=9)
    def patient(directory: Path) -> int:
        with (directory / "runs").open("a") as file:
            file.write("run\n")
        runs = len((directory / "runs").read_text().split())
        print("run", runs, flush=True)
        time.sleep(300 if runs == 1 else 0)
        return runs

    job = patient.submit(shared)
    onlooker.wait_until_running(job)
    urgent = die.options(partition="urgent", constraint="n3", cores=8, retries=0).submit(shared, 0, 7)
    assert urgent.result(60) == 1
    assert job.result(120) == onlooker.handle(job).round + 1 >= 2


def test_unknown_ends_are_refused() -> None:
    for wrong in ("CANCELLED", "timeout", ["NODE_FAIL", 3]):
        with pytest.raises(clustrix.ConfigError):
            cluster(retry_on=wrong)
    with pytest.raises(clustrix.ConfigError, match="not shorter"):
        cluster(time="1m", warn="60s")
    with pytest.raises(clustrix.ConfigError, match="from 0"):
        cluster(retries=-1)
