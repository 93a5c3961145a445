"""Which client processes are alive: each holds a lock on a file of its own, and a lock dies with its holder."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from weakref import WeakSet

from clustrix_core.errors import ConfigError

_held: WeakSet[IO[bytes]] = WeakSet()


def announce(home: Path) -> tuple[str, IO[bytes]]:
    """Return a name for this process and the file whose lock says that it lives; keep the file.

    The files of processes that have died are removed on the way.
    """
    clients = home / "clients"
    clients.mkdir(parents=True, exist_ok=True, mode=0o700)
    for other in list(clients.iterdir()):
        is_alive(home, other.name)
    while True:
        name = secrets.token_hex(8)
        path = clients / name
        file = path.open("wb")
        if _lock(file) and path.exists():
            _held.add(file)
            return name, file
        file.close()  # another process took it for a dead one's before it was locked


def _let_go() -> None:
    """In a forked child: its parent's lock must not outlive the parent in its children."""
    for file in _held:
        file.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def is_alive(home: Path, name: str) -> bool:
    """Return whether the client of that name still runs; the file of a dead one is removed."""
    path = home / "clients" / name
    try:
        file = path.open("r+b")
    except FileNotFoundError:
        return False
    with file:
        if not _lock(file):
            return True
        _remove(path)  # while it is locked, so that nobody can announce himself with it
    _remove(path)  # Windows removes no open file
    return False


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which is made and stays; waits for whoever has it, but not for the dead."""
    with path.open("ab") as file:
        while not _lock(file):
            time.sleep(0.01)
        yield


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError, PermissionError):
        path.unlink()


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:  # an NFS mount without its lock daemon: nobody would ever get it
            file.close()
            raise ConfigError(
                f"{file.name} cannot be locked: {error.strerror}",
                hint="Set CLUSTRIX_HOME to a directory on a file system that has locks.",
            ) from error
        return True
