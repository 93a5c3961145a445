"""One command on a paramiko channel: a stream in and streams out at once, bounded memory, an end to silence."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from clustrix_core.transport import Completed, gate
from clustrix_core.transport.process import Silence, chunks

if TYPE_CHECKING:
    import paramiko

_READ = 1 << 18
_PACKET = 1 << 15
_AT_ONCE = 1 << 16  # bytes that are sent without a thread of their own: a socket takes them without waiting


class Refused(Exception):
    """The host does not run commands; nothing was started."""


class Unfinished(Exception):
    """The command ended without an exit status: killed by a signal, or the connection is gone."""


def exchange(
    channel: paramiko.Channel,
    command: str,
    stdin: Iterable[bytes],
    sink: Callable[[bytes], None] | None,
    idle: float,
) -> Completed:
    """Run ``command`` on a fresh channel and return its end.

    Raises Silence after ``idle`` seconds without a byte in either direction, Unfinished when there is no exit status,
    Refused, and what ``stdin`` and ``sink`` raise. The caller closes the channel, which ends the sender too.
    """
    import paramiko

    gate.fit(channel)
    channel.event = _Impatient(idle)
    channel.settimeout(None)
    try:
        channel.exec_command(command)
    except (paramiko.SSHException, EOFError, OSError) as error:
        # A broken connection shows as what had broken it, perhaps a moment before it is known to be inactive.
        said_no = isinstance(error, paramiko.SSHException) and channel.get_transport().is_active()
        raise (Refused if said_no else Unfinished)(str(error)) from error
    return _Exchange(channel, stdin, sink, idle).run()


def close(channel: paramiko.Channel) -> None:
    """Close a channel behind what is being sent on it. Does not wait for that."""

    def end() -> None:
        try:
            channel.close()
        except (EOFError, OSError):
            pass

    gate.fit(channel).after(end)


class _Impatient(threading.Event):
    """The event on which paramiko waits for the reply to a request, for ever: with an end to it."""

    def __init__(self, patience: float) -> None:
        super().__init__()
        self.patience = patience

    def wait(self, timeout: float | None = None) -> bool:
        if not super().wait(self.patience if timeout is None else timeout):
            raise Silence
        return True


class _Bell(threading.Event):
    """Rung by paramiko when something has arrived in either buffer; muted by the reader alone."""

    def clear(self) -> None:
        """Do nothing: one buffer running empty must not hide that the other has filled."""

    def mute(self) -> None:
        super().clear()


def _taken(receive: Callable[[int], bytes]) -> bytes:
    import paramiko

    try:
        return receive(_READ)
    except (paramiko.SSHException, EOFError, OSError) as error:  # it tells the host that there is room again
        raise Unfinished(str(error)) from error


class _Exchange:
    def __init__(
        self,
        channel: paramiko.Channel,
        stdin: Iterable[bytes],
        sink: Callable[[bytes], None] | None,
        idle: float,
    ) -> None:
        self.channel, self.idle = channel, idle
        self.gate = gate.fit(channel)
        self.source = chunks(stdin)
        self.out, self.err = bytearray(), bytearray()
        self.sink = sink or self.out.extend
        self.bell = _Bell()
        self.moved = time.monotonic()
        self.broken: BaseException | None = None

    def run(self) -> Completed:
        channel = self.channel
        channel.in_buffer.set_event(self.bell)
        channel.in_stderr_buffer.set_event(self.bell)
        rest = self._send_what_fits()
        if rest is not None:
            threading.Thread(target=self._send_rest, args=(rest,), name="clustrix-stdin", daemon=True).start()
        self._read_to_the_end()
        left = self.moved + self.idle - time.monotonic()
        if not channel.status_event.wait(max(left, 1.0)):
            raise Silence
        if channel.exit_status < 0:
            raise Unfinished
        return Completed(channel.exit_status, bytes(self.out), bytes(self.err))

    def _read_to_the_end(self) -> None:
        while True:
            self.bell.mute()
            over = self.channel.eof_received or self.channel.closed  # looked at first: nothing arrives after it
            busy = self._read()
            if self.broken:
                raise self.broken
            if busy:
                continue
            if over:
                return
            left = self.moved + self.idle - time.monotonic()
            if left <= 0:
                raise Silence
            self.bell.wait(left)

    def _read(self) -> bool:
        """Pass on what has arrived; return whether there was anything."""
        busy = False
        if self.channel.recv_ready():
            self.sink(_taken(self.channel.recv))
            busy = True
        if self.channel.recv_stderr_ready():
            self.err += _taken(self.channel.recv_stderr)
            busy = True
        if busy:
            self.moved = time.monotonic()
        return busy

    def _send_what_fits(self) -> memoryview | None:
        """Send what can be sent without waiting; return the chunk that did not fit, None when all of stdin is sent."""
        for chunk in self.source:
            if len(chunk) > min(self.channel.out_window_size, _AT_ONCE):
                return chunk
            if not self._send(chunk):
                return None
        self._end_of_stdin()
        return None

    def _send_rest(self, chunk: memoryview) -> None:
        """Send the rest from a thread of its own, so that a command that writes while it reads does not stall."""
        try:
            if self._send(chunk) and all(self._send(more) for more in self.source):
                self._end_of_stdin()
        except BaseException as error:
            self.broken = error
            self.bell.set()

    def _send(self, chunk: memoryview) -> bool:
        """Send a chunk; return False when the command no longer reads, or the connection is gone."""
        import paramiko

        try:
            start = 0
            while start < len(chunk):
                room = min(self._window(), _PACKET)
                with self.gate.sending():
                    sent = self.channel.send(bytes(chunk[start : start + room])) if room else 0
                if not sent:
                    return False
                start += sent
                self.moved = time.monotonic()
            return True
        except (paramiko.SSHException, EOFError, OSError):
            return self._lost()

    def _window(self) -> int:
        """Wait until the command can take more and return how much; 0 when it takes no more at all."""
        channel = self.channel
        with channel.lock:
            while channel.out_window_size <= 0 and not channel.closed:
                channel.out_buffer_cv.wait(1.0)
            return 0 if channel.closed else channel.out_window_size

    def _end_of_stdin(self) -> None:
        import paramiko

        try:
            with self.gate.sending():
                self.channel.shutdown_write()
        except (paramiko.SSHException, EOFError, OSError):
            self._lost()

    def _lost(self) -> bool:
        """Wake the reader when the connection is gone; a command that has merely ended wakes it by itself."""
        if not self.channel.closed:
            self.broken = Unfinished()
            self.bell.set()
        return False


__all__ = ["Refused", "Unfinished", "close", "exchange"]
