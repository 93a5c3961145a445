"""What belongs to one process or machine, and stays there: by the names of classes, so that nothing is imported."""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

from clustrix_core.errors import CannotTravel


class Staying(NamedTuple):
    """A kind of object that cannot travel: what it is, why it cannot, and what to do instead."""

    what: str
    why: str
    way_out: str
    classes: tuple[str, ...]


class Stays(CannotTravel):
    """Some part of what is being pickled cannot travel; whoever catches it knows a name for the whole."""


def _in(module: str, names: str) -> tuple[str, ...]:
    return tuple(f"{module}.{name}" for name in names.split())


KINDS = (
    Staying(
        "an open file",
        "only the process that has opened it can use it",
        "Send its path and open it inside the function, or send what was read from it.",
        (
            *_in("_io", "FileIO BufferedReader BufferedWriter BufferedRandom BufferedRWPair TextIOWrapper _IOBase"),
            *_in("codecs", "StreamReaderWriter StreamRecoder"),
            *_in("posix", "ScandirIterator DirEntry"),
        ),
    ),
    Staying(
        "an open archive",
        "only the process that has opened it can use it",
        "Send its path and open it inside the function.",
        ("zipfile.ZipFile", "tarfile.TarFile"),
    ),
    Staying(
        "a temporary file or folder",
        "it is on this machine, and removed by the process that has made it",
        "Make it inside the function, or send what is in it.",
        _in("tempfile", "_TemporaryFileWrapper SpooledTemporaryFile TemporaryDirectory"),
    ),
    Staying(
        "a lock",
        "it holds between the threads or processes of one machine only",
        "Make it inside the function; calls of different jobs can lock a file that all of them see.",
        (
            *_in("_thread", "lock RLock"),
            *_in("threading", "_RLock Condition Event Semaphore Barrier"),
            *_in("multiprocessing.synchronize", "SemLock Condition Event Barrier"),
        ),
    ),
    Staying(
        "a generator",
        "it stands in the middle of code that runs here",
        "Send list(…) of it, or what it is made from.",
        _in("builtins", "generator async_generator"),
    ),
    Staying(
        "a coroutine",
        "it stands in the middle of code that runs here",
        "Send its arguments, and await it inside the function: asyncio.run(…).",
        _in("builtins", "coroutine coroutine_wrapper async_generator_asend"),
    ),
    Staying(
        "a thread, or what belongs to one",
        "it runs in this process",
        "Start it inside the function.",
        ("threading.Thread", "_thread._local"),
    ),
    Staying(
        "a process",
        "it runs on this machine",
        "Start it inside the function, or send what it has printed.",
        ("subprocess.Popen", "multiprocessing.process.BaseProcess", "asyncio.subprocess.Process"),
    ),
    Staying(
        "a pool of workers, or what will be its result",
        "its threads or processes run here",
        "Make the pool inside the function; of a future, send its result().",
        (
            *_in("concurrent.futures._base", "Executor Future"),
            *_in("multiprocessing.pool", "Pool ApplyResult IMapIterator"),
            *_in("multiprocessing.managers", "BaseManager BaseProxy"),
        ),
    ),
    Staying(
        "a queue or a pipe between threads or processes",
        "its other end is on this machine",
        "Send what is in it as a list.",
        (
            *_in("queue", "Queue"),
            *_in("_queue", "SimpleQueue"),
            *_in("multiprocessing.queues", "Queue JoinableQueue SimpleQueue"),
            *_in("multiprocessing.connection", "_ConnectionBase Listener"),
        ),
    ),
    Staying(
        "a socket or another connection to a network",
        "its other end talks to this process",
        "Send the address and connect inside the function.",
        (
            *_in("socket", "socket"),
            *_in("_ssl", "_SSLContext"),
            *_in("select", "poll epoll kqueue"),
            *_in("selectors", "BaseSelector"),
            *_in("asyncio.streams", "StreamReader StreamWriter"),
        ),
    ),
    Staying(
        "a connection to a database",
        "only the process that has opened it can use it",
        "Send its address or path and connect inside the function, or send what was read from it.",
        (
            *_in("sqlite3", "Connection Cursor Blob"),
            *_in("shelve", "Shelf"),
            *_in("dbm.dumb", "_Database"),
            *_in("dbm.sqlite3", "_Database"),
            *_in("_dbm", "dbm"),
            *_in("_gdbm", "gdbm"),
        ),
    ),
    Staying(
        "mapped or shared memory",
        "it is the memory of this machine",
        "Send bytes(…) of it, or the path of the file and map it inside the function.",
        (
            "mmap.mmap",
            *_in("multiprocessing.shared_memory", "SharedMemory ShareableList"),
            "multiprocessing.sharedctypes.SynchronizedBase",
        ),
    ),
    Staying(
        "a handle of a GPU",
        "it stands for something in the driver of this machine",
        "Make it inside the function; send arrays as numpy arrays.",
        (
            *_in("torch.cuda.streams", "Stream Event"),
            *_in("torch.cuda.graphs", "CUDAGraph"),
            *_in("cupy.cuda.stream", "_BaseStream Stream ExternalStream Event"),
            *_in("numba.cuda.cudadrv.driver", "Context Stream Event"),
            *_in("pycuda._driver", "Context Stream Event DeviceAllocation"),
        ),
    ),
    Staying(
        "an event loop, or what waits in it",
        "it runs in this process",
        "Use asyncio.run(…) inside the function.",
        (
            *_in("asyncio.events", "AbstractEventLoop Handle"),
            *_in("_asyncio", "Future Task"),
            *_in("asyncio.futures", "Future"),
        ),
    ),
    Staying(
        "a weak reference",
        "what it refers to stays here",
        "Send what it refers to.",
        (
            *_in("weakref", "ReferenceType ProxyType CallableProxyType WeakValueDictionary WeakKeyDictionary"),
            *_in("builtins", "weakref weakproxy weakcallableproxy"),
        ),
    ),
    Staying(
        "a frame or a traceback",
        "it is a part of a call that runs, or has run, here",
        "Send its text: traceback.format_exc().",
        _in("builtins", "frame traceback"),
    ),
    Staying(
        "a handler of logging",
        "it holds a lock, and mostly an open file",
        "Name the logger inside the function, logging.getLogger(…), and set up its handlers there.",
        ("logging.Handler",),
    ),
    Staying(
        "a context variable",
        "it is known in this process only",
        "Send its value.",
        (*_in("_contextvars", "ContextVar Context Token"), *_in("builtins", "ContextVar Context Token")),
    ),
    Staying(
        "a match of a regular expression",
        "it refers to the text in memory",
        "Send its groups().",
        ("re.Match",),
    ),
)
# These hold nothing of this process, whatever they are kinds of.
_FREE = ("_io.BytesIO", "_io.StringIO", "logging.NullHandler")
# By the last part of the name first: each object that is pickled is looked at.
_KNOWN: dict[str, dict[str, Staying | None]] = {}
for _name, _kind in [*((name, kind) for kind in KINDS for name in kind.classes), *((name, None) for name in _FREE)]:
    _KNOWN.setdefault(_name.rpartition(".")[2], {})[_name] = _kind


