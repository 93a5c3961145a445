"""Attempts to connect: one at a time, and threads that waited for one that failed share its failure.

Eight threads with a wrong key must not be eight refused logins: sites bar addresses for less.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from clustrix_core.errors import ClustrixError


class Attempts:
    """Guards one connection with ``lock``."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._failed: tuple[float, ClustrixError] | None = None

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold the lock for an attempt; raise instead what an attempt that failed meanwhile has raised."""
        arrived = time.monotonic()
        with self.lock:
            if self._failed and self._failed[0] > arrived:
                raise copy.copy(self._failed[1]) from self._failed[1]
            try:
                yield
            except ClustrixError as error:
                self._failed = (time.monotonic(), error)
                raise


__all__ = ["Attempts"]
