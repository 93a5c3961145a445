"""The attacker on a shared machine: results that are forged, and places that somebody else has prepared or opened."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import clustrix
from clustrix import ClusterConfig, ForgedResult, JobFailed, JobLost, StagingError, cluster
from clustrix_core import bundle, config
from clustrix_core.api import session
from clustrix_core.engine.inbox import Inbox
from clustrix_core.worker import pickling, records
from tests.real.conftest import settings
from tests.real.onlooker import Onlooker, until
from tests.testbeds.bed import Bed
from tests.testbeds.slurm import SlurmBed

BOTH = pytest.mark.parametrize("place", ["local", "slurm"], indirect=True)


class Trace:
    """Something whose unpickling leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


@cluster
def produce(go: Path, mark: Path, fail: bool = False) -> Any:
    import os
    import time

    while not os.path.exists(go):
        time.sleep(0.05)
    if fail:
        raise ValueError(Trace(mark))
    return Trace(mark), "x" * 300


@cluster
def echo(value: Any) -> Any:
    return value


# ---------------------------------------------------------------- who can write into the job directory


@dataclass
class Written:
    """One record, taken apart."""

    path: Path
    offset: int
    head: bytes
    body: bytes
    mac: bytes

    @property
    def header(self) -> Any:
        return json.loads(self.head[8:])

    def put(self, head: bytes, body: bytes, mac: bytes) -> None:
        """Write other bytes of the same length in its place."""
        assert (len(head), len(body), len(mac)) == (len(self.head), len(self.body), len(self.mac))
        with self.path.open("r+b") as file:
            file.seek(self.offset)
            file.write(head + body + mac)


