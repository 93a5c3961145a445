"""One SQLite file that threads, processes and their forked children write."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakSet

from clustrix_core.mounts import is_network

PATIENCE = 30.0  # seconds for another process to end its transaction


class Database:
    """A connection that is made at first use. Safe for threads; it is not carried over a fork, which makes SQLite's own
    view of its locks wrong for ever: it is closed before, and each process opens it anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        _all.add(self)

    def connection(self) -> sqlite3.Connection:
        if self._connection is None:
            if self._closed:
                raise sqlite3.ProgrammingError(f"{self.path} was closed")
            self._connection = sqlite3.connect(
                self.path, timeout=PATIENCE, check_same_thread=False, isolation_level=None
            )
            self._connection.row_factory = sqlite3.Row
            self._choose_mode(self._connection)
        return self._connection

    def _choose_mode(self, connection: sqlite3.Connection) -> None:
        """Use WAL but on network file systems, where it would lose jobs: SQLite does not notice them.

        A file that somebody is using keeps its mode; both modes work.
        """
        mode = "delete" if is_network(self.path.parent) else "wal"
        connection.execute("pragma busy_timeout = 0")  # the mode is no reason to wait
        try:
            connection.execute(f"pragma journal_mode = {mode}")
        except sqlite3.OperationalError:
            pass
        connection.execute(f"pragma busy_timeout = {PATIENCE * 1000:.0f}")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it is on disk at its end, or nothing where something raises."""
        with self._lock:
            connection = self.connection()
            connection.execute("begin immediate")
            try:
                yield connection
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:  # on a full disk SQLite may have rolled back by itself
                    connection.execute("rollback")
                raise

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        with self._lock:
            return self.connection().execute(query, values).fetchall()

    def close(self) -> None:
        with self._lock:
            self._disconnect()
            self._closed = True

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


_all: WeakSet[Database] = WeakSet()
_forking = threading.Lock()
_held: list[Database] = []


def _before_fork() -> None:
    _forking.acquire()
    for database in list(_all):
        database._lock.acquire()  # whoever writes comes to an end first
        database._disconnect()
        _held.append(database)


def _after_fork() -> None:
    while _held:
        _held.pop()._lock.release()
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
