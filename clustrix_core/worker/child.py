"""A slot as its parent sees it: a process, a pipe that asks for calls, a pipe that says how they ended."""

import json
import os
import signal
import sys
import time

from clustrix_core.worker import slot
from clustrix_core.worker.attempt import Attempt
from clustrix_core.worker.signals import Signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, Optional, Tuple


class Reply:
    """How a call ended. ``shown`` is what people may see of it, where the slot sent that."""

    def __init__(self, ok: bool, seconds: float, shown: "Optional[Dict[str, Any]]") -> None:
        self.ok = ok
        self.seconds = seconds
        self.shown = shown


class Child:
    """A running slot. ``call`` is what it works on, None while it is idle."""

    def __init__(
        self, attempt: Attempt, number: int, results: int, signals: Signals, others: "Iterable[Child]"
    ) -> None:
        self.number = number
        self.call: "Optional[int]" = None
        self.since = 0.0
        self.dirty = False
        requests, self._requests = os.pipe()
        self.replies, replies = os.pipe()
        with signals.blocked():
            self.pid = os.fork()
            if self.pid == 0:
                # Whoever holds the far end of another's pipe would keep it from noticing that the parent is gone.
                for fd in [fd for child in others for fd in child.ends()] + list(self.ends()):
                    os.close(fd)
                _be_slot(attempt, number, results, signals, requests, replies)
        for fd in (results, requests, replies):
            os.close(fd)

    def ends(self) -> "Tuple[int, ...]":
        """Return the descriptors that belong to the parent."""
        return tuple(fd for fd in (self._requests, self.replies) if fd >= 0)

    def give(self, call: int) -> None:
        """Ask for a call."""
        self.call, self.since = call, time.monotonic()
        try:
            os.write(self._requests, slot.REQUEST.pack(call))
        except BrokenPipeError:  # it has just died: whoever reaps it finds the call
            pass

    def dismiss(self) -> None:
        """Let it end: there will be no more calls."""
        if self._requests >= 0:
            os.close(self._requests)
            self._requests = -1

    def hear(self) -> "Optional[Reply]":
        """Return what it says; None when it has nothing (more) to say, and then ``replies`` becomes -1."""
        data = _read(self.replies, slot.REPLY.size)
        if len(data) < slot.REPLY.size:
            os.close(self.replies)
            self.replies = -1
            return None
        ok, seconds, length = slot.REPLY.unpack(data)
        shown = json.loads(_read(self.replies, length).decode("utf-8")) if length else None
        self.call, self.dirty = None, True
        return Reply(ok, seconds, shown)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            pass

    def reap(self) -> "Optional[Tuple[int, int]]":
        """Return its status and the most memory that it held, in bytes, if it has ended."""
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        return (status, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)) if pid else None

    def forget(self) -> None:
        """Close what is left of it."""
        for fd in self.ends():
            os.close(fd)
        self._requests = self.replies = -1


def death(status: int) -> "Tuple[Dict[str, int], str]":
    """Return how a process has died, as fields of a record, and in words."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = "signal %d" % number
        return {"signal": number}, "the process was killed by %s during this call" % name
    code = os.WEXITSTATUS(status)
    return {"exit": code}, "the process ended with exit code %d during this call" % code


def _be_slot(attempt: Attempt, number: int, results: int, signals: Signals, requests: int, replies: int) -> None:
    """What the new process does; it never returns."""
    code = 70
    try:
        signals.reset()
        slot.Slot(attempt, number, results).serve(requests, replies)
        slot.finish()
        code = 0
    except BrokenPipeError:  # the parent is gone
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _read(fd: int, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = os.read(fd, length - len(data))
        if not more:
            break
        data += more
    return data
