"""One SSH connection by paramiko: through the jump hosts, to a host whose key is known, as a user it has accepted."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clustrix_core.errors import ClustrixError, ConfigError, TransportError
from clustrix_core.transport import attempts, known_hosts
from clustrix_core.transport.authentication import Authenticator, Prompt
from clustrix_core.transport.gate import transport_class
from clustrix_core.transport.login import Login
from clustrix_core.transport.proxy import through_command
from clustrix_core.transport.ssh_config import Route, resolve

if TYPE_CHECKING:
    import paramiko

_DEPTH = 8  # of jump hosts that have jump hosts
_GIVE_UP = {"linux": (18, 60_000), "darwin": (0x80, 60)}.get(sys.platform)  # TCP_USER_TIMEOUT, TCP_RXT_CONNDROPTIME
_NO_ROUTE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}
log = logging.getLogger("clustrix.ssh")
wire = logging.getLogger("clustrix.ssh.paramiko")


class Hung(Exception):
    """The host hung up before it had said who it is: too many logins at once, or it bars this client."""


class Connector:
    """Makes connections for one login; secrets that the user was asked for are kept in memory for the next one."""

    def __init__(self, login: Login, prompt: Prompt | None, tries: attempts.Attempts) -> None:
        self.login, self.prompt, self.tries = login, prompt, tries
        self._authenticators: dict[Login, Authenticator] = {}

    def connect(self) -> Connection:
        """Return a new connection. Raises TransportError, HostKeyError, AuthenticationError or ConfigError."""
        try:
            import paramiko  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                "SSH needs paramiko, which is not installed",
                hint='pip install "clustrix[ssh]", or use "transport: openssh".',
            ) from error
        return self._connect(resolve(self.login), 0)

    def _connect(self, route: Route, depth: int) -> Connection:
        if depth > _DEPTH:
            raise TransportError(f"{route.where}: its jump hosts lead in a circle", transient=False)
        opened: list[Callable[[], None]] = []
        try:
            with translated(route.where):
                transport = self._greet(route, depth, opened)
                self._check_key(route, transport)
                self._authenticator(route).log_in(transport)
                transport.set_keepalive(route.keepalive)
            return Connection(transport, route, opened)
        except BaseException:
            _undo(opened)
            raise

    def _authenticator(self, route: Route) -> Authenticator:
        return self._authenticators.setdefault(route.login, Authenticator(route, self.prompt))

    def _greet(self, route: Route, depth: int, opened: list[Callable[[], None]]) -> paramiko.Transport:
        """Return a transport whose keys are exchanged; try again for a while when the host hangs up at once."""
        while True:
            try:
                return self._negotiate(route, depth, opened)
            except ConnectionRefusedError:
                if not self.tries.again(attempts.REFUSED, f"{route.where}: connection refused"):
                    raise
            except Hung as error:
                _undo(opened)
                trouble = f"{route.where}: the host hangs up before the login ({error})"
                if not self.tries.again(attempts.CROWDED, trouble):
                    raise TransportError(trouble, hint=attempts.HANGS_UP) from error

    def _negotiate(self, route: Route, depth: int, opened: list[Callable[[], None]]) -> paramiko.Transport:
        import paramiko

        transport = transport_class()(self._socket(route, depth, opened))
        opened.append(transport.close)
        transport.daemon = True
        transport.set_log_channel(wire.name)
        transport.banner_timeout = transport.auth_timeout = max(route.connect_timeout, 30.0)
        known = known_hosts.lookup(route.known_hosts, route.names)
        security = transport.get_security_options()
        security.key_types = known_hosts.algorithms(known, tuple(security.key_types))
        security.ciphers = sorted(security.ciphers, key=lambda name: "gcm" not in name)  # faster: one pass, no MAC
        try:
            transport.start_client(timeout=max(route.connect_timeout, 30.0))
        except (EOFError, ConnectionError, paramiko.SSHException) as error:
            if isinstance(error, paramiko.SSHException) and "banner" not in str(error):
                raise
            raise Hung(str(error) or "connection closed") from error
        return transport

    def _socket(self, route: Route, depth: int, opened: list[Callable[[], None]]) -> socket.socket | paramiko.Channel:
        if route.jumps:
            return self._through_jumps(route, depth, opened)
        if route.proxy_command:
            return through_command(route.proxy_command, opened)
        try:
            sock = socket.create_connection((route.host, route.port), route.connect_timeout)
        except ConnectionResetError as error:
            raise Hung(str(error)) from error
        opened.append(sock.close)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if _GIVE_UP:  # a peer that is gone is noticed in a minute, not in fifteen
            sock.setsockopt(socket.IPPROTO_TCP, *_GIVE_UP)
        return sock

    def _through_jumps(self, route: Route, depth: int, opened: list[Callable[[], None]]) -> paramiko.Channel:
        """Return a channel to the host from the last jump host, which is reached through those before it."""
        *before, last = route.jumps
        hop = resolve(Login(**{**vars(last), "proxy_jump": ",".join(h.where for h in before)}) if before else last)
        connection = self._connect(hop, depth + 1)
        opened.append(connection.close)
        with translated(f"{route.where} from the jump host {hop.where}"):
            return connection.transport.open_channel(
                "direct-tcpip", (route.host, route.port), ("127.0.0.1", 0), timeout=route.connect_timeout
            )

    @staticmethod
    def _check_key(route: Route, transport: paramiko.Transport) -> None:
        key = transport.get_remote_server_key()
        known = known_hosts.lookup(route.known_hosts, route.names)
        introduction = route.introduction()
        known_hosts.verify(known, key.get_name(), key.asbytes(), route.where, route.known_hosts, introduction)
        log.debug(
            "%s: %s, key exchange %s, cipher %s, host key %s %s",
            route.where,
            transport.remote_version,
            getattr(transport.kex_engine, "name", "?"),
            getattr(transport, "remote_cipher", "?"),
            key.get_name(),
            known_hosts.fingerprint(key.asbytes()),
        )


class Connection:
    """A connection that is logged in. Belongs to the process that made it."""

    def __init__(self, transport: paramiko.Transport, route: Route, opened: list[Callable[[], None]]) -> None:
        self.transport, self.route = transport, route
        self.suspect = False  # a command has gone silent on it
        self._opened = opened
        self._pid = os.getpid()

    @property
    def alive(self) -> bool:
        return self._pid == os.getpid() and self.transport.is_active()

    def close(self) -> None:
        """Close it and the jumps below; in a forked child, leave the parent's connection alone."""
        if self._pid == os.getpid():
            _undo(self._opened)


