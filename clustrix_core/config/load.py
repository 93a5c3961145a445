"""Where the configuration is found, and what it says: named clusters and which of them is meant by default."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clustrix_core.config import environ
from clustrix_core.config.cluster import HIDDEN, ClusterConfig
from clustrix_core.config.file import read
from clustrix_core.config.flat import Given, modern
from clustrix_core.config.old import BACKENDS
from clustrix_core.errors import ConfigError
from clustrix_core.model import Problem
from clustrix_core.options import Origin, is_secret
from clustrix_core.quantities import quoted
from clustrix_core.resources import nearest

NAMES = ("clustrix.yml", "clustrix.yaml", "clustrix.json")
LOCAL = "local"  # the cluster that is there without being configured: this machine
_TOP = ("default", "clusters")
_ACCESS = ("port", "user", "key_file", "proxy_jump", "password", "transport")


@dataclass(frozen=True)
class Config:
    """The clusters by name, and which is the default: None where there are several and none was named.

    ``source`` is the file, ``problems`` what it says without effect. The cluster ``local`` is always there.
    """

    default: str | None = LOCAL
    clusters: Mapping[str, ClusterConfig] = field(default_factory=dict)
    source: Path | None = None
    problems: tuple[Problem, ...] = ()

    def find(self, name: str | None = None, backend: str | None = None) -> ClusterConfig:
        """Return a cluster by name, by backend (the default or first that has it, else a new one), or the default.

        Raises ConfigError when there is none of that name, or it has another backend, or no default is set.
        """
        if name is None and backend is not None:
            return self._of_backend(backend)
        if name is None and self.default is None:
            hint = f'Write "default: NAME" or give a name. Known: {", ".join(sorted(self.clusters))}.'
            raise ConfigError("several clusters are configured and none is the default", hint=hint)
        name = name or self.default
        found = self.clusters.get(name) if isinstance(name, str) else None
        if found is None and name == LOCAL:
            found = _plain(LOCAL)
        if found is None:
            raise ConfigError(f"there is no cluster {name!r}", hint=self._known(str(name)))
        if backend is not None and BACKENDS.get(backend, backend) != found.backend:
            raise ConfigError(f"the cluster {name!r} has the backend {found.backend}, not {backend}")
        return found

    def _of_backend(self, backend: str) -> ClusterConfig:
        backend = BACKENDS.get(backend, backend)
        first = [self.default] if self.default else []
        for name in (*first, *self.clusters):
            if name in self.clusters and self.clusters[name].backend == backend:
                return self.clusters[name]
        return _plain(backend)

    def _known(self, name: str) -> str:
        known = sorted({*self.clusters, LOCAL})
        close = nearest(name, known)
        listed = f"Known: {', '.join(known)}."
        where = f" in {self.source}" if self.source else "; there is no configuration file"
        return (listed if close == listed else f"{close} {listed}").rstrip(".") + where + "."


def load(path: str | os.PathLike[str] | None = None) -> Config:
    """Return what a configuration file says, with environment variables filling in what it leaves out.

    Without ``path``: ``$CLUSTRIX_CONFIG``, else the first clustrix.yml, .yaml or .json in the working directory,
    ``~/.clustrix`` and ``/etc/clustrix``; without any, a Config without clusters whose default is this machine, or the
    cluster that environment variables describe. Raises ConfigError, with file and line.
    """
    source = Path(path).expanduser() if path is not None else search()
    if source is None:
        return _environment()
    found = read(source)
    data, origin = ({} if found.data is None else found.data), found.origin
    if not isinstance(data, Mapping):
        raise origin.error("holds no mapping of names to values")
    if not any(name in data for name in _TOP) and data:
        return _flat(data, origin, source, found.exposed)
    for name in data:
        if name not in _TOP:
            raise origin.at(name).error(f"unknown key {name!r}", nearest(str(name), _TOP))
    givens = dict(_clusters(data, origin, found.exposed))
    named, place = data.get("default"), origin.at("default")
    if named is None:
        named, place = environ.default(), Origin("$CLUSTRIX_DEFAULT")
    default = which(named, givens, place)
    clusters = {name: completed(given, name, name == default) for name, given in givens.items()}
    return Config(default, clusters, source, _problems(givens.values()))


def search() -> Path | None:
    """Return the configuration file that is meant, or None. Raises ConfigError when $CLUSTRIX_CONFIG names none."""
    named = os.environ.get("CLUSTRIX_CONFIG")
    if named:
        if not os.path.isfile(os.path.expanduser(named)):
            raise Origin("$CLUSTRIX_CONFIG").error(f"there is no file {named!r}")
        return Path(named).expanduser().absolute()
    for folder in (Path(), home_path(), Path("/etc/clustrix")):
        for name in NAMES:
            if os.path.isfile(folder / name):
                return (folder / name).absolute()
    return None


def home_path() -> Path:
    """Return where this user's state lies, ``$CLUSTRIX_HOME`` or ``~/.clustrix``. Raises ConfigError without either."""
    try:
        return Path(os.environ.get("CLUSTRIX_HOME") or "~/.clustrix").expanduser().absolute()
    except RuntimeError:
        raise ConfigError("this user has no home directory", hint="Set CLUSTRIX_HOME.") from None


