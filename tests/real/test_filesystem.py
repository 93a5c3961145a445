"""File systems that are late, full, cut short or purged, and clocks that are off: every call ends, and says why."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clustrix import Job, JobFailed, JobLost, cluster, get_job
from clustrix_core.api import session
from clustrix_core.config import ClusterConfig
from clustrix_core.engine import flight, monitor, places
from clustrix_core.errors import CommandError, JobError, PayloadError
from clustrix_core.transport import DEADLINE, Completed, Transport
from clustrix_core.transport.connect import connect
from clustrix_core.transport.counting import Counting
from tests.real.onlooker import Onlooker, until

local = pytest.mark.parametrize("place", ["local"], indirect=True)
local_and_slurm = pytest.mark.parametrize("place", ["local", "slurm"], indirect=True)


class Late(Counting):
    """A way to a cluster whose login node does not see new results yet, though their jobs have ended."""

    late = True

    def run(
        self,
        command: str,
        stdin: Any = (),
        sink: Callable[[bytes], None] | None = None,
        idle: float = DEADLINE,
    ) -> Completed:
        """Run a command; listings leave out results for as long as they are late."""
        if self.late:
            command = command.replace("xargs ls -lnq", "xargs ls -lnq -I 'results-*'")
        return super().run(command, stdin, sink, idle)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[Late]:
    """All ways to the cluster, which are late until somebody says otherwise."""
    made: list[Late] = []

    def late(*arguments: Any) -> Transport:
        made.append(Late(connect(*arguments)))
        return made[-1]

    monkeypatch.setattr(places, "connect", late)
    return made


@cluster
def note(number: int, directory: str, seconds: float = 0) -> int:
    with open(f"{directory}/ran", "a") as file:
        file.write(f"{number}\n")
    print("note begins", flush=True)
    time.sleep(seconds)
    if number < 0:
        raise ValueError(number)
    return number


def again(id: str) -> Job[Any]:
    """Return a job as a later client gets it."""
    found = get_job(id)
    assert isinstance(found, Job)
    return found


def ran(shared: Path) -> list[int]:
    file = shared / "ran"
    return sorted(map(int, file.read_text().split())) if file.exists() else []


# -- late


@local_and_slurm
def test_results_that_are_seen_late_are_waited_for(ways: list[Late], there: ClusterConfig, shared: Path) -> None:
    jobs = [note.submit(1, str(shared)), note.submit(-1, str(shared))]
    many = note.options(return_exceptions=True).map([-2, *range(2, 12)], directory=str(shared))
    until(lambda: len(ran(shared)) == 13, "all have run", 100)
    time.sleep(30)  # markers and the scheduler have long said that all is over
    assert not any(job.done() for job in jobs) and not many.done()
    for way in ways:
        way.late = False
    assert jobs[0].result(60) == 1 and isinstance(jobs[1].exception(60), ValueError)
    outcomes: list[Any] = list(many)
    raised, *values = outcomes
    assert isinstance(raised, ValueError) and values == list(range(2, 12))
    assert ran(shared) == [-2, -1, *range(1, 12)], "nothing ran twice"


@local
def test_results_that_never_appear_end_in_an_error(
    ways: list[Late], there: ClusterConfig, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flight, "LAG", 3.0)
    error = note.submit(1, str(shared)).exception(60)
    assert isinstance(error, JobLost) and "never appeared" in str(error) and "clustrix logs" in str(error)


@local
def test_results_that_are_cut_short_end_in_an_error(
    there: ClusterConfig, onlooker: Onlooker, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flight, "LAG", 3.0)
    job = note.submit(1, str(shared), 1)
    cut = onlooker.directory(job)
    session.close()  # nobody looks meanwhile
    until((cut / "status-0.0").exists, "it ended")
    for results in cut.glob("results-*"):
        os.truncate(results, results.stat().st_size // 2)
    error = again(job.id).exception(60)
    assert isinstance(error, JobLost) and "never appeared" in str(error)


# -- purged


@local_and_slurm
def test_a_directory_that_is_purged_while_its_job_runs(
    there: ClusterConfig, onlooker: Onlooker, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flight, "LAG", 3.0)
    monkeypatch.setattr(flight, "UNKNOWN_FOR", 3.0)
    job, other = note.submit(1, str(shared), 4), note.submit(2, str(shared), 5)
    until(lambda: ran(shared) == [1, 2], "both run", 100)
    shutil.rmtree(onlooker.directory(job))
    error = job.exception(60)
    assert isinstance(error, JobError) and job.id in str(error)
    assert other.result(60) == 2


@local_and_slurm
def test_a_directory_that_is_purged_before_its_results_have_come(
    there: ClusterConfig, onlooker: Onlooker, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flight, "LAG", 3.0)
    monkeypatch.setattr(flight, "UNKNOWN_FOR", 3.0)
    job = note.submit(1, str(shared), 1)
    gone = onlooker.directory(job)
    session.close()
    until((gone / "status-0.0").exists, "it ended", 100)
    shutil.rmtree(gone)
    error = again(job.id).exception(60)
    assert isinstance(error, JobLost) and "purge" in str(error)
    assert note(3, str(shared)) == 3


@local
def test_all_of_work_dir_is_purged(
    there: ClusterConfig, onlooker: Onlooker, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "UNKNOWN_FOR", 3.0)
    job = note.submit(1, str(shared), 1)
    until(lambda: ran(shared) == [1], "it runs")
    shutil.rmtree(onlooker.work_dir)
    error = job.exception(60)
    assert isinstance(error, CommandError) and str(onlooker.work_dir) in str(error)
    assert note(3, str(shared)) == 3, "it is made anew"


# -- full


@contextlib.contextmanager
def small(path: Path, size: str) -> Iterator[None]:
    """Make a directory a disk of this size, which ``grow`` can change."""
    if os.geteuid():
        pytest.skip("mounting a small disk needs root")
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def grow(path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(path)], check=True)


@pytest.fixture
def small_home(home: Path) -> Iterator[Path]:
    """A client's home without much room."""
    with small(home, "4m"):
        yield home
        session.close()


