"""The nouns of an analysis: what can be reached, the edges between, and how surely a thing is needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


class Need(IntEnum):
    """How surely the function needs a thing over there; what is reached over something unsure is no surer."""

    CERTAIN = 0
    OPTIONAL = 1  # the ImportError is caught
    PERHAPS = 2  # it comes along with something else, or only a run can tell
    GUESS = 3  # what the user's own code returned may hold it; own code that is only guessed does not travel


@dataclass(frozen=True)
class Place:
    """A line of a file; line 0: the file as such."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Module:
    """A module by its full name; ``parts`` are what is taken from it, of which one may be a module of its own."""

    name: str
    parts: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Definition:
    """What a name of an own module stands for in its source. ``inner``: only what is defined so deep inside of it."""

    module: str
    name: str
    inner: int = 0


@dataclass(frozen=True, eq=False)
class Live:
    """An object of this process; two are the same where the objects are."""

    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Live) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


@dataclass(frozen=True)
class File:
    """A data file or a folder of them, by its path."""

    path: str


Node = Module | Definition | Live | File


@dataclass(frozen=True)
class Edge:
    """One thing refers to another, by a name, somewhere.

    ``body``: only when the code runs, not to have the thing at all. ``held``: as a part of a module that travels whole.
    """

    node: Node
    name: str
    place: Place
    need: Need = Need.CERTAIN
    body: bool = False
    held: bool = False


@dataclass(frozen=True)
class Doubt:
    """Something that cannot be told without running the code."""

    text: str
    place: Place
    need: Need = Need.CERTAIN


@dataclass(frozen=True)
class Step:
    """A link of the chain that says why something is reached: what, and the line that names it."""

    name: str
    place: Place