def written(directory: Path) -> Iterator[Written]:
    """Yield the records of calls in a job directory."""
    for path in sorted(directory.glob("results-*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack("<I", data[at + 4 : at + 8])
            head = data[at : at + 8 + length]
            body = at + len(head)
            end = body + sum(json.loads(head[8:])["parts"])
            found = Written(path, at, head, data[body:end], data[end : end + 32])
            if "call" in found.header:
                yield found
            at = end + 32


def evil(mark: Path, length: int) -> bytes:
    """Return a pickle that leaves a file; what comes after its end does not matter."""
    return b"".join(pickling.dump(Trace(mark)).chunks()).ljust(length, b"\0")


Forge = Callable[[Path, Path, Path], None]  # the job's directory, that of another job, the file that must not appear


def unsigned(job: Path, other: Path, mark: Path) -> None:
    (one,) = written(job)
    signer = records.Signer(secrets.token_bytes(32), job.name)
    header = {name: value for name, value in one.header.items() if name != "parts"}
    one.path.write_bytes(b"".join(records.pack(signer, header, pickling.dump(Trace(mark)))))


def swapped(job: Path, other: Path, mark: Path) -> None:
    (one,) = written(job)
    one.put(one.head, evil(mark, len(one.body)), one.mac)


def without_mac(job: Path, other: Path, mark: Path) -> None:
    (one,) = written(job)
    one.put(one.head, one.body, bytes(32))


def value_as_error(job: Path, other: Path, mark: Path) -> None:
    (one,) = written(job)
    one.put(one.head.replace(b'"kind":"value"', b'"kind":"error"'), one.body, one.mac)


def of_another_job(job: Path, other: Path, mark: Path) -> None:
    (one,), (theirs,) = written(job), written(other)
    one.path.write_bytes(theirs.path.read_bytes())


def of_another(run: str) -> Forge:
    def move(job: Path, other: Path, mark: Path) -> None:
        (one,) = written(job)
        one.path.rename(job / f"results-{run}")

    return move


SINGLE: dict[str, Forge] = {
    "unsigned": unsigned,
    "swapped": swapped,
    "swapped failure": swapped,
    "without mac": without_mac,
    "value as error": value_as_error,
    "another job": of_another_job,
    "another round": of_another("1.0.0.1"),
    "another task": of_another("0.1.0.1"),
    "another attempt": of_another("0.0.1.1"),
    "another slot": of_another("0.0.0.2"),
}


def exchanged(job: Path, other: Path, mark: Path) -> None:
    one, two = written(job)
    one.put(one.head, two.body, two.mac)
    two.put(two.head, one.body, one.mac)


def renumbered(job: Path, other: Path, mark: Path) -> None:
    for one in list(written(job)):
        call = one.header["call"]
        one.put(one.head.replace(b'"call":%d' % call, b'"call":%d' % (1 - call)), one.body, one.mac)


def truncated(job: Path, other: Path, mark: Path) -> None:
    for one in list(written(job)):
        os.truncate(one.path, min(one.path.stat().st_size, one.offset + len(one.head) + len(one.body) + 31))
        if one.offset == 0:
            os.truncate(one.path, len(one.head) + len(one.body) + 31)


def linked(job: Path, other: Path, mark: Path) -> None:
    (theirs,) = written(other)
    for path in {one.path for one in written(job)}:
        path.unlink()
        path.symlink_to(theirs.path)


DOUBLE: dict[str, tuple[Forge, type[Exception]]] = {
    "exchanged": (exchanged, ForgedResult),
    "renumbered": (renumbered, ForgedResult),
    "truncated": (truncated, JobLost),
    "linked": (linked, JobLost),
}


@pytest.mark.timeout(300)
@BOTH
def test_nothing_forged_is_ever_unpickled(there: ClusterConfig, bed: Bed | None, shared: Path) -> None:
    go = shared / "go"
    marks = {name: shared / f"genuine {name}" for name in [*SINGLE, *DOUBLE, "intact", "appended"]}
    jobs: dict[str, str] = {}
    for name in [*SINGLE, "intact", "appended"]:
        jobs[name] = produce.submit(go, marks[name], fail="failure" in name).id
    for name in DOUBLE:
        jobs[name] = produce.map([go, go], [marks[name], shared / f"genuine {name[::-1]}"]).id
    session.close()  # nobody fetches until everything is forged
    go.touch()
    work_dir = Onlooker(there, bed).work_dir
    directories = {name: work_dir / "jobs" / job[:2] / job for name, job in jobs.items()}
    for name, directory in directories.items():
        tasks = json.loads((directory / "spec.json").read_text())["tasks"]
        until(lambda at=directory, n=tasks: len(list(at.glob("status-0.?"))) == n, f"{name} ended", 100)
    for mark in shared.glob("genuine *"):  # before it sends an exception, the worker looks whether it can be unpickled
        mark.unlink()
    intact = directories["intact"]
    for name, forge in [*SINGLE.items(), *((name, forge) for name, (forge, _) in DOUBLE.items())]:
        forge(directories[name], intact, shared / f"evil {name}")
    (one,) = written(directories["appended"])
    mark = shared / "evil appended"
    with one.path.open("ab") as file:
        file.write(one.head + evil(mark, len(one.body)) + one.mac)

    # Of tasks that are through, results are waited for: they may be seen late. All of them at a time.
    found: dict[str, Any] = {name: clustrix.get_job(job) for name, job in jobs.items() if name in {*SINGLE, *DOUBLE}}
    for name in SINGLE:
        error = found[name].exception(60)
        assert type(error) is ForgedResult, f"{name}: {error!r}"
        assert jobs[name] in str(error)
    for name, (_, wanted) in DOUBLE.items():
        ended = list(found[name].as_completed(100))
        assert [type(done.exception()) for done in ended] == [wanted, wanted], f"{name}: {ended}"
    assert sorted(path.name for path in shared.iterdir()) == ["go"]

    # What is genuine is unpickled, so the files would have been there; and the first record of a call is its result.
    for name in ("intact", "appended"):
        last: Any = clustrix.get_job(jobs[name])
        value, _ = last.result(60)
        value.close()
    assert sorted(path.name for path in shared.iterdir()) == ["genuine appended", "genuine intact", "go"]


def test_behind_a_forged_record_nothing_is_read(tmp_path: Path) -> None:
    key, job = secrets.token_hex(32), "00aa"
    signer = records.Signer(bytes.fromhex(key), job)

    def record(run: str, mark: Path) -> bytes:
        return b"".join(records.pack(signer, {"run": run, "kind": "value", "call": 0}, pickling.dump(Trace(mark))))

    mirror = tmp_path / "mirror"
    mirror.mkdir()
    results = mirror / "results-0.0.1.1"
    results.write_bytes(record("0.0.0.1", tmp_path / "earlier") + record("0.0.1.1", tmp_path / "behind"))
    inbox = Inbox(mirror, job, key, 1)
    for _ in range(3):
        assert list(inbox.read()) == []
        assert type(inbox.forged) is ForgedResult
    assert [path.name for path in tmp_path.iterdir()] == ["mirror"]


# ---------------------------------------------------------------- another user of the machine


@pytest.fixture
def room(home: Path, slurm_bed: SlurmBed) -> Iterator[Path]:
    """A directory of the cluster's user that all can enter, for work_dirs."""
    path = Path("/home") / f"clustrix-{secrets.token_hex(4)}"
    path.mkdir()
    path.chmod(0o755)
    shutil.chown(path, slurm_bed.user, slurm_bed.user)
    yield path
    session.close()
    shutil.rmtree(path, ignore_errors=True)


def go_to(bed: SlurmBed, work_dir: Path, place: str = "slurm", **more: Any) -> ClusterConfig:
    found = settings(place, bed, work_dir=str(work_dir), **more)
    config.configure(default=found)
    return found


def may(bed: SlurmBed, script: str, *arguments: object) -> str:
    """Return what the second user gets from a shell script, on stdout and stderr."""
    return bed.run("sh", "-c", f"exec 2>&1; {script}", "sh", *map(str, arguments), user=bed.second_user, check=False)


def test_the_second_user_can_reach_nothing(slurm_bed: SlurmBed, room: Path, shared: Path) -> None:
    there = go_to(slurm_bed, room / "work")
    job = produce.submit(shared / "go", shared / "mark")
    directory = Onlooker(there, slurm_bed).directory(job)
    until(lambda: list(directory.glob("results-*")), "the worker began", 100)
    for path in (room / "work", directory, directory / "key", *directory.glob("results-*")):
        for command in ('cat "$1"', 'ls "$1"', 'touch "$1/x" || touch "$1"', 'ln -s /etc "$1/x"', 'mv "$1" "$1.old"'):
            said = may(slurm_bed, f"{command} && echo GOT THROUGH", path)
            assert "GOT THROUGH" not in said and "ermission denied" in said, f"{command} {path}: {said}"
    key = (directory / "key").read_text()
    seen = may(slurm_bed, "ps axwwe; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; scontrol show job")
    assert "clustrix" in seen and key not in seen
    (shared / "go").touch()
    value, _ = job.result(60)
    value.close()


@BOTH
def test_a_function_finds_the_key_neither_in_its_environment_nor_in_its_arguments(there: ClusterConfig) -> None:
    @cluster
    def seen() -> tuple[str, str]:
        import os
        import pathlib
        import sys

        text = repr(dict(os.environ)) + repr(sys.argv)
        for name in ("environ", "cmdline"):
            text += pathlib.Path("/proc/self", name).read_bytes().decode("utf-8", "replace")
        directory = clustrix.current_job().directory  # type: ignore[union-attr]
        return text, pathlib.Path(directory, "key").read_text()

    text, key = seen()
    assert len(key) == 64 and key not in text and bytes.fromhex(key) not in text.encode("utf-8", "replace")


def refused(work_dir: Path) -> str:
    """Return why a call that goes there was refused."""
    error = echo.submit(1).exception(60)
    assert type(error) is StagingError, repr(error)
    assert str(work_dir) in str(error) and error.hint
    return str(error)


def test_a_work_dir_that_the_second_user_has_made(slurm_bed: SlurmBed, room: Path, shared: Path) -> None:
    theirs = shared / "work"
    may(slurm_bed, 'mkdir -m 777 "$1"', theirs)
    go_to(slurm_bed, theirs)
    assert slurm_bed.second_user in refused(theirs)
    assert list(theirs.iterdir()) == []


def test_a_link_of_the_second_user_to_a_directory_of_ours(slurm_bed: SlurmBed, room: Path, shared: Path) -> None:
    ours = room / "ours"
    slurm_bed.run("mkdir", "-m", "755", str(ours))
    may(slurm_bed, 'ln -s "$1" "$2"', ours, shared / "work")
    assert (shared / "work").is_symlink()
    go_to(slurm_bed, shared / "work")
    assert "somebody else has made this link" in refused(shared / "work")
    assert stat.S_IMODE(ours.stat().st_mode) == 0o755 and list(ours.iterdir()) == []
    # One's own link leads where it says.
    slurm_bed.run("ln", "-s", str(ours), str(room / "link"))
    go_to(slurm_bed, room / "link")
    assert echo(1) == 1


@pytest.mark.parametrize("name", ["worker", "jobs", "slots", f"worker/{bundle.digest()}"])
@pytest.mark.parametrize("kind", ["directory", "link"])
def test_what_the_second_user_has_put_into_an_open_work_dir(
    slurm_bed: SlurmBed, room: Path, shared: Path, name: str, kind: str
) -> None:
    work_dir = room / "work"
    slurm_bed.run("mkdir", "-m", "777", str(work_dir))
    plant = 'mkdir -p "$1/elsewhere" "$(dirname "$2/$3")"; ' + (
        'mkdir "$2/$3"; touch "$2/$3/complete"' if kind == "directory" else 'ln -s "$1/elsewhere" "$2/$3"'
    )
    may(slurm_bed, f"umask 0; {plant}", shared, work_dir, name)
    assert (work_dir / name).is_symlink() == (kind == "link") and (work_dir / name).is_dir()
    go_to(slurm_bed, work_dir)
    assert "others could write to it" in refused(work_dir)
    assert "others could write to it" in refused(work_dir)  # it does not pass the second time
    # Its owner has closed it, but what was planted is still there.
    work_dir.chmod(0o700)
    assert "is not ours" in refused(work_dir)
    shutil.rmtree(work_dir)
    assert echo(2) == 2


def test_an_open_work_dir_that_holds_nothing_of_ours_is_closed(slurm_bed: SlurmBed, room: Path) -> None:
    slurm_bed.run("mkdir", "-m", "777", str(room / "work"))
    slurm_bed.run("touch", str(room / "work/notes"))
    go_to(slurm_bed, room / "work")
    assert echo(1) == 1
    assert stat.S_IMODE((room / "work").stat().st_mode) == 0o700


# ---------------------------------------------------------------- what is opened while a job waits


def key_readable(directory: Path, bed: SlurmBed) -> None:
    for path in (*list(directory.parents)[:3], directory):
        path.chmod(0o755)
    (directory / "key").chmod(0o644)


def work_dir_writable(directory: Path, bed: SlurmBed) -> None:
    directory.parents[2].chmod(0o777)


def job_directory_writable(directory: Path, bed: SlurmBed) -> None:
    for path in list(directory.parents)[:3]:
        path.chmod(0o755)
    directory.chmod(0o770)


def key_of_another(directory: Path, bed: SlurmBed) -> None:
    (directory / "key").unlink()
    (directory / "key").write_text("ab" * 32)
    (directory / "key").chmod(0o644)
    shutil.chown(directory / "key", bed.second_user)


def key_linked(directory: Path, bed: SlurmBed) -> None:
    (directory / "key").rename(directory / "other")
    (directory / "key").symlink_to("other")


def job_directory_of_another(directory: Path, bed: SlurmBed) -> None:
    shutil.chown(directory, bed.second_user)
    directory.chmod(0o755)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (key_readable, "refused: others can read"),
        (work_dir_writable, "refused: others can write to"),
        (job_directory_writable, "refused: others can write to"),
        (key_of_another, "belongs to somebody else"),
        (job_directory_of_another, "belongs to somebody else"),
        (key_linked, "symbolic link"),
    ],
)
@pytest.mark.parametrize("place", ["slurm"], indirect=True)
def test_a_worker_signs_nothing_where_others_could_have_been(
    slurm_bed: SlurmBed, place: str, room: Path, shared: Path, spoil: Callable[[Path, SlurmBed], None], why: str
) -> None:
    there = go_to(slurm_bed, room / "work", place)
    job = echo.options(setup=[f"echo waiting; while [ ! -e {shared}/go ]; do sleep 0.05; done"]).submit(1)
    onlooker = Onlooker(there, slurm_bed)
    onlooker.wait_until_running(job)
    directory = onlooker.directory(job)
    spoil(directory, slurm_bed)
    (shared / "go").touch()
    error = job.exception(60)
    assert type(error) is JobFailed, repr(error)
    assert why in (error.log or ""), error.log
    assert not list(directory.glob("results-*"))


@BOTH
def test_a_client_whose_key_is_open_submits_nothing(there: ClusterConfig, bed: Bed | None, home: Path) -> None:
    assert echo(1) == 1
    jobs = Onlooker(there, bed).work_dir / "jobs"
    session.close()
    (home / "key").chmod(0o644)
    before = set(jobs.glob("*/*"))
    with pytest.raises(clustrix.ConfigError, match="others can read it"):
        echo(2)
    session.close()
    assert set(jobs.glob("*/*")) <= before
