"""Standard pickles for another version of Python: everything by name, functions without a name by their source."""

from __future__ import annotations

import importlib
import io
import pickle
import sys
from collections.abc import Callable, Iterable
from types import FunctionType, ModuleType
from typing import Any, Protocol

from clustrix_core.errors import CannotTravel
from clustrix_core.payload import staying
from clustrix_core.payload.source import opcodes
from clustrix_core.worker import exceptions, pickling, sources
from clustrix_core.worker.parts import Parts


class Reached(Protocol):
    """Who is told what a pickle refers to."""

    def own(self, module: str) -> bool:
        """Return whether a module is the user's own."""

    def refer(self, module: str, name: str) -> None:
        """Take note of a name that a pickle holds."""

    def whole(self, module: str) -> None:
        """Take note of a module that is itself a value."""

    def function(self, function: FunctionType) -> str:
        """Return the key of a function that travels as source by itself."""


def dump(value: Any, protocol: int, reached: Reached, apart: bool = False) -> Parts:
    """Return a pickle; large buffers lie beside it where ``apart`` and the protocol knows such."""
    parts = Parts()
    out = io.BytesIO()
    keep = pickling.keeper(parts) if apart and protocol >= 5 else None
    Pickler(out, protocol, keep, reached).dump(value)
    stream = out.getvalue()
    for module, name in opcodes.globals_in(stream):
        reached.refer(module, name)
    parts.stream.append(stream)
    return parts


class Pickler(pickle.Pickler):
    """pickle's own, but for functions that no name leads to, modules and exceptions."""

    def __init__(self, file: Any, protocol: int, keep: Callable[[Any], bool | None] | None, reached: Reached) -> None:
        super().__init__(file, protocol, buffer_callback=keep)
        self._protocol, self._reached = protocol, reached

    def reducer_override(self, obj: Any) -> Any:
        if (counterpart := staying.counterpart(obj)) is not None:
            return counterpart
        if isinstance(obj, BaseException):
            return exceptions.reduce_exception(obj, self._protocol)
        if isinstance(obj, FunctionType):
            return self._function(obj)
        if isinstance(obj, ModuleType):
            if self._reached.own(obj.__name__):
                self._reached.whole(obj.__name__)
            return importlib.import_module, (obj.__name__,)
        if isinstance(obj, type) and self._reached.own(obj.__module__) and found(obj) is not obj:
            raise CannotTravel(
                f"the class {obj.__qualname__} has no name at the top level of {obj.__module__}, and another version "
                "of Python cannot find it",
                hint="Define it at the top level of its module.",
            )
        return NotImplemented

    def _function(self, function: FunctionType) -> Any:
        if found(function) is function or not self._reached.own(function.__module__):
            return NotImplemented
        state = {
            "closure": _closure(function),
            "defaults": function.__defaults__,
            "keywords": function.__kwdefaults__,
            "attributes": {name: value for name, value in vars(function).items() if name != "__wrapped__"},
        }
        return sources.function, (self._reached.function(function),), state, None, None, sources.complete


def found(value: Any) -> Any:
    """Return what the name of a function or a class leads to."""
    held: Any = sys.modules.get(value.__module__)
    for part in value.__qualname__.split("."):
        held = getattr(held, part, None)
    return held


def _closure(function: FunctionType) -> dict[str, Any]:
    held = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            held[name] = cell.cell_contents
        except ValueError:  # not set yet
            continue
    return held


def why_not(values: Iterable[tuple[str, Any]], protocol: int, reached: Reached) -> tuple[str, Any, Exception] | None:
    """Return the first of some named values that cannot be pickled, and why."""
    for name, value in values:
        try:
            dump(value, protocol, reached)
        except Exception as error:  # pickling runs anybody's code
            return name, value, error
    return None


__all__ = ["Pickler", "Reached", "dump", "found", "why_not"]
