"""The terminal, of which there is one: what moves on it stands aside while somebody is asked something."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Display(Protocol):
    """What draws itself again and again, and would erase a question: a spinner, a bar."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


_question = threading.Lock()  # one at a time
_lock = threading.Lock()
_shown: list[Display] = []
_asked = False


@contextmanager
def showing(display: Display) -> Iterator[None]:
    """Show a display for the length of the block, but for the questions that come up meanwhile."""
    with _lock:
        _shown.append(display)
        if not _asked:
            display.start()
    try:
        yield
    finally:
        with _lock:
            if display in _shown:  # not in a forked child
                _shown.remove(display)
                display.stop()


@contextmanager
def asking() -> Iterator[None]:
    """Have the terminal to oneself for the length of the block."""
    with _question:
        _stand_aside(True)
        try:
            yield
        finally:
            _stand_aside(False)


def _stand_aside(asked: bool) -> None:
    global _asked
    with _lock:
        _asked = asked
        for display in _shown:
            display.stop() if asked else display.start()


def _alone() -> None:
    # In a forked child nobody asks, and nobody who holds a lock is there.
    global _question, _lock, _asked
    _question, _lock, _asked = threading.Lock(), threading.Lock(), False
    _shown.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_alone)

__all__ = ["Display", "asking", "showing"]
