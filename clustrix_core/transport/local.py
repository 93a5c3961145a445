"""This machine as a cluster: commands are child processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from clustrix_core.errors import TransportError
from clustrix_core.transport import DEADLINE, Completed, process
from clustrix_core.transport.command import brief, one_line


class Local:
    """Runs commands on this machine, in the user's home directory as a login would, each in its own process group."""

    connections = 0  # nothing is connected to
    here = True

    def run(
        self,
        command: str,
        stdin: Iterable[bytes] = (),
        sink: Callable[[bytes], None] | None = None,
        idle: float = DEADLINE,
    ) -> Completed:
        """Run one line of POSIX sh and return its end; 128 + n is the exit code of one that signal n killed.

        Raises ConfigError for what is not one line, TransportError after ``idle`` seconds without a byte (the process
        group is killed), or when this machine cannot run it.
        """
        if os.name != "posix":
            raise TransportError(
                "this machine cannot run jobs: that needs a POSIX system (Linux, macOS, WSL)",
                transient=False,
                hint="Name a cluster that is reached over SSH (host: …), or run inside WSL.",
            )
        argv = ["/bin/sh", "-c", one_line(command)]
        try:
            done = process.run(argv, stdin, sink, idle, cwd=_home())
        except process.Silence:
            raise TransportError(
                f"this machine: nothing heard for {idle:g} s, killed: {brief(command)}",
                hint="Look whether the machine or its file system hangs.",
            ) from None
        if done.returncode < 0:
            return Completed(128 - done.returncode, done.stdout, done.stderr)
        return done

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def __repr__(self) -> str:
        return "Local()"


def _home() -> str:
    home = os.path.expanduser("~")
    return home if os.path.isdir(home) else "/"


__all__ = ["Local"]
