"""What ssh_config makes of a login. Asked of ``ssh -G``, which alone knows every rule; read by paramiko without it."""

from __future__ import annotations

import glob
import logging
import os
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from clustrix_core.errors import ConfigError
from clustrix_core.transport.login import Login, local_user, parse_hops

CONNECT_TIMEOUT = 15.0
KEEPALIVE = 30
_DEPTH = 8  # of Include, as in ssh
_INCLUDE = re.compile(r"\s*include(?:\s+|\s*=\s*)(.*)", re.IGNORECASE)
_BLOCK = re.compile(r"\s*(?:host|match)(?:\s|=)", re.IGNORECASE)
_LISTS = ("identityfile", "certificatefile")
log = logging.getLogger("clustrix.ssh")


@dataclass(frozen=True)
class Route:
    """A login with everything decided: where to connect, whom to trust, what to log in with.

    ``names`` are what known_hosts may call the host, the proper one first. ``agent`` is the socket to ask for keys,
    None for the usual one and "" for none.
    """

    login: Login
    host: str
    port: int
    user: str
    names: tuple[str, ...]
    known_hosts: tuple[str, ...]
    keys: tuple[str, ...] = ()
    only_keys: bool = False
    agent: str | None = None
    jumps: tuple[Login, ...] = ()
    proxy_command: str | None = None
    connect_timeout: float = CONNECT_TIMEOUT
    keepalive: int = KEEPALIVE
    checking: str = "ask"
    control_path: str | None = None

    @property
    def where(self) -> str:
        """``user@host:port`` for messages, with the alias when there is one."""
        alias = "" if self.login.host == self.host else f" ({self.login.host} in ssh_config)"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user}@{host}:{self.port}{alias}"

    def introduction(self) -> str:
        """Return how people make the host's key known, in commands to paste."""
        flags = () if self.checking == "ask" else ("-o", "StrictHostKeyChecking=ask")
        step = f"Connect once by hand, `{self.login.by_hand(*flags)}`, and compare the fingerprint with what the site"
        if self.jumps or self.proxy_command or self.names != _names("", self.host, self.port):
            return f"{step} publishes."  # ssh-keyscan knows neither the way nor the name
        port = ["-p", str(self.port)] if self.port != 22 else []
        scan = f"{shlex.join(['ssh-keyscan', *port, self.host])} >> {shlex.quote(self.known_file)}"
        return f"{step} publishes, or add the verified output of `{scan}`."

    @property
    def known_file(self) -> str:
        """Where the user's own known host keys are."""
        return self.known_hosts[0] if self.known_hosts else os.path.expanduser("~/.ssh/known_hosts")


def resolve(login: Login) -> Route:
    """Return the route of a login; fields of the login win over ssh_config. Raises ConfigError with ssh's words."""
    words = _asked(login) if shutil.which("ssh") else _read(login)

    def one(name: str, default: str = "") -> str:
        found = words.get(name) or [default]
        return default if found[0].lower() == "none" else found[0]

    host, user = one("hostname", login.host), login.user or one("user", local_user())
    port = login.port or int(one("port", "22"))
    tokens = _tokens(login.host, host, port, user, one("hostkeyalias"))
    keys = [login.key_file] if login.key_file else [k for k in words.get("identityfile", []) if k.lower() != "none"]
    known = [login.known_hosts] if login.known_hosts else _words(one("userknownhostsfile"))
    known += _words(one("globalknownhostsfile"))
    jump = login.proxy_jump if login.proxy_jump is not None else one("proxyjump")
    command = one("proxycommand") if login.proxy_jump is None and not jump else ""
    agent = words.get("identityagent", ["SSH_AUTH_SOCK"])[0]
    timeout = one("connecttimeout")
    return Route(
        login=login,
        host=host,
        port=port,
        user=user,
        names=_names(one("hostkeyalias"), host, port),
        known_hosts=tuple(_path(p, tokens) for p in known if p.lower() != "none"),
        keys=tuple(_path(key, tokens) for key in keys),
        only_keys=bool(login.key_file) or one("identitiesonly").lower() in ("yes", "true"),
        agent=_agent(agent, tokens),
        jumps=tuple(parse_hops(jump, login.ssh_config)),
        proxy_command=_expand(command, tokens) or None,
        connect_timeout=float(timeout) if timeout.isdigit() else CONNECT_TIMEOUT,
        keepalive=int(one("serveraliveinterval", "0")) or KEEPALIVE,
        checking=one("stricthostkeychecking", "ask").lower(),
        control_path=_path(one("controlpath"), tokens) or None,
    )


