"""The one connection of the user's own ``ssh``: a ControlMaster on a private socket, or one that the user has open."""

from __future__ import annotations

import os
import re
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from typing import IO

from clustrix_core.errors import AuthenticationError, ConfigError, HostKeyError, TransportError
from clustrix_core.transport import attempts
from clustrix_core.transport.known_hosts import forget
from clustrix_core.transport.login import Login
from clustrix_core.transport.process import end_group
from clustrix_core.transport.ssh_config import Route, resolve
from clustrix_core.transport.terminal import asking

PERSIST = 600  # seconds that a master outlives its last session, should its client be killed
PATIENCE = 300.0  # seconds for somebody who must find a telephone first
_HANGS_UP = re.compile(
    r"kex_exchange_identification|banner exchange|port \d+: Connection reset"
    r"|Connection (closed|reset) by \S+ port \d+\s*$",
    re.I,
)
_REFUSED = re.compile(r"connect to host \S+ port \d+: Connection refused", re.I)


class Master:
    """A master connection. ``path`` is its socket, None while there is none; not thread-safe."""

    def __init__(self, login: Login, tries: attempts.Attempts) -> None:
        self.login, self.tries = login, tries
        self.path: str | None = None
        self.route: Route | None = None
        self._ours: list[str] = []  # sockets of masters that this object has started
        self._dir: str | None = None
        self._pid = os.getpid()

    def open(self) -> str:
        """Connect, asking on the terminal if need be, and return the socket.

        Raises ConfigError, TransportError, HostKeyError or AuthenticationError with ssh's own words.
        """
        self.route = resolve(self.login)
        self.path = self._users_own() or self._start(self.route)
        return self.path

    def close(self) -> None:
        """End the master, if it is ours, and remove its socket; a forked child leaves it to its parent."""
        ours, self._ours, self.path = self._ours, [], None
        if self._pid != os.getpid():
            return
        for path in ours:
            if os.path.exists(path):
                _control("exit", path)
        if self._dir:
            shutil.rmtree(self._dir, ignore_errors=True)
            self._dir = None

    def _users_own(self) -> str | None:
        """Return the socket of a master that the user has open already: no second login, no second code."""
        path = self.route.control_path if self.route else None
        if path and os.path.exists(path) and self._leads_here(path) and _control("check", path):
            return path
        return None

    def _leads_here(self, path: str) -> bool:
        """Tell whether a master on ``path``, opened by a plain ``ssh host``, can only be one to the same login."""
        plain = resolve(Login(self.login.host, ssh_config=self.login.ssh_config))
        other = resolve(Login("another-host.invalid", ssh_config=self.login.ssh_config))
        mine = self.route and (self.route.user, self.route.host, self.route.port)
        return mine == (plain.user, plain.host, plain.port) and other.control_path != path

    def _start(self, route: Route) -> str:
        path = os.path.join(self._directory(), str(len(self._ours)))
        argv = ["ssh", "-fNTx", *self.login.options(), *_options(route, path), "--", self.login.host]
        while True:
            code, words = _attend(argv)
            if code == 0:
                self._ours.append(path)
                return path
            if route.jumps or route.proxy_command:
                words = self._words_on_the_way(route, words)
            error = refusal(route, words)
            if isinstance(error, HostKeyError):
                error = refusal(route, words, self._shown_key(route))
            passing = type(error) is TransportError and "forwarding failed" not in words
            if not (passing and self.tries.again(_patience(words), str(error.args[0]))):
                raise error

    def _words_on_the_way(self, route: Route, words: str) -> str:
        """Return what the jump hosts say of a failure: a master hides it, so ask once more without one."""
        if not _HANGS_UP.search(words):
            return words
        argv = ["ssh", "-Tx", *self.login.options(), *_options(route, "none")]
        code, more = _attend([*argv, "--", self.login.host, "true"])
        return words if code == 0 else more

    def _shown_key(self, route: Route) -> str:
        """Return kind and fingerprint of the key that the host shows, which ssh tells only when asked to be verbose."""
        argv = [
            "ssh",
            "-vTx",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "BatchMode=yes",
            "-o",
            "NumberOfPasswordPrompts=0",
        ]
        argv += [*self.login.options(), *_options(route, "none"), "--", self.login.host, "true"]
        shown = re.findall(r"Server host key: (\S+ SHA256:\S+)", _attend(argv, aloud=False)[1])
        return shown[-1] if shown else ""

    def _directory(self) -> str:
        """Return a private directory with a path short enough for a socket (104 bytes, 17 of them for ssh's suffix)."""
        if not self._dir or not os.path.isdir(self._dir):
            run = os.environ.get("XDG_RUNTIME_DIR", "")
            fit = os.path.isabs(run) and len(run.encode()) < 60 and os.access(run, os.W_OK | os.X_OK)
            self._dir = tempfile.mkdtemp(prefix="clustrix-", dir=run if fit else "/tmp")
        return self._dir


