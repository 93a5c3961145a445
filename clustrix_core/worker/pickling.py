"""Pickling what a job sends, and loading what was sent to it. Used at both ends.

The pickler is cloudpickle's where that can be imported (Python 3.8 and later), with two differences: a class that
would travel by value also says its name, and exceptions keep their class, arguments and state.
"""

import functools
import importlib
import io
import pickle
import sys

from clustrix_core.worker import blobs, classes, exceptions, names
from clustrix_core.worker.parts import NAMED, Parts, length

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Type

PROTOCOL = min(5, pickle.HIGHEST_PROTOCOL)
# Smaller buffers stay in the stream: a part costs more than copying them.
_APART = 1 << 15


class _Sink:
    """A file for the pickler: it hands over big objects as they are, and they are kept as they are."""

    def __init__(self, parts: Parts) -> None:
        self.write = parts.stream.append


def dump(value: "Any") -> Parts:
    """Pickle a value without copying its big buffers: they must stay as they are until the parts are written."""
    parts = Parts()
    pickler = pickler_class()
    with Deep():
        if PROTOCOL < 5:
            pickler(_Sink(parts), PROTOCOL).dump(value)
        else:
            pickler(_Sink(parts), PROTOCOL, buffer_callback=keeper(parts)).dump(value)
    return parts


class Deep:
    """A context in which values may be nested some thousand deep: by itself pickle gives up at a few hundred.

    It uses less than 1 MB of stack. One thread at a time.
    """

    LIMIT = 5000

    def __enter__(self) -> None:
        self._before = sys.getrecursionlimit()
        if self._before < self.LIMIT:
            sys.setrecursionlimit(self.LIMIT)

    def __exit__(self, *error: object) -> None:
        if sys.getrecursionlimit() == self.LIMIT:
            sys.setrecursionlimit(self._before)


def load(file: "BinaryIO", places: "Sequence[Tuple[int, int]]", shelf: "Optional[blobs.Shelf]" = None) -> "Any":
    """Unpickle the stream at the first place, its buffers being at the others. Each byte is read once.

    ``shelf`` has the blobs that parts may be the names of. Where it is ``mapped`` their buffers are pages of the file
    until they are written to, then copies of them.
    """
    if shelf is None:
        shelf = blobs.Shelf("")
    found = [_part(file, offset, size, shelf) for offset, size in places[1:]]
    # Blobs one by one: files and folders lie behind the last one that the pickle asks for.
    buffers = (part() if callable(part) else part for part in found)
    offset, size = places[0]
    with shelf:
        if size & NAMED:
            with open(shelf.find(_name(file, offset, size))[0], "rb") as stream:
                return _unpickled(stream, buffers, bool(found))
        file.seek(offset)
        return _unpickled(file, buffers, bool(found))


def _unpickled(stream: "BinaryIO", buffers: "Iterator[Any]", apart: bool) -> "Any":
    # Before Python 3.8 there are no buffers: what lies beside the stream is files then.
    apart = apart and PROTOCOL >= 5
    return (names.Unpickler(stream, buffers=buffers) if apart else names.Unpickler(stream)).load()


def _name(file: "BinaryIO", offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(length(size))


def _part(file: "BinaryIO", offset: int, size: int, shelf: "blobs.Shelf") -> "Any":
    """Return a buffer, or what opens the blob that is one."""
    if not size & NAMED:
        return _read(file, offset, size)
    name = _name(file, offset, size)
    return lambda: _opened(name, shelf)


def _opened(name: bytes, shelf: "blobs.Shelf") -> "Any":
    path, size = shelf.find(name)
    with open(path, "rb") as blob:
        return (_map if shelf.mapped else _read)(blob, 0, size)


def loads(parts: Parts) -> "Any":
    """Unpickle parts that are still in memory."""
    stream = io.BytesIO(b"".join(parts.stream))
    return names.Unpickler(stream, buffers=parts.buffers).load() if parts.buffers else names.Unpickler(stream).load()


def pickler_class() -> "Type[Any]":
    """Return the pickler's class; cloudpickle is imported at the first call."""
    if not _made:
        try:
            cloudpickle = importlib.import_module("cloudpickle")
        except ImportError:
            _made.append(_PlainPickler)
        else:
            _made.append(_over(cloudpickle))
    return _made[0]


_made: "List[Type[Any]]" = []


def by_name() -> None:
    """From now on send functions and classes by name alone: another version of Python will load them."""
    _made[:] = [_PlainPickler]


def _over(cloudpickle: "ModuleType") -> "Type[Any]":
    base: "Type[Any]" = cloudpickle.CloudPickler
    if not hasattr(base, "reducer_override"):  # PyPy
        return base
    by_default = base.reducer_override

    class Copier(base):  # type: ignore[misc]
        def reducer_override(self, value: "Any") -> "Any":
            reduced = by_default(self, value)
            return classes.with_slots(value, reduced) if issubclass(type(value), type) else reduced

    def dumps(value: "Any") -> bytes:
        file = io.BytesIO()
        Copier(file, PROTOCOL).dump(value)
        return file.getvalue()

    # Called for every object that is not of a builtin type: what is neither a class, a function nor an exception
    # must cost no second call.
    def reducer_override(self: "Any", value: "Any") -> "Any":
        kind = type(value)
        if issubclass(kind, type):
            return classes.reduce_class(value, classes.with_slots(value, by_default(self, value)), dumps)
        if issubclass(kind, BaseException):
            return exceptions.reduce_exception(value, PROTOCOL)
        if issubclass(kind, io.TextIOWrapper):
            raise pickle.PicklingError("an open file cannot be sent: %r" % value)
        if kind is _FUNCTION:
            return by_default(self, value)
        return NotImplemented

    return type("Pickler", (base,), {"reducer_override": reducer_override})


_FUNCTION = type(dump)


def dispatching() -> "Any":
    """Return a ``functools.singledispatch`` function that knows nothing yet."""
    return functools.singledispatch(lambda first: None)


def teach(function: "Any", known: "Tuple[Any, Dict[type, Any]]") -> None:
    """Give a ``functools.singledispatch`` function its default and what it calls for which class."""
    for cls, implementation in known[1].items():
        function.register(cls, implementation)
    functools.update_wrapper(function, known[0])


def cached(function: "Callable[..., Any]", parameters: "Dict[str, Any]") -> "Any":
    """Return a function with an empty ``functools.lru_cache``: what such a function is pickled as."""
    return functools.lru_cache(**parameters)(function)


class _PlainPickler(pickle.Pickler):
    """For interpreters that cloudpickle has left behind: functions and classes by reference, exceptions as above."""

    def __init__(self, *args: "Any", **options: "Any") -> None:
        super().__init__(*args, **options)
        self.dispatch_table = exceptions.Reducers(PROTOCOL)  # type: ignore[assignment]


def keeper(parts: Parts) -> "Callable[[Any], Optional[bool]]":
    """Return the pickler's callback for buffers: big ones go beside the stream."""

    def keep(buffer: "Any") -> "Optional[bool]":
        view = buffer.raw()
        if view.nbytes < _APART:
            return True
        parts.buffers.append(view)
        return None

    return keep


def _map(file: "BinaryIO", offset: int, size: int) -> memoryview:
    import mmap

    return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY, offset=offset))


def _read(file: "BinaryIO", offset: int, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    file.seek(offset)
    done = 0
    while done < size:
        count = file.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError("a buffer of %d bytes is cut off" % size)
        done += count
    return data
