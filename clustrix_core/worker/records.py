"""Signed records: what ``results-<run>`` is a sequence of. To a reader every byte of it is untrusted.

    "CLXR" · uint32 n · n bytes of JSON header · body · 32 bytes HMAC-SHA256

The MAC covers the job's id, the header and the body. ``parts`` of the header holds sizes that add up to the body. A
part may be the name of a blob (``NAMED`` in its size): then the MAC covers the SHA-256 of what it holds.
"""

import hmac
import json
import struct

from clustrix_core.worker.parts import Parts, length

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Dict, Iterator, List, Optional

    from clustrix_core.worker.parts import Chunk

MAGIC = b"CLXR"
MAX_HEADER = 16 << 20
MAX_BODY = 1 << 50
_PREFIX = struct.Struct("<4sI")
_MAC_SIZE = 32
_STEP = 1 << 20


class ForgedRecord(ValueError):
    """These bytes were not written by the job: nothing of them may be loaded."""


class Signer:
    """Signs and checks the records of one job."""

    def __init__(self, key: bytes, job: str) -> None:
        self._start = hmac.new(key, job.encode("utf-8") + b"\0", "sha256")

    def start(self) -> "hmac.HMAC":
        """Return a MAC that has taken in what all records of the job share."""
        return self._start.copy()


class Record:
    """A record whose signature is right: its header, where its body lies in the file, and where the next one begins."""

    __slots__ = ("end", "header", "offset", "sizes")

    def __init__(self, header: "Dict[str, Any]", offset: int, sizes: "List[int]") -> None:
        self.header = header
        self.offset = offset
        self.sizes = sizes
        self.end = offset + sum(map(length, sizes)) + _MAC_SIZE


def pack(signer: Signer, header: "Dict[str, Any]", body: "Optional[Parts]" = None) -> "List[Chunk]":
    """Return the chunks of a record, to be written one after the other; the body's own chunks are among them."""
    body = body or Parts()
    sizes = body.sizes()
    text = json.dumps(dict(header, parts=sizes if any(sizes) else []), separators=(",", ":")).encode("utf-8")
    if len(text) > MAX_HEADER:
        raise ValueError("the header of a record holds %d bytes" % len(text))
    mac = signer.start()
    mac.update(text)
    chunks: "List[Chunk]" = [_PREFIX.pack(MAGIC, len(text)) + text]
    for chunk in body.chunks():
        mac.update(chunk)
        chunks.append(chunk)
    chunks.append(mac.digest())
    return chunks


def read(file: "BinaryIO", offset: int, signer: Signer) -> "Optional[Record]":
    """Return the record that begins at ``offset``, None while it is not all there. Raise ForgedRecord."""
    text = _header_text(file, offset)
    if text is None:
        return None
    header = _header(text)
    record = Record(header, offset + _PREFIX.size + len(text), header["parts"])
    if file.seek(0, 2) < record.end:
        return None
    mac = signer.start()
    mac.update(text)
    file.seek(record.offset)
    if not _take_in(file, record.end - _MAC_SIZE - record.offset, mac):
        return None
    told = file.read(_MAC_SIZE)
    if len(told) < _MAC_SIZE:
        return None
    if not hmac.compare_digest(told, mac.digest()):
        raise ForgedRecord("the signature at %d is wrong" % record.offset)
    return record


def read_all(file: "BinaryIO", offset: int, signer: Signer) -> "Iterator[Record]":
    """Yield the records from ``offset`` on, as far as they are all there."""
    while True:
        record = read(file, offset, signer)
        if record is None:
            return
        yield record
        offset = record.end


def headers(file: "BinaryIO") -> "Iterator[Dict[str, Any]]":
    """Yield the headers of complete records without checking them: for the worker, which trusts its own directory."""
    offset, end = 0, file.seek(0, 2)
    while True:
        text = _header_text(file, offset)
        if text is None:
            return
        header = _header(text)
        offset += _PREFIX.size + len(text) + sum(map(length, header["parts"])) + _MAC_SIZE
        if offset > end:
            return
        yield header


def _header_text(file: "BinaryIO", offset: int) -> "Optional[bytes]":
    file.seek(offset)
    prefix = file.read(_PREFIX.size)
    if prefix[:4] != MAGIC[: len(prefix)]:
        raise ForgedRecord("no record begins at %d" % offset)
    if len(prefix) < _PREFIX.size:
        return None
    said: int = _PREFIX.unpack(prefix)[1]
    if said > MAX_HEADER:
        raise ForgedRecord("a header of %d bytes at %d" % (said, offset))
    text = file.read(said)
    return text if len(text) == said else None


def _header(text: bytes) -> "Dict[str, Any]":
    try:
        header: "Dict[str, Any]" = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ForgedRecord("a header that is not JSON: %s" % error)
    sizes = header.get("parts") if isinstance(header, dict) else None
    if not isinstance(sizes, list) or not all(type(size) is int and 0 <= length(size) <= MAX_BODY for size in sizes):
        raise ForgedRecord("a header without the sizes of its parts")
    if sum(map(length, sizes)) > MAX_BODY:
        raise ForgedRecord("a body of %d bytes" % sum(map(length, sizes)))
    return header


def _take_in(file: "BinaryIO", left: int, mac: "hmac.HMAC") -> bool:
    """Feed ``left`` bytes of the file to the MAC in steps of constant memory; False when the file is shorter."""
    if not left:
        return True
    buffer = bytearray(min(left, _STEP))
    view = memoryview(buffer)
    while left:
        count = file.readinto(view[: min(left, _STEP)])  # type: ignore[attr-defined]
        if not count:
            return False
        mac.update(view[:count])
        left -= count
    return True
