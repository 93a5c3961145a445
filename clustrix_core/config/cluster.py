"""One configured cluster: where jobs run, how to get there, and what every call there starts from."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from clustrix_core.config.flat import Given, modern
from clustrix_core.errors import ConfigError
from clustrix_core.model import BackendInfo
from clustrix_core.options import Origin, build, convert, is_secret
from clustrix_core.options import settings as settings_of
from clustrix_core.quantities import quoted
from clustrix_core.resources import Resources

HIDDEN = "********"

_BACKEND = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_HOST = re.compile(r"[A-Za-z0-9_.:][A-Za-z0-9_.:%-]{0,254}")
_USER = re.compile(r"[^\W-][\w.@+=%\\-]{0,254}")
_JUMP = re.compile(r"[A-Za-z0-9_.:\[][\w.@:%/+\[\]-]*(,[A-Za-z0-9_.:\[][\w.@:%/+\[\]-]*)*")
_WORK_DIR = re.compile(r"(~$|~/|/|[A-Za-z]:[\\/]).*", re.DOTALL)


def _help(text: str, default: Any = None, **extra: Any) -> Any:
    return field(default=default, metadata={"help": text, **extra})


@dataclass(frozen=True, init=False, repr=False)
class ClusterConfig:
    """A cluster as configured. Takes the names below, those of Resources, and the flat ones of the first Clustrix.

    ``ClusterConfig(backend="slurm", host="h", resources={"cores": 4})`` equals
    ``ClusterConfig(cluster_type="slurm", cluster_host="h", default_cores=4)``. Raises ConfigError for an unknown name,
    naming the nearest, and for a value that is wrong; warns of an old name that has no effect.
    """

    name: str = _help("what you call it; the backend's name unless given", "")
    backend: str = _help("who runs the jobs: local, ssh, slurm, …; ssh where only a host is given", "local")
    host: str | None = _help("host to log in to, or its alias in ssh_config; absent: this machine")
    port: int | None = _help("SSH port; absent: what ssh_config says, else 22")
    user: str | None = _help("login name; absent: what ssh_config says, else yours here")
    key_file: str | None = _help("private key; absent: ssh_config, the agent, ~/.ssh/id_*", kind="path")
    known_hosts: str | None = _help("known host keys; absent: ~/.ssh/known_hosts", kind="path")
    proxy_jump: str | None = _help("hosts to go through, as ssh -J takes them")
    ssh_config: str | None = _help("another file in place of ~/.ssh/config", kind="path")
    password: str | None = field(
        default=None, repr=False, metadata={"help": "login password; rather use a key", "kind": "secret"}
    )
    transport: str | None = _help(
        "how to get there: paramiko, or openssh (your own ssh: MFA, GSSAPI); absent: paramiko where there is a host",
        choices=("paramiko", "openssh"),
    )
    work_dir: str = _help("directory on the cluster for jobs, absolute or under ~", "~/.clustrix")
    python: str | None = _help("Python of the jobs; absent: python3 on a host, this interpreter on this machine")
    environment: str | tuple[str, ...] = _help(
        "what is installed for a job: none, auto, freeze, a requirements file or list, or a conda environment's name",
        "none",
    )
    manager: str = _help(
        "who installs: auto takes uv where there is one, else pip", "auto", choices=("auto", "uv", "pip", "conda")
    )
    index: str | None = _help("package index to install from; absent: the one that pip or uv has there")
    find_links: tuple[str, ...] = _help("further places of wheels, as pip takes them: addresses, or folders there", ())
    wheels: str | None = _help(
        "folder here with wheels, which are sent along; no index is asked then, unless one is named", kind="path"
    )
    build: str = _help(
        "where environments are built: on the login node, or in a job", "login", choices=("login", "job")
    )
    max_parallel: int | None = _help("at most so many calls of one map at a time")
    cleanup: str = _help("when job directories are deleted", "success", choices=("success", "always", "never"))
    resources: Resources = field(
        default_factory=Resources, metadata={"help": "what every call there starts from: see below"}
    )
    options: Mapping[str, Any] = field(default_factory=dict, hash=False, metadata={"help": "the backend's own options"})

    def __init__(self, **settings: Any) -> None:
        given = modern(settings, Origin())
        for note in given.notes:
            warnings.warn(str(note), UserWarning, stacklevel=2)
        self._fill(given)

    @classmethod
    def of(cls, given: Given, name: str | None = None) -> ClusterConfig:
        """Return the cluster of settings under today's names; errors carry ``name`` and their place."""
        made = object.__new__(cls)
        try:
            made._fill(given, name)
        except ConfigError as error:
            error.cluster = error.cluster or name
            raise
        return made

    def _fill(self, given: Given, name: str | None = None) -> None:
        values = convert(ClusterConfig, given.values, given.origin)
        values.setdefault("backend", "ssh" if values.get("host") else "local")
        values["name"] = name or values.get("name") or values["backend"]
        for key, setting in settings_of(ClusterConfig).items():
            object.__setattr__(self, key, values.get(key, copy(setting.default)))
        self.__dict__["_origin"] = given.origin
        for field_name, check in _CHECKS.items():
            value = getattr(self, field_name)
            complaint = check(value) if value is not None else None
            if complaint:
                raise given.origin.at(field_name).error(f"{field_name}={quoted(value)} {complaint[0]}", complaint[1])

    def settings(self) -> dict[str, Any]:
        """Return what differs from the defaults, as plain data; ``ClusterConfig(**settings)`` equals this cluster."""
        found: dict[str, Any] = {}
        for name, setting in settings_of(ClusterConfig).items():
            value = getattr(self, name)
            if isinstance(value, Resources):
                value = {
                    key: getattr(value, key)
                    for key, item in settings_of(Resources).items()
                    if getattr(value, key) != item.default
                }
            implied: dict[str, Any] = {
                "name": self.backend,
                "backend": "ssh" if self.host else "local",
                "resources": {},
            }
            if value != implied.get(name, setting.default):
                found[name] = dict(value) if isinstance(value, Mapping) else value
        return found

    def public(self) -> dict[str, Any]:
        """Return ``settings()`` without secrets: what may be written to disk."""
        found: dict[str, Any] = _without_secrets(self.settings())
        return found

    def shown(self) -> dict[str, Any]:
        """Return ``settings()`` with every secret as asterisks."""
        return {name: _hidden(name, value) for name, value in self.settings().items()}

    def typed_options(self, info: BackendInfo) -> Any:
        """Return the options as the backend's dataclass.

        Raises ConfigError, with file and line where known, for wrong ones, and for a host too many or too few.
        """
        origin = self.given().origin
        try:
            if info.here and self.host:
                raise origin.at("host").error(
                    f"host={self.host!r}, but the backend {info.name} runs jobs on this machine",
                    "Write backend: ssh for a host without a scheduler, or leave the host out.",
                )
            if info.needs_host and not self.host:
                raise origin.error(f"the backend {info.name} needs a host", "Set host: in its configuration (--host).")
            return build(info.options, self.options, origin.at("options"))
        except ConfigError as error:
            error.cluster = error.cluster or self.name
            raise

    def given(self) -> Given:
        """Return the settings with where they came from, to lay others over them."""
        return Given(self.settings(), self.__dict__["_origin"])

    def __repr__(self) -> str:
        inner = {"name": self.name, "backend": self.backend, **self.shown()}
        return f"ClusterConfig({', '.join(f'{name}={value!r}' for name, value in inner.items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Defaults too: a job that has no Clustrix installed knows none.
        return partial(ClusterConfig, **{name: getattr(self, name) for name in settings_of(ClusterConfig)}), ()


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        left = {key: _without_secrets(inner) for key, inner in value.items() if not is_secret(str(key))}
        return {key: inner for key, inner in left.items() if inner != {} or value[key] == {}}
    if isinstance(value, (list, tuple)):
        return type(value)(_without_secrets(inner) for inner in value)
    return value


