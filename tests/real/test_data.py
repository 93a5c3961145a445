"""Large data: sent once for a cluster, one file for all tasks there, files and folders as arguments and as values."""

from __future__ import annotations

import hashlib
import os
import pickle
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clustrix
from clustrix import CannotTravel, ClusterConfig, ForgedResult, PayloadError, ValueGone, cluster
from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.api.cleaning import clean, finished
from clustrix_core.engine import places
from clustrix_core.engine.again import retry
from clustrix_core.transport.counting import Counting
from tests.real.onlooker import Onlooker, until

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import interpreters

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
def first_time(array: Any, file: Any, name: str) -> tuple[float, str]:
    """Raises in the first job that runs it under this name."""
    import os

    mark = os.path.expanduser("~/.clustrix-first-" + name)  # Grid Engine gives each job a TMPDIR of its own
    if not os.path.exists(mark):
        open(mark, "w").close()
        1 // 0  # noqa: B018
    os.unlink(mark)
    return float(array[-1]), file.path.read_text()


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


def test_many_pieces_are_sent_in_one_go(with_numpy: None, wire: list[Counting]) -> None:
    arrays = [BIG[: MB // 4] + number + 10 for number in range(40)]
    assert [value for value, _ in spoil.map(arrays)] == [array[0] + 1 for array in arrays]
    commands = [command for one in wire for command in one.commands]
    assert sum(command.endswith(" receive") for command in commands) == 1
    assert sum("clustrix: staged" in command for command in commands) == 2


@pytest.mark.parametrize("place", ["local", "ssh"], indirect=True)
def test_cancelled_while_its_data_is_sent(with_numpy: None, onlooker: Onlooker, wire: list[Counting]) -> None:
    engine = session.engine()
    mine = BIG + 4
    with engine.uploads._locks[places.place(onlooker.place)]:
        job = spoil.submit(mine)
        until(lambda: any("clustrix: staged" in command for one in wire for command in one.commands), "it is missed")
        cancelling = threading.Thread(target=job.cancel)
        cancelling.start()
        until(lambda: job._flight is not None and job._flight.withdrawn, "it is cancelled")
    cancelling.join(60)
    assert job.cancelled()
    assert sent(wire) < 5 * MB
    assert not (blobs(onlooker) / hashlib.sha256(mine.tobytes()).hexdigest()).exists()
    assert not (onlooker.work_dir / "jobs" / job.id[:2] / job.id).exists()


def test_a_client_that_dies_and_a_job_that_is_tried_again(
    with_numpy: None, client: Callable[..., str], tmp_path: Path
) -> None:
    script, file = tmp_path / "dies.py", tmp_path / "small"
    script.write_text(
        "import os, sys, clustrix, numpy\nfrom tests.real.test_data import first_time\n"
        "job = first_time.submit(numpy.arange(400_000.0), clustrix.File(sys.argv[1]), sys.argv[2])\n"
        "print(job.id, flush=True)\nos._exit(0)\n"
    )
    file.write_text("x")
    root = str(Path(__file__).parents[2])
    client.environment["PYTHONPATH"] = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])  # type: ignore[attr-defined]
    job: Any = clustrix.get_job(client(script, file, f"{os.getpid()}.{there_name(tmp_path)}").strip())
    with pytest.raises(ZeroDivisionError):
        job.result(90)
    again: Any = clustrix.Job()
    engine = session.engine()
    again._bind(engine, retry(engine, job.id, again._deliver))
    assert again.result(90) == (399_999.0, "x")


def there_name(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:8]


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
    with engine.uploads._locks[places.place(there)]:
        job = cluster(os.path.getsize).submit(clustrix.File(file))
        until(lambda: not job.running(), "it waits")
        file.write_bytes(os.urandom(8 * MB))
    with pytest.raises(clustrix.StagingError, match="has changed since"):
        job.result(60)


# ---------------------------------------------------------------- values


@cluster
def make(count: int, go: str | None = None) -> Any:
    import os
    import time

    import numpy

    while go and not os.path.exists(go):
        time.sleep(0.05)
    return {"array": numpy.arange(float(count)), "note": "x"}


@cluster
def total(value: Any, more: Any = 0) -> float:
    value["array"][0] += 1  # it can be written to, and nobody else sees it
    return float(value["array"].sum()) + more


@cluster
def report(text: str) -> Any:
    import os
    import tempfile

    import clustrix

    os.chdir(tempfile.mkdtemp())
    with open("out.txt", "w") as out:
        out.write(text)
    os.makedirs("plots/deep")
    with open("plots/deep/a.bin", "wb") as out:
        out.write(b"y" * (3 << 20))
    return [clustrix.File("out.txt"), {"all": clustrix.Folder("plots")}]


@cluster
def look(value: Any) -> tuple[str, int]:
    file, more = value
    return file.path.read_text(), sum(path.stat().st_size for path in more["all"].path.rglob("*") if path.is_file())


