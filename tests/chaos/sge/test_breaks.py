"""Grid Engine breaks under running jobs: daemons stop, accounting is late, ids are used again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import clustrix
from clustrix import ClusterConfig, JobCancelled, JobFailed, cluster
from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.model import JobState
from tests.real.conftest import settings
from tests.real.onlooker import Onlooker, until
from tests.testbeds.sge import SgeBed


@pytest.fixture
def there(home: Path, sge_bed_alone: SgeBed) -> ClusterConfig:
    found = settings("sge", sge_bed_alone)
    config.configure(default=found)
    return found


@pytest.fixture
def onlooker(there: ClusterConfig, sge_bed_alone: SgeBed) -> Onlooker:
    return Onlooker(there, sge_bed_alone)


@cluster
def slow(seconds: float, value: Any = None) -> Any:
    print("slow begins", flush=True)
    time.sleep(seconds)
    return value


def states(job: Any, until_done: float) -> list[JobState]:
    """Return the states that a job goes through, in order."""
    seen: list[JobState] = []
    deadline = time.monotonic() + until_done
    while not job.done():
        assert time.monotonic() < deadline, seen
        state = job.status().state
        if seen[-1:] != [state]:
            seen.append(state)
        time.sleep(0.1)
    return seen


def test_accounting_that_is_late_is_waited_for(onlooker: Onlooker, sge_bed_alone: SgeBed) -> None:
    """For up to 15 s a job has left the queue and no record is there: that is neither success nor loss."""
    with sge_bed_alone.late_accounting():
        time.sleep(3)
        gaps = [cancelled_by_somebody_else(onlooker, sge_bed_alone) for _ in range(2)]
        assert 1 < max(gaps) < 25, f"there was no gap to be seen: {gaps}"
        # Who leaves a marker is not kept waiting.
        began = time.monotonic()
        assert slow.submit(1, "here").result(60) == "here"
        failed = slow.options(setup=["exit 3"]).submit(1).exception(60)
        assert type(failed) is JobFailed and failed.exit_code == 3
        assert time.monotonic() - began < 14


def cancelled_by_somebody_else(onlooker: Onlooker, bed: SgeBed) -> float:
    """Return how long it took from leaving the queue to the caller's error."""
    job = slow.submit(300)
    onlooker.wait_until_running(job)
    native = onlooker.handle(job).native
    until(lambda: job.status().state is JobState.RUNNING, "it is seen to run")
    bed.cancel(native)
    until(lambda: bed.state_of(native) == "", "it has left the queue")
    left = time.monotonic()
    assert {*states(job, 60)} <= {JobState.RUNNING, JobState.UNKNOWN, JobState.CANCELLED}
    assert type(job.exception()) is JobCancelled and "failed 100" in str(job.exception())
    return time.monotonic() - left


def test_qmaster_is_away_for_a_while(onlooker: Onlooker, sge_bed_alone: SgeBed) -> None:
    """Jobs go on without it; what cannot be asked has not ended, and what cannot be submitted is not lost."""
    running = slow.submit(25, "through")
    doomed = slow.submit(300)
    for job in (running, doomed):
        onlooker.wait_until_running(job)
    sge_bed_alone.stop("qmaster")
    late = slow.submit(1, "late")
    time.sleep(8)
    assert not running.done() and not doomed.done() and not late.done()
    assert running.result(60) == "through"
    time.sleep(5)
    assert not doomed.done() and not late.done()
    sge_bed_alone.start("qmaster")
    assert late.result(120) == "late"
    sge_bed_alone.cancel(onlooker.handle(doomed).native)
    assert type(doomed.exception(60)) is JobCancelled


def test_a_number_that_is_used_again_is_another_job(onlooker: Onlooker, sge_bed_alone: SgeBed) -> None:
    bed = sge_bed_alone
    job = slow.options(setup=["sleep 2", "exit 3"]).submit(1)
    native = onlooker.handle(job).native
    session.close()
    until(lambda: bed.ended(native), "it has ended")
    bed.stop("qmaster")
    (bed.state / "spool/qmaster/jobseqnum").write_text(f"{int(native) - 1}\n")
    bed.start("qmaster")
    again = bed.run("qsub", "-terse", "-N", "somebody-elses", "-o", "/dev/null", "-j", "y", "-b", "y", "sleep", "60")
    assert again.strip() == native, "the number was not used again"
    until(lambda: bed.state_of(native) == "r", "the other job runs")
    found = clustrix.get_job(job.id)
    error = found.exception(60)
    assert type(error) is JobFailed and error.exit_code == 3
    found = slow.submit(60)
    found.cancel()
    assert bed.state_of(native) == "r", "the other job goes on"
    bed.cancel(native)


def test_a_node_that_comes_back_without_its_job(onlooker: Onlooker, sge_bed_alone: SgeBed) -> None:
    """execd is restarted: the job goes on under its shepherd, and its value arrives."""
    job = slow.submit(10, "through")
    onlooker.wait_until_running(job)
    sge_bed_alone.stop("execd")
    time.sleep(2)
    sge_bed_alone.start("execd")
    assert job.result(100) == "through"
