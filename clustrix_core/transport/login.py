"""How to log in to a host, as the user has written it down. What is not said here is left to ssh_config."""

from __future__ import annotations

import getpass
import os
import re
import shlex
from dataclasses import dataclass, field

from clustrix_core.errors import ConfigError

_HOST = re.compile(r"[\w:][\w.:%-]*")
_USER = re.compile(r"\w(?:[\w.@%+=:,/-]|\\(?=\w))*")
_HOP = re.compile(r"(?:ssh://)?(?:(?P<user>.+)@)?(?:\[(?P<six>[^\]]+)\]|(?P<host>[^:@]+))(?::(?P<port>\d+))?/?")
_UNFIT_PATH = re.compile(r"[\0\r\n\"]|\$\{")


@dataclass(frozen=True)
class Login:
    """A host and how to log in to it. ``host`` may be an alias of ssh_config; fields that are set win over it.

    ``known_hosts`` stands for the user's own known_hosts file, ``ssh_config`` for both configuration files
    (``$CLUSTRIX_SSH_CONFIG`` does so too). A ``key_file`` is the only key that is tried. ``proxy_jump`` is
    ``[user@]host[:port]``, several parted by commas, or "none". Raises ConfigError for what cannot be one of these.
    """

    host: str
    port: int | None = None
    user: str | None = None
    key_file: str | None = None
    known_hosts: str | None = None
    proxy_jump: str | None = None
    password: str | None = field(default=None, repr=False)
    ssh_config: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.host, str) or not _HOST.fullmatch(self.host):
            raise ConfigError(f"host: {self.host!r} is not a host name", hint="A name, an IP address or an alias.")
        if self.user is not None and not _USER.fullmatch(self.user):
            raise ConfigError(f"user: {self.user!r} is not a user name")
        if self.port is not None and not (type(self.port) is int and 0 < self.port < 65536):
            raise ConfigError(f"port: {self.port!r} is not a port", hint="A number from 1 to 65535.")
        for name in ("key_file", "known_hosts", "ssh_config"):
            value = getattr(self, name)
            if value is not None and (not value or value.startswith("-") or _UNFIT_PATH.search(value)):
                raise ConfigError(f"{name}: {value!r} is not a usable path")
        self.hops()

    @property
    def where(self) -> str:
        """The login as people write it, ``user@host:port``, with what is known without ssh_config."""
        user = f"{self.user}@" if self.user else ""
        return f"{user}{self.host}" + (f":{self.port}" if self.port else "")

    @property
    def config_file(self) -> str | None:
        """The file that stands for ssh_config, None for the usual ones."""
        path = self.ssh_config or os.environ.get("CLUSTRIX_SSH_CONFIG")
        return os.path.expanduser(path) if path else None

    def hops(self) -> list[Login]:
        """Return the hosts of ``proxy_jump``, the one to connect to first in front; they share ``ssh_config`` alone."""
        return parse_hops(self.proxy_jump, self.ssh_config)

    def by_hand(self, *flags: str) -> str:
        """Return the ``ssh`` command that logs in there, for people to paste."""
        return shlex.join(["ssh", *flags, *self.options(), self.host])

    def options(self) -> list[str]:
        """Return the fields that are set as arguments of ``ssh``, without the host itself."""
        argv = ["-F", self.config_file] if self.config_file else []
        argv += ["-p", str(self.port)] if self.port else []
        argv += ["-l", self.user] if self.user else []
        argv += ["-o", f'IdentityFile="{_literal(self.key_file)}"', "-o", "IdentitiesOnly=yes"] if self.key_file else []
        argv += ["-o", f'UserKnownHostsFile="{_literal(self.known_hosts)}"'] if self.known_hosts else []
        argv += ["-J", self.proxy_jump] if self.proxy_jump else []
        return argv


def parse_hops(text: str | None, ssh_config: str | None = None) -> list[Login]:
    """Return the logins in a ProxyJump; raise ConfigError when it is not one."""
    if not text or text.lower() == "none":
        return []
    matches = [_HOP.fullmatch(hop.strip()) for hop in text.split(",")]
    if None in matches:
        raise ConfigError(f"proxy_jump: {text!r} is not understood", hint="[user@]host[:port], parted by commas.")
    parts = [match.groupdict() for match in matches if match]
    return [
        Login(
            host=part["six"] or part["host"],
            port=int(part["port"]) if part["port"] else None,
            user=part["user"],
            ssh_config=ssh_config,
        )
        for part in parts
    ]


def local_user() -> str:
    """Return the name of the user on this machine."""
    try:
        return getpass.getuser()
    except (KeyError, ImportError, OSError):
        return "root" if os.name == "posix" and os.getuid() == 0 else "user"


def _literal(path: str) -> str:
    """Return a path so that ssh expands nothing in it but the ``~`` that is expanded here."""
    return os.path.expanduser(path).replace("%", "%%")


__all__ = ["Login", "local_user", "parse_hops"]
