"""SSH by the user's own ``ssh``, as the site wants it: MFA, GSSAPI, smart cards. One ControlMaster, many sessions."""

from __future__ import annotations

import logging
import os
import shutil
import time
import weakref
from collections.abc import Callable, Iterable, Iterator

from clustrix_core.errors import ConfigError, TransportError
from clustrix_core.transport import DEADLINE, Completed, process
from clustrix_core.transport.attempts import Attempts
from clustrix_core.transport.command import brief, one_line, quote
from clustrix_core.transport.login import Login
from clustrix_core.transport.master import Master
from clustrix_core.transport.sessions import Sessions

_REPLAY = 2 << 20  # a session that was never opened cannot have taken more: what a pipe and one chunk hold
RECONNECTS = 3  # of one command that could not be started
PROBE = 10.0  # seconds for a host that is not frozen to answer
log = logging.getLogger("clustrix.ssh")


class OpenSSH:
    """Runs commands through ``ssh``. ``connections`` counts the master connections made so far.

    A master that the user has open already (ControlPath in ssh_config) is used instead of a new one. Questions of the
    host are asked on the terminal when the connection is made; without a terminal ssh asks none and fails.
    """

    here = False

    def __init__(self, login: Login) -> None:
        if os.name != "posix":
            raise ConfigError('transport: "openssh" needs a POSIX system', hint='Use "transport: paramiko".')
        if login.password is not None:
            raise ConfigError(
                'transport: "openssh" takes no password from the configuration',
                hint='Use "transport: paramiko", a key, or answer ssh on the terminal.',
            )
        self.login = login
        self.connections = 0
        self._attempts = Attempts()
        self._master = Master(login, self._attempts)
        self._sessions = Sessions()
        weakref.finalize(self, self._master.close)

    def __repr__(self) -> str:
        return f"OpenSSH({self.login.where})"

    def run(
        self,
        command: str,
        stdin: Iterable[bytes] = (),
        sink: Callable[[bytes], None] | None = None,
        idle: float = DEADLINE,
    ) -> Completed:
        """Run one line of POSIX sh on the host and return its end; 128 + n is the exit code of one killed by signal n.

        Connects when there is no connection. Raises ConfigError for what is not one line; AuthenticationError,
        HostKeyError or TransportError when there is no way in; TransportError when the command may have been started
        and its end is not known. A command that may have been started is never started again.
        """
        one_line(command)
        source = _Replay(stdin)
        began, pause, broken, attempt = time.monotonic(), 0.02, None, 0
        while True:
            path = self._connected(broken)
            with self._sessions.one():
                run = _Session(self.login, path, command)
                done = self._exchange(run, source, sink, idle)
            if done:
                took = time.monotonic() - began
                log.debug("%s: exit %d after %.3f s: %s", self.where, done.returncode, took, brief(command))
                return done
            if run.crowded:
                pause = self._sessions.wait(self.where, began, pause)
            elif attempt == RECONNECTS:
                raise TransportError(
                    f"{self.where}: connected, but no session can be opened{run.words}",
                    hint=f"Try it by hand: {self.login.by_hand()} true",
                )
            else:
                broken, attempt = path, attempt + 1
            source.rewind(self.where)

    def close(self) -> None:
        """End the master connection; commands under way end with TransportError, the next ``run`` connects anew."""
        with self._attempts.lock:
            self._master.close()

    @property
    def trouble(self) -> str:
        """Why there is no connection at the moment, "" while nothing is wrong."""
        return self._attempts.trouble

    @property
    def where(self) -> str:
        """The host as messages name it."""
        return self._master.route.where if self._master.route else self.login.where

    def _connected(self, broken: str | None) -> str:
        """Return the socket of a master, a new one when there is none or ``broken`` is all there is."""
        began = time.monotonic()
        with self._attempts.one():
            if self._master.path is None or self._master.path == broken:
                if not shutil.which("ssh"):
                    raise ConfigError('there is no "ssh" on PATH', hint='Install it, or use "transport: paramiko".')
                self._master.open()
                self.connections += 1
                log.debug("%s: connected in %.3f s", self.where, time.monotonic() - began)
            assert self._master.path
            return self._master.path

    def _exchange(
        self, run: _Session, source: _Replay, sink: Callable[[bytes], None] | None, idle: float
    ) -> Completed | None:
        """Return the end of the command; None when nothing was started."""
        try:
            left = process.run(run.argv, source, sink, idle)
        except process.Silence:
            self._drop_if_frozen(run.path)
            raise TransportError(
                f"{self.where}: nothing heard for {idle:g} s, given up: {brief(run.command)}",
                hint="The host or its file system may hang; whether the command still runs there is not known.",
            ) from None
        done = run.read(left)
        if done or run.unstarted:
            return done
        raise TransportError(
            f"{self.where}: the connection broke during: {brief(run.command)}{run.words}",
            hint="Whether it ran to its end is not known; the next command connects anew.",
        )

    def _drop_if_frozen(self, path: str) -> None:
        """Give up a master whose host no longer answers at all, so that the next command connects anew."""
        try:
            process.run(_Session(self.login, path, "true").argv, (), None, PROBE)
        except process.Silence:
            with self._attempts.lock:
                if self._master.path == path:
                    self._master.close()


class _Session:
    """One command as a session of a master.

    ssh's exit code and words cannot tell a broken connection from a command's own failure, and without a master it
    quietly connects by itself. So the command's exit code is written behind its stderr, with a mark that nobody can
    guess, and the connection by itself is replaced by another mark.
    """

    def __init__(self, login: Login, path: str, command: str) -> None:
        self.path, self.command = path, command
        self.mark = f"clustrix-{os.urandom(8).hex()}"
        self.unstarted = self.crowded = False
        self.words = ""
        script = f'/bin/sh -c "$1"; echo "{self.mark}" $? >&2'
        self.argv = ["ssh", "-F", "/dev/null", "-S", path, "-Tx"]
        self.argv += ["-o", "ControlMaster=no", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]
        self.argv += ["-o", f'ProxyCommand=/bin/sh -c "echo {self.mark} unstarted >&2"']
        self.argv += ["--", login.host, f"exec /bin/sh -c {quote(script)} sh {quote(command)}"]

    def read(self, left: Completed) -> Completed | None:
        """Return the command's own end from that of ssh; None when there is none."""
        before, mark, after = left.stderr.rpartition(self.mark.encode())
        word, _, behind = after.lstrip().partition(b"\n")
        if mark and word.isdigit():
            return Completed(int(word), left.stdout, before + behind)
        said = left.stderr.decode("utf-8", "replace").strip()
        self.unstarted = word == b"unstarted"
        self.crowded = self.unstarted and "refused by peer" in said
        self.words = f" (ssh says: {said[-500:]})" if said else ""
        return None


class _Replay:
    """A stream that can be started again as long as no session has taken more of it than fits into a pipe."""

    def __init__(self, stream: Iterable[bytes]) -> None:
        self._rest = process.chunks(stream)
        self._taken: list[memoryview] = []
        self._size = 0
        self._again: list[memoryview] = []

    def __iter__(self) -> Iterator[memoryview]:
        yield from self._again
        for chunk in self._rest:
            self._size += len(chunk)
            if self._size <= _REPLAY:
                self._taken.append(chunk)
            else:
                self._taken.clear()
            yield chunk

    def rewind(self, where: str) -> None:
        """Start again from the beginning; raise TransportError when too much is gone."""
        if self._size > _REPLAY:
            raise TransportError(f"{where}: the connection broke while data was being sent", hint="Run it again.")
        self._again = list(self._taken)


__all__ = ["OpenSSH"]