def which(named: Any, clusters: Mapping[str, Any], origin: Origin) -> str | None:
    """Return the default cluster: the one named, else the only one, else ``local`` where there is none."""
    if named is None:
        return next(iter(clusters)) if len(clusters) == 1 else None if clusters else LOCAL
    if not isinstance(named, str) or (named not in clusters and named != LOCAL):
        raise origin.error(
            f"default={quoted(named)} is not a configured cluster", nearest(str(named), {*clusters, LOCAL})
        )
    return named


def _environment() -> Config:
    given = environ.everything()
    if not any(name != "resources" for name in given.values):
        return Config(which(environ.default(), {}, Origin("$CLUSTRIX_DEFAULT")))
    cluster = ClusterConfig.of(given)
    return Config(cluster.name, {cluster.name: cluster})


def _plain(backend: str) -> ClusterConfig:
    given = environ.resources()
    given.values["backend"] = backend
    return ClusterConfig.of(given, backend)


def _flat(data: Mapping[str, Any], origin: Origin, source: Path, exposed: bool) -> Config:
    _guard(data, origin, exposed)
    given = modern(data, origin, _TOP)
    cluster = completed(given, None, True)
    return Config(cluster.name, {cluster.name: cluster}, source, _problems([given]))


def _clusters(data: Mapping[str, Any], origin: Origin, exposed: bool) -> Iterator[tuple[str, Given]]:
    clusters, place = data.get("clusters"), origin.at("clusters")
    clusters = {} if clusters is None else clusters
    if not isinstance(clusters, Mapping):
        raise place.error("clusters is not a mapping of names to clusters")
    for name, settings in clusters.items():
        at = place.at(name)
        try:
            if not isinstance(settings, (Mapping, type(None))):
                raise at.error("is not a mapping of names to values")
            _guard(settings, at, exposed)
            given = modern(settings or {}, at)
            if given.values.pop("name", name) != name:
                raise given.origin.at("name").error(f"the name of this cluster is {name!r} already")
            if not {"backend", "host"} & set(given.values) and set(_ACCESS) & set(given.values):
                raise at.error("says how to log in, but neither backend nor host")
        except ConfigError as error:
            error.cluster = error.cluster or name
            raise
        yield name, given


def completed(given: Given, name: str | None, is_default: bool) -> ClusterConfig:
    """Return the cluster of these settings, environment variables filling in what they leave out."""
    # What the environment says of a host is of one cluster: another one must not get its user or password.
    if not is_default:
        below = environ.resources()
    else:
        below = environ.without_place() if given.values.get("backend") == LOCAL else environ.everything()
    return ClusterConfig.of(given.over(below), name)


def _guard(settings: Any, origin: Origin, exposed: bool) -> None:
    """Refuse a plain secret in a file that others may read."""
    for place, name, value in _secrets(settings, origin):
        if value == HIDDEN:
            raise place.error(f"{name} is only asterisks", "`clustrix config show` hides secrets; write the real one.")
        if exposed:
            hint = f"chmod 600 {place.file}, or leave it out: a key or an agent needs no password."
            raise place.error(f"{name} is in a file that others may read", hint)


def _secrets(values: Any, origin: Origin) -> Iterator[tuple[Origin, str, Any]]:
    pairs = values.items() if isinstance(values, Mapping) else enumerate(values) if isinstance(values, list) else ()
    for name, value in pairs:
        if is_secret(str(name)) and value is not None:
            yield origin.at(name), str(name), value
        else:
            yield from _secrets(value, origin.at(name))


def _problems(givens: Any) -> tuple[Problem, ...]:
    return tuple(Problem("warning", str(note)) for given in givens for note in given.notes)
