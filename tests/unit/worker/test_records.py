"""Records: written as they are, read only when whole and genuine."""

from __future__ import annotations

import io
import json
import os
import struct
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustrix_core.worker import parts, records
from clustrix_core.worker.parts import Parts

SIGNER = records.Signer(b"k" * 32, "job")
HEADER = {"call": 3, "kind": "value", "run": "0.0.0.1"}


def packed(header: dict[str, Any] = HEADER, *chunks: bytes, signer: records.Signer = SIGNER) -> bytes:
    return b"".join(records.pack(signer, header, Parts(chunks[:1], chunks[1:])))


def read(data: bytes, offset: int = 0, signer: records.Signer = SIGNER) -> records.Record | None:
    return records.read(io.BytesIO(data), offset, signer)


chunks = st.lists(st.binary(max_size=40), max_size=4)


@given(st.lists(st.tuples(st.dictionaries(st.text(), st.integers() | st.text()), chunks), max_size=4))
def test_records_come_back_in_order(written: list[tuple[dict[str, Any], list[bytes]]]) -> None:
    data = b"".join(packed({**header, "call": n}, *body) for n, (header, body) in enumerate(written))
    found = list(records.read_all(io.BytesIO(data), 0, SIGNER))
    assert [record.header["call"] for record in found] == list(range(len(written)))
    for record, (_, body) in zip(found, written, strict=True):
        assert data[record.offset : record.offset + sum(record.sizes)] == b"".join(body)
    assert not found or found[-1].end == len(data)


@given(chunks)
def test_a_record_cut_off_anywhere_is_not_there_yet(body: list[bytes]) -> None:
    data = packed(HEADER, *body)
    for end in range(len(data)):
        assert read(data[:end]) is None
    assert read(data) is not None


@given(chunks, st.data())
def test_no_changed_byte_is_ever_accepted(body: list[bytes], draw: st.DataObject) -> None:
    data = bytearray(packed(HEADER, *body))
    place = draw.draw(st.integers(0, len(data) - 1))
    data[place] ^= draw.draw(st.integers(1, 255))
    try:
        assert read(bytes(data)) is None
    except records.ForgedRecord:
        pass


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_not_there_yet(data: bytes) -> None:
    try:
        assert read(data) is None
    except records.ForgedRecord:
        pass


@given(st.binary(max_size=60))
def test_any_header_without_a_signature_is_refused(text: bytes) -> None:
    data = struct.pack("<4sI", b"CLXR", len(text)) + text + bytes(64)
    try:
        assert read(data) is None
    except records.ForgedRecord:
        pass


@pytest.mark.parametrize(
    "sizes", [[-1], [True], [1.5], ["1"], None, 7, {}, [1 << 60], [1 << 49] * 4, [0] * 5 + [-5, 5]], ids=str
)
def test_absurd_sizes_are_refused_before_anything_is_read(sizes: Any) -> None:
    text = json.dumps({"parts": sizes}).encode()
    with pytest.raises(records.ForgedRecord):
        read(struct.pack("<4sI", b"CLXR", len(text)) + text)


@pytest.mark.parametrize("text", [b"[]", b"null", b"{", b"\xff", b"[" * 200_000, b'{"parts":[NaN]}', b'"x"'], ids=len)
def test_a_header_that_is_no_header_is_refused(text: bytes) -> None:
    with pytest.raises(records.ForgedRecord):
        read(struct.pack("<4sI", b"CLXR", len(text)) + text)


def test_a_header_over_16_mb_is_refused_unread() -> None:
    with pytest.raises(records.ForgedRecord):
        read(struct.pack("<4sI", b"CLXR", (16 << 20) + 1))


def test_what_does_not_begin_a_record_is_refused() -> None:
    for data in (b"X", b"CL?", b"CLXP" + bytes(100)):
        with pytest.raises(records.ForgedRecord):
            read(data)


def test_another_key_and_another_job_are_refused() -> None:
    for signer in (records.Signer(b"l" * 32, "job"), records.Signer(b"k" * 32, "joc")):
        with pytest.raises(records.ForgedRecord):
            read(packed(HEADER, b"body"), signer=signer)


def test_bytes_cannot_move_between_header_and_body() -> None:
    data = packed({"a": 1}, b"  body")
    (length,) = struct.unpack("<I", data[4:8])
    moved = data[:4] + struct.pack("<I", length + 2) + data[8:]
    try:
        assert read(moved) is None
    except records.ForgedRecord:
        pass


def test_a_forged_record_hides_nothing_before_it() -> None:
    data = packed({"n": 1}) + b"CLXR\x02\0\0\0{}" + bytes(32)
    reader = records.read_all(io.BytesIO(data), 0, SIGNER)
    assert next(reader).header["n"] == 1
    with pytest.raises(records.ForgedRecord):
        next(reader)


def test_a_big_body_is_neither_copied_nor_joined(tmp_path: Path) -> None:
    body = bytes(50_000_000)
    path = tmp_path / "results"
    tracemalloc.start()
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    parts.write_all(fd, records.pack(SIGNER, HEADER, Parts([b"head", body, b"tail"])))
    os.close(fd)
    with path.open("rb") as file:
        record = records.read(file, 0, SIGNER)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert record is not None and record.sizes == [50_000_008]
    assert peak < 3_000_000


@given(st.lists(st.binary(max_size=100_000) | st.sampled_from([bytes(70_000), bytes(65_536)]), max_size=6))
def test_chunks_are_written_in_order(written: list[bytes]) -> None:
    with tempfile.TemporaryFile() as file:
        parts.write_all(file.fileno(), [memoryview(chunk) for chunk in written])
        file.seek(0)
        assert file.read() == b"".join(written)