def interactive() -> bool:
    """Tell whether there is somebody to answer ssh's questions."""
    terminal = sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()
    return terminal or bool(os.environ.get("SSH_ASKPASS"))


def _patience(words: str) -> float:
    """Return for how long it is worth trying again after what ssh said."""
    if _REFUSED.search(words):
        return attempts.REFUSED
    return attempts.CROWDED if _HANGS_UP.search(words) else 0.0


def _options(route: Route, path: str) -> list[str]:
    """Return the options of a master. No unknown host key is accepted without a question, whatever is configured."""
    checking = "ask" if route.checking == "ask" and interactive() else "yes"
    settings = {
        "ControlMaster": "no" if path == "none" else "yes",
        "ControlPath": path,
        "ControlPersist": "no" if path == "none" else str(PERSIST),
        "BatchMode": "no" if interactive() else "yes",
        "StrictHostKeyChecking": checking,
        "ConnectTimeout": str(int(route.connect_timeout)),
        "ServerAliveInterval": str(route.keepalive),
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "no",
        "RemoteCommand": "none",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _attend(argv: list[str], aloud: bool = True) -> tuple[int, str]:
    """Run ssh until it has gone to the background or given up; return its exit code and its words."""
    asks = aloud and interactive()
    with asking() if asks else nullcontext():
        return _listened_to(argv, asks)


def _listened_to(argv: list[str], asks: bool) -> tuple[int, str]:
    began, bound = time.monotonic(), PATIENCE if asks else 90.0
    child = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=not asks,  # without a terminal, a jump host cannot ask on one either
    )
    assert child.stderr
    words = bytearray()
    with child.stderr, selectors.DefaultSelector() as ready:
        os.set_blocking(child.stderr.fileno(), False)
        ready.register(child.stderr, selectors.EVENT_READ)
        while child.poll() is None:
            if time.monotonic() - began > bound:
                child.kill() if asks else end_group(child)
                child.wait()
                words += b"Connection timed out: the login took too long"
                break
            if ready.select(0.02):
                words += _listen(child.stderr, asks)
        words += _listen(child.stderr, asks)
    return child.returncode, words.decode("utf-8", "replace").strip()


def _listen(stream: IO[bytes], aloud: bool) -> bytes:
    """Return what ssh has said; pass it on to the terminal, where the user may need it to answer."""
    try:
        data = os.read(stream.fileno(), 65536)
    except BlockingIOError:
        return b""
    if aloud and data:
        sys.stderr.write(data.decode("utf-8", "replace"))
        sys.stderr.flush()
    if not data:
        time.sleep(0.005)  # closed before the end of the process: do not spin
    return data


def _control(order: str, path: str) -> bool:
    """Give an order to a master; return whether it was obeyed."""
    argv = ["ssh", "-F", "/dev/null", "-O", order, "-S", path, "clustrix"]
    try:
        return not subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=10).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False


def refusal(route: Route, words: str, key: str = "") -> TransportError | ConfigError:
    """Return the error for what ssh said when it gave up; ``key`` is the host key that it was shown."""
    said = words[-2000:].strip() or "no word of why"
    text, low = f"{route.where}: ssh says: {said}", said.lower()
    shown = f"host key {key}" if key else "host key"
    if "identification has changed" in low or "revoked host key" in low:
        return HostKeyError(
            f"{route.where}: its {shown} has CHANGED or is revoked; refused, somebody may be listening. "
            f"ssh says: {said}",
            hint=f"If the site confirms the new key, remove the old one: {forget(route.names[0], route.known_file)}",
        )
    if "host key verification failed" in low or "host key is known for" in low:
        return HostKeyError(
            f"{route.where}: its {shown} is not in {route.known_file}; an unknown host is never trusted. "
            f"ssh says: {said}",
            hint=route.introduction(),
        )
    if "permission denied" in low or "too many authentication failures" in low or "no more authentication" in low:
        return AuthenticationError(
            text,
            hint="Check user and key_file, load the key (ssh-add), install it (ssh-copy-id); where the site asks "
            "questions, run from a terminal, or log in first with a ControlMaster of your own.",
        )
    if "bad configuration option" in low or "bad owner or permissions" in low or "terminating," in low:
        return ConfigError(text, hint=f"Mend it: {route.login.by_hand('-G')}")
    if _HANGS_UP.search(said) and not _REFUSED.search(said) and "forwarding failed" not in low:
        return TransportError(
            f"{route.where}: the host hangs up before the login. ssh says: {said}", hint=attempts.HANGS_UP
        )
    unknown = "not known" in low or "no address associated" in low or "nodename nor servname" in low
    return TransportError(
        text,
        transient=not unknown,
        hint="Check the host name and HostName in ssh_config."
        if unknown
        else "Check the network, the VPN and the port.",
    )


__all__ = ["Master", "interactive", "refusal"]
