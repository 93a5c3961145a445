"""How commands and bytes reach a cluster: one method, ``run``, and three ways behind it.

Commands are one line of POSIX sh: transports hand them to ``/bin/sh -c``, whatever the user's login shell is.
Nothing that grows with the data goes on a command line; it goes through stdin. The transport of a backend that is
reached by an API (``BackendInfo.connect``) has commands of its own, and keeps all the other promises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from clustrix_core.errors import CommandError

CHUNK = 1 << 20  # larger sends slow paramiko down by an order of magnitude
DEADLINE = 120.0  # seconds without a byte in either direction


@dataclass(frozen=True)
class Completed:
    """What a command left: exit code, stdout (empty when it went to a sink) and stderr."""

    returncode: int
    stdout: bytes = b""
    stderr: bytes = b""

    @property
    def text(self) -> str:
        return self.stdout.decode("utf-8", "replace")

    @property
    def error(self) -> str:
        return self.stderr.decode("utf-8", "replace").strip()


class Transport(Protocol):
    """One way to a cluster. Thread-safe: threads share the one connection."""

    @property
    def here(self) -> bool:
        """Whether the cluster's files are this machine's: then large ones are linked, not sent."""
        ...

    def run(
        self,
        command: str,
        stdin: Iterable[bytes] = (),
        sink: Callable[[bytes], None] | None = None,
        idle: float = DEADLINE,
    ) -> Completed:
        """Run one line of POSIX sh on the cluster and wait for it.

        ``stdin`` is sent in chunks and closed; ``sink`` is called with stdout as it arrives (default: collected).
        Raises TransportError when the command may not have run to its end: connection lost, or nothing heard for
        ``idle`` seconds.
        """
        ...

    def close(self) -> None:
        """Drop the connection; the next ``run`` makes a new one."""
        ...


def check(completed: Completed, doing: str, **where: str | None) -> Completed:
    """Return ``completed``; raise CommandError naming what was being done if its exit code is not 0."""
    if completed.returncode == 0:
        return completed
    said = completed.error or completed.text.strip() or "no output"
    raise CommandError(
        f"{doing} failed (exit {completed.returncode}): {said[-2000:]}",
        returncode=completed.returncode,
        stderr=completed.error,
        **where,
    )


__all__ = ["CHUNK", "DEADLINE", "Completed", "Transport", "check"]