SUM = sum(range(2 * MB))  # of 16 MB


def test_large_values_come_and_can_be_written_to(with_numpy: None, wire: list[Counting]) -> None:
    for value in (make(2 * MB), *make.map([2 * MB, 3])):
        value["array"][0] = 5
        assert value["note"] == "x" and value["array"][:3].tolist() == [5, 1, 2]
    assert 32 * MB < sum(one.received for one in wire) < 34 * MB


def test_files_and_folders_come_back(there: ClusterConfig, home: Path) -> None:
    first = report.submit("written there")
    assert look.submit(first).result(60) == ("written there", 3 * MB)
    file, more = first.result(60)
    assert (file.name, file.path.read_text()) == ("out.txt", "written there")
    assert (more["all"].path / "deep" / "a.bin").read_bytes() == b"y" * 3 * MB
    assert home in file.path.parents
    assert look((file, more)) == ("written there", 3 * MB)


def test_a_value_that_is_kept_there_goes_from_job_to_job(
    with_numpy: None, wire: list[Counting], client: Callable[..., str], tmp_path: Path
) -> None:
    job = make.submit(2 * MB)
    kept = job.result(60, keep=True)
    assert job.id in repr(kept) and "16.8 MB" in repr(kept) and len(pickle.dumps(kept)) < 300
    assert total(kept) == total(job) == SUM + 1
    assert list(total.map([kept, kept], more=2)) == [SUM + 3] * 2
    assert sum(one.sent + one.received for one in wire) < MB
    (tmp_path / "kept").write_bytes(pickle.dumps(kept))
    code = "import pickle, sys; print(len(pickle.load(open(sys.argv[1], 'rb')).result()['array']))"
    assert int(client("-c", code, tmp_path / "kept")) == 2 * MB  # later, and in another process
    assert kept.result()["array"].sum() == job.result()["array"].sum() == SUM


def test_what_becomes_of_a_value_that_is_kept(with_numpy: None, onlooker: Onlooker) -> None:
    job = make.submit(2 * MB)
    kept = job.result(60, keep=True)
    directory = onlooker.directory(job)
    assert make(3)["note"] == "x"  # the next look removes what may go
    assert directory.exists()
    with pytest.raises(CannotTravel, match=r"'kept'.*uses, is a job"):
        total(lambda: kept)
    with pytest.raises(CannotTravel, match="is a job of this process"):
        cluster(lambda: kept)()
    clean(finished(session.engine().journal))
    assert not directory.exists()
    for again in (kept.result, lambda: total(kept)):
        with pytest.raises(ValueGone, match="its job was cleaned"):
            again()
    over = make.submit(3)
    over.result(60)
    until(lambda: not onlooker.directory(over).exists(), "its directory is removed", 20)
    with pytest.raises(ValueGone, match="it was over before"):
        over.result(keep=True)
    with pytest.raises(ZeroDivisionError):
        cluster(lambda: 1 // 0).submit().result(60, keep=True)


@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_a_value_that_is_kept_elsewhere(with_numpy: None, tmp_path: Path) -> None:
    kept = make.submit(3).result(60, keep=True)
    other = ClusterConfig(name="other", backend="local", work_dir=str(tmp_path / "other"))
    with pytest.raises(CannotTravel, match="is not where this call runs"):
        total.options(cluster=other)(kept)
    assert total.options(cluster=other)(kept.result()) == 4


@pytest.mark.parametrize("place", ["local", "slurm"], indirect=True)
def test_a_large_value_that_was_changed_is_not_loaded(with_numpy: None, onlooker: Onlooker, tmp_path: Path) -> None:
    job = make.submit(2 * MB)
    kept = job.result(60, keep=True)
    (blob,) = onlooker.directory(job).glob("value-*")
    blob.chmod(0o600)
    with blob.open("r+b") as file:
        file.write(b"forged")
    with pytest.raises(ForgedResult, match="not loaded"):
        kept.result()
    with pytest.raises(PayloadError, match="is damaged"):
        total(kept)


@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_a_large_value_of_a_client_that_died(
    with_numpy: None, client: Callable[..., str], onlooker: Onlooker, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    script = tmp_path / "dies.py"
    script.write_text(
        "import os, sys\nfrom tests.real.test_data import make\njob = make.submit(2 << 20, sys.argv[1])\n"
        "import time\nwhile not job._flight.handle: time.sleep(0.05)\nprint(job.id, flush=True)\nos._exit(0)\n"
    )
    root = str(Path(__file__).parents[2])
    client.environment["PYTHONPATH"] = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])  # type: ignore[attr-defined]
    job = client(script, go).strip()
    go.touch()
    work = onlooker.work_dir / "jobs" / job[:2] / job
    until(lambda: (work / "status-0.0").exists(), "it has ended", 60)
    for _ in range(2):  # looking brings no large values, and lets nothing be removed
        client("-m", "clustrix_core.cli", "jobs")
        assert list(work.glob("value-*"))
    found: Any = clustrix.get_job(job)
    assert found.result(60)["array"].sum() == SUM


