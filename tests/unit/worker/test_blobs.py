"""Blobs: named after what they hold, checked before they are used; folders as one stream; what receives them."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clustrix_core import payload
from clustrix_core.errors import CannotTravel
from clustrix_core.payload.outgoing import Outgoing
from clustrix_core.worker import blobs, folders, pickling
from clustrix_core.worker.carried import File, Folder
from clustrix_core.worker.parts import NAMED, Named, Parts
from clustrix_core.worker.payloads import Payload
from clustrix_core.worker.receiving import CHANGED, receive

MB = 1 << 20
DATA = os.urandom(MB)
DIGEST = hashlib.sha256(DATA).hexdigest()


def test_a_blob_is_kept_once_and_cannot_be_written_to(tmp_path: Path) -> None:
    store = blobs.Store(str(tmp_path / "blobs"))
    first = store.keep([DATA[:5], DATA[5:]])
    assert blobs.parse(first) == (DIGEST, MB)
    found = (tmp_path / "blobs" / DIGEST).stat()
    assert stat.S_IMODE(found.st_mode) == 0o400
    assert store.keep([memoryview(DATA)]) == first
    assert (tmp_path / "blobs" / DIGEST).stat().st_ino == found.st_ino
    assert [path.name for path in (tmp_path / "blobs").iterdir()] == [DIGEST]


def test_what_is_cut_off_leaves_nothing(tmp_path: Path) -> None:
    store = blobs.Store(str(tmp_path / "blobs"))
    with pytest.raises(KeyboardInterrupt), store.new() as new:
        new.write(DATA)
        raise KeyboardInterrupt
    assert not list((tmp_path / "blobs").iterdir())


@pytest.mark.parametrize("spoil", [b"", DATA[:-1], DATA[:-1] + b"?" if DATA[-1:] != b"?" else DATA[:-1] + b"!"])
def test_what_is_damaged_is_refused(spoil: bytes, tmp_path: Path) -> None:
    job = tmp_path / "work" / "jobs" / "aa" / "aabb"
    shared = tmp_path / "work" / "blobs"
    for directory in (job / "blobs", shared):
        directory.mkdir(parents=True)
    name = blobs.Store(str(shared)).keep([DATA])
    os.link(shared / DIGEST, job / "blobs" / DIGEST)
    assert blobs.Shelf(str(job)).find(name) == (str(job / "blobs" / DIGEST), MB)
    (shared / DIGEST).chmod(0o600)
    (shared / DIGEST).write_bytes(spoil)
    with pytest.raises(blobs.Damaged, match="is damaged"):
        blobs.Shelf(str(job)).find(name)
    assert not (shared / DIGEST).exists()  # the next job that needs it brings it anew
    with pytest.raises(blobs.Damaged, match="not there"):
        blobs.Shelf(str(tmp_path)).find(name)
    with pytest.raises(blobs.Damaged, match="is not the name"):
        blobs.Shelf(str(job)).find(b"short")


def test_large_parts_of_a_payload_are_blobs(tmp_path: Path) -> None:
    array, text = np.arange(MB / 4), "t" * MB
    calls = [((array, n), {}) for n in range(3)]
    payload.pack_by_value(tmp_path / "payload", lambda *args, text: None, calls, {"text": text})
    assert (tmp_path / "payload").stat().st_size < 10_000
    names = {path.name for path in (tmp_path / "blobs").iterdir()}
    assert hashlib.sha256(array.tobytes()).hexdigest() in names and len(names) == 2
    assert {line.split()[0] for line in (tmp_path / "payload-needs").read_text().splitlines()} == names
    found = Payload(str(tmp_path / "payload"))
    assert found.constants() == {"text": text}
    (first, _), _ = found.call(0)
    first[0] = 7.0  # its own pages
    (second, number), _ = found.call(2)
    assert (second == array).all() and number == 2 and second.flags.writeable
    found.close()


def test_arrays_that_are_gone_are_not_taken_for_others(tmp_path: Path) -> None:
    store = Outgoing(tmp_path / "payload")
    seen = set()
    for number in range(20):  # each in the memory of the one before
        array = np.full(MB // 8, float(number))
        parts = pickling.dump(array)
        seen.add(bytes(blobs.named(parts, store.keep).buffers[0]))
        del array, parts
    assert len(seen) == 20


def test_pieces_of_one_object_are_not_taken_for_one_another(tmp_path: Path) -> None:
    store = Outgoing(tmp_path / "payload")
    array = np.arange(MB / 2)
    halves = [memoryview(array).cast("B")[: 2 * MB], memoryview(array).cast("B")[2 * MB :]]
    assert len({bytes(store.keep([half])) for half in [*halves, *halves]}) == 2
    assert bytes(store.keep([memoryview(array)])) == bytes(store.keep([memoryview(array)]))


def test_read_only_arrays_stay_so(tmp_path: Path) -> None:
    array = np.arange(MB / 4)
    array.setflags(write=False)
    payload.pack_by_value(tmp_path / "payload", abs, [((array,), {})], {})
    opened = Payload(str(tmp_path / "payload"))
    (found,), _ = opened.call(0)
    opened.close()
    assert not found.flags.writeable


def test_names_are_marked_and_anything_else_is_not() -> None:
    parts = Parts([b"a" * 10], [Named(b"n" * 40), b"b" * 40])
    assert parts.sizes() == [10, 40 | NAMED, 40]


# ---------------------------------------------------------------- folders


def tree(root: Path) -> Path:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a-file").write_text("1")
    (root / "a" / "run").write_text("2")
    (root / "a" / "run").chmod(0o711)
    (root / os.fsdecode(b"not-utf-8-\xff")).write_text("3")
    (root / ("long" * 60)).write_text("4")
    (root / "a" / "b" / "up").symlink_to("../run")
    (root / "absolute").symlink_to(root / "a" / "run")
    (root / "to-folder").symlink_to("a")
    return root


def packed(root: Path) -> bytes:
    out = io.BytesIO()
    folders.pack(str(root), out)
    return out.getvalue()


def test_a_folder_is_the_same_bytes_whenever_and_wherever(tmp_path: Path) -> None:
    first, second = tree(tmp_path / "one"), tree(tmp_path / "two")
    os.utime(second / "a-file", (0, 0))
    assert packed(first) == packed(second)
    (tmp_path / "tar").write_bytes(packed(first))
    folders.unpack(str(tmp_path / "tar"), str(tmp_path / "out"))
    out = tmp_path / "out"

    def seen(root: Path) -> list[str]:
        return sorted(str(path.relative_to(root)) for path in root.rglob("*"))

    assert seen(out) == seen(first)
    assert (out / "absolute").read_text() == (out / "a" / "b" / "up").read_text() == "2"
    assert os.readlink(out / "absolute") == "a/run"
    assert stat.S_IMODE((out / "a" / "run").stat().st_mode) == 0o500
    assert stat.S_IMODE((out / "a-file").stat().st_mode) == 0o400
    assert packed(out) == packed(first)


def test_links_that_leave_a_folder_by_another_way(tmp_path: Path) -> None:
    root = tree(tmp_path / "root")
    (tmp_path / "rooted").mkdir()
    for target in ("../rooted", "a/../../rooted", str(tmp_path), "/"):
        (root / "out").symlink_to(target)
        with pytest.raises(folders.Unfit, match="root/out is a link that leaves the folder"):
            packed(root)
        (root / "out").unlink()
    (root / "round").symlink_to("../root/a-file")  # out of it and back: over there it has another place
    (tmp_path / "tar").write_bytes(packed(root))
    folders.unpack(str(tmp_path / "tar"), str(tmp_path / "elsewhere"))
    assert (tmp_path / "elsewhere" / "round").read_text() == "1"


def test_a_file_by_itself_is_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import copy
    import pickle

    monkeypatch.chdir(tmp_path)
    file = File("x")
    assert os.fspath(file) == str(tmp_path / "x") and file.path == tmp_path / "x" and file.name == "x"
    assert pickle.loads(pickle.dumps(file)) == copy.deepcopy(file) == file != Folder("x")
    with pytest.raises(CannotTravel, match="No such file"), blobs.Store(str(tmp_path)):
        pickle.dumps(file)


# ---------------------------------------------------------------- receiving


def received(stream: bytes, at: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, set[str]]:
    monkeypatch.chdir(at)
    code = receive(io.BytesIO(stream))
    return code, {path.name for path in (at / "blobs").iterdir()}


def line(digest: str, data: bytes) -> bytes:
    return b"%s %d\n" % (digest.encode(), len(data))


def test_receiving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = hashlib.sha256().hexdigest()
    stream = line(DIGEST, DATA) + DATA + line(empty, b"")
    assert received(stream, tmp_path, monkeypatch) == (0, {DIGEST, empty})
    assert received(stream, tmp_path, monkeypatch) == (0, {DIGEST, empty})  # once more does no harm


@pytest.mark.parametrize("data", [DATA[:-5], DATA[:-1] + bytes([DATA[-1] ^ 1])])
def test_what_arrives_otherwise_gets_no_name(
    data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert received(line(DIGEST, DATA) + data, tmp_path, monkeypatch) == (CHANGED, set())
    assert DIGEST in capsys.readouterr().err


def test_a_worker_that_only_runs_small_calls_loads_nothing_of_this() -> None:
    import subprocess

    code = "import sys; import clustrix_core.worker.slot; print(*(set(sys.modules) & {'tarfile', 'shutil', 'mmap'}))"
    said = subprocess.check_output([sys.executable, "-S", "-c", code], cwd=Path(__file__).parents[3], text=True)
    assert said.strip() == ""
