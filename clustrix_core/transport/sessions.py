"""Sessions on one connection, which the host may limit (MaxSessions): those in use, and the wait for a free one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from clustrix_core.errors import TransportError

QUEUE = 600.0  # seconds to wait for a session while ours are in use
SOON = 5.0  # the same when none of ours is: the host may not have noticed yet that one has ended


class Sessions:
    """The sessions of one connection, shared by threads."""

    def __init__(self) -> None:
        self._in_use = 0
        self._freed = threading.Condition()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count a session as in use for the length of the block."""
        with self._freed:
            self._in_use += 1
        try:
            yield
        finally:
            with self._freed:
                self._in_use -= 1
                self._freed.notify()

    def wait(self, where: str, began: float, pause: float) -> float:
        """Wait until one may have become free; return the pause for the next time.

        Raises TransportError when the host has opened none since ``began`` for too long.
        """
        with self._freed:
            bound = QUEUE if self._in_use else SOON
            if time.monotonic() - began > bound:
                raise TransportError(
                    f"{where}: the host opened no further session for {bound:g} s ({self._in_use} of ours in use)",
                    hint="Its MaxSessions may be too low for so much at once, or it refuses commands altogether.",
                )
            self._freed.wait(pause)
        return min(pause * 1.5, 1.0)


__all__ = ["Sessions"]
