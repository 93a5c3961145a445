"""The file ``payload``: a function and its calls, found by index.

    "CLXP" · uint32 n · n bytes of JSON header · function · constants · call, ... · index · uint64 index offset · "CLXI"

The header holds the sizes of the parts of the function and of the constants (keywords of all calls). A call is
``uint32 k · k × uint64 sizes · k parts``. Buffers begin at multiples of 64 bytes (counted from the start of the file;
zeros fill the gaps), streams anywhere. The index is one uint64 a call. All integers are little-endian. A size may be
marked as that of the name of a blob (``parts.NAMED``), which is in the place of what it holds.
"""

import array
import io
import json
import os
import struct
import sys

from clustrix_core.worker import blobs, pickling
from clustrix_core.worker.parts import Parts, length, places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Callable, Dict, Iterable, Optional, Tuple

    from clustrix_core.worker.parts import Chunk, Named

MAGIC = b"CLXP"
END = b"CLXI"
ALIGN = 64
_SMALL = 1 << 20
_PREFIX = struct.Struct("<4sI")
_TAIL = struct.Struct("<Q4s")
_COUNT = struct.Struct("<I")


def write(
    file: "BinaryIO",
    header: "Dict[str, Any]",
    function: "Parts",
    calls: "Iterable[Parts]",
    constants: "Optional[Parts]" = None,
    keep: "Optional[Callable[[Iterable[Chunk]], Named]]" = None,
) -> int:
    """Write a payload and return the number of its calls. ``calls`` is consumed one by one, nothing is kept.

    ``keep`` puts large parts away and returns what is written in their place; without it they are written as they are.
    """
    if keep is not None:
        function, constants = blobs.named(function, keep), constants and blobs.named(constants, keep)
        calls = (blobs.named(call, keep) for call in calls)
    header = dict(header, function=function.sizes())
    if constants is not None:
        header["constants"] = constants.sizes()
    text = json.dumps(header).encode("utf-8")
    place = _put(file, 0, [_PREFIX.pack(MAGIC, len(text)), text])
    for parts in (function, constants or Parts()):
        place = _put_parts(file, place, parts)
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


def read_header(file: "BinaryIO") -> "Dict[str, Any]":
    """Return the header of a payload that is read from its start."""
    magic, length = _PREFIX.unpack(file.read(_PREFIX.size))
    header: "Dict[str, Any]" = json.loads(file.read(length).decode("utf-8"))
    return header


class Payload:
    """A payload opened for reading. Each process opens its own."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "rb")
        self.shelf = blobs.Shelf(os.path.dirname(path), mapped=True)
        try:
            self._open()
        except (struct.error, OSError, LookupError, TypeError, ValueError) as error:
            self._file.close()
            raise ValueError("%s is no payload, or cut off: %s" % (path, error))

    def _open(self) -> None:
        magic, size = _PREFIX.unpack(self._exactly(_PREFIX.size))
        if magic != MAGIC:
            raise ValueError("it begins with %r" % magic)
        self.header: "Dict[str, Any]" = json.loads(self._exactly(size).decode("utf-8"))
        self._function = places(_PREFIX.size + size, self.header["function"], ALIGN)
        end = _end(self._function[-1])
        self._constants = places(end, self.header.get("constants", ()), ALIGN)
        self._small_constants = self._kept(end)
        self._file.seek(-_TAIL.size, os.SEEK_END)
        end = self._file.tell()
        self._index, mark = _TAIL.unpack(self._exactly(_TAIL.size))
        if mark != END or self._index > end:
            raise ValueError("it has no end")
        self.calls = (end - self._index) // 8

    def _kept(self, start: int) -> "Optional[bytes]":
        """Return the pickled constants, which each call needs, if they are small."""
        end = _end(self._constants[-1]) if self._constants else start
        if end - start > _SMALL:
            return None
        self._file.seek(start)
        return self._exactly(end - start)

    def function(self) -> "Any":
        """Unpickle the function (and the constants, in a payload that does not keep them apart)."""
        return pickling.load(self._file, self._function, self.shelf)

    def constants(self) -> "Dict[str, Any]":
        """Unpickle the keywords that all calls have in common, afresh: no call sees what another did to them.

        Blobs are mapped: processes share their pages until they write to them.
        """
        if not self._constants:
            return {}
        if self._small_constants is None:
            found: "Dict[str, Any]" = pickling.load(self._file, self._constants, self.shelf)
        else:
            start = self._constants[0][0]
            near = [(offset - start, size) for offset, size in self._constants]
            found = pickling.load(io.BytesIO(self._small_constants), near, self.shelf)
        return found

    def call(self, index: int) -> "Any":
        """Unpickle one call: its arguments and keywords."""
        if not 0 <= index < self.calls:
            raise IndexError("no call %d among %d" % (index, self.calls))
        self._file.seek(self._index + 8 * index)
        (offset,) = struct.unpack("<Q", self._exactly(8))
        self._file.seek(offset)
        (count,) = _COUNT.unpack(self._exactly(_COUNT.size))
        sizes = struct.unpack("<%dQ" % count, self._exactly(8 * count))
        return pickling.load(self._file, places(offset + _COUNT.size + 8 * count, sizes, ALIGN), self.shelf)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise ValueError("it ends early")
        return data


def _end(place: "Tuple[int, int]") -> int:
    return place[0] + length(place[1])


def _put(file: "BinaryIO", place: int, chunks: "Iterable[Chunk]") -> int:
    for chunk in chunks:
        place += file.write(chunk)
    return place


def _put_parts(file: "BinaryIO", place: int, parts: Parts) -> int:
    place = _put(file, place, parts.stream)
    for buffer in parts.buffers:
        place = _put(file, place, [bytes(-place % ALIGN), buffer])
    return place
