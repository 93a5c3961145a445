"""Large data: sent once for a cluster, one file for all tasks there, files and folders as arguments and as values."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clustrix
from clustrix import CannotTravel, ClusterConfig, PayloadError, cluster
from clustrix_core.api import session
from clustrix_core.api.cleaning import clean, finished
from clustrix_core.transport.counting import Counting
from tests.real.onlooker import Onlooker, until

MB = 1 << 20
BIG = np.random.default_rng(os.getpid()).random(4 * MB)  # 32 MB that no cluster has seen


def blobs(onlooker: Onlooker) -> Path:
    return onlooker.work_dir / "blobs"


def sent(wire: Sequence[Counting]) -> int:
    return sum(one.sent for one in wire)


def reset(wire: Sequence[Counting]) -> None:
    for one in wire:
        one.reset()


@cluster
def spoil(array: Any, by: float = 1) -> tuple[float, float]:
    array[0] += by
    return float(array[0]), float(array[-1])


@cluster
def last_of_global() -> float:
    return float(BIG[-1])


@cluster
def inode(array: Any, number: int) -> tuple[float, list[int]]:
    with open("/proc/self/maps") as maps:
        held = [line for line in maps if "/blobs/" in line]
    return float(array[number]), sorted({int(line.split()[4]) for line in held})


def test_data_is_sent_once_for_a_cluster(with_numpy: None, wire: list[Counting], onlooker: Onlooker) -> None:
    assert spoil(BIG) == (BIG[0] + 1, BIG[-1])
    assert 32 * MB < sent(wire) < 33 * MB
    reset(wire)
    # As an argument, as a constant of a map, in each of its calls, captured: the same bytes are not sent again.
    assert spoil.submit(BIG, by=2).result(60) == (BIG[0] + 2, BIG[-1])
    assert last_of_global() == BIG[-1]
    assert list(spoil.map([BIG] * 3, by=3)) == [(BIG[0] + 3, BIG[-1])] * 3
    assert [value for value, _ in inode.map([BIG] * 4, range(4))] == list(BIG[:4])
    assert sent(wire) < MB
    digest = hashlib.sha256(BIG.tobytes()).hexdigest()
    found = (blobs(onlooker) / digest).stat()
    assert stat.S_IMODE(found.st_mode) == 0o400 and stat.S_IMODE(blobs(onlooker).stat().st_mode) == 0o700


def test_all_tasks_share_one_file(with_numpy: None, onlooker: Onlooker, wire: list[Counting]) -> None:
    run = inode.options(max_parallel=2, chunk=1).map([BIG] * 4, range(4))
    assert len({tuple(inodes) for _, inodes in run}) == 1
    assert sum("clustrix: staged" in command for one in wire for command in one.commands) <= 2


def test_a_job_holds_its_data_and_clean_removes_what_nobody_needs(with_numpy: None, onlooker: Onlooker) -> None:
    mine = BIG[: 2 * MB] + 1
    blob = blobs(onlooker) / hashlib.sha256(mine.tobytes()).hexdigest()
    assert spoil(mine)[1] == mine[-1]
    journal = session.engine().journal
    until(lambda: not journal.garbage(journal.entries()[0].place), "its directory is removed", 20)
    until(lambda: blob.stat().st_nlink == 1, "no job has it", 20)

    @cluster
    def slow(array: Any, go: str) -> float:
        import os
        import time

        while not os.path.exists(go):
            time.sleep(0.05)
        return float(array[-1])

    go = onlooker.work_dir / f"go-{os.getpid()}"
    running = slow.submit(mine, str(go))
    until(lambda: blob.stat().st_nlink == 2, "the job has it", 60)
    os.utime(blob, (0, 0))
    clean(finished(journal))
    assert blob.exists()
    go.touch()
    assert running.result(60) == mine[-1]
    until(lambda: blob.stat().st_nlink == 1, "no job has it", 20)
    clean(finished(journal))
    assert not blob.exists()
    assert spoil(mine)[1] == mine[-1]  # sent again


def test_damaged_data_is_refused_and_sent_again(with_numpy: None, onlooker: Onlooker) -> None:
    mine = BIG[: 2 * MB] + 2
    blob = blobs(onlooker) / hashlib.sha256(mine.tobytes()).hexdigest()
    assert spoil(mine)[1] == mine[-1]
    blob.chmod(0o600)
    with blob.open("r+b") as file:
        file.seek(mine.nbytes - 8)
        file.write(bytes(8))
    blob.chmod(0o400)
    with pytest.raises(PayloadError, match="is damaged"):
        spoil(mine)
    assert spoil(mine)[1] == mine[-1]


# ---------------------------------------------------------------- files and folders


@cluster
def read(things: Any) -> Any:
    file, folder = things["file"], things["more"][0]
    tree = sorted(str(path.relative_to(folder)) for path in folder.path.rglob("*"))
    modes = [os.access(folder.path / name, os.X_OK) for name in ("run.sh", "plain.txt")]
    with open(file) as opened:
        return file.name, opened.read(), os.fspath(file) == str(file.path), folder.name, tree, modes


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "data set"
    (root / "sub" / "empty").mkdir(parents=True)
    (root / "plain.txt").write_text("plain")
    (root / "sub" / "größe.txt").write_text("deep")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "sub" / "up").symlink_to("../plain.txt")
    (root / "far").symlink_to(root / "sub" / "größe.txt")
    return root


def test_files_and_folders(there: ClusterConfig, tree: Path) -> None:
    file = tree.parent / "a file.csv"
    file.write_text("1,2\n")
    found = read({"file": clustrix.File(file), "more": [clustrix.Folder(str(tree))]})
    names = ["far", "plain.txt", "run.sh", "sub", "sub/empty", "sub/größe.txt", "sub/up"]
    assert found == ("a file.csv", "1,2\n", True, "data set", names, [True, False])


def test_a_large_file_is_sent_once_and_cannot_be_written_to(
    there: ClusterConfig, wire: list[Counting], tmp_path: Path
) -> None:
    file = tmp_path / "large.bin"
    file.write_bytes(os.urandom(8 * MB))

    @cluster
    def length(one: Any) -> Any:
        mode = one.path.stat().st_mode & 0o222
        with open(one, "rb") as opened:
            return len(opened.read()), mode

    assert length(clustrix.File(file)) == (8 * MB, 0)
    reset(wire)
    assert list(length.map([clustrix.File(file)] * 3)) == [(8 * MB, 0)] * 3
    assert sent(wire) < MB


def test_what_cannot_travel_is_refused_before_anything_is_sent(
    there: ClusterConfig, wire: list[Counting], tree: Path
) -> None:
    file = tree / "plain.txt"
    loop, fifo, out = tree.parent / "loop", tree.parent / "fifo", tree / "out"
    loop.symlink_to(loop)
    os.mkfifo(fifo)
    for bad, why in [
        (clustrix.File(tree / "none"), "none: No such file"),
        (clustrix.File(tree), "is not a file"),
        (clustrix.Folder(file), "is not a folder"),
        (clustrix.File(loop), "loop: Too many levels of symbolic links"),
        (clustrix.File(fifo), "is not a file"),
    ]:
        with pytest.raises(CannotTravel, match=f"argument 'things'.*{why}"):
            read([{"deep": bad}])
    for target, why in (
        ("/etc/passwd", "out is a link that leaves the folder"),
        ("out", "out is a link that leads no"),
    ):
        out.symlink_to(target)
        with pytest.raises(CannotTravel, match=why):
            read(clustrix.Folder(tree))
        out.unlink()
    os.mkfifo(out)
    with pytest.raises(CannotTravel, match="out is neither a file nor a folder"):
        read(clustrix.Folder(tree))
    assert sent(wire) == 0


def test_a_file_that_changes_before_it_is_sent(there: ClusterConfig, tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"x" * 8 * MB)
    engine = session.engine()
    with engine.uploads._locks[engine_place(there)]:
        job = cluster(os.path.getsize).submit(clustrix.File(file))
        until(lambda: not job.running(), "it waits")
        file.write_bytes(os.urandom(8 * MB))
    with pytest.raises(clustrix.StagingError, match="has changed since"):
        job.result(60)


def engine_place(settings: ClusterConfig) -> str:
    from clustrix_core.engine import places

    return places.place(settings)