def _hidden(name: str, value: Any) -> Any:
    if is_secret(str(name)):
        return HIDDEN
    if isinstance(value, Mapping):
        return {key: _hidden(key, inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_hidden("", inner) for inner in value)
    return value


def _name(value: str) -> tuple[str, str] | None:
    if not value or value.startswith("-") or value != value.strip() or not value.isprintable() or len(value) > 100:
        return "is not a name", "Write a short word."
    return None


def _backend(value: str) -> tuple[str, str] | None:
    return None if _BACKEND.fullmatch(value) else ("is not the name of a backend", "Write a word like slurm.")


def _host(value: str) -> tuple[str, str] | None:
    if "@" in value:
        return "holds a user", "Write host and user apart."
    if value.count(":") == 1:
        return "holds a port", "Write host and port apart."
    return None if _HOST.fullmatch(value) else ("is not a host name", "Write a name or an address.")


def _port(value: int) -> tuple[str, str] | None:
    return None if 0 < value < 65536 else ("is not a port", "Write a number from 1 to 65535.")


def _user(value: str) -> tuple[str, str] | None:
    return None if _USER.fullmatch(value) else ("is not a login name", "Write the name that you log in with.")


def _jump(value: str) -> tuple[str, str] | None:
    safe = _JUMP.fullmatch(value) and "@-" not in value
    return None if safe else ("is not a list of hosts", "Write user@host:port, several with commas.")


def _line(value: str) -> tuple[str, str] | None:
    if not value.strip() or any(bad in value for bad in "\n\r\0"):
        return "is not one line of text", "Leave it out for the default."
    return None


def _work_dir(value: str) -> tuple[str, str] | None:
    return _line(value) or (
        None if _WORK_DIR.fullmatch(value) else ("is neither absolute nor under ~", "Write /scratch/you or ~/jobs.")
    )


def _environment(value: str | tuple[str, ...]) -> tuple[str, str] | None:
    for line in (value,) if isinstance(value, str) else value:
        if _line(line) or line.startswith("-"):
            return "is not an environment", "Write none, auto, freeze, a requirements file or list, or a conda name."
    return None


def _at_least_one(value: int) -> tuple[str, str] | None:
    return None if 1 <= value <= 10**6 else ("is not a number of calls", "Write a number of at least 1.")


_CHECKS: Mapping[str, Any] = {
    "name": _name,
    "backend": _backend,
    "host": _host,
    "port": _port,
    "user": _user,
    "key_file": _line,
    "known_hosts": _line,
    "proxy_jump": _jump,
    "ssh_config": _line,
    "work_dir": _work_dir,
    "python": _line,
    "environment": _environment,
    "index": _line,
    "wheels": _line,
    "max_parallel": _at_least_one,
}
