"""Calls that go on where they were: having asked for it, after their walltime, after somebody has killed them."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import clustrix
from clustrix import JobTimeout, checkpoint, cluster
from tests.real.onlooker import Onlooker, until

only_local = pytest.mark.parametrize("place", ["local"], indirect=True)
only_slurm = pytest.mark.parametrize("place", ["slurm"], indirect=True)


@cluster
def count(to: int, pause: float, notes: Path) -> list[int]:
    """Count, saving each step; return the steps at which a run of this call began."""
    begun, step = checkpoint.load(([], 0))
    begun = [*begun, step]
    print("begins at", step, flush=True)
    while step < to:
        time.sleep(pause)
        step += 1
        checkpoint.save((begun, step))
        if checkpoint.due():
            (notes / f"due-{len(begun)}").touch()
            raise checkpoint.Again
    return begun


def test_a_call_is_told_ahead_of_its_walltime_and_goes_on(onlooker: Onlooker, shared: Path) -> None:
    job = count.options(time="60s", warn="56s", retries=3).submit(60, 0.1, shared)
    first, *later = job.result(100)
    assert first == 0 and later and later == sorted(later) and later[0] >= 10
    assert len(list(shared.glob("due-*"))) == len(later) == onlooker.handle(job).round
    assert f"begins at {later[-1]}" in job.logs() and "call 0: try" in job.logs()


def test_a_map_goes_on_call_by_call(onlooker: Onlooker, shared: Path) -> None:
    @cluster(retries=2)
    def twice(number: int) -> tuple[int, int]:
        before = checkpoint.load(-1)
        if before < 0:
            checkpoint.save(number)
            raise checkpoint.Again
        return number, before

    assert list(twice.map(range(20))) == [(number, number) for number in range(20)]


def test_asking_for_ever_ends(onlooker: Onlooker) -> None:
    @cluster(retries=1)
    def never() -> None:
        raise checkpoint.Again

    error = never.submit().exception(100)
    assert type(error) is JobTimeout and "asked to go on" in str(error) and "used up (1)" in str(error)


@only_local
def test_a_call_that_runs_into_its_walltime_goes_on(onlooker: Onlooker, shared: Path) -> None:
    job = count.options(time="3s", retries=5, retry_on="TIMEOUT").submit(50, 0.1, shared)
    begun = job.result(100)
    assert len(begun) >= 2 and begun == sorted(set(begun)) and not list(shared.iterdir())


@only_local
def test_all_processes_of_a_call_are_killed_twice(onlooker: Onlooker, shared: Path) -> None:
    @cluster(retries=2, retry_on="FAILED")
    def cut(directory: Path) -> list[int]:
        begun = [*checkpoint.load([]), os.getpid()]
        checkpoint.save(begun)
        if len(begun) < 3:
            os.killpg(0, signal.SIGKILL)  # the script, the worker and this process
            time.sleep(60)
        return begun

    begun = cut.submit(shared).result(100)
    assert len(set(begun)) == 3 and begun[-1] != os.getpid()


@only_slurm
@pytest.mark.timeout(240)
def test_a_preempted_call_saves_and_goes_on(onlooker: Onlooker, shared: Path) -> None:
    job = count.options(partition="scav", constraint="n3", cores=8, warn="5m", retries=9).submit(100, 0.1, shared)
    onlooker.wait_until_running(job)
    urgent = count.options(partition="urgent", constraint="n3", cores=8).submit(1, 0.1, shared)
    assert urgent.result(60) == [0]
    until(lambda: (shared / "due-1").exists(), "the call was told", 10)
    # Jobs of others may preempt it once more.
    first, *later = job.result(150)
    assert first == 0 and later and later[0] > 0 and onlooker.handle(job).round == len(later)


@only_slurm
@pytest.mark.timeout(240)
def test_a_requeued_call_goes_on(onlooker: Onlooker, shared: Path) -> None:
    job = count.options(partition="requeue", constraint="n2", cores=8).submit(60, 0.1, shared)
    onlooker.wait_until_running(job)
    urgent = count.options(partition="urgent", constraint="n2", cores=8).submit(1, 0.1, shared)
    assert urgent.result(60) == [0]
    first, *later = job.result(150)
    assert first == 0 and later and later[0] > 0 and onlooker.handle(job).round == 0


@only_local
def test_what_has_asked_to_go_on_does_when_somebody_comes_for_it(
    client: Callable[..., str], onlooker: Onlooker, shared: Path
) -> None:
    program = (
        "import os, sys\n"
        "from clustrix import checkpoint, cluster\n"
        "@cluster(retries=1)\n"
        "def asks():\n"
        "    if checkpoint.load():\n"
        "        return 'went on'\n"
        "    checkpoint.save(True)\n"
        "    raise checkpoint.Again\n"
        "job = asks.submit()\n"
        "while job._flight.handle is None: pass\n"
        "print(job.id, flush=True)\n"
        "os._exit(0)\n"  # nobody is there when it asks
    )
    job = client("-c", program).strip()
    until((onlooker.work_dir / f"jobs/{job[:2]}/{job}/status-0.0").exists, "it has asked")
    (seen,) = json.loads(client("-m", "clustrix_core.cli", "--json", "jobs"))
    assert seen["finished"] is None
    assert clustrix.get_job(job).result(60) == "went on"
