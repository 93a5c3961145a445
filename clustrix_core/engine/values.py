"""Large values of a job: blobs that records name. They stay on the cluster until somebody asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from clustrix_core.worker import blobs, records
from clustrix_core.worker.parts import NAMED, length, places


@dataclass(frozen=True)
class Left:
    """In the place of a value that was left on its cluster: ``size`` is that of its pickle, in bytes."""

    size: int


def lacking(mirror: Path, file: BinaryIO, record: records.Record) -> list[Path]:
    """Return where blobs of a record belong that are not here, or not whole."""
    found = [(mirror / f"{blobs.OUT}{digest}", size) for digest, size in _named(file, record)]
    return [path for path, size in found if not path.exists() or path.stat().st_size < size]


def ask(paths: list[Path]) -> None:
    """Have the next ``fetch`` bring blobs, or the rest of them: it asks for what is here in part."""
    for path in paths:
        path.touch(0o600)


def size(file: BinaryIO, record: records.Record) -> int:
    """Return how many bytes the value of a record takes, what its blobs hold included."""
    return sum(size for size in record.sizes if not size & NAMED) + sum(size for _, size in _named(file, record))


def _named(file: BinaryIO, record: records.Record) -> Iterator[tuple[str, int]]:
    for offset, size in places(record.offset, record.sizes):
        if size & NAMED:
            file.seek(offset)
            try:
                yield blobs.parse(file.read(length(size)))
            except blobs.Damaged as error:
                raise records.ForgedRecord(str(error)) from error


__all__ = ["Left", "ask", "lacking", "size"]
