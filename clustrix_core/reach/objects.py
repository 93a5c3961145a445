"""Objects of this process: where they come from, whether they travel, and what they hold. None of their code is run."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from clustrix_core.reach import own
from clustrix_core.reach.graph import Doubt, Edge, Live, Module, Need, Place
from clustrix_core.reach.world import World

_MOST = 20_000  # objects that are looked through to see what a value holds
_PLAIN = (int, float, complex, str, bytes, bytearray, type(None), range, slice, memoryview)
_MAIN = ("__main__", "__mp_main__")


def place_of(world: World, value: Any) -> Place:
    """Return where an object was defined, as far as it knows."""
    code = getattr(value, "__code__", None)
    if isinstance(code, CodeType):
        return Place(code.co_filename, code.co_firstlineno)
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return Place("?")
    return Place(file, _line_of(world, file, value.__qualname__) if isinstance(value, type) else 0)


def _line_of(world: World, file: str, name: str) -> int:
    """Return the line of a class."""
    body, line = world.shelf.source(file).tree.body, 0
    for part in name.split("."):
        found = [node for node in body if isinstance(node, ast.ClassDef) and node.name == part]
        if not found:
            return line
        body, line = found[-1].body, found[-1].lineno
    return line


def travels(value: Any) -> bool:
    """Return whether a function or a class is sent by value: no installed module has it under its name."""
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    if module is None or module.__name__ in _MAIN or own.is_own(module):
        return True
    found: Any = module
    for part in value.__qualname__.split("."):
        found = inspect.getattr_static(found, part, None)
    return getattr(found, "__func__", found) is not value


def name_of(value: Any) -> str:
    """Return the name of an object with its module."""
    return f"{getattr(value, '__module__', None) or '?'}.{getattr(value, '__qualname__', type(value).__name__)}"


def held(value: Any, name: str, place: Place) -> Iterator[Edge | Doubt]:
    """Yield the functions, classes and modules that a value holds, whatever lies between."""
    waiting, seen = [value], set()
    while waiting:
        one = waiting.pop()
        kind = type(one)  # isinstance would ask the object itself
        if issubclass(kind, _PLAIN) or id(one) in seen:
            continue
        seen.add(id(one))
        if len(seen) > _MOST:
            yield Doubt(f"{name or 'a value'} holds more than {_MOST} objects: not all were looked at", place)
            return
        if issubclass(kind, ModuleType):
            yield Edge(Module(one.__name__), one.__name__ if own.is_own(one) else name or one.__name__, place)
        elif issubclass(kind, (FunctionType, type)):
            yield from _named(one, name, place)
        elif kind is BuiltinFunctionType and isinstance(one.__self__, (ModuleType, type(None))):
            yield Edge(Module(one.__module__ or "builtins", (one.__name__,)), name or one.__name__, place)
        else:
            waiting += _parts(one)


def _named(value: Any, name: str, place: Place) -> Iterator[Edge]:
    if travels(value):
        yield Edge(Live(value), name_of(value), place)
    elif value.__module__ != "builtins":
        yield Edge(Module(value.__module__, (value.__name__,)), name or name_of(value), place)


def _parts(value: Any) -> list[Any]:
    """Return what an object holds; nothing of it is called."""
    kind = type(value)
    parts: list[Any] = [kind, inspect.getattr_static(value, "__wrapped__", None)]
    if kind is type(vars(int)):
        parts += [*value.values()]
    elif issubclass(kind, dict):
        parts += [*dict.keys(value), *dict.values(value)]
    elif issubclass(kind, MethodType):
        parts += [value.__func__, value.__self__]
    else:
        parts += next(([*one.__iter__(value)] for one in _SEQUENCES if issubclass(kind, one)), [])
    parts += [_slot(value, name) for name in _WRAPPING]
    parts += [*(_slot(value, "__dict__") or {}).values()]
    for cls in kind.__mro__:
        slots = cls.__dict__.get("__slots__", ())
        parts += [_slot(value, name) for name in ([slots] if isinstance(slots, str) else [*slots])]
    return parts


def _slot(value: Any, name: str) -> Any:
    """Return what stands in a slot, or in an attribute that the interpreter itself keeps; None if there is none."""
    for cls in type(value).__mro__:
        found = cls.__dict__.get(name)
        if inspect.ismemberdescriptor(found) or inspect.isgetsetdescriptor(found):
            try:
                return found.__get__(value)
            except AttributeError:  # not set
                continue
    return None


_SEQUENCES: tuple[Any, ...] = (list, tuple, set, frozenset)
_WRAPPING = ("__func__", "func", "args", "keywords", "fget", "fset", "fdel")


def softer(edge: Edge | Doubt, need: Need, body: bool = False, held: bool = False) -> Edge | Doubt:
    """Return an edge that is no surer than ``need``."""
    if isinstance(edge, Doubt):
        return edge
    return Edge(edge.node, edge.name, edge.place, max(edge.need, need), edge.body or body, edge.held or held)
