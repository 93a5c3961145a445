"""Parts: one pickle as it is written, a stream in chunks and its out-of-band buffers. Nothing is joined or copied."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator, List, Tuple, Union

    Chunk = Union[bytes, bytearray, memoryview]

NAMED = 1 << 62  # in a size: this part is the name of a blob, which holds what belongs here
_SMALL = 1 << 16


class Named(bytes):
    """The name of a blob (``blobs``), in the place of a part."""


class Parts:
    """A pickle stream, in the chunks that the pickler handed out, and the buffers that it refers to."""

    __slots__ = ("buffers", "stream")

    def __init__(self, stream: "Iterable[Chunk]" = (), buffers: "Iterable[Chunk]" = ()) -> None:
        self.stream: "List[Chunk]" = list(stream)
        self.buffers: "List[Chunk]" = list(buffers)

    def sizes(self) -> "List[int]":
        """Return the size of the stream, then those of the buffers. Names of blobs are marked with NAMED."""
        return [sum(_marked(chunk) for chunk in self.stream)] + [_marked(buffer) for buffer in self.buffers]

    def chunks(self) -> "Iterator[Chunk]":
        """Yield all bytes in order."""
        for chunk in self.stream:
            yield chunk
        for buffer in self.buffers:
            yield buffer


def size(chunk: "Chunk") -> int:
    """Return the number of bytes of a chunk (the length of a memoryview counts items)."""
    return chunk.nbytes if isinstance(chunk, memoryview) else len(chunk)


def _marked(chunk: "Chunk") -> int:
    return size(chunk) | (NAMED if isinstance(chunk, Named) else 0)


def length(marked: int) -> int:
    """Return how many bytes of the file a part of this size takes."""
    return marked & ~NAMED


def places(offset: int, sizes: "Iterable[int]", align: int = 1) -> "List[Tuple[int, int]]":
    """Return (offset, size) of each part; those after the first begin at multiples of ``align``."""
    found = []
    for number, size in enumerate(sizes):
        if number:
            offset += -offset % align
        found.append((offset, size))
        offset += length(size)
    return found


def write_all(fd: int, chunks: "Iterable[Chunk]") -> None:
    """Write chunks to a descriptor: small ones in one go, big ones as they are."""
    waiting: "List[Chunk]" = []
    room = _SMALL
    for chunk in chunks:
        if size(chunk) < room:
            waiting.append(chunk)
            room -= size(chunk)
            continue
        _write(fd, b"".join(waiting))
        waiting, room = [], _SMALL
        _write(fd, chunk)
    _write(fd, b"".join(waiting))


def _write(fd: int, data: "Chunk") -> None:
    with memoryview(data) as whole:
        view = whole.cast("B") if whole.nbytes else whole
        done = 0
        while done < whole.nbytes:
            done += os.write(fd, view[done:])
