"""Attempts to connect: one at a time, and threads that waited for one that failed share its failure.

Eight threads with a wrong key must not be eight refused logins: sites bar addresses for less.
"""

from __future__ import annotations

import copy
import logging
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from clustrix_core.errors import ClustrixError

CROWDED = 20.0  # seconds of new attempts when the host hangs up before it has said who it is (MaxStartups)
REFUSED = 3.0  # the same when nobody listens: a service is being restarted, or one of several login nodes is down
HANGS_UP = "It has too many logins at once, bars this address, or is no SSH server. Try again later."
_PAUSE_FIRST, _PAUSE_LAST = 0.2, 5.0
log = logging.getLogger("clustrix.ssh")


class Attempts:
    """Guards one connection with ``lock``. ``trouble`` says why there is none, "" while nothing is wrong."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.trouble = ""
        self._failed: tuple[float, ClustrixError] | None = None
        self._began, self._pause = 0.0, _PAUSE_FIRST

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold the lock for an attempt; raise instead what an attempt that failed meanwhile has raised."""
        arrived = time.monotonic()
        with self.lock:
            if self._failed and self._failed[0] > arrived:
                raise copy.copy(self._failed[1]) from self._failed[1]
            self._began, self._pause = time.monotonic(), _PAUSE_FIRST
            try:
                yield
                self.trouble = ""
            except ClustrixError as error:
                self._failed, self.trouble = (time.monotonic(), error), str(error.args[0])
                raise

    def again(self, patience: float, trouble: str) -> bool:
        """Wait for a new try; return False instead when it would be later than ``patience`` s after the first one."""
        if time.monotonic() + self._pause > self._began + patience:
            return False
        self.trouble = trouble
        log.debug("%s; again in %.1f s", trouble, self._pause)
        time.sleep(self._pause * random.uniform(0.7, 1.3))
        self._pause = min(1.7 * self._pause, _PAUSE_LAST)
        return True


__all__ = ["Attempts"]
