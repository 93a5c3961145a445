"""Checkpoints: what a call saves comes back to it when it runs again, and it is told when its end is near.

state = checkpoint.load(default)    # what this call saved last, in whichever run of it
checkpoint.save(state)              # takes its place, whole or not at all
if checkpoint.due():                # the end is near: see the option `warn`
    checkpoint.save(state)
    raise checkpoint.Again          # let this call go on in a later run, if `retries` are left
"""

import contextlib
import os
import signal
import struct

from clustrix_core.worker import pickling
from clustrix_core.worker.parts import places, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Optional, Sequence

_COUNT = struct.Struct("<I")
_place: "Optional[str]" = None
_told = False


class Again(BaseException):
    """Raised by a function that wants to go on in a later run. No ``except Exception`` catches it."""


def load(default: "Any" = None) -> "Any":
    """Return what this call has saved last, in this run or an earlier one; ``default`` where it has saved nothing.

    Outside a job that is always ``default``, but within ``at``. Raises what unpickling raises.
    """
    if _place is None or not os.path.exists(_place):
        return default
    with open(_place, "rb") as file:
        (count,) = _COUNT.unpack(file.read(_COUNT.size))
        sizes = struct.unpack("<%dQ" % count, file.read(8 * count))
        return pickling.load(file, places(_COUNT.size + 8 * count, sizes))


def save(state: "Any") -> None:
    """Keep ``state`` for the next run of this call; what it saved before is replaced once this is safely on disk.

    Outside a job nothing is kept, but within ``at``. Raises what pickling raises, and OSError where the disk is full.
    """
    parts = pickling.dump(state)
    if _place is None:
        return
    sizes = parts.sizes()
    os.makedirs(os.path.dirname(_place), 0o700, exist_ok=True)
    new = "%s.%d.new" % (_place, os.getpid())  # processes that the function has started may save, too
    fd = os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    try:
        write_all(fd, [_COUNT.pack(len(sizes)), struct.pack("<%dQ" % len(sizes), *sizes)])
        write_all(fd, parts.chunks())
        os.fsync(fd)
        os.replace(new, _place)
    except BaseException:
        os.unlink(new)
        raise
    finally:
        os.close(fd)


def due() -> bool:
    """Return whether the end is near: ``warn`` before the walltime, or told by a SIGTERM to go (preemption).

    Always False where ``warn`` was not asked for, and outside a job.
    """
    return _told


@contextlib.contextmanager
def at(path: "Any") -> "Iterator[None]":
    """Keep checkpoints in this file while the context lasts: so a function is tried, or goes on, without a job."""
    global _place
    before, _place = _place, os.path.abspath(os.fspath(path))
    try:
        yield
    finally:
        _place = before


def listen() -> None:
    """From now on, in this process and in the slots that it forks, the two signals only make ``due`` true.

    Processes that the function forks end by them as ever: multiprocessing ends its own like that.
    """
    # Before Python 3.7 there is no telling forks apart: SIGTERM stays what it is.
    numbers: "Sequence[int]" = [signal.SIGUSR1] + [signal.SIGTERM] * hasattr(os, "register_at_fork")
    for number in numbers:
        signal.signal(number, _tell)
    if hasattr(os, "register_at_fork"):
        fork = _Fork(numbers)
        os.register_at_fork(before=fork.begin, after_in_parent=fork.end, after_in_child=fork.end_in_child)


def _tell(number: int, frame: "Any") -> None:
    global _told
    _told = True


class _Fork:
    """Holds the signals back while a process forks: Python forgets those that come to a child just then."""

    def __init__(self, numbers: "Sequence[int]") -> None:
        self._numbers = numbers
        self._mask: "Any" = ()

    def begin(self) -> None:
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)

    def end(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def end_in_child(self) -> None:
        for number in self._numbers:
            signal.signal(number, signal.SIG_DFL)
        self.end()
