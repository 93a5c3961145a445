"""Who holds a test bed: sessions of tests share it, one may have it alone, and the last takes it down."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

PATIENCE = 1800.0  # seconds to wait for the sessions that hold a bed


@dataclass
class Holding:
    """This process's part in a bed. ``state`` is the bed's directory; the locks lie beside it."""

    state: Path
    down: Callable[[], None]
    _held: IO[str] | None = field(default=None, init=False)

    def hold(self, alone: bool, patience: float = PATIENCE) -> None:
        """Hold the bed until ``leave`` or the end of this process; alone: nobody else does."""
        if self._held is None:
            self.state.parent.mkdir(parents=True, exist_ok=True)
            self._held = self._beside("sessions.lock").open("a")
        end = time.monotonic() + patience
        while not _lock(self._held, alone):
            if time.monotonic() > end:
                raise RuntimeError(f"the test bed {self.state.name} is still in use after {patience:.0f} s")
            time.sleep(0.2)

    def leave(self) -> None:
        """Let go of the bed; the last one takes it down, unless somebody brought it up by hand."""
        import fcntl

        if self._held is None:
            return
        file, self._held = self._held, None
        with file:
            if not self._beside("by-hand").exists() and _lock(file, alone=True):
                self.down()
            # A forked child may hold the file open still.
            fcntl.flock(file, fcntl.LOCK_UN)

    def _beside(self, name: str) -> Path:
        return self.state.with_name(f"{self.state.name}.{name}")


def _lock(file: IO[str], alone: bool) -> bool:
    import fcntl

    try:
        fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def why_not(what: str) -> str:
    """Why this machine cannot have a bed that is made of Debian's packages; empty when it can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return f"the {what} test bed needs root"
    if not Path("/etc/debian_version").exists():
        return f"the {what} test bed needs Debian"
    return ""


def script(argv: list[str], timeout: float, check: bool = True) -> str:
    """Run a command as root for tests; what it said."""
    done = subprocess.run(
        argv,
        env={**os.environ, "CLUSTRIX_BED_FOR_TESTS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def run_as(user: str, path: str, argv: tuple[str, ...], timeout: float, check: bool) -> str:
    """Run a command on this machine as one of a bed's users, with a plain environment; its stdout."""
    home = Path(f"~{user}").expanduser()
    plain = [f"HOME={home}", f"USER={user}", f"PATH={path}", "LANG=C.UTF-8"]
    words = ["runuser", "-u", user, "--", "env", "-i", *plain, *argv]
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, cwd="/", stdin=subprocess.DEVNULL)
    if check and done.returncode:
        raise RuntimeError(f"{argv} as {user}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
