"""A transport that counts what passes through it: for tests of round trips, and for authors who watch theirs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

from clustrix_core.transport import DEADLINE, Completed, Transport


class Counting:
    """Wraps a transport. ``commands`` are all that was run, in order of their start; ``sent`` and ``received`` count
    the bytes of stdin and of stdout and stderr."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.reset()

    def reset(self) -> None:
        """Begin to count anew."""
        self._lock = threading.Lock()
        self._before = getattr(self.transport, "connections", 0)
        self.commands: list[str] = []
        self.sent = self.received = 0

    @property
    def here(self) -> bool:
        return self.transport.here

    @property
    def runs(self) -> int:
        """How many commands were run: over SSH, the channels opened."""
        return len(self.commands)

    @property
    def connections(self) -> int:
        """How many connections were made."""
        return int(getattr(self.transport, "connections", 0)) - self._before

    def run(
        self,
        command: str,
        stdin: Iterable[bytes] = (),
        sink: Callable[[bytes], None] | None = None,
        idle: float = DEADLINE,
    ) -> Completed:
        """Run a command as the wrapped transport does, and count it."""
        with self._lock:
            self.commands.append(command)
        done = self.transport.run(command, self._out(stdin), self._into(sink) if sink else None, idle)
        self._add(received=len(done.stdout) + len(done.stderr))
        return done

    def close(self) -> None:
        self.transport.close()

    def __repr__(self) -> str:
        counts = f"{self.runs} runs, {self.connections} connections, {self.sent} B sent, {self.received} B received"
        return f"Counting({self.transport!r}: {counts})"

    def _add(self, sent: int = 0, received: int = 0) -> None:
        with self._lock:
            self.sent += sent
            self.received += received

    def _out(self, stdin: Iterable[bytes]) -> Iterator[bytes]:
        for data in stdin:
            self._add(sent=len(data))
            yield data

    def _into(self, sink: Callable[[bytes], None]) -> Callable[[bytes], None]:
        def count(data: bytes) -> None:
            self._add(received=len(data))
            sink(data)

        return count


__all__ = ["Counting"]