@cluster
def blob(size: int, fill: str = "") -> bytes:
    if fill:
        with open(fill, "wb", 0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        os._exit(3) if size < 0 else None
    return os.urandom(size)


@local
def test_a_full_disk_here_keeps_nothing_back_that_fits(small_home: Path, there: ClusterConfig) -> None:
    big, others = blob.submit(6 << 20), [blob.submit(1000) for _ in range(3)]
    assert [len(job.result(60)) for job in others] == [1000] * 3
    assert len(blob.submit(2000).result(60)) == 2000, "the next one comes as well"
    time.sleep(2)
    assert not big.done()
    grow(small_home)
    assert len(big.result(60)) == 6 << 20


@local
def test_a_disk_here_that_stays_full(small_home: Path, there: ClusterConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "UNKNOWN_FOR", 3.0)
    big, other = blob.submit(6 << 20), blob.submit(1000)
    error = big.exception(60)
    assert isinstance(error, PayloadError) and "No space left" in str(error) and "Make room" in str(error)
    assert len(other.result(60)) == 1000
    grow(small_home)
    assert len(again(big.id).result(60)) == 6 << 20


@local
def test_not_a_byte_is_free_here(small_home: Path, there: ClusterConfig, shared: Path) -> None:
    jobs = [note.submit(number, str(shared), 2) for number in range(2)]
    until(lambda: ran(shared) == [0, 1], "both run")
    filler = small_home / "filler"
    with filler.open("wb", 0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    time.sleep(4)
    filler.unlink()
    assert [job.result(60) for job in jobs] == [0, 1]


@local
def test_a_full_disk_over_there(there: ClusterConfig, tmp_path: Path) -> None:
    with small(tmp_path / "work", "2m"):
        other = blob.submit(1000)
        error = blob.submit(4 << 20).exception(60)
        assert isinstance(error, JobFailed) and "No space left on device" in str(error)
        assert len(other.result(60)) == 1000
        assert len(blob.submit(1000).result(60)) == 1000
        session.close()


@local
@pytest.mark.parametrize("size", [1000, -1], ids=["returns", "dies"])
def test_not_a_byte_is_free_over_there(
    there: ClusterConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(flight, "LAG", 3.0)
    monkeypatch.setattr(flight, "UNKNOWN_FOR", 3.0)
    with small(tmp_path / "work", "2m"):
        error = blob.submit(size, str(tmp_path / "work" / "filler")).exception(60)
        assert isinstance(error, JobError), repr(error)
        (tmp_path / "work" / "filler").unlink()
        assert len(blob.submit(1000).result(60)) == 1000
        session.close()


# -- clocks


@local
@pytest.mark.parametrize("hours", [-1, 1])
def test_times_of_files_mean_nothing(there: ClusterConfig, onlooker: Onlooker, shared: Path, hours: int) -> None:
    job = note.submit(1, str(shared), 2)
    until(lambda: ran(shared) == [1], "it runs")
    moment = time.time() + 3600 * hours
    for path in [*onlooker.directory(job).iterdir(), onlooker.directory(job)]:
        os.utime(path, (moment, moment))
    assert job.result(60) == 1
