"""Who is to blame when a function or an argument cannot travel: the object, by a name that its owner knows."""

from __future__ import annotations

import collections
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

from clustrix_core.errors import CannotTravel, ClustrixError
from clustrix_core.payload import staying
from clustrix_core.payload.pickler import parts_of
from clustrix_core.reach import bytecode

Suspect = tuple[str, Any]
_DEPTH = 12
_ROWS = (list, tuple, set, frozenset, collections.deque)
_INNOCENT = (str, bytes, int, float, bool, type(None))


def of_function(function: Callable[..., Any]) -> Iterator[Suspect]:
    """Yield what a function drags along, by name, the deepest first."""
    yield from _within("the function", function, set(), _DEPTH)


def of_constants(constants: Mapping[str, Any]) -> Iterator[Suspect]:
    """Yield the keywords that all calls have in common, by name, the deepest first."""
    for name, value in constants.items():
        yield from _inside(f"the constant argument {name!r}", value)


def of_call(function: Callable[..., Any], call: tuple[tuple[Any, ...], dict[str, Any]]) -> Iterator[Suspect]:
    """Yield the arguments of a call, by name, the deepest first."""
    args, kwargs = call
    try:
        bound = inspect.signature(function).bind_partial(*args, **kwargs).arguments
    except (TypeError, ValueError):
        bound = {**{str(number): value for number, value in enumerate(args)}, **kwargs}
    for name, value in bound.items():
        yield from _inside(f"the argument {name!r}", value)


def blame(suspects: Iterable[Suspect]) -> CannotTravel | None:
    """Return an error that names the first of them that cannot travel, and says what to do about it."""
    for name, value in suspects:
        if error := _why_not(value):
            reason = error.args[0] if isinstance(error, ClustrixError) else error
            what = f"{type(value).__name__} object {_short(value)}"
            return CannotTravel(f"{name} cannot travel: {what}: {reason}", hint=_way_out(error))
    return None


def _why_not(value: Any) -> Exception | None:
    if isinstance(value, _INNOCENT):
        return None
    try:
        parts_of(value)
    except Exception as error:
        return error
    return None


def _way_out(error: Exception) -> str:
    return getattr(error, "hint", None) or "Make it inside the function, or send what it is made from."


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        return "(its repr fails)"
    return text if len(text) <= 120 else text[:117] + "..."


def _inside(name: str, value: Any) -> Iterator[Suspect]:
    yield from _within(name, value, set(), _DEPTH)
    yield name, value


def _within(name: str, value: Any, seen: set[int], depth: int) -> Iterator[Suspect]:
    """Yield the parts that cannot travel, what is in them before themselves."""
    seen.add(id(value))
    for part_name, part in _parts_of(name, value) if depth else ():
        if id(part) not in seen and _why_not(part):
            yield from _within(part_name, part, seen, depth - 1)
            yield part_name, part


def _parts_of(name: str, value: Any) -> Iterable[Suspect]:
    if staying.of(value) is not None:
        return ()
    if isinstance(value, dict):
        return [(f"{name}[{key!r}]", part) for key, part in value.items()]
    if isinstance(value, _ROWS):
        return [(f"{name}[{number}]", part) for number, part in enumerate(value)]
    if inspect.isfunction(value):
        return _parts_of_function(value)
    if inspect.ismethod(value):
        return [("the object whose method is called", value.__self__), (name, value.__func__)]
    if isinstance(value, functools.partial):
        given = [*enumerate(value.args), *value.keywords.items()]
        return [*((f"the argument {key!r} of the partial", part) for key, part in given), (name, value.func)]
    if isinstance(value, (staticmethod, classmethod)) or callable(getattr(type(value), "cache_info", None)):
        return [(name, value.__wrapped__)]
    if isinstance(value, property):
        return [(name, part) for part in (value.fget, value.fset, value.fdel)]
    if isinstance(value, type):
        return [(f"{name}.{key}", part) for key, part in vars(value).items() if not key.startswith("__")]
    if not isinstance(value, ModuleType) and _is_sent_as_its_attributes(type(value)):
        return [*((f"{name}.{key}", part) for key, part in _attributes(value)), (f"the class of {name}", type(value))]
    return ()


def _attributes(value: Any) -> Iterator[Suspect]:
    yield from getattr(value, "__dict__", {}).items()
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for slot in [slots] if isinstance(slots, str) else slots:
            if hasattr(value, slot):
                yield slot, getattr(value, slot)


def _is_sent_as_its_attributes(cls: type) -> bool:
    names = ("__reduce__", "__reduce_ex__", "__getstate__")
    return all(getattr(cls, name, None) is getattr(object, name, None) for name in names)


def _parts_of_function(function: FunctionType) -> Iterator[Suspect]:
    label = function.__qualname__
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f"the variable {name!r} that {label} uses", cell.cell_contents
        except ValueError:  # not set yet
            continue
    for name in dict.fromkeys(bytecode.global_names(function.__code__)):
        if name in function.__globals__:
            yield f"the global {name!r} that {label} uses", function.__globals__[name]
    defaults = dict(zip(reversed(_positional(function)), reversed(function.__defaults__ or ()), strict=False))
    for name, value in {**defaults, **(function.__kwdefaults__ or {})}.items():
        yield f"the default of {name!r} in {label}", value
    for name, value in vars(function).items():
        yield (f"{label}.{name}" if name != "__wrapped__" else label), value


def _positional(function: FunctionType) -> tuple[str, ...]:
    return function.__code__.co_varnames[: function.__code__.co_argcount]