@cluster
def everything(data: Any, things: Any) -> Any:
    import os
    import sys
    import tempfile

    import clustrix

    os.chdir(tempfile.mkdtemp())
    with open(things["file"]) as file:
        text = file.read()
    with open("twice.txt", "w") as out:
        out.write(text * 2)
    names = sorted(path.name for path in things["folder"].path.rglob("*"))
    return len(data), names, clustrix.File("twice.txt"), b"z" * (2 << 20), list(sys.version_info[:2])


@cluster
def of_everything(found: Any) -> tuple[str, int]:
    return found[2].path.read_text(), len(found[3])


OTHERS = [minor for minor in interpreters.find(interpreters.OLDEST_WORKER) if minor != sys.version_info[:2]]


@pytest.mark.parametrize("place", ["local"], indirect=True)
@pytest.mark.parametrize("there_runs", [OTHERS[0], OTHERS[-1]] if OTHERS else [], ids=str)
def test_another_python_over_there(there: ClusterConfig, there_runs: tuple[int, int], tree: Path) -> None:
    config.configure(python=str(interpreters.find(interpreters.OLDEST_WORKER)[there_runs]))
    things = {"file": clustrix.File(tree / "plain.txt"), "folder": clustrix.Folder(tree)}
    for _ in range(2):  # before its Python is known, and after
        job = everything.submit(b"x" * 3 * MB, things)
        kept = job.result(60, keep=True)
        assert of_everything(kept) == ("plain" * 2, 2 * MB)
    length, names, file, more, version = kept.result()
    assert (length, len(more), tuple(version)) == (3 * MB, 2 * MB, there_runs)
    assert names == ["empty", "far", "größe.txt", "plain.txt", "run.sh", "sub", "up"]
    assert file.path.read_text() == "plain" * 2


@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_file_systems_without_hard_links(
    with_numpy: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, onlooker: Onlooker
) -> None:
    ln = tmp_path / "bin" / "ln"
    ln.parent.mkdir()
    ln.write_text("#!/bin/sh\nexit 1\n")
    ln.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ln.parent}{os.pathsep}{os.environ['PATH']}")
    mine = BIG[: 2 * MB] + 3
    assert spoil(mine)[1] == mine[-1]
    assert list(spoil.map([mine] * 2)) == [(mine[0] + 1, mine[-1])] * 2


# ---------------------------------------------------------------- memory, and clients side by side

PEAK = """
import numpy as np
import clustrix

def high():  # ru_maxrss begins with that of the process that has started this one
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

@clustrix.cluster(memory="1GB")
def takes(array):
    return float(array.sum()), high()

@clustrix.cluster(memory="1GB")
def makes(count):
    import numpy
    return numpy.ones(count), high()

COUNT = {count}
_, small = takes(np.ones(1000))
makes(1000)
before = high()
array = np.random.default_rng(1).random(COUNT)
total, big = takes(array)
assert abs(total - float(array.sum())) < 1e-6 * total
sent = high() - before
del array
value, _ = makes(COUNT)
print((big - small) / (8 * COUNT), sent / (8 * COUNT), (high() - before) / (8 * COUNT))
"""


@pytest.mark.slow
@pytest.mark.parametrize("place", ["local", "slurm"], indirect=True)
def test_memory_is_that_of_the_data(with_numpy: None, client: Callable[..., str], tmp_path: Path) -> None:
    script = tmp_path / "peak.py"
    script.write_text(PEAK.replace("{count}", str(27 * MB)))  # 226 MB
    over_there, sent, received = map(float, client(script).split())
    assert 0.9 < over_there <= 1.2
    assert 0.9 < sent <= 1.2
    assert 0.9 < received <= 1.2


TWO = """
import sys
import numpy as np
import clustrix

@clustrix.cluster
def last(array):
    return float(array[-1])

print(last(np.random.default_rng(int(sys.argv[1])).random(4 << 20)))
"""


def test_two_clients_that_send_the_same_at_once(
    with_numpy: None, client: Callable[..., str], tmp_path: Path, onlooker: Onlooker
) -> None:
    script = tmp_path / "two.py"
    script.write_text(TWO)
    homes = [{**client.environment, "CLUSTRIX_HOME": str(tmp_path / f"home{n}")} for n in range(3)]  # type: ignore[attr-defined]
    argv = [sys.executable, str(script), str(os.getpid() + 1)]
    running = [subprocess.Popen(argv, env=home, stdout=subprocess.PIPE, text=True) for home in homes]
    said = {one.communicate(timeout=100)[0] for one in running}
    array = np.random.default_rng(os.getpid() + 1).random(4 << 20)
    assert said == {f"{array[-1]}\n"}
    assert (blobs(onlooker) / hashlib.sha256(array.tobytes()).hexdigest()).stat().st_size == array.nbytes
