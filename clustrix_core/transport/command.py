"""The one line that a transport runs: what may be one, and how it passes through any login shell unchanged."""

from __future__ import annotations

import re

from clustrix_core.errors import ConfigError

LIMIT = 100_000  # bytes as sent; Linux refuses a single argument of 128 KiB
_PLAIN = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
_SPECIAL = {"'": "\\'", "\\": "\\\\", "!": "\\!"}


def one_line(command: str) -> str:
    """Return ``command``; raise ConfigError when it is empty, longer than one line or too long to be an argument."""
    if not command.strip():
        raise ConfigError("an empty command cannot be run")
    if any(c in command for c in "\n\r\0"):
        raise ConfigError(f"a command must be one line: {brief(command)}", hint="Send scripts and data through stdin.")
    if len(for_login_shell(command).encode()) > LIMIT:
        raise ConfigError(
            f"a command of {len(command)} characters is too long (at most {LIMIT} bytes): {brief(command)}",
            hint="Send scripts and data through stdin.",
        )
    return command


def quote(text: str) -> str:
    """Return ``text`` as one word for POSIX shells, csh and fish alike.

    shlex.quote is not enough: fish reads backslashes inside single quotes, csh reads "!" there.
    """
    if _PLAIN.fullmatch(text):
        return text
    pieces = re.split(r"(['\\!])", text)
    return "".join(_SPECIAL.get(piece) or f"'{piece}'" for piece in pieces if piece) or "''"


def for_login_shell(command: str) -> str:
    """Return the line that makes the user's login shell, whatever it is, give ``command`` to ``/bin/sh``."""
    return f"exec /bin/sh -c {quote(command)}"


def brief(command: str, width: int = 160) -> str:
    """Return ``command`` cut down for a log line or a message."""
    line = " ".join(command.split())
    return line if len(line) <= width else f"{line[: width - 12]} …({len(command)})"


__all__ = ["LIMIT", "brief", "for_login_shell", "one_line", "quote"]
