"""A child process with a stream in and streams out at once: bounded memory, no deadlock, an end to silence. POSIX."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import IO, cast
from weakref import WeakSet

from clustrix_core.transport import CHUNK, Completed

Stream = Iterable[bytes] | Iterable[memoryview]
_READ = 1 << 18
_running: WeakSet[subprocess.Popen[bytes]] = WeakSet()


class Silence(Exception):
    """Nothing moved in either direction for too long; the process has been killed."""


def run(
    argv: Sequence[str],
    stdin: Stream,
    sink: Callable[[bytes], None] | None,
    idle: float,
    cwd: str | None = None,
) -> Completed:
    """Run ``argv`` in a process group of its own; return its end, with -n for signal n as the exit code.

    Raises Silence after ``idle`` seconds without a byte, and what ``stdin`` and ``sink`` raise; OSError when there
    is no such program. Nothing of the group is left running then.
    """
    pipe = subprocess.PIPE
    child = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, cwd=cwd, start_new_session=True, bufsize=0)
    _running.add(child)
    try:
        return _Pump(child, stdin, sink, idle).run()
    except BaseException:
        end_group(child)
        raise
    finally:
        _close(child)


def _close(child: subprocess.Popen[bytes]) -> None:
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream:
            stream.close()


def _let_go() -> None:
    """In a forked child: while it held their pipes, its parent's commands would wait for the end of their input."""
    for child in list(_running):
        _close(child)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def end_group(child: subprocess.Popen[bytes]) -> None:
    """Kill a child that leads its own process group, with all of the group, and reap it."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    child.wait()


def chunks(stream: Stream) -> Iterator[memoryview]:
    """Yield a stream in pieces of at most CHUNK bytes, without copying and without empty ones."""
    for data in stream:
        view = memoryview(data).cast("B")
        for start in range(0, len(view), CHUNK):
            yield view[start : start + CHUNK]


class _Pump:
    """One exchange with one child, in the calling thread."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        stdin: Stream,
        sink: Callable[[bytes], None] | None,
        idle: float,
    ) -> None:
        self.child, self.idle = child, idle
        self.source = chunks(stdin)
        self.pending = memoryview(b"")
        self.out, self.err = bytearray(), bytearray()
        self.sink = sink or self.out.extend

    def run(self) -> Completed:
        with selectors.DefaultSelector() as ready:
            self._register(ready)
            while ready.get_map():
                events = ready.select(self.idle)
                if not events:
                    raise Silence
                for key, _ in events:
                    if not key.data():
                        ready.unregister(key.fileobj)
                        cast(IO[bytes], key.fileobj).close()
        try:
            code = self.child.wait(self.idle)
        except subprocess.TimeoutExpired:
            raise Silence from None
        return Completed(code, bytes(self.out), bytes(self.err))

    def _register(self, ready: selectors.BaseSelector) -> None:
        stdin, stdout, stderr = self.child.stdin, self.child.stdout, self.child.stderr
        assert stdin and stdout and stderr
        for stream in (stdin, stdout, stderr):
            os.set_blocking(stream.fileno(), False)
        ready.register(stdin, selectors.EVENT_WRITE, partial(self._feed, stdin.fileno()))
        ready.register(stdout, selectors.EVENT_READ, partial(self._drain, stdout.fileno(), self.sink))
        ready.register(stderr, selectors.EVENT_READ, partial(self._drain, stderr.fileno(), self.err.extend))

    def _feed(self, fd: int) -> bool:
        """Write what fits; return False when there is nothing more to write, or nobody who reads it."""
        if not self.pending:
            self.pending = next(self.source, self.pending)
            if not self.pending:
                return False
        try:
            self.pending = self.pending[os.write(fd, self.pending) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            return False
        return True

    @staticmethod
    def _drain(fd: int, sink: Callable[[bytes], None]) -> bool:
        """Pass on what has come; return False at the end of the stream."""
        try:
            data = os.read(fd, _READ)
        except BlockingIOError:
            return True
        if data:
            sink(data)
        return bool(data)


__all__ = ["Silence", "Stream", "chunks", "end_group", "run"]