def _undo(opened: list[Callable[[], None]]) -> None:
    while opened:
        try:
            opened.pop()()
        except (OSError, EOFError) as error:
            log.debug("closing: %s", error)


@contextmanager
def translated(where: str, doing: str = "") -> Iterator[None]:
    """Turn what paramiko and the operating system raise into ours, naming the host and the next step."""
    import paramiko

    try:
        yield
    except (ClustrixError, Hung):
        raise
    except socket.gaierror as error:
        gone = error.errno == socket.EAI_NONAME
        raise TransportError(
            f"{where}: no such host: {error.strerror}",
            transient=not gone,
            hint="Check the host name" + (" and HostName in ssh_config." if gone else ", the network and the VPN."),
        ) from error
    except ConnectionRefusedError as error:
        raise TransportError(
            f"{where}: connection refused", hint="Check the port, and whether sshd runs there."
        ) from error
    except TimeoutError as error:
        raise TransportError(
            f"{where}: no answer in time{doing}", hint="Check the network, the VPN and firewalls."
        ) from error
    except paramiko.ChannelException as error:
        raise TransportError(
            f"{where}: refused by the host: {error.text}",
            transient=error.code == 4,
            hint="A jump host must allow TCP forwarding and reach the host behind it; a host must allow commands.",
        ) from error
    except paramiko.ssh_exception.IncompatiblePeer as error:
        raise TransportError(
            f"{where}: no algorithm in common: {error}",
            transient=False,
            hint='Use "transport: openssh" for this cluster, or ask the site to update its SSH server.',
        ) from error
    except (paramiko.SSHException, EOFError, OSError) as error:
        no_route = isinstance(error, OSError) and error.errno in _NO_ROUTE
        raise TransportError(
            f"{where}: {'no route to the host' if no_route else f'the connection broke{doing}'}"
            f" ({str(error) or type(error).__name__})",
            hint="Check the network and the VPN." if no_route else "Run it again; the connection is made anew.",
        ) from error


def _only_when_tracing(record: logging.LogRecord) -> bool:
    """Keep paramiko's own complaints, which become our errors, out of the logs unless a trace is wanted."""
    return log.isEnabledFor(logging.DEBUG)


log.addHandler(logging.NullHandler())
wire.addFilter(_only_when_tracing)

__all__ = ["Connection", "Connector", "Hung", "translated"]
