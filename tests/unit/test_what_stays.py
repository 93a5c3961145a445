"""What cannot travel is refused by name, wherever it sits, before anything is journalled, packed or sent."""
# ruff: noqa: SIM115

from __future__ import annotations

import asyncio
import codecs
import collections
import concurrent.futures
import contextvars
import dbm.dumb
import functools
import inspect
import io
import logging
import mmap
import multiprocessing
import os
import pickle
import queue
import re
import selectors
import shelve
import socket
import sqlite3
import ssl
import subprocess
import sys
import tarfile
import tempfile
import threading
import types
import weakref
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from multiprocessing import connection, shared_memory
from pathlib import Path
from typing import Any

import pytest

from clustrix import CannotTravel, cluster
from clustrix_core.errors import ClustrixError
from clustrix_core.payload import pickler, staying
from clustrix_core.payload.staying import KINDS
from tests.unit.conftest import World

HERE = "here"  # the cluster of the World


class Place:
    """Where things are made, and where they are given back."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.file = folder / "file"
        self.file.write_text("some text\n" * 1000)

    def closing(self, thing: Any, how: str = "close") -> Any:
        self.stack.callback(getattr(thing, how))
        return thing

    def loop(self) -> Any:
        return self.closing(asyncio.new_event_loop())

    def process(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["true"])
        self.stack.callback(process.wait)
        return process

    def shared(self) -> Any:
        memory = shared_memory.SharedMemory(create=True, size=16)
        self.stack.callback(memory.unlink)
        return self.closing(memory)

    def pool(self) -> Any:
        pool = multiprocessing.get_context("spawn").Pool(1)
        self.stack.callback(pool.join)
        return self.closing(pool)

    def pipe(self) -> Any:
        one, other = connection.Pipe()
        self.closing(other)
        return self.closing(one)

    def cursor(self) -> Any:
        return self.closing(self.closing(sqlite3.connect(":memory:")).cursor())


def gpu(module: str, name: str) -> Any:
    """An object of a class of that name: no GPU is here, and none of these libraries either."""
    return type(name, (), {"__module__": module, "handle": 140_000_000_000})()


class Thing:
    pass


def numbers() -> Iterator[int]:
    yield 1


async def wait() -> int:
    return 1


async def anumbers() -> AsyncIterator[int]:
    yield 1


def failed() -> types.TracebackType | None:
    try:
        raise ValueError("x")
    except ValueError as error:
        return error.__traceback__


class Worker(threading.Thread):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size


class Recorder(logging.Handler):
    pass


THING = Thing()
THINGS: dict[str, dict[str, Callable[[Place], Any]]] = {
    "an open file": {
        "text": lambda place: place.closing(open(place.file)),
        "binary": lambda place: place.closing(open(place.file, "rb")),
        "raw": lambda place: place.closing(open(place.file, "rb", buffering=0)),
        "both ways": lambda place: place.closing(open(place.file, "r+b")),
        "stdout": lambda place: sys.__stdout__,
        "codecs": lambda place: place.closing(codecs.open(str(place.file), encoding="utf-8")),
        "scandir": lambda place: place.closing(os.scandir(place.folder)),
        "an entry": lambda place: next(iter(place.closing(os.scandir(place.folder)))),
        "a member": lambda place: place.closing(io.TextIOWrapper(io.BytesIO(b"x"))),
    },
    "an open archive": {
        "zip": lambda place: place.closing(zipfile.ZipFile(place.folder / "a.zip", "w")),
        "tar": lambda place: place.closing(tarfile.open(place.folder / "a.tar", "w")),
    },
    "a temporary file or folder": {
        "named": lambda place: place.closing(tempfile.NamedTemporaryFile()),
        "spooled": lambda place: place.closing(tempfile.SpooledTemporaryFile()),
        "folder": lambda place: place.closing(tempfile.TemporaryDirectory(), "cleanup"),
    },
    "a lock": {
        "lock": lambda place: threading.Lock(),
        "reentrant": lambda place: threading.RLock(),
        "condition": lambda place: threading.Condition(),
        "event": lambda place: threading.Event(),
        "semaphore": lambda place: threading.Semaphore(),
        "barrier": lambda place: threading.Barrier(2),
        "of processes": lambda place: multiprocessing.Lock(),
        "event of processes": lambda place: multiprocessing.Event(),
    },
    "a generator": {
        "function": lambda place: numbers(),
        "expression": lambda place: (n for n in range(3)),
        "asynchronous": lambda place: anumbers(),
        "glob": lambda place: os.walk(place.folder),
    },
    "a coroutine": {"coroutine": lambda place: place.closing(wait())},
    "a thread, or what belongs to one": {
        "thread": lambda place: threading.Thread(target=print),
        "of an own class": lambda place: Worker(3),
        "timer": lambda place: threading.Timer(1, print),
        "local": lambda place: threading.local(),
    },
    "a process": {
        "running": lambda place: place.process(),
        "of multiprocessing": lambda place: multiprocessing.Process(target=print),
    },
    "a pool of workers, or what will be its result": {
        "threads": lambda place: place.closing(concurrent.futures.ThreadPoolExecutor(1), "shutdown"),
        "processes": lambda place: place.closing(concurrent.futures.ProcessPoolExecutor(1), "shutdown"),
        "future": lambda place: concurrent.futures.Future(),
        "pool": lambda place: place.pool(),
    },
    "a queue or a pipe between threads or processes": {
        "queue": lambda place: queue.Queue(),
        "priority": lambda place: queue.PriorityQueue(),
        "simple": lambda place: queue.SimpleQueue(),
        "of processes": lambda place: place.closing(multiprocessing.Queue()),
        "pipe": lambda place: place.pipe(),
    },
    "a socket or another connection to a network": {
        "socket": lambda place: place.closing(socket.socket()),
        "TLS": lambda place: ssl.create_default_context(),
        "selector": lambda place: place.closing(selectors.DefaultSelector()),
    },
    "a connection to a database": {
        "sqlite": lambda place: place.closing(sqlite3.connect(":memory:")),
        "cursor": lambda place: place.cursor(),
        "shelf": lambda place: place.closing(shelve.open(str(place.folder / "shelf"))),
        "dbm": lambda place: place.closing(dbm.dumb.open(str(place.folder / "dbm"))),
    },
    "mapped or shared memory": {
        "mmap": lambda place: place.closing(mmap.mmap(-1, 100)),
        "shared": lambda place: place.shared(),
        "value": lambda place: multiprocessing.Value("i"),
    },
    "a handle of a GPU": {
        f"{module}.{name}": lambda place, module=module, name=name: gpu(module, name)  # type: ignore[misc]
        for module, name in [
            ("torch.cuda.streams", "Stream"),
            ("cupy.cuda.stream", "Event"),
            ("numba.cuda.cudadrv.driver", "Context"),
            ("pycuda._driver", "DeviceAllocation"),
        ]
    },
    "an event loop, or what waits in it": {
        "loop": lambda place: place.loop(),
        "future": lambda place: place.loop().create_future(),
    },
    "a weak reference": {
        "reference": lambda place: weakref.ref(THING),
        "proxy": lambda place: weakref.proxy(THING),
        "values": lambda place: weakref.WeakValueDictionary(),
        "keys": lambda place: weakref.WeakKeyDictionary(),
    },
    "a frame or a traceback": {
        "frame": lambda place: inspect.currentframe(),
        "traceback": lambda place: failed(),
    },
    "a handler of logging": {
        "stream": lambda place: logging.StreamHandler(),
        "file": lambda place: place.closing(logging.FileHandler(place.file)),
        "of an own class": lambda place: Recorder(),
    },
    "a context variable": {
        "variable": lambda place: contextvars.ContextVar("x"),
        "context": lambda place: contextvars.copy_context(),
    },
    "a match of a regular expression": {"match": lambda place: re.match("a", "a")},
}
CASES = [(kind, name) for kind, things in THINGS.items() for name in things]


class Slotted:
    __slots__ = ("what",)

    def __init__(self, what: Any) -> None:
        self.what = what


class Holder(Slotted):
    """With a ``__dict__`` of its own."""


class Box:
    def __init__(self, what: Any) -> None:
        self.what = what

    def __call__(self) -> bool:
        return self.what is None

    def asked(self) -> bool:
        return self.what is None


def plain(value: Any, other: int = 0) -> None:
    pass


def script(source: str, **variables: Any) -> Any:
    """What a script defines as ``f``."""
    exec(source, variables)
    return variables["f"]


def enclosed(value: Any) -> Callable[[], bool]:
    return lambda: value is None


def guarded(value: Any) -> Callable[[], int]:
    def decorate(function: Callable[[], int]) -> Callable[[], int]:
        @functools.wraps(function)
        def wrapper() -> int:
            return function() if value else 0

        return wrapper

    @decorate
    def work() -> int:
        return 1

    return work


def defaulted(value: Any) -> Callable[..., bool]:
    def with_default(x: int = 1, *, handle: Any = value) -> bool:
        return handle is None

    return with_default


# What is called and with what, and how the error says where the thing is.
PLACES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "an argument": (lambda thing: cluster(HERE)(plain).submit(thing), "the argument 'value' cannot"),
    "a keyword": (lambda thing: cluster(HERE)(plain)(1, other=thing), "the argument 'other' cannot"),
    "a constant of a map": (lambda thing: cluster(HERE)(plain).map([1], other=thing), "the constant argument 'other'"),
    "one of a map": (lambda thing: cluster(HERE)(plain).map([1, thing]), "the argument 'value' cannot"),
    "in containers": (
        lambda thing: cluster(HERE)(plain).submit({"a": [1, (thing,)]}),
        "the argument 'value'['a'][1][0] cannot",
    ),
    "in a deque": (lambda thing: cluster(HERE)(plain).submit(collections.deque([thing])), "the argument 'value'[0]"),
    "an attribute": (lambda thing: cluster(HERE)(plain).submit(Box([thing])), "the argument 'value'.what[0] cannot"),
    "a slot": (lambda thing: cluster(HERE)(plain).submit(Slotted(thing)), "the argument 'value'.what cannot"),
    "a slot of a class above": (lambda thing: cluster(HERE)(plain).submit(Holder(thing)), "the argument 'value'.what"),
    "a global": (
        lambda thing: cluster(HERE)(script("def f(): return HANDLE", HANDLE=thing)).submit(),
        "the global 'HANDLE' that f uses cannot",
    ),
    "a global of a helper": (
        lambda thing: cluster(HERE)(script("def helper(): return HANDLE\ndef f(): helper()", HANDLE=thing)).submit(),
        "the global 'HANDLE' that helper uses cannot",
    ),
    "a global that a lambda inside uses": (
        lambda thing: cluster(HERE)(script("def f(): return lambda: [HANDLE for _ in 'x']", HANDLE=thing)).submit(),
        "the global 'HANDLE' that f uses cannot",
    ),
    "a global that a class inside uses": (
        lambda thing: cluster(HERE)(script("def f():\n class A: x = HANDLE\n return A", HANDLE=thing)).submit(),
        "the global 'HANDLE' that f uses cannot",
    ),
    "an attribute of a global": (
        lambda thing: cluster(HERE)(script("def f(): return STATE", STATE=Box({"log": thing}))).submit(),
        "the global 'STATE' that f uses.what['log'] cannot",
    ),
    "an attribute of a class": (
        lambda thing: cluster(HERE)(script("class A:\n x = [T]\ndef f(): return A()", T=thing, __name__="s")).submit(),
        "the global 'A' that f uses.x[0] cannot",
    ),
    "a closure": (lambda thing: cluster(HERE)(enclosed([thing])).submit(), "the variable 'value' that enclosed"),
    "a decorator": (lambda thing: cluster(HERE)(guarded(thing)).submit(), "the variable 'value' that guarded"),
    "a cached helper": (
        lambda thing: cluster(HERE)(
            script("@cache\ndef g(): return HANDLE\ndef f(): g()", HANDLE=thing, cache=functools.lru_cache)
        ).submit(),
        "the global 'HANDLE' that g uses cannot",
    ),
    "a default": (lambda thing: cluster(HERE)(defaulted(thing)).submit(), "the default of 'handle' in defaulted"),
    "a method": (lambda thing: cluster(HERE)(Box(thing).asked).submit(), "the object whose method is called.what"),
    "a method as argument": (lambda thing: cluster(HERE)(plain).submit(Box(thing).asked), "method is called.what"),
    "a callable object": (lambda thing: cluster(HERE)(plain).submit(Box(thing)), "the argument 'value'.what cannot"),
    "a partial": (lambda thing: cluster(HERE)(functools.partial(plain, thing)).submit(), "argument 0 of the partial"),
    "a partial as argument": (
        lambda thing: cluster(HERE)(plain).submit(functools.partial(plain, other=thing)),
        "the argument 'other' of the partial",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_what_stays_here_is_refused_by_name(world: World, tmp_path: Path, kind: str, name: str) -> None:
    (known,) = (one for one in KINDS if one.what == kind)
    with ExitStack() as stack:
        thing = THINGS[kind][name](Place(tmp_path, stack))
        for where, (call, words) in PLACES.items():
            with pytest.raises(CannotTravel) as refused:
                call(thing)
            said = str(refused.value)
            assert words in said, where
            assert f"{type(thing).__name__} object " in said, where
            assert f": this is {known.what}, and {known.why}" in said, where
            assert refused.value.hint == staying.way_out(thing, known) and refused.value.hint in said, where
        assert world.untouched()


def test_each_kind_is_tried() -> None:
    assert [kind.what for kind in KINDS] == list(THINGS)


class Careful(threading.Thread):
    """A thread that says itself how it travels."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def __reduce__(self) -> Any:
        return Careful, (self.size,)