def of(value: Any) -> Staying | None:
    """Return why an object stays here; None if it is of no known kind, or its class says itself how it travels."""
    for cls in type(value).__mro__[:-1]:  # the last one is object
        known = _KNOWN.get(cls.__name__)
        if known is not None and (name := f"{cls.__module__}.{cls.__qualname__}") in known:
            return known[name]
        own = cls.__dict__
        if "__reduce__" in own or "__reduce_ex__" in own or "__getstate__" in own:
            return None
    return None


def way_out(value: Any, kind: Staying) -> str:
    """Return what to do instead of sending an object."""
    for name in ("stdout", "stderr", "stdin"):
        if value is getattr(sys, name) or value is getattr(sys, f"__{name}__"):
            return f"Write sys.{name} inside the function: there it is that of the job."
    return kind.way_out


def counterpart(value: Any) -> Any:
    """Return how to pickle what has its own counterpart over there, as ``__reduce__`` would; None for anything else.

    Raises Stays for what stays here: some of it could be pickled, into a silent copy or into something else.
    """
    if (kind := of(value)) is not None:
        raise Stays(f"this is {kind.what}, and {kind.why}", hint=way_out(value, kind))
    for name in ("environ", "environb"):  # no copy of what is here, secrets and all
        if value is getattr(os, name, ()):
            return getattr, (os, name)
    return None


__all__ = ["KINDS", "Staying", "Stays", "counterpart", "of", "way_out"]
