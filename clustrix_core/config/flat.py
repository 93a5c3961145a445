"""Names of settings: those of today, resources given directly, and the flat names of the first Clustrix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from clustrix_core.config.old import BACKENDS, DROPPED, OLD
from clustrix_core.errors import ConfigError
from clustrix_core.options import Origin
from clustrix_core.quantities import quoted
from clustrix_core.resources import ALIASES, Resources, nearest

SETTINGS = (
    "name",
    "backend",
    "host",
    "port",
    "user",
    "key_file",
    "known_hosts",
    "proxy_jump",
    "ssh_config",
    "password",
    "transport",
    "work_dir",
    "python",
    "environment",
    "manager",
    "index",
    "find_links",
    "wheels",
    "build",
    "max_parallel",
    "cleanup",
    "resources",
    "options",
)
RESOURCES = tuple(item.name for item in fields(Resources))


@dataclass
class Given:
    """What was given of one cluster, under today's names, with where each value comes from.

    ``notes`` are names that have no effect, each with the reason and its place.
    """

    values: dict[str, Any] = field(default_factory=dict)
    origin: Origin = field(default_factory=Origin)
    notes: list[ConfigError] = field(default_factory=list)

    def over(self, below: Given) -> Given:
        """Return this laid over ``below``: resources, their environment variables and options are merged key by key."""
        values, parts = {**below.values, **self.values}, {**below.origin.parts, **self.origin.parts}
        for name in ("resources", "options"):
            mine, theirs = self.values.get(name), below.values.get(name)
            if mine is not None and theirs is not None:
                values[name] = {**theirs, **mine}
                if "env" in mine and isinstance(mine["env"], Mapping) and isinstance(theirs.get("env"), Mapping):
                    values[name]["env"] = {**theirs["env"], **mine["env"]}
                inner = {**below.origin.at(name).parts, **self.origin.at(name).parts}
                parts[name] = self.origin.at(name).with_parts(inner)
        return Given(values, self.origin.with_parts(parts), [*below.notes, *self.notes])


def modern(settings: Mapping[str, Any], origin: Origin, more: tuple[str, ...] = ()) -> Given:
    """Return settings under today's names; None counts as not given.

    Raises ConfigError for an unknown name (naming the nearest, of ``more`` too) and for a setting given twice, under
    two names, with different values.
    """
    given = Given(origin=origin)
    places: dict[tuple[str, str], tuple[str, Any]] = {}
    parts: dict[str, dict[str, Origin]] = {"": {}, "resources": {}, "options": {}}
    for written, value, place in _each(settings, origin):
        target = _target(written, place, more)
        if target is None:
            said = f"{written} has no effect: {DROPPED[written]}"
            given.notes.append(place.error(said))
            continue
        value = _translate(written, target, value)
        if target in places and places[target][1] != value:
            raise place.error(f"{written} and {places[target][0]} say two different things")
        places[target] = (written, value)
        group, name = target
        parts[group][name] = place
        (given.values.setdefault(group, {}) if group else given.values)[name] = value
    for group in ("resources", "options"):
        if group in given.values:
            parts[""][group] = origin.at(group).with_parts(parts[group])
    given.origin = origin.with_parts(parts[""])
    return given


def _each(settings: Mapping[str, Any], origin: Origin) -> Iterator[tuple[str, Any, Origin]]:
    for name, value in settings.items():
        place = origin.at(name)
        if name in ("resources", "options") and value is not None:
            for key, inner in _inside(name, value, place).items():
                if inner is not None:
                    yield f"{name}.{key}", inner, place.at(key)
        elif value is not None:
            yield name, value, place


def _inside(name: str, value: Any, place: Origin) -> Mapping[str, Any]:
    if name == "resources" and isinstance(value, Resources):
        return {key: getattr(value, key) for key in RESOURCES if getattr(value, key) != getattr(Resources(), key)}
    if not isinstance(value, Mapping):
        raise place.error(f"{name} is not a mapping of names to values")
    return value


def _target(written: str, place: Origin, more: tuple[str, ...]) -> tuple[str, str] | None:
    """Return the group ("", "resources" or "options") and the name; None where the name has no effect."""
    if written in DROPPED:
        return None
    name = OLD.get(written, written)
    group, dot, inner = name.partition(".")
    if dot and group in ("resources", "options"):
        return group, ALIASES.get(inner, inner) if group == "resources" else inner
    if name in SETTINGS:
        return "", name
    name = ALIASES.get(name, name)
    if name in RESOURCES:
        return "resources", name
    known = {*SETTINGS, *RESOURCES, *OLD, *more}
    raise place.error(f"unknown key {quoted(written)}", _hint(str(written), known))


def _hint(word: str, known: set[str]) -> str:
    close = nearest(word, known)
    return close if close.startswith("Did") else nearest(word, set(SETTINGS) | set(RESOURCES))


def _translate(written: str, target: tuple[str, str], value: Any) -> Any:
    if target == ("", "backend") and isinstance(value, str):
        return BACKENDS.get(value, value)
    if written.startswith("cleanup_"):
        word = str(value).strip().lower()
        return {"true": "success", "yes": "success", "false": "never", "no": "never"}.get(word, value)
    return value
