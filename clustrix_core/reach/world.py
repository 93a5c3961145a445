"""All modules that there are, as the search path has them. None is ever imported to find out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Literal

from clustrix_core.reach import bindings, own
from clustrix_core.reach.bindings import Bindings
from clustrix_core.reach.bytecode import Import
from clustrix_core.reach.shelf import Shelf, Source

Kind = Literal["own", "installed", "standard", "brought", "missing"]


@dataclass(frozen=True)
class Found:
    """A module: whose it is, its file (None for built-in modules and packages without one), and a package's folders."""

    name: str
    kind: Kind
    file: str | None = None
    places: tuple[str, ...] | None = None

    def absolute(self, wanted: Import) -> str:
        """Return the full name of the module that an import statement of this module names; "" if there is none."""
        if not wanted.level:
            return wanted.name
        package = self.name if self.places is not None else self.name.rpartition(".")[0]
        parts = package.split(".") if package else []
        if wanted.level > len(parts):
            return ""
        return ".".join(filter(None, [*parts[: len(parts) - wanted.level + 1], wanted.name]))


class World:
    """``live``: modules of this process are what they are here; else only files count, those of ``folders`` first.

    ``first`` is the module that the analysis begins with, as a name and a file.
    """

    def __init__(
        self, shelf: Shelf, live: bool, folders: Sequence[str] = (), first: tuple[str, str] | None = None
    ) -> None:
        self.shelf = shelf
        self.live = live
        self.finds_files: dict[str, bool] = {}  # modules that may name files by their own place
        self._folders = [*folders]
        self._first = first
        self._found: dict[str, Found] = {}
        self._bindings: dict[str, Bindings] = {}
        if first is not None:
            name, file = first
            is_package = os.path.basename(file) == "__init__.py"
            kind: Kind = "own" if own.is_own_place(file, ()) else "installed"
            self._found[name] = Found(name, kind, file, (os.path.dirname(file),) if is_package else None)

    def find(self, name: str) -> Found:
        """Return what is known of a module."""
        if name not in self._found:
            self._found[name] = self._look(name)
        return self._found[name]

    def source(self, name: str) -> Source | None:
        """Return the source of an own module; None where it has no file."""
        file = self.find(name).file
        return self.shelf.source(file) if file is not None else None

    def bindings(self, name: str) -> Bindings:
        """Return what the names of an own module stand for."""
        if name not in self._bindings:
            source = self.source(name)
            self._bindings[name] = bindings.of(source.tree) if source is not None else Bindings()
        return self._bindings[name]

    def is_loaded(self, name: str) -> bool:
        """Return whether a module will have been imported by the time the function is sent."""
        return name in sys.modules if self.live else name in self.loaded

    @cached_property
    def loaded(self) -> dict[str, None]:
        """The own modules that the first one imports while it is imported, and so on."""
        loaded: dict[str, None] = {}
        waiting = [self._first[0]] if self._first is not None else []
        while waiting:
            name = waiting.pop()
            if name not in loaded and self.find(name).kind == "own":
                loaded[name] = None
                waiting += [*own.with_parents(name)][1:]
                waiting += self._imported_by(name)
        return loaded

    def _imported_by(self, name: str) -> Iterable[str]:
        source = self.source(name)
        for wanted in bindings.imports(source.tree) if source is not None else ():
            if base := self.find(name).absolute(wanted):
                yield base
                yield from (f"{base}.{part}" for part in wanted.names if part.isidentifier())

    def _look(self, name: str) -> Found:
        top, _, rest = name.partition(".")
        if top in own.BROUGHT:
            return Found(name, "brought")
        module = sys.modules.get(name) if self.live else None
        if isinstance(module, ModuleType) and own.is_own(module):
            path = getattr(module, "__path__", None)
            return Found(name, "own", getattr(module, "__file__", None), None if path is None else tuple(path))
        if top in sys.stdlib_module_names:
            return Found(name, "standard")
        if not rest:
            return _described(name, own.find_in(self._folders, name) or own.find(name))
        above = self.find(name.rpartition(".")[0])
        return _described(name, own.find_in(above.places, name) if above.places else None)


def _described(name: str, spec: ModuleSpec | None) -> Found:
    if spec is None:
        return Found(name, "missing")
    if spec.origin in ("built-in", "frozen"):
        return Found(name, "standard")
    places = tuple(spec.submodule_search_locations) if spec.submodule_search_locations is not None else None
    kind: Kind = "own" if own.is_own_place(spec.origin, places or ()) else "installed"
    return Found(name, kind, spec.origin, places)
