"""Who is to blame when a function or an argument cannot travel: the object, by a name that its owner knows."""

from __future__ import annotations

import functools
import inspect
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from clustrix_core.errors import CannotTravel, ClustrixError
from clustrix_core.payload.pickler import parts_of

Suspect = tuple[str, Any]
_DEPTH = 4


def of_function(function: Callable[..., Any]) -> Iterator[Suspect]:
    """Yield what a function drags along, by name, the deepest first."""
    owner = getattr(function, "__self__", None)
    if owner is not None and not isinstance(owner, ModuleType):
        yield from _inside("the object whose method is called", owner)
    if isinstance(function, functools.partial):
        for key, value in [*enumerate(function.args), *function.keywords.items()]:
            yield from _inside(f"the argument {key!r} of the partial", value)
    plain = inspect.unwrap(getattr(function, "func", function))
    for name, value in _parts_of_function(getattr(plain, "__func__", plain)):
        yield from _inside(name, value)


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
            return CannotTravel(f"{name} cannot travel: {what}: {reason}", hint=_way_out(value, error))
    return None


def _why_not(value: Any) -> Exception | None:
    try:
        parts_of(value)
    except Exception as error:
        return error
    return None


def _way_out(value: Any, error: Exception) -> str:
    if isinstance(value, io.IOBase):
        return "Send its path and open it inside the function, or send what was read from it."
    return getattr(error, "hint", None) or "Make it inside the function, or send what it is made from."


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        return "(its repr fails)"
    return text if len(text) <= 120 else text[:117] + "..."


def _inside(name: str, value: Any, depth: int = _DEPTH) -> Iterator[Suspect]:
    if depth:
        for part_name, part in _parts_of(name, value):
            if _why_not(part):
                yield from _inside(part_name, part, depth - 1)
    yield name, value


def _parts_of(name: str, value: Any) -> Iterable[Suspect]:
    if isinstance(value, dict):
        return [(f"{name}[{key!r}]", part) for key, part in value.items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [(f"{name}[{number}]", part) for number, part in enumerate(value)]
    if inspect.isfunction(value):
        return _parts_of_function(value)
    if isinstance(value, type):
        return [(f"{name}.{key}", part) for key, part in vars(value).items() if not key.startswith("__")]
    if hasattr(value, "__dict__") and not callable(value) and _is_sent_as_its_attributes(type(value)):
        return [*((f"{name}.{key}", part) for key, part in vars(value).items()), (f"the class of {name}", type(value))]
    return ()


def _is_sent_as_its_attributes(cls: type) -> bool:
    if issubclass(cls, ModuleType):
        return False
    names = ("__reduce__", "__reduce_ex__", "__getstate__")
    return all(getattr(cls, name, None) is getattr(object, name, None) for name in names)


def _parts_of_function(function: Any) -> Iterator[Suspect]:
    if not inspect.isfunction(function):
        return
    label = function.__qualname__
    try:
        scope = inspect.getclosurevars(function)
    except ValueError:
        return
    for kind, names in (("variable", scope.nonlocals), ("global", scope.globals)):
        for name, value in names.items():
            if value is not function:
                yield f"the {kind} {name!r} that {label} uses", value
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.default is not parameter.empty:
            yield f"the default of {name!r} in {label}", parameter.default
