"""The configuration of this process: loaded once, changed by ``configure``."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from clustrix_core.config import environ
from clustrix_core.config.cluster import ClusterConfig
from clustrix_core.config.flat import Given, modern
from clustrix_core.config.load import LOCAL, Config, completed, home_path, load, which
from clustrix_core.errors import ConfigError
from clustrix_core.options import Origin

_lock = threading.RLock()
_current: Config | None = None
_loaded_for: tuple[str | None, str] | None = None
_configured = False


def current() -> Config:
    """Return the configuration of this process; the first call loads it. Raises ConfigError as ``load`` does."""
    global _current, _loaded_for
    with _lock:
        if _current is None:
            _loaded_for = _surroundings()
            _current = load()
        return _current


def configure(
    default: str | ClusterConfig | None = None,
    clusters: Mapping[str, ClusterConfig | Mapping[str, Any]] | None = None,
    **settings: Any,
) -> Config:
    """Change the configuration of this process and return it; what is given here goes before files and environment.

    ``default`` names the default cluster or is one; ``clusters`` adds clusters. Settings of one cluster
    (``backend="slurm", host=…``) are laid over the default cluster or over the one that ``name`` names, unless backend
    and host say that it is another place; that cluster becomes the default. Raises ConfigError and changes nothing.
    """
    global _current, _configured
    with _lock:
        if not _configured and _loaded_for not in (None, _surroundings()):
            _current = None
        config = current()
        known = {**config.clusters, **{name: _made(name, value) for name, value in (clusters or {}).items()}}
        if isinstance(default, ClusterConfig):
            known[default.name], default = default, default.name
        if default is None and config.default not in known:
            chosen = which(None, known, Origin())
        else:
            chosen = which(default or config.default, known, Origin("configure"))
        if settings:
            cluster = _overlaid(modern(settings, Origin()), known, chosen)
            known[cluster.name], chosen = cluster, cluster.name
        _current, _configured = replace(config, default=chosen, clusters=known), True
        return _current


def reset() -> None:
    """Forget everything: the next use loads the configuration anew."""
    global _current, _configured
    with _lock:
        _current, _configured = None, False


def find(name: str | None = None, backend: str | None = None) -> ClusterConfig:
    """Return a configured cluster: see ``Config.find``."""
    return current().find(name, backend)


def home() -> Path:
    """Return the directory of this user's state, made with mode 0700 if need be. Raises ConfigError if it cannot be."""
    path = home_path()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        hint = "CLUSTRIX_HOME names another directory."
        raise ConfigError(f"{path} cannot be made: {error.strerror or error}", hint=hint) from None
    return path


def _surroundings() -> tuple[str | None, str]:
    try:
        return os.environ.get("CLUSTRIX_CONFIG"), os.getcwd()
    except OSError:
        return os.environ.get("CLUSTRIX_CONFIG"), ""


def _made(name: str, value: ClusterConfig | Mapping[str, Any]) -> ClusterConfig:
    if isinstance(value, ClusterConfig):
        return ClusterConfig.of(value.given(), name)
    if not isinstance(value, Mapping):
        raise ConfigError(f"clusters[{name!r}] is neither a ClusterConfig nor a mapping")
    given = modern({key: inner for key, inner in value.items() if key != "name"}, Origin())
    _warn(given)
    return ClusterConfig.of(given.over(environ.resources()), name)


def _overlaid(given: Given, known: Mapping[str, ClusterConfig], default: str | None) -> ClusterConfig:
    _warn(given)
    name = given.values.get("name", default)
    below = known.get(name) if isinstance(name, str) else None
    if below is None and name == LOCAL:
        below = ClusterConfig.of(environ.resources(), LOCAL)
    if below is None or _elsewhere(given, below):
        return completed(given, None, is_default=True)
    return ClusterConfig.of(given.over(below.given()))


def _warn(given: Given) -> None:
    for note in given.notes:
        warnings.warn(str(note), UserWarning, stacklevel=4)


def _elsewhere(given: Given, below: ClusterConfig) -> bool:
    if "backend" not in given.values:
        return False
    host = given.values.get("host", below.host)
    return bool(given.values["backend"] != below.backend or host != below.host)
