"""The slots of this host: at most so many cores at work for all jobs of one work_dir, first come, first served.

A slot is a file in ``slots/<host>/``, taken by whoever holds its lock; a lock ends with its holder, however that ends.
Whoever wants slots waits for its turn in the kernel and costs nothing; only the one whose turn it is looks for them.
"""

import fcntl
import os

from clustrix_core.worker.machine import host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List


class Turnstile:
    """Lets this process take slots."""

    def __init__(self, work_dir: str, slots: int) -> None:
        self._directory = os.path.join(work_dir, "slots", host())
        self._slots = max(1, slots)
        self._held: "List[int]" = []
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        self._turn = os.open(os.path.join(self._directory, "turn"), os.O_RDWR | os.O_CREAT, 0o600)
        self.is_mine = False

    def wait(self) -> None:
        """Wait until it is our turn. A signal handler that raises ends the waiting."""
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        self.is_mine = True

    def take(self, count: int) -> "List[int]":
        """Return ``count`` slots if it is our turn (or nobody else's) and so many are free, else none.

        What is free already is kept for the next time, so that nobody who wants little passes by who wants much.
        """
        if not self.is_mine and not _lock(self._turn):
            return []
        self.is_mine = True
        for number in range(self._slots):
            if len(self._held) >= count:
                break
            fd = os.open(os.path.join(self._directory, "slot-%d" % number), os.O_RDWR | os.O_CREAT, 0o600)
            if _lock(fd):
                self._held.append(fd)
            else:
                os.close(fd)
        if len(self._held) < count:
            return []
        taken, self._held = self._held[:count], self._held[count:]
        self.leave()
        return taken

    def leave(self) -> None:
        """Let the next one have its turn."""
        give_back(self._held)
        self._held = []
        self.is_mine = False
        fcntl.flock(self._turn, fcntl.LOCK_UN)


def give_back(slots: "List[int]") -> None:
    """Free slots."""
    for fd in slots:
        os.close(fd)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
