"""Files as a tar stream, without holding a large one in memory."""

from __future__ import annotations

import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from clustrix_core.errors import StagingError
from clustrix_core.transport import CHUNK

END = b"\0" * 2 * tarfile.BLOCKSIZE


def stream(files: Mapping[str, Path]) -> Iterator[bytes]:
    """Yield files, by the names that they get, as a whole tar stream in chunks."""
    yield from members(files)
    yield END


def members(files: Mapping[str, Path]) -> Iterator[bytes]:
    """Yield files in chunks, without the end of the stream. Raises StagingError for one that changes meanwhile."""
    for name, path in files.items():
        size = path.stat().st_size
        yield _head(name, size)
        sent = 0
        with path.open("rb") as file:
            while chunk := file.read(min(CHUNK, size - sent)):
                sent += len(chunk)
                yield chunk
        if sent != size:
            raise StagingError(f"{path} changed while it was being sent")
        yield _padding(size)


def text(name: str, content: bytes) -> bytes:
    """Return a small file as a member."""
    return _head(name, len(content)) + content + _padding(len(content))


def _head(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, int(time.time())
    return member.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return b"\0" * (-size % tarfile.BLOCKSIZE)


__all__ = ["END", "members", "stream", "text"]
