"""Where keys are found: an ssh-agent on a socket of its own, the public half beside a key file."""

from __future__ import annotations

import base64
import socket
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import paramiko


def agent_at(path: str) -> paramiko.agent.AgentSSH:
    """Return the agent that listens on a socket of its own (IdentityAgent)."""
    import paramiko

    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(path)
        agent = paramiko.agent.AgentSSH()
        cast(Any, agent)._connect(sock)
    except BaseException:
        sock.close()
        raise
    return agent


def public_half(path: str) -> bytes:
    """Return the public half that lies beside a key file (or stands in for it), b"" when there is none."""
    for name in (f"{path}.pub", path):
        try:
            with open(name, encoding="ascii") as stream:
                words = stream.read(16384).split()
            if len(words) > 1 and "-----" not in words[0]:
                return base64.b64decode(words[1], validate=True)
        except (OSError, ValueError):
            continue
    return b""


__all__ = ["agent_at", "public_half"]
