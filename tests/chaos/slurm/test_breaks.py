"""Slurm breaks under running jobs: nodes go, daemons stop, accounting is off. Callers hear the truth or wait for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import clustrix
from clustrix import ClusterConfig, JobCancelled, JobFailed, JobLost, JobOutOfMemory, NodeFailed, cluster
from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.engine import flight
from tests.real.conftest import settings
from tests.real.onlooker import Onlooker, scontrol, until
from tests.testbeds.slurm import SlurmBed

CRASH = """
import os, signal, sys
from clustrix import cluster
from clustrix_core.journal import Journal

@cluster
def once(directory):
    with open(f"{directory}/ran", "a") as file:
        file.write("once\\n")
    return "once"

Journal.submitted = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
once.submit(sys.argv[1]).result()
"""


@pytest.fixture
def there(home: Path, slurm_bed_alone: SlurmBed) -> ClusterConfig:
    found = settings("slurm", slurm_bed_alone)
    config.configure(default=found)
    return found


@pytest.fixture
def onlooker(there: ClusterConfig, slurm_bed_alone: SlurmBed) -> Onlooker:
    return Onlooker(there, slurm_bed_alone)


@cluster
def slow(seconds: float, value: Any = None) -> Any:
    print("slow begins", os.environ.get("SLURMD_NODENAME"), flush=True)
    time.sleep(seconds)
    return value


@cluster
def run(directory: Path) -> int:
    """Return how often it has begun; only the first time does it take long."""
    with (directory / "runs").open("a") as file:
        file.write("run\n")
    runs = len((directory / "runs").read_text().split())
    print("run", runs, flush=True)
    time.sleep(300 if runs == 1 else 0)
    return runs


@pytest.fixture
def not_requeued(there: ClusterConfig) -> ClusterConfig:
    found = ClusterConfig(**{**there.settings(), "options": {"requeue": False}})
    config.configure(default=found)
    return found


# ---------------------------------------------------------------- nodes


def test_a_node_is_set_down(not_requeued: ClusterConfig, onlooker: Onlooker) -> None:
    job = slow.options(constraint="n3").submit(300)
    onlooker.wait_until_running(job)
    ending = onlooker.ending(job)
    onlooker.bed.root("scontrol", "update", "nodename=n3", "state=down", "reason=test")  # type: ignore[union-attr]
    error = ending.error()
    assert type(error) is NodeFailed
    assert (error.state, error.job) == ("NODE_FAIL", job.id)
    assert "NODE_FAIL" in error.reason and "slow begins n3" in error.log and "clustrix retry" in str(error)


def test_a_node_dies(not_requeued: ClusterConfig, onlooker: Onlooker) -> None:
    job = slow.options(constraint="n2").submit(300)
    onlooker.wait_until_running(job)
    ending = onlooker.ending(job)
    onlooker.bed.kill("n2")  # type: ignore[union-attr]
    error = ending.error()
    assert type(error) is NodeFailed and "slow begins n2" in error.log


def test_a_node_is_lost_under_one_task_of_a_map(not_requeued: ClusterConfig, onlooker: Onlooker) -> None:
    results = slow.options(cores=8, return_exceptions=True).map([3, 300, 3], value="arrived")
    log = onlooker.directory(results)
    until(lambda: len([path for path in log.glob("log-0.*") if path.stat().st_size]) == 3, "all three have begun")
    (node,) = {path.read_text().split()[2] for path in log.glob("log-0.1")}
    onlooker.bed.root("scontrol", "update", f"nodename={node}", "state=down", "reason=test")  # type: ignore[union-attr]
    first, lost, third = results
    assert (first, third) == ("arrived", "arrived")
    assert type(lost) is NodeFailed and f"slow begins {node}" in lost.log


def test_a_requeued_job_arrives(onlooker: Onlooker, shared: Path) -> None:
    job = run.options(constraint="n1|n2").submit(shared)
    onlooker.wait_until_running(job)
    node = next(word[9:] for word in scontrol(onlooker.handle(job).native).split() if word.startswith("NodeList="))
    onlooker.bed.root("scontrol", "update", f"nodename={node}", "state=down", "reason=test")  # type: ignore[union-attr]
    assert job.result(90) == 2


# ---------------------------------------------------------------- daemons


def test_the_controller_is_away_for_a_while(onlooker: Onlooker, shared: Path) -> None:
    running, failing = slow.submit(6, "arrived"), slow.options(setup=["sleep 6; exit 3"]).submit(0)
    onlooker.wait_until_running(running)
    bed = onlooker.bed
    assert bed
    bed.stop("slurmctld")
    fresh = run.options(setup=[f"echo run >>{shared}/runs"]).submit(shared)  # so that its first run is its second
    time.sleep(8)
    assert not failing.done(), "an outage is no end"
    bed.start("slurmctld")
    assert running.result(60) == "arrived"
    error = failing.exception(60)
    assert type(error) is JobFailed and error.exit_code == 3
    assert fresh.result(90) == 2


def test_accounting_is_away_for_a_while(onlooker: Onlooker) -> None:
    bed = onlooker.bed
    assert bed
    bed.stop("slurmdbd")
    killed = slow.options(setup=["kill -9 $$"]).submit(0)
    assert type(onlooker.ending(killed).error()) is JobFailed
    assert slow.submit(0, "arrived").result(60) == "arrived"
    bed.start("slurmdbd")


# ---------------------------------------------------------------- no accounting at all


def test_a_site_without_accounting(onlooker: Onlooker, shared: Path, home: Path, tmp_path: Path) -> None:
    bed = onlooker.bed
    assert bed
    with bed.without_accounting():
        assert slow.submit(0, "arrived").result(60) == "arrived"
        assert list(slow.map([0] * 20, value="arrived")) == ["arrived"] * 20
        failed = slow.options(setup=["exit 3"]).submit(0)
        killed = slow.options(setup=["kill -9 $$"]).submit(0)
        hungry = cluster(memory="30MB")(lambda: len(bytearray(b"x") * 200 * 2**20)).submit()
        cancelled = slow.submit(300)
        onlooker.wait_until_running(cancelled)
        onlooker.cancel(cancelled)
        ends = [onlooker.ending(job).error() for job in (failed, killed, hungry, cancelled)]
        assert [type(end) for end in ends] == [JobFailed, JobFailed, JobOutOfMemory, JobCancelled]
        assert [end.exit_code for end in ends[:2]] == [3, 137]
        _a_forgotten_orphan(bed, shared, home, tmp_path)


def _a_forgotten_orphan(bed: SlurmBed, shared: Path, home: Path, tmp_path: Path) -> None:
    """The client died before it knew of the job, and by now Slurm has forgotten it: what it left says that it ran."""
    (tmp_path / "clustrix.yml").write_text(config.dump(config.current()), "utf-8")
    (tmp_path / "crash.py").write_text(CRASH, "utf-8")
    environment = {**os.environ, "CLUSTRIX_CONFIG": str(tmp_path / "clustrix.yml"), "CLUSTRIX_HOME": str(home)}
    done = subprocess.run([sys.executable, tmp_path / "crash.py", shared], env=environment, timeout=60)
    assert done.returncode == -9
    until((shared / "ran").exists, "the job ran")
    until(lambda: "once-" not in bed.run("squeue", "-h", "-t", "all", "-o", "%j"), "Slurm has forgotten it")
    (info,) = [info for info in clustrix.jobs() if info.name == "once"]
    assert clustrix.get_job(info.id).result(60) == "once"
    assert (shared / "ran").read_text() == "once\n"


def test_forgotten_without_a_trace(onlooker: Onlooker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight, "UNKNOWN_FOR", 5.0)
    bed = onlooker.bed
    assert bed
    with bed.without_accounting():
        job = slow.options(directives=["--hold"]).submit(0)
        handle = onlooker.handle(job)
        # The client sleeps while the job is killed and forgotten: a laptop that was closed.
        session.close()
        onlooker.cancel(job)
        until(lambda: handle.name not in bed.run("squeue", "-h", "-t", "all", "-o", "%j"), "Slurm has forgotten it")
        error = clustrix.get_job(job.id).exception(60)
        assert type(error) is JobLost and "neither the scheduler nor the job directory" in str(error)


# ---------------------------------------------------------------- a work_dir that nodes do not see


@pytest.fixture
def local_disk(slurm_bed_alone: SlurmBed) -> Iterator[Path]:
    """A directory of which n3 has another one: on that node a file system lies over it."""
    bed = slurm_bed_alone
    path = Path(f"/home/clustrix-local-{time.time_ns()}")
    path.mkdir()
    shutil.chown(path, bed.user, bed.user)
    bed.stop("n3")
    # As ctl.sh starts it, but in a mount namespace of its own.
    start = f"mount -t tmpfs tmpfs {path} && exec slurmd -D -N n3 -f {bed.state}/etc/slurm.conf"
    node = subprocess.Popen(["unshare", "-m", "sh", "-c", start], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    bed.start("n3")  # it runs: this only waits until it is usable
    yield path
    session.close()
    bed.stop("n3")
    node.wait(20)
    shutil.rmtree(path, ignore_errors=True)


def test_a_work_dir_that_compute_nodes_do_not_see(there: ClusterConfig, local_disk: Path) -> None:
    found = ClusterConfig(**{**there.settings(), "work_dir": f"{local_disk}/work", "resources": {"constraint": "n3"}})
    engine = session.engine()
    problems = engine.dispatch.check(engine.places.cluster(found, found.resources))
    assert [problem.severity for problem in problems] == ["error"], problems
    assert "not there on a compute node" in problems[0].message and "share" in problems[0].hint
    error = slow.options(cluster=found).submit(0).exception(60)
    assert type(error) is JobFailed and "JobLaunchFailure" in error.reason