@pytest.mark.parametrize(
    "value",
    [io.BytesIO(b"x"), io.StringIO("x"), logging.getLogger("x"), logging.NullHandler(), Careful(3), Thing(),
     asyncio.Lock, threading.Thread, Box, numbers, sqlite3, os.environ, iter([1]), map(str, [1])],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_looks_alike_and_travels(value: Any) -> None:
    assert staying.of(value) is None
    pickler.parts_of(value)


def test_standard_streams_have_a_way_out_of_their_own(world: World) -> None:
    with pytest.raises(CannotTravel) as refused:
        cluster(HERE)(plain).submit(sys.stderr)
    assert isinstance(refused.value, ClustrixError) and "Write sys.stderr inside the function" in str(
        refused.value.hint
    )


def test_the_environment_over_there_is_that_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is in the one here stays here: there may be secrets in it."""
    monkeypatch.setenv("A_SECRET", "open sesame")
    f = script("from os import environ\ndef f(): return environ.get('A_SECRET')")
    stream = b"".join(map(bytes, pickler.parts_of((f, os.environ, os.environb)).stream))
    assert b"sesame" not in stream
    loaded, environ, environb = pickle.loads(stream)
    assert environ is os.environ and environb is os.environb and loaded() == "open sesame"
    monkeypatch.setenv("A_SECRET", "other")
    assert loaded() == "other"
