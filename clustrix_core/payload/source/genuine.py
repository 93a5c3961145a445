"""Is what is bound to a name what its source would make of it? What would run over there must be what runs here."""

from __future__ import annotations

import abc
import ast
from types import FunctionType
from typing import Any

from clustrix_core.errors import CannotTravel
from clustrix_core.payload.source import text
from clustrix_core.payload.source.text import Text

_PLAIN = (type, abc.ABCMeta)  # the metaclasses that leave the attributes of a class as they are written


def check(value: Any, source: Text, module: str, name: str) -> None:
    """Raise CannotTravel where a function or a class is not the one that ``module`` defines in its source."""
    if isinstance(value, type):
        if (value.__module__, value.__qualname__) != (module, name):
            raise _changed(f"{module}.{name}", source)
        for node in source.tree.body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                _check_class(value, node, source)
        return
    function = _unwrapped(value)
    if function is None:
        return  # made by a decorator that does not say of what
    if function.__code__.co_filename == source.file:
        source.check(function)
    elif not _is_decorated(source, name):
        raise _changed(f"{module}.{name}", source)


def home(value: Any) -> Text | None:
    """Return the source of a function or a class that is in no file of a module, as in a notebook."""
    held = [value, *vars(value).values()] if isinstance(value, type) else [value]
    for one in held:
        function = _unwrapped(one)
        if function is not None and function.__module__ == getattr(value, "__module__", None):
            return text.of_file(function.__code__.co_filename)
    return None


def _check_class(cls: type, node: ast.ClassDef, source: Text) -> None:
    for inner in node.body:
        if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)) and not inner.decorator_list:
            held = vars(cls).get(inner.name)
            if isinstance(held, FunctionType) and held.__code__.co_filename != source.file:
                raise _changed(f"{cls.__qualname__}.{inner.name}", source)
    for one in vars(cls).values():
        function = _unwrapped(one)
        if function is not None and function.__code__.co_filename == source.file:
            source.check(function)
    for name, value in _literals(node) if type(cls) in _PLAIN else ():
        held = vars(cls).get(name, value)
        if not hasattr(type(held), "__get__") and (type(held), held) != (type(value), value):
            raise _changed(f"{cls.__qualname__}.{name}", source)


def _literals(node: ast.ClassDef) -> list[tuple[str, Any]]:
    """Return the attributes of a class that are plainly set once, to something that can be read off."""
    found: dict[str, Any] = {}
    for inner in node.body:
        targets = inner.targets if isinstance(inner, ast.Assign) else [getattr(inner, "target", None)]
        for target in targets:
            if not isinstance(target, ast.Name) or target.id.startswith("__"):
                continue
            try:
                found[target.id] = [*found.get(target.id, []), ast.literal_eval(getattr(inner, "value"))]  # noqa: B009
            except (ValueError, TypeError, AttributeError, RecursionError):
                found[target.id] = [None, None]
    return [(name, values[0]) for name, values in found.items() if len(values) == 1]


def _is_decorated(source: Text, name: str) -> bool:
    _, node = source.binds(name)
    return bool(getattr(node, "decorator_list", ()))


def _unwrapped(value: Any) -> FunctionType | None:
    seen: set[int] = set()
    while id(value) not in seen:
        seen.add(id(value))
        inner = getattr(value, "__wrapped__", None) or getattr(value, "__func__", None) or getattr(value, "fget", None)
        if inner is None:
            break
        value = inner
    return value if isinstance(value, FunctionType) else None


def _changed(what: str, source: Text) -> CannotTravel:
    return CannotTravel(
        f"{what} is not what {source.file} says: something else has been put in its place",
        hint="Another version of Python gets the source. With the same one (`python:`, conda, uv) it travels as it is.",
    )


__all__ = ["check", "home"]
