"""Settings from environment variables: ``CLUSTRIX_HOST``, ``CLUSTRIX_CORES`` and so on, one per field."""

from __future__ import annotations

import os

from clustrix_core.config.flat import RESOURCES, SETTINGS, Given
from clustrix_core.options import Origin
from clustrix_core.options.convert import Unfit, pairs

PREFIX = "CLUSTRIX_"

# Variables of that prefix with a meaning of their own.
RESERVED = frozenset({"CONFIG", "HOME", "DISABLE_PLUGINS", "DEBUG", "SSH_CONFIG", "JOB", "TASK"})

# Where a cluster is and how to get there: of one cluster, never of all.
_PLACE = frozenset(SETTINGS[SETTINGS.index("backend") : SETTINGS.index("transport") + 1])
_CLUSTER = tuple(name for name in SETTINGS if name not in ("name", "resources", "options"))
_RESOURCES = tuple(name for name in RESOURCES if name != "name")


def variables() -> dict[str, str]:
    """Return the environment variables that are read, each with the name of its setting (``resources.cores``)."""
    names = {**{name: name for name in _CLUSTER}, **{name: f"resources.{name}" for name in _RESOURCES}}
    return {PREFIX + name.upper(): target for name, target in names.items() if name.upper() not in RESERVED}


def everything() -> Given:
    """Return all that the environment says: for the default cluster."""
    return _read(frozenset())


def without_place() -> Given:
    """Return what the environment says of a cluster that is known to be this machine."""
    return _read(_PLACE)


def resources() -> Given:
    """Return what the environment says of resources: for every cluster."""
    return _read(frozenset(_CLUSTER))


def default() -> str | None:
    """Return the name of the default cluster, ``$CLUSTRIX_DEFAULT``."""
    return os.environ.get(PREFIX + "DEFAULT") or None


def _read(leave_out: frozenset[str]) -> Given:
    given = Given()
    parts: dict[str, Origin] = {}
    inner: dict[str, Origin] = {}
    for variable, target in variables().items():
        value = os.environ.get(variable)
        if not value or target in leave_out:
            continue
        name = target.removeprefix("resources.")
        if name == target:
            given.values[name], parts[name] = value, Origin(f"${variable}")
        else:
            given.values.setdefault("resources", {})[name] = _pairs(value) if name == "env" else value
            inner[name] = Origin(f"${variable}")
    if inner:
        parts["resources"] = Origin("the environment", parts=inner)
    given.origin = Origin(parts=parts)
    return given


def _pairs(text: str) -> dict[str, str] | str:
    # As a mapping, a file's own variables can be laid over it one by one.
    try:
        return pairs(text)
    except Unfit:
        return text
