"""The answer: three piles, what cannot be told, and how much was read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from clustrix_core.reach.graph import Need, Place, Step

Why = tuple[Step, ...]
Kind = Literal["function", "class", "value", "module", "source", "file", "folder"]


@dataclass(frozen=True)
class Own:
    """Something of the user's own. ``kind``: function, class, value, module (as it is then), source, file or folder."""

    kind: Kind
    name: str
    place: Place
    why: Why

    @property
    def travels(self) -> bool:
        """Whether it is sent today: data files are not."""
        return self.kind not in ("file", "folder")


@dataclass(frozen=True)
class Installed:
    """A distribution at its version here, with the modules of it that are reached, by how surely they are needed.

    ``distribution`` is None where modules are in no distribution, ``version`` too.
    """

    distribution: str | None
    version: str | None
    modules: tuple[str, ...]
    need: Need
    why: Why


@dataclass(frozen=True)
class Standard:
    """A module of the standard library."""

    module: str
    why: Why


@dataclass(frozen=True)
class Unsure:
    """Something that only a run can tell, or that is not to be found here."""

    text: str
    place: Place
    why: Why


@dataclass(frozen=True)
class Reach:
    """What a function reaches. ``files`` and ``bytes`` of source were read; ``complete``: no limit kept from more."""

    function: str
    place: Place
    own: tuple[Own, ...]
    installed: tuple[Installed, ...]
    standard: tuple[Standard, ...]
    doubts: tuple[Unsure, ...]
    files: int
    bytes: int
    complete: bool

    def as_data(self) -> dict[str, Any]:
        """Return the same as JSON-safe data; steps and places as {"name", "file", "line"}."""
        return {
            "function": self.function,
            **_place(self.place),
            "own": [{**_plain(one), "travels": one.travels} for one in self.own],
            "installed": [{**_plain(one), "need": one.need.name.lower()} for one in self.installed],
            "standard": [_plain(one) for one in self.standard],
            "doubts": [_plain(one) for one in self.doubts],
            "read": {"files": self.files, "bytes": self.bytes, "complete": self.complete},
        }


def _plain(one: Any) -> dict[str, Any]:
    found = {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}
    place = found.pop("place", None)
    why = [{"name": step.name, **_place(step.place)} for step in found.pop("why")]
    return {**found, **(_place(place) if place is not None else {}), "why": why}


def _place(place: Place) -> dict[str, Any]:
    return {"file": place.file, "line": place.line or None}
