"""The plan: what the file ``source`` will say. It is filled piece by piece."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from clustrix_core.payload.source import text
from clustrix_core.payload.source.scopes import Piece
from clustrix_core.payload.source.text import Text
from clustrix_core.reach import own

STANDARD = sys.stdlib_module_names


@dataclass
class Whole:
    """A module that travels as its file is; ``source`` is None where it has none, ``steps`` empty before it is done."""

    source: Text | None
    package: bool
    steps: list[Piece] = field(default_factory=list)


@dataclass
class Plan:
    """The pieces: of ``cut`` modules by name, with their lines; ``whole`` ones; ``functions`` that no name leads to.

    ``imports`` are those of the standard library (module, name or ""), ``names`` what pickles refer to outside of the
    user's own modules.
    """

    protocol: int
    cut: dict[str, dict[str, list[tuple[int, Piece]]]] = field(default_factory=dict)
    whole: dict[str, Whole] = field(default_factory=dict)
    functions: dict[str, Piece] = field(default_factory=dict)
    imports: set[tuple[str, str]] = field(default_factory=set)
    names: set[tuple[str, str]] = field(default_factory=set)

    def module(self, name: str) -> dict[str, list[tuple[int, Piece]]]:
        """Return the pieces of a module that is cut; the packages that it is in will be there too."""
        for above in own.with_parents(name.rpartition(".")[0]):
            self.cut.setdefault(above, {})
        return self.cut.setdefault(name, {})

    def to_json(self) -> dict[str, Any]:
        """Return what the file says."""
        made = {name: _cut(sys.modules.get(name), name, known) for name, known in self.cut.items()}
        for name, whole in self.whole.items():
            steps = whole.steps or ([{"line": 1, "text": whole.source.text}] if whole.source else [])
            made[name] = _module(name, whole.source, whole.package, steps)
        return {
            "protocol": self.protocol,
            "modules": made,
            "functions": self.functions,
            "imports": sorted(self.imports),
            "names": sorted(self.names),
            "standard": sorted({module.partition(".")[0] for module, _ in self.names} & STANDARD),
        }


def _cut(held: ModuleType | None, name: str, known: dict[str, list[tuple[int, Piece]]]) -> dict[str, Any]:
    source = text.of_module(held) if held is not None and known else None
    steps: list[Piece] = []
    for _, step in sorted((step for steps in known.values() for step in steps), key=lambda step: step[0]):
        if step not in steps:  # a statement that binds several names is needed once
            steps.append(step)
    return _module(name, source, held is None or hasattr(held, "__path__"), steps)


def _module(name: str, source: Text | None, package: bool, steps: list[Piece]) -> dict[str, Any]:
    return {
        "file": source.file if source else f"<{name}>",
        "package": package,
        "postponed": bool(source and source.postponed),
        "steps": steps,
    }


__all__ = ["STANDARD", "Plan", "Whole"]
