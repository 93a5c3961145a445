"""Which modules a payload reaches, noted while it is packed: those of what is in it and what its code imports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import CodeType, FunctionType, ModuleType
from typing import Any

from clustrix_core.reach.bytecode import imports

_noted: ContextVar[set[str] | None] = ContextVar("reached", default=None)


@contextmanager
def noting() -> Iterator[set[str]]:
    """Within this context the set that it returns fills with the names of modules."""
    found: set[str] = set()
    before = _noted.set(found)
    try:
        yield found
    finally:
        _noted.reset(before)


def note(value: Any) -> None:
    """Note where something that is being pickled comes from."""
    found = _noted.get()
    if found is not None:
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(name, str):
            found.add(name)
        if isinstance(value, FunctionType):
            note_code(value.__code__)


def note_names(*names: str) -> None:
    """Note modules by name."""
    found = _noted.get()
    if found is not None:
        found.update(names)


def note_code(code: CodeType) -> None:
    """Note what code imports when it runs. Relative imports are of the user's own packages."""
    found = _noted.get()
    if found is not None:
        for one in imports(code):
            if not one.level:
                found.update((one.name, *(f"{one.name}.{part}" for part in one.names)))


__all__ = ["note", "note_code", "note_names", "noting"]
