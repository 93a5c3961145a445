"""Blobs: large parts of a pickle, files and folders, each in a file of its own that is named after its SHA-256.

What is named cannot be changed without that being seen, so whoever has the name from a trusted place can trust the
blob. A name is 40 bytes: the digest, then the length as uint64 (little-endian).
"""

import _thread
import binascii
import hashlib
import os
import struct

from clustrix_core.worker.parts import Named, Parts, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Callable, Dict, Iterable, Iterator, List, Optional, Set, Tuple

    from clustrix_core.worker.parts import Chunk

# A smaller part travels where it is: a file of its own and the question whether it is there would cost more.
LEAST = 1 << 20
OUT = "value-"  # what the names of blobs that a job has made begin with, in its directory
_NAME = struct.Struct("<32sQ")
_STEP = 1 << 20
_held = _thread._local()  # threading itself costs a small call more than that


class Damaged(ValueError):
    """A blob is not there, or does not hold what its name says."""


def name(digest: str, length: int) -> Named:
    """Return the name of a blob."""
    return Named(_NAME.pack(binascii.unhexlify(digest), length))


def parse(data: bytes) -> "Tuple[str, int]":
    """Return digest (64 hex digits) and length of a name. Raises Damaged."""
    try:
        digest, length = _NAME.unpack(data)
    except struct.error:
        raise Damaged("%r is not the name of a blob" % data[:80])
    return binascii.hexlify(digest).decode("ascii"), length


class Store:
    """Puts blobs into a directory, each once. ``names`` are all that were asked for, with their lengths.

    As a context it takes in the files and folders of what this thread pickles.
    """

    def __init__(self, directory: str, prefix: str = "") -> None:
        self.directory = directory
        self.names: "Dict[str, int]" = {}
        self.files: "List[Named]" = []  # those that hold what was not in memory
        self._prefix = prefix

    def path(self, digest: str) -> str:
        """Return where a blob is."""
        return os.path.join(self.directory, self._prefix + digest)

    def keep(self, chunks: "Iterable[Chunk]") -> Named:
        """Put what lies in memory into a blob."""
        held = list(chunks)
        digest, length = _digest(held)
        if not os.path.exists(self.path(digest)):
            with self.new(digest) as new:
                for chunk in held:
                    new.write(chunk)
                new.done()
        return self.noted(digest, length)

    def keep_file(self, path: str) -> Named:
        """Put a copy of a file into a blob."""
        with self.new() as new, open(path, "rb") as file:
            for piece in pieces(file):
                new.write(piece)
            new.done()
            return self.noted(new.digest, new.length)

    def __enter__(self) -> "Store":
        self._before: "Optional[Store]" = store()
        _held.store = self
        return self

    def __exit__(self, *error: object) -> None:
        _held.store = self._before

    def take(self, value: "Any") -> Named:
        """Put a file or a folder that is being pickled into a blob."""
        found: Named = value.put(self)
        return found

    def noted(self, digest: str, length: int) -> Named:
        """Take note of a blob that is there, and return its name."""
        self.names[digest] = length
        return name(digest, length)

    def new(self, digest: "Optional[str]" = None) -> "New":
        """Return what a blob is written to before it has its name; it is computed where it is not known."""
        os.makedirs(self.directory, 0o700, exist_ok=True)
        return New(os.path.join(self.directory, ".new.%s" % os.urandom(8).hex()), self.path, digest)


class New:
    """A blob while it is written; it is removed where it does not come to its end."""

    def __init__(self, path: str, final: "Callable[[str], str]", digest: "Optional[str]" = None) -> None:
        self._path, self._final, self._known = path, final, digest
        self._hash, self.length = hashlib.sha256(), 0
        self._file = open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o400))

    def __enter__(self) -> "New":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        if os.path.exists(self._path):
            os.unlink(self._path)

    def write(self, data: "Chunk") -> int:
        """Write a piece."""
        if self._known is None:
            self._hash.update(data)
        self.length += size(data)
        self._file.write(data)
        return size(data)

    @property
    def digest(self) -> str:
        """The digest of what was written."""
        return self._known or self._hash.hexdigest()

    def done(self, digest: "Optional[str]" = None) -> bool:
        """Give the blob its name, unless there is such a one; False where that is not what it was to be."""
        self._file.close()
        if digest not in (None, self.digest):
            return False
        if not os.path.exists(self._final(self.digest)):
            os.rename(self._path, self._final(self.digest))
        return True


class Shelf:
    """The blobs of one job: those that it was sent with and those that it has made, each checked before it is used."""

    def __init__(self, directory: str, mapped: bool = False) -> None:
        self.directory = directory
        self.mapped = mapped  # buffers are pages of the file, until they are written to
        self._checked: "Set[str]" = set()

    def find(self, data: bytes) -> "Tuple[str, int]":
        """Return where a blob lies, and its length. Raises Damaged."""
        digest, length = parse(data)
        for path in (os.path.join(self.directory, "blobs", digest), os.path.join(self.directory, OUT + digest)):
            if path in self._checked:
                return path, length
            if os.path.exists(path):
                self._check(path, digest, length)
                self._checked.add(path)
                return path, length
        raise Damaged("the data %s (%d bytes) is not there" % (digest[:16], length))

    def _check(self, path: str, digest: str, length: int) -> None:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == length and _digest(pieces(file))[0] == digest:
                return
        shared = os.path.join(self.directory, "..", "..", "..", "blobs", digest)
        if os.path.exists(shared) and os.path.samefile(path, shared):
            os.unlink(shared)  # whoever needs it next sends it again
        raise Damaged("the data %s (%d bytes) is damaged: %s does not hold what was sent" % (digest[:16], length, path))

    def __enter__(self) -> None:
        self._before = getattr(_held, "shelf", None)
        _held.shelf = self

    def __exit__(self, *error: object) -> None:
        _held.shelf = self._before


def store() -> "Optional[Store]":
    """Return where what this thread pickles puts files and folders; None: it says only where they are."""
    found: "Optional[Store]" = getattr(_held, "store", None)
    return found


def shelf() -> Shelf:
    """Return the shelf of what this thread is unpickling."""
    found: "Shelf" = _held.shelf
    return found


def named(parts: Parts, keep: "Callable[[Iterable[Chunk]], Named]") -> Parts:
    """Return parts with names in the place of those that are large; ``keep`` puts what a name stands for away."""
    large = sum(map(size, parts.stream)) >= LEAST
    stream: "List[Any]" = [keep(parts.stream)] if large else parts.stream
    return Parts(stream, [keep([one]) if size(one) >= LEAST else one for one in parts.buffers])


def pieces(file: "BinaryIO", most: int = 1 << 62) -> "Iterator[memoryview]":
    """Yield a file, or so many bytes of it, in steps of constant memory."""
    view = memoryview(bytearray(min(_STEP, most)))
    while most:
        count = file.readinto(view[: min(_STEP, most)])  # type: ignore[attr-defined]
        if not count:
            return
        most -= count
        yield view[:count]


def _digest(chunks: "Iterable[Chunk]") -> "Tuple[str, int]":
    whole, length = hashlib.sha256(), 0
    for chunk in chunks:
        whole.update(chunk)
        length += size(chunk)
    return whole.hexdigest(), length
