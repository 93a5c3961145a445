"""What a payload needs beside itself: its blobs, on this disk until the job is over."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clustrix_core.worker import blobs
from clustrix_core.worker.parts import Named

if TYPE_CHECKING:
    from clustrix_core.worker.parts import Chunk

BLOBS = "blobs"  # the directory beside the payload that has them, and over there in the job's


class Outgoing(blobs.Store):
    """The blobs of one payload. A file is not copied: it is sent from where it lies, as it was when it was packed."""

    def __init__(self, payload: Path) -> None:
        super().__init__(str(payload.parent / BLOBS))
        self._list = needs(payload)
        self._list.unlink(missing_ok=True)
        self._arrays: dict[int, tuple[weakref.ref[Any], Named]] = {}
        self._taken: dict[Any, Named] = {}

    def keep(self, chunks: Iterable[Chunk]) -> Named:
        """Put what lies in memory into a blob; an object that is an argument of many calls is looked at once."""
        held = list(chunks)
        owner = _owner(held)
        known = self._arrays.get(id(owner))
        if owner is None or known is None or known[0]() is not owner:
            name = super().keep(held)
            if owner is not None:
                # A weak reference: when it is gone, another object may be in its place.
                self._arrays[id(owner)] = weakref.ref(owner), name
            return name
        return known[1]

    def keep_file(self, path: str) -> Named:
        """Take note of a file and what it holds now."""
        whole, length = hashlib.sha256(), 0
        with open(path, "rb") as file:
            for piece in blobs.pieces(file):
                whole.update(piece)
                length += len(piece)
        digest = whole.hexdigest()
        place = Path(self.path(digest))
        place.parent.mkdir(exist_ok=True, mode=0o700)
        if not place.exists():
            place.unlink(missing_ok=True)
            place.symlink_to(path)
        return self.noted(digest, length)

    def take(self, value: Any) -> Named:
        """Put a file or a folder into a blob, once for all calls."""
        if value not in self._taken:
            self._taken[value] = super().take(value)
        return self._taken[value]

    def write_down(self) -> None:
        """Write which blobs the payload needs, if any."""
        if self.names:
            lines = (f"{digest} {length}\n" for digest, length in self.names.items())
            self._list.write_text("".join(lines), "ascii")


def _owner(held: list[Chunk]) -> Any:
    """Return the object whose memory this is, all of it; None where it is a piece, or cannot be recognised again."""
    if len(held) > 1 or not isinstance(held[0], memoryview):
        return None
    owner: Any = held[0].obj
    try:
        weakref.ref(owner)
        return owner if memoryview(owner).nbytes == held[0].nbytes else None
    except (TypeError, ValueError, BufferError):
        return None


def needs(payload: Path) -> Path:
    """Return the file that says which blobs a payload needs: a line for each, its SHA-256 and its length."""
    return payload.with_name(f"{payload.name}-needs")


def held_in(directory: Path) -> int:
    """Return how many bytes of blobs lie in a directory with payloads; files that are sent from elsewhere do not."""
    return sum(path.stat().st_size for path in (directory / BLOBS).glob("*") if not path.is_symlink())


__all__ = ["BLOBS", "Outgoing", "held_in", "needs"]
