"""Hostile places: a work_dir that is somebody else's, full, read-only, purged or oddly named; and what doctor sees."""

from __future__ import annotations

import contextlib
import getpass
import os
import pwd
import secrets
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import clustrix
from clustrix import ClusterConfig, JobFailed, StagingError, cluster
from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.model import Problem
from tests.real.conftest import settings
from tests.real.onlooker import Onlooker
from tests.testbeds.bed import Bed
from tests.testbeds.slurm import SlurmBed

only_slurm = pytest.mark.parametrize("place", ["slurm"], indirect=True)
AWKWARD = """it's "a b" ü馬 $HOME `id` ;& *? 100%j %A """
MB = 2**20


@pytest.fixture
def room(place: str, home: Path, bed: Bed | None, tmp_path: Path) -> Iterator[Path]:
    """A directory of the cluster's user, for work_dirs."""
    parent = Path("/home") if bed else tmp_path
    path = parent / f"clustrix-{secrets.token_hex(4)}"
    path.mkdir(mode=0o755)
    if bed:
        shutil.chown(path, bed.user, bed.user)
    yield path
    session.close()
    shutil.rmtree(path, ignore_errors=True)  # a job that is still at work may be writing


def go(place: str, bed: Bed | None, work_dir: Path, **more: Any) -> ClusterConfig:
    """Make a work_dir the default cluster's."""
    found = settings(place, bed, work_dir=str(work_dir), **more)
    config.configure(default=found)
    return found


def refused(place: str, bed: Bed | None, work_dir: Path) -> StagingError:
    """Return the error of a call there."""
    go(place, bed, work_dir)
    error = double.submit(1).exception(60)
    assert type(error) is StagingError, repr(error)
    assert str(work_dir) in str(error) and error.hint
    return error


@cluster
def double(x: Any) -> Any:
    print("doubling", x)
    return x + x


@cluster
def wait(seconds: float) -> float:
    print("waiting", flush=True)
    time.sleep(seconds)
    return seconds


@cluster
def random_bytes(size: int) -> bytes:
    return secrets.token_bytes(size)


# ---------------------------------------------------------------- names


def test_any_name_will_do(place: str, bed: Bed | None, room: Path) -> None:
    there = go(place, bed, room / AWKWARD)
    assert double(21) == 42
    assert list(double.map(range(30))) == list(range(0, 60, 2))
    job = double.options(setup=["echo preparing", "false"]).submit(1)
    error = job.exception(60)
    assert type(error) is JobFailed and "preparing" in error.log
    assert "preparing" in job.logs()
    running = wait.submit(60)
    Onlooker(there, bed).wait_until_running(running)
    assert running.status().state.value == "RUNNING"
    assert running.cancel() and running.cancelled()
    assert {path.name for path in room.iterdir()} == {AWKWARD}
    assert not any((room / AWKWARD).glob("log*"))


@only_slurm
def test_a_backslash_is_too_much_for_slurm(place: str, bed: Bed | None, room: Path) -> None:
    go(place, bed, room / "back\\slash")
    with pytest.raises(clustrix.ConfigError, match="backslash"):
        double(1)


# ---------------------------------------------------------------- whose it is


def test_a_directory_of_somebody_else_is_refused(place: str, bed: Bed | None, room: Path) -> None:
    if bed is None and os.getuid():
        pytest.skip("giving a directory away needs root")
    for mode in (0o777, 0o755, 0o700):
        foreign = room / f"foreign-{mode:o}"
        foreign.mkdir()
        foreign.chmod(mode)
        shutil.chown(foreign, "nobody")
        error = refused(place, bed, foreign)
        assert "nobody" in str(error)
        assert list(foreign.iterdir()) == []
        session.close()


def test_two_users_on_one_cluster(slurm_bed: SlurmBed, home: Path) -> None:
    first = settings("slurm", slurm_bed)
    second = ClusterConfig(**{**first.settings(), "name": "second", "host": slurm_bed.second_alias})
    config.configure(default=first, clusters={"second": second})
    whoami = cluster(lambda: (getpass.getuser(), os.getcwd(), time.sleep(0.5)))
    jobs = [whoami.options(cluster=name).submit() for name in ("slurm", "second") for _ in range(3)]
    assert [job.result(60)[0] for job in jobs] == ["hpc"] * 3 + ["hpc2"] * 3
    for user in (slurm_bed.user, slurm_bed.second_user):
        work_dir = Path(pwd.getpwnam(user).pw_dir) / ".clustrix"
        assert (work_dir.owner(), stat.S_IMODE(work_dir.stat().st_mode)) == (user, 0o700)
    thief = ClusterConfig(**{**second.settings(), "name": "thief", "work_dir": f"{slurm_bed.home}/.clustrix"})
    error = whoami.options(cluster=thief).submit().exception(60)
    assert type(error) is StagingError and ("hpc" in str(error) or "Permission denied" in str(error))


# ---------------------------------------------------------------- no room


def test_a_directory_that_cannot_be_made(place: str, bed: Bed | None, room: Path) -> None:
    (room / "file").write_text("not a directory")
    error = refused(place, bed, room / "file/work")
    assert "cannot create" in str(error)


def test_a_read_only_file_system(place: str, bed: Bed | None, room: Path) -> None:
    with mounted(room / "frozen", "size=1m", bed) as frozen:
        subprocess.run(["mount", "-o", "remount,ro", str(frozen)], check=True)
        assert "Read-only file system" in str(refused(place, bed, frozen))


def test_no_room_for_the_worker(place: str, bed: Bed | None, room: Path) -> None:
    with mounted(room / "full", "size=64k", bed) as full:
        assert "No space left on device" in str(refused(place, bed, full))


