"""SSH by paramiko: one connection for each instance, shared by all threads, made when it is first needed."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clustrix_core.errors import TransportError
from clustrix_core.transport import DEADLINE, Completed
from clustrix_core.transport.attempts import Attempts
from clustrix_core.transport.authentication import Prompt
from clustrix_core.transport.channel import Refused, Unfinished, close, exchange
from clustrix_core.transport.command import brief, for_login_shell, one_line
from clustrix_core.transport.connection import Connection, Connector, translated
from clustrix_core.transport.login import Login
from clustrix_core.transport.process import Silence
from clustrix_core.transport.sessions import Sessions

if TYPE_CHECKING:
    import paramiko

OPEN_TIMEOUT = 30.0  # seconds for the host to open a channel
PROBE = 10.0  # the same after a command has gone silent: the host may be frozen
log = logging.getLogger("clustrix.ssh")


class Paramiko:
    """Runs commands over SSH. ``connections`` counts the connections made so far.

    ``prompt(question, echo)`` returns the user's answer to a question of the host; by default the terminal is asked.
    """

    here = False

    def __init__(self, login: Login, prompt: Prompt | None = None) -> None:
        self.login = login
        self.connections = 0
        self._attempts = Attempts()
        self._connector = Connector(login, prompt, self._attempts)
        self._held: list[Connection] = []  # none or one
        self._sessions = Sessions()
        weakref.finalize(self, _close_all, self._held)

    def __repr__(self) -> str:
        return f"Paramiko({self.login.where})"

    def run(
        self,
        command: str,
        stdin: Iterable[bytes] = (),
        sink: Callable[[bytes], None] | None = None,
        idle: float = DEADLINE,
    ) -> Completed:
        """Run one line of POSIX sh on the host and return its end.

        Connects when there is no connection. Raises ConfigError for what is not one line; AuthenticationError,
        HostKeyError or TransportError when there is no way in; TransportError when the command may have been started
        and its end is not known. A command that may have been started is never started again.
        """
        one_line(command)
        began = time.monotonic()
        channel, connection = self._channel(min(idle, OPEN_TIMEOUT))
        with self._sessions.one(), closing(channel):
            done = self._exchange(channel, connection, command, stdin, sink, idle)
        took = time.monotonic() - began
        log.debug("%s: exit %d after %.3f s: %s", connection.route.where, done.returncode, took, brief(command))
        return done

    @property
    def trouble(self) -> str:
        """Why there is no connection at the moment, "" while nothing is wrong."""
        return self._attempts.trouble

    def close(self) -> None:
        """Drop the connection; commands under way end with TransportError, the next ``run`` connects anew."""
        with self._attempts.lock:
            _close_all(self._held)

    def _exchange(
        self,
        channel: paramiko.Channel,
        connection: Connection,
        command: str,
        stdin: Iterable[bytes],
        sink: Callable[[bytes], None] | None,
        idle: float,
    ) -> Completed:
        """Run the command on the channel and say what became of it."""
        where, what = connection.route.where, brief(command)
        try:
            return exchange(channel, for_login_shell(command), stdin, sink, idle)
        except Silence:
            self._abandon(channel, connection)
            raise TransportError(
                f"{where}: nothing heard for {idle:g} s, given up: {what}",
                hint="The host or its file system may hang; whether the command still runs there is not known.",
            ) from None
        except Refused as error:
            raise TransportError(
                f"{where}: the host does not run commands ({error}): {what}",
                transient=False,
                hint=f"Try it by hand: {self.login.by_hand()} true",
            ) from error
        except Unfinished:
            what = f"killed by a signal: {what}" if connection.alive else f"the connection broke during: {what}"
            raise TransportError(
                f"{where}: {what}", hint="Whether it ran to its end is not known; the next command connects anew."
            ) from None

    def _channel(self, patience: float) -> tuple[paramiko.Channel, Connection]:
        """Return a new channel; wait for one when the host allows no more, reconnect when the connection is dead."""
        import paramiko

        began, pause = time.monotonic(), 0.02
        while True:
            connection, fresh = self._connected()
            try:
                channel = connection.transport.open_session(timeout=PROBE if connection.suspect else patience)
                connection.suspect = False
                return channel, connection
            except (paramiko.SSHException, EOFError, OSError) as error:
                if not (connection.alive and _crowded(error)):
                    self._drop(connection)
                    if fresh or isinstance(error, paramiko.ChannelException):
                        with translated(connection.route.where):
                            raise
                    continue
            pause = self._sessions.wait(connection.route.where, began, pause)

    def _abandon(self, channel: paramiko.Channel, connection: Connection) -> None:
        """Close a channel that is silent; the whole connection when not even that gets through."""
        threading.Thread(target=close, args=(channel,), name="clustrix-close", daemon=True).start()
        deadline = time.monotonic() + 5.0
        while not channel.closed and time.monotonic() < deadline:
            time.sleep(0.01)
        connection.suspect = True
        if not channel.closed:
            self._drop(connection)

    def _connected(self) -> tuple[Connection, bool]:
        """Return the connection and whether it is a new one."""
        began = time.monotonic()
        with self._attempts.one():
            if self._held and self._held[0].alive:
                return self._held[0], False
            _close_all(self._held)
            connection = self._connector.connect()
            self._held.append(connection)
            self.connections += 1
            log.debug("%s: connected in %.3f s", connection.route.where, time.monotonic() - began)
            return connection, True

    def _drop(self, connection: Connection) -> None:
        with self._attempts.lock:
            if connection in self._held:
                self._held.remove(connection)
        connection.close()


def _crowded(error: Exception) -> bool:
    """Tell whether a host refused a channel because there are too many; nothing was started then."""
    import paramiko

    if isinstance(error, paramiko.ChannelException):
        return error.code in (2, 4)
    return "Unable to open channel" in str(error)  # so it looks when two threads are refused at once


@contextmanager
def closing(channel: paramiko.Channel) -> Iterator[None]:
    """Close a channel behind the block."""
    try:
        yield
    finally:
        close(channel)


def _close_all(held: list[Connection]) -> None:
    while held:
        held.pop().close()


__all__ = ["Paramiko"]
