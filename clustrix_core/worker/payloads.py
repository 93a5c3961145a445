"""The file ``payload``: a function and its calls, found by index.

    "CLXP" · uint32 n · n bytes of JSON header · function · call, ... · index · uint64 offset of the index · "CLXI"

The function's parts have their sizes in the header. A call is ``uint32 k · k × uint64 sizes · k parts``. Buffers
begin at multiples of 64 bytes (counted from the start of the file; zeros fill the gaps), streams anywhere. The index
is one uint64 a call. All integers are little-endian.
"""

import array
import json
import os
import struct
import sys

from clustrix_core.worker import pickling
from clustrix_core.worker.parts import Parts, places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Dict, Iterable

    from clustrix_core.worker.parts import Chunk

MAGIC = b"CLXP"
END = b"CLXI"
ALIGN = 64
_PREFIX = struct.Struct("<4sI")
_TAIL = struct.Struct("<Q4s")
_COUNT = struct.Struct("<I")


def write(file: "BinaryIO", header: "Dict[str, Any]", function: "Parts", calls: "Iterable[Parts]") -> int:
    """Write a payload and return the number of its calls. ``calls`` is consumed one by one, nothing is kept."""
    text = json.dumps(dict(header, function=function.sizes())).encode("utf-8")
    place = _put(file, 0, [_PREFIX.pack(MAGIC, len(text)), text])
    place = _put_parts(file, place, function)
    offsets = array.array("Q")
    for call in calls:
        offsets.append(place)
        sizes = call.sizes()
        place = _put(file, place, [_COUNT.pack(len(sizes)), struct.pack("<%dQ" % len(sizes), *sizes)])
        place = _put_parts(file, place, call)
    count = len(offsets)
    if sys.byteorder == "big":
        offsets.byteswap()
    _put(file, place, [offsets.tobytes(), _TAIL.pack(place, END)])
    return count


class Payload:
    """A payload opened for reading. Each process opens its own."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "rb")
        magic, length = _PREFIX.unpack(self._exactly(_PREFIX.size))
        if magic != MAGIC:
            raise ValueError("%s is not a payload" % path)
        self.header: "Dict[str, Any]" = json.loads(self._exactly(length).decode("utf-8"))
        self._function = _PREFIX.size + length
        self._file.seek(-_TAIL.size, os.SEEK_END)
        end = self._file.tell()
        self._index, mark = _TAIL.unpack(self._exactly(_TAIL.size))
        if mark != END or self._index > end:
            raise ValueError("%s is cut off" % path)
        self.calls = (end - self._index) // 8

    def function(self) -> "Any":
        """Unpickle the function and its constants."""
        return self._load(self._function, self.header["function"])

    def call(self, index: int) -> "Any":
        """Unpickle one call: its arguments and keywords."""
        if not 0 <= index < self.calls:
            raise IndexError("no call %d among %d" % (index, self.calls))
        self._file.seek(self._index + 8 * index)
        (offset,) = struct.unpack("<Q", self._exactly(8))
        self._file.seek(offset)
        (count,) = _COUNT.unpack(self._exactly(_COUNT.size))
        sizes = struct.unpack("<%dQ" % count, self._exactly(8 * count))
        return self._load(offset + _COUNT.size + 8 * count, sizes)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _load(self, offset: int, sizes: "Iterable[int]") -> "Any":
        return pickling.load(self._file, places(offset, sizes, ALIGN))

    def _exactly(self, length: int) -> bytes:
        data = self._file.read(length)
        if len(data) < length:
            raise ValueError("%s is cut off" % self._file.name)
        return data


def _put(file: "BinaryIO", place: int, chunks: "Iterable[Chunk]") -> int:
    for chunk in chunks:
        place += file.write(chunk)
    return place


def _put_parts(file: "BinaryIO", place: int, parts: Parts) -> int:
    place = _put(file, place, parts.stream)
    for buffer in parts.buffers:
        place = _put(file, place, [bytes(-place % ALIGN), buffer])
    return place