def test_no_room_for_the_arguments_or_the_result(place: str, bed: Bed | None, room: Path) -> None:
    with mounted(room / "small", "size=2m", bed) as small:
        go(place, bed, small)
        error = double.submit(secrets.token_bytes(4 * MB)).exception(60)
        assert type(error) is StagingError, repr(error)
        assert "data could not be put" in str(error) and "room left" in str(error)
        # What was half sent is not left there.
        assert double(2) == 4
        error = random_bytes.submit(4 * MB).exception(60)
        assert type(error) is JobFailed, repr(error)
        assert error.exit_code == 74 and "No space left on device" in error.log
        session.close()


@contextlib.contextmanager
def mounted(path: Path, options: str, bed: Bed | None) -> Iterator[Path]:
    """A small file system of the cluster's user."""
    if os.getuid():
        pytest.skip("mounting needs root")
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=True)
    try:
        if bed:
            shutil.chown(path, bed.user, bed.user)
        yield path
    finally:
        session.close()
        subprocess.run(["umount", "-l", str(path)], check=True)


# ---------------------------------------------------------------- purges


def test_what_was_purged_comes_back_by_itself(place: str, bed: Bed | None, room: Path) -> None:
    go(place, bed, room / "work")
    assert double(1) == 2
    shutil.rmtree(room / "work/worker")
    assert double(2) == 4
    shutil.rmtree(room / "work")
    assert double(3) == 6
    # Another client, which remembers the first contact, has no other fate.
    session.close()
    shutil.rmtree(room / "work")
    assert list(double.map(range(5))) == [0, 2, 4, 6, 8]


def test_a_job_directory_that_goes_while_the_job_runs(place: str, bed: Bed | None, room: Path) -> None:
    there = go(place, bed, room / "work")
    job = wait.submit(3)
    onlooker = Onlooker(there, bed)
    onlooker.wait_until_running(job)
    other = wait.submit(4)
    onlooker.wait_until_running(other)
    shutil.rmtree(onlooker.directory(job))
    assert other.result(60) == 4  # which is not held up


# ---------------------------------------------------------------- secrets


def test_nobody_else_may_look(place: str, bed: Bed | None, room: Path) -> None:
    there = go(place, bed, room / "work")
    job = wait.options(env={"TOKEN": "in the script, so it must be closed"}).submit(2)
    onlooker = Onlooker(there, bed)
    onlooker.wait_until_running(job)
    found = {path: path.lstat() for path in [room / "work", *(room / "work").rglob("*")]}
    assert stat.S_IMODE(found[room / "work"].st_mode) == 0o700
    for path, state in found.items():
        assert state.st_uid == pwd.getpwnam(bed.user if bed else getpass.getuser()).pw_uid
        # The log is made by the scheduler, caches by the user's Python: those are as closed as work_dir is.
        if not path.name.startswith(("log-", "__pycache__")) and path.suffix != ".pyc":
            wanted = 0o700 if stat.S_ISDIR(state.st_mode) else 0o600
            assert stat.S_IMODE(state.st_mode) == wanted, f"{path} {state.st_mode:o}"
    key = (onlooker.directory(job) / "key").read_text().strip()
    assert len(key) == 64
    for path in found:
        if path.is_file() and path.name != "key":
            assert key.encode() not in path.read_bytes(), path
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                assert key.encode() not in (process / name).read_bytes(), process
    assert job.result(60) == 2
    assert key not in job.logs()
    client = Path(os.environ["CLUSTRIX_HOME"])
    assert [stat.S_IMODE(path.stat().st_mode) for path in (client, client / "key")] == [0o700, 0o600]


def test_what_a_function_writes_has_the_users_own_umask(place: str, bed: Bed | None, room: Path) -> None:
    go(place, bed, room / "work")
    (room / "out").mkdir()
    if bed:
        shutil.chown(room / "out", bed.user)

    @cluster
    def write(path: str) -> None:
        with open(path, "w") as file:
            file.write("for my group")

    write(str(room / "out/file"))
    assert stat.S_IMODE((room / "out/file").stat().st_mode) == 0o644


# ---------------------------------------------------------------- doctor


def problems(found: ClusterConfig) -> list[Problem]:
    engine = session.engine()
    return list(engine.dispatch.check(engine.places.cluster(found, found.resources)))


def test_a_healthy_cluster_has_no_problems(there: ClusterConfig) -> None:
    assert problems(there) == []


def test_no_python(there: ClusterConfig) -> None:
    found = ClusterConfig(**{**there.settings(), "python": "python9"})
    (problem,) = problems(found)
    assert problem.severity == "error" and "python9" in problem.message and "python" in problem.hint
    error = double.options(cluster=found).submit(1).exception(60)
    assert type(error) is clustrix.ConfigError and "python9" in str(error)


@only_slurm
@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"partition": "debgu"}, "'debug'"),
        ({"cores": 99}, "no node has more than 8"),
        ({"memory": "500GB"}, "no node has more than 4096MB"),
        ({"nodes": 50}, "the partition has 3"),
        ({"time": "02:00:00"}, "01:00:00"),
        ({"partition": "short", "time": "00:02:00"}, "00:01:00"),
    ],
    ids=["partition", "cores", "memory", "nodes", "time", "time-short"],
)
def test_requests_that_could_never_run(there: ClusterConfig, resources: dict[str, Any], words: str) -> None:
    (problem,) = problems(ClusterConfig(**{**there.settings(), "resources": resources}))
    assert problem.severity == "error"
    assert words in f"{problem.message} {problem.hint}"
