"""A ProxyCommand: a child process as the way to a host."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable

from clustrix_core.errors import TransportError


def through_command(command: str, opened: list[Callable[[], None]]) -> socket.socket:
    """Return a socket whose other end is a ProxyCommand."""
    if os.name != "posix":
        raise TransportError("ProxyCommand needs a POSIX system here", transient=False, hint="Use ProxyJump instead.")
    ours, theirs = socket.socketpair()
    opened.append(ours.close)
    with theirs:
        child = subprocess.Popen(["/bin/sh", "-c", f"exec {command}"], stdin=theirs.fileno(), stdout=theirs.fileno())
    opened.append(lambda: _end(child))
    return ours


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(2.0)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


__all__ = ["through_command"]
