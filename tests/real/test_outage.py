"""Connections that break at any moment, on an sshd of its own: replies are lost, jobs are neither lost nor doubled."""

from __future__ import annotations

import random
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import clustrix
from clustrix import TransportError, cluster
from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.config import ClusterConfig
from tests.real.onlooker import until
from tests.testbeds import sshd as testbed
from tests.testbeds.slurm import SlurmBed
from tests.testbeds.sshd import Sshd, User


@pytest.fixture
def server(slurm_bed: SlurmBed) -> Iterator[Sshd]:
    if reason := testbed.why_not():
        pytest.skip(reason)
    user = User(f"cxo{time.time_ns() % 10**6}")
    root = Path(tempfile.mkdtemp(prefix="clustrix-sshd-"))
    root.chmod(0o755)
    found = Sshd(root / "login", user).start()
    yield found
    session.close()
    found.stop()
    slurm_bed.root("scancel", "-u", user.name)
    user.remove()
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def there(server: Sshd, home: Path) -> ClusterConfig:
    found = ClusterConfig(
        name="hpc",
        backend="slurm",
        host="127.0.0.1",
        port=server.port,
        user=server.user.name,
        key_file=str(server.key),
        known_hosts=str(server.known_hosts),
    )
    config.configure(default=found)
    return found


@cluster
def note(number: int, directory: str, seconds: float = 0) -> int:
    with open(f"{directory}/ran", "a") as file:
        file.write(f"{number}\n")
    time.sleep(seconds)
    return number


def ran(shared: Path) -> list[int]:
    file = shared / "ran"
    return sorted(map(int, file.read_text().split())) if file.exists() else []


def test_the_connection_breaks_while_jobs_are_submitted(server: Sshd, there: ClusterConfig, shared: Path) -> None:
    assert note(100, str(shared)) == 100
    stop = threading.Event()

    def saboteur() -> None:
        chance = random.Random(4)
        while not stop.wait(chance.uniform(0.05, 0.5)):
            server.kill_sessions()

    thread = threading.Thread(target=saboteur)
    thread.start()
    try:
        jobs = [note.submit(number, str(shared)) for number in range(25)]
        time.sleep(4)
    finally:
        stop.set()
        thread.join()
    assert server.logins() > 4, "it did break"
    assert [job.result(90) for job in jobs] == list(range(25))
    assert ran(shared) == [*range(25), 100]


def test_the_host_is_away_while_a_job_runs(server: Sshd, there: ClusterConfig, shared: Path) -> None:
    job = note.submit(1, str(shared), 2)
    until(lambda: ran(shared) == [1], "the job runs")
    server.stop()
    time.sleep(4)
    assert not job.done(), "an outage is no end"
    server.start()
    assert job.result(60) == 1


def test_the_host_is_away_when_a_job_is_submitted(server: Sshd, there: ClusterConfig, shared: Path) -> None:
    assert note(1, str(shared)) == 1
    server.stop()
    job = note.submit(2, str(shared))
    time.sleep(5)
    assert not job.done()
    server.start()
    assert job.result(60) == 2
    assert ran(shared) == [1, 2]


def test_a_host_that_stays_away(
    server: Sshd, there: ClusterConfig, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have taken the job, so who comes later looks for it."""
    assert note(1, str(shared)) == 1
    server.stop()
    monkeypatch.setattr("clustrix_core.engine.submission.PATIENCE", 3.0)
    error = note.submit(2, str(shared)).exception(30)
    assert isinstance(error, TransportError), repr(error)
    assert "refused" in str(error) and error.cluster == "hpc"
    assert ran(shared) == [1]
    server.start()
    found = clustrix.get_job(clustrix.jobs()[0].id)
    assert isinstance(found, clustrix.Job) and found.result(60) == 2
    assert ran(shared) == [1, 2]


def test_a_host_that_was_never_there(server: Sshd, there: ClusterConfig, shared: Path) -> None:
    server.stop()
    began = time.monotonic()
    error = note.submit(1, str(shared)).exception(30)
    assert isinstance(error, TransportError) and "refused" in str(error), repr(error)
    assert time.monotonic() - began < 10
    assert ran(shared) == []