def _asked(login: Login) -> dict[str, list[str]]:
    """Return the words of ``ssh -G``, lists of values by lower-case name."""
    argv = ["ssh", "-T", "-G", *login.options(), "--", login.host]
    try:
        said = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{login.where}: ssh cannot say what ssh_config means: {error}") from error
    if said.returncode:
        words = said.stderr.decode("utf-8", "replace").strip()
        raise ConfigError(
            f"{login.where}: ssh refuses its configuration: {words}", hint=f"Mend it: {login.by_hand('-G')}"
        )
    found: dict[str, list[str]] = {}
    for line in said.stdout.decode("utf-8", "replace").splitlines():
        name, _, value = line.partition(" ")
        found.setdefault(name.lower(), []).append(value)
    return found


def _read(login: Login) -> dict[str, list[str]]:
    """Return the same words, read by paramiko, with the defaults of ssh."""
    import paramiko

    own = login.config_file
    files = [own] if own else [os.path.expanduser("~/.ssh/config"), "/etc/ssh/ssh_config"]
    text = "".join(f"{line}\n" for file in files for line in [*_lines(file, os.path.dirname(file)), "Host *"])
    try:
        config = paramiko.SSHConfig.from_text(text)
        looked_up: Mapping[str, str | list[str]] = config.lookup(login.host)
    except (paramiko.ConfigParseError, paramiko.CouldNotCanonicalize) as error:
        raise ConfigError(f"{login.where}: ssh_config is not understood: {error}") from error
    found = {name: [value] if isinstance(value, str) else list(value) for name, value in looked_up.items()}
    found.setdefault("identityfile", [f"~/.ssh/id_{kind}" for kind in ("rsa", "ecdsa", "ed25519")])
    found.setdefault("userknownhostsfile", ["~/.ssh/known_hosts ~/.ssh/known_hosts2"])
    found.setdefault("globalknownhostsfile", ["/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"])
    return found


def _lines(file: str, base: str, block: str = "Host *", depth: int = 0) -> Iterator[str]:
    """Yield the lines of a configuration file with its Includes in place.

    Hosts in an included file stand for themselves, even where it is included for some hosts only.
    """
    try:
        with open(file, encoding="utf-8", errors="replace") as stream:
            lines = stream.read().splitlines()
    except OSError:
        return
    for line in lines:
        include = _INCLUDE.match(line)
        if not include:
            block = line if _BLOCK.match(line) else block
            yield line
        elif depth < _DEPTH:
            for pattern in shlex.split(include[1]):
                for path in sorted(glob.glob(os.path.join(base, os.path.expanduser(pattern)))):
                    yield from _lines(path, base, block, depth + 1)
                    yield block  # what the file began ends with it


def _agent(text: str, tokens: Mapping[str, str]) -> str | None:
    """Return the socket that IdentityAgent means, None for the usual one, "" for none."""
    if text.startswith("$") and not text.startswith("${"):
        return os.environ.get(text[1:], "")
    return None if text == "SSH_AUTH_SOCK" else "" if text.lower() == "none" else _path(text, tokens)


def _names(alias: str, host: str, port: int) -> tuple[str, ...]:
    if alias:
        return (alias,)
    host = host.lower()
    return (host,) if port == 22 else (f"[{host}]:{port}", host)


def _tokens(original: str, host: str, port: int, user: str, alias: str) -> dict[str, str]:
    full = socket.gethostname()
    uid = str(os.getuid()) if hasattr(os, "getuid") else "0"
    mine = {"d": os.path.expanduser("~"), "u": local_user(), "i": uid, "l": full, "L": full.split(".")[0], "%": "%"}
    return {**mine, "h": host, "n": original, "p": str(port), "r": user, "k": alias or original}


def _expand(text: str, tokens: Mapping[str, str]) -> str:
    return re.sub(r"%(.)", lambda found: tokens.get(found[1], found[0]), text)


def _words(text: str) -> list[str]:
    return shlex.split(text, posix=os.name == "posix")  # not posix: backslashes are those of paths


def _path(text: str, tokens: Mapping[str, str]) -> str:
    text = re.sub(r"\$\{(\w+)\}", lambda found: os.environ.get(found[1], ""), text)
    text = text.replace("__PROGRAMDATA__", os.environ.get("PROGRAMDATA", ""))
    return os.path.expanduser(_expand(text.strip('"'), tokens))


__all__ = ["CONNECT_TIMEOUT", "KEEPALIVE", "Route", "resolve"]
