"""What a piece of code does besides computing: files, processes, connections, unpickling."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_DOING = (
    "open", "os.listdir", "os.scandir", "os.mkdir", "os.remove", "os.rename", "os.system", "os.exec", "os.fork",
    "os.spawn", "os.posix_spawn", "os.putenv", "os.chdir", "socket.", "subprocess.", "shutil.", "tempfile.",
    "sqlite3.", "urllib.",
)  # fmt: skip
_LOADING = ("pickle.find_class",)
_here = threading.local()
_installed = False


@contextmanager
def watched() -> Iterator[list[str]]:
    """Within this context, list what this thread does outside of itself."""
    with _watching(_DOING) as seen:
        yield seen


@contextmanager
def unpickled() -> Iterator[list[str]]:
    """Within this context, list what this thread unpickles."""
    with _watching(_LOADING) as seen:
        yield seen


@contextmanager
def _watching(events: tuple[str, ...]) -> Iterator[list[str]]:
    global _installed
    if not _installed:  # an audit hook stays until the process ends, so there is one, and only once it is needed
        sys.addaudithook(_note)
        _installed = True
    seen: list[str] = []
    _here.watch = events, seen
    try:
        yield seen
    finally:
        del _here.watch


def _note(event: str, arguments: tuple[object, ...]) -> None:
    watch = getattr(_here, "watch", None)
    if watch is not None and event.startswith(watch[0]):
        watch[1].append(" ".join([event, *(str(argument)[:80] for argument in arguments[:2])]))
