"""What travels: packing a function and its calls, and unpacking outcomes. The only place where the client unpickles."""

from __future__ import annotations

import functools
import inspect
import io
import json
import linecache
import os
import site
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import cloudpickle

from clustrix_core import __version__
from clustrix_core.errors import CannotTravel, PayloadError
from clustrix_core.model import Cluster
from clustrix_core.worker import exceptions, payloads, pickling
from clustrix_core.worker.parts import Parts, places

VERSION = __version__
_SMALL_SOURCE = 200_000  # bytes of source that travel for tracebacks
_registry = threading.Lock()

Call = tuple[tuple[Any, ...], dict[str, Any]]


def same_python(cluster: Cluster) -> None:
    """Raise PayloadError unless the cluster runs the client's minor version: pickled functions hold bytecode."""
    here = sys.version_info[:2]
    if cluster.site is not None and cluster.site.python != here:
        there = "{}.{}".format(*cluster.site.python)
        raise PayloadError(
            "Python {} on the cluster, {}.{} here: a function cannot be sent to another minor version".format(
                there, *here
            ),
            cluster=cluster.name,
            hint=f"Set python: to a Python {here[0]}.{here[1]} on the cluster (modules: may bring one), "
            f"or run this script with Python {there}.",
        )


def pack(path: Path, function: Callable[..., Any], calls: Iterable[Call], constants: Mapping[str, Any]) -> None:
    """Write a payload: the function and its constants once, then each call. Large buffers are written as they are.

    Raises CannotTravel naming the object that cannot be pickled.
    """
    header = {"kind": "pickle", "python": list(sys.version_info[:2])}
    with _own_modules_by_value(), pickling.Deep(), path.open("wb") as file:
        head = _dump((function, dict(constants)), "the function", lambda: _suspects(function, constants))
        payloads.write(file, header, head, (_dump_call(function, call) for call in calls))


def pack_command(path: Path, line: str) -> None:
    """Write the payload of a shell command."""
    with path.open("wb") as file:
        payloads.write(file, {"kind": "command", "command": line}, Parts(), [Parts()])


def _dump_call(function: Callable[..., Any], call: Call) -> Parts:
    return _dump(call, "the arguments", lambda: _arguments(function, call))


def _dump(value: Any, what: str, suspects: Callable[[], Iterator[tuple[str, Any]]]) -> Parts:
    """Pickle a value; where that fails, say which of the ``suspects`` is to blame."""
    try:
        return _parts(value)
    except Exception as error:  # pickling runs anybody's code
        for name, suspect in suspects():
            if reason := _cannot_travel(suspect):
                raise CannotTravel(f"{name} cannot travel: {reason}", hint=_way_out(suspect)) from error
        raise CannotTravel(f"{what} cannot travel: {error}") from error


def _parts(value: Any) -> Parts:
    """Return a pickle without copying its large buffers: the stream in pieces, and what lies beside it."""
    parts = Parts()
    _Pickler(_Pieces(parts), 5, buffer_callback=pickling.keeper(parts)).dump(value)
    return parts


class _Pieces:
    def __init__(self, parts: Parts) -> None:
        self.write = parts.stream.append


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def reducer_override(self, obj: Any) -> Any:
        # cloudpickle would send the contents of an open file: the function would then work on a silent copy.
        if isinstance(obj, io.IOBase) and not isinstance(obj, (io.StringIO, io.BytesIO)):
            raise CannotTravel(f"{obj!r} is an open file")
        if isinstance(obj, BaseException):
            return exceptions.reduce_exception(obj, 5)
        if isinstance(obj, functools._lru_cache_wrapper) and not _is_found_by_name(obj):
            return pickling.cached, (obj.__wrapped__, obj.cache_parameters())
        return super().reducer_override(obj)


def _is_found_by_name(function: Any) -> bool:
    """Return whether the name of a function is all that needs to travel: an installed module holds it."""
    name, found = function.__module__, sys.modules.get(function.__module__)
    if name in ("__main__", "__mp_main__") or name in cloudpickle.list_registry_pickle_by_value():
        return False
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is function


def _cannot_travel(value: Any) -> str | None:
    try:
        _parts(value)
    except Exception as error:
        return f"{type(value).__name__} object {_short(value)}: {error}"
    return None


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        return "(its repr fails)"
    return text if len(text) <= 120 else text[:117] + "..."


def _way_out(value: Any) -> str:
    if isinstance(value, io.IOBase):
        return "Send its path and open it inside the function, or send what was read from it."
    return "Make it inside the function, or send what it is made from."


def _suspects(function: Callable[..., Any], constants: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what a function drags along, by name, the deepest first."""
    for name, value in constants.items():
        yield from _inside(f"the constant argument {name!r}", value)
    owner = getattr(function, "__self__", None)
    if owner is not None and not isinstance(owner, ModuleType):
        yield from _inside("the object whose method is called", owner)
    if isinstance(function, functools.partial):
        for key, value in [*enumerate(function.args), *function.keywords.items()]:
            yield from _inside(f"the argument {key!r} of the partial", value)
    plain = inspect.unwrap(getattr(function, "func", function))
    for name, value in _parts_of_function(getattr(plain, "__func__", plain)):
        yield from _inside(name, value)


def _parts_of_function(function: Any) -> Iterator[tuple[str, Any]]:
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


def _arguments(function: Callable[..., Any], call: Call) -> Iterator[tuple[str, Any]]:
    args, kwargs = call
    try:
        bound = inspect.signature(function).bind_partial(*args, **kwargs).arguments
    except (TypeError, ValueError):
        bound = {**{str(number): value for number, value in enumerate(args)}, **kwargs}
    for name, value in bound.items():
        yield from _inside(f"the argument {name!r}", value)


def _inside(name: str, value: Any, depth: int = 4) -> Iterator[tuple[str, Any]]:
    if depth:
        for part_name, part in _parts_of(name, value):
            if _cannot_travel(part):
                yield from _inside(part_name, part, depth - 1)
    yield name, value


def _parts_of(name: str, value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f"{name}[{key!r}]", part) for key, part in value.items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [(f"{name}[{number}]", part) for number, part in enumerate(value)]
    if inspect.isfunction(value):
        return _parts_of_function(value)
    if isinstance(value, (type, ModuleType)):
        return [(f"{name}.{key}", part) for key, part in vars(value).items() if not key.startswith("__")]
    if hasattr(value, "__dict__") and not callable(value):
        return [*((f"{name}.{key}", part) for key, part in vars(value).items()), (f"the class of {name}", type(value))]
    return ()


@contextmanager
def _own_modules_by_value() -> Iterator[None]:
    """Within this context cloudpickle sends the user's own modules by value: they are not installed over there."""
    with _registry:
        mine = [module for module in list(sys.modules.values()) if _is_own(module)]
        already = cloudpickle.list_registry_pickle_by_value()
        fresh = [module for module in mine if module.__name__ not in already]
        for module in fresh:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            for module in fresh:
                cloudpickle.unregister_pickle_by_value(module)


_NOT_OWN = {"__main__", "__mp_main__", "clustrix", "clustrix_core", "cloudpickle"}


@functools.cache
def _installed_roots() -> tuple[str, ...]:
    named = {*map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")), site.getusersitepackages()}
    entries = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    return tuple({os.path.realpath(path) + os.sep for path in [*named, *entries] if path})


@functools.cache
def _is_own_file(file: str) -> bool:
    return not file.endswith((".so", ".pyd")) and not os.path.realpath(file).startswith(_installed_roots())


def _is_own(module: Any) -> bool:
    name, file = getattr(module, "__name__", ""), getattr(module, "__file__", None)
    if not isinstance(module, ModuleType) or not isinstance(file, str) or sys.modules.get(name) is not module:
        return False
    return name.split(".")[0] not in _NOT_OWN and _is_own_file(file)


def sources(function: Callable[..., Any]) -> dict[str, str]:
    """Return the source around a function by file name, so that a traceback over there can show its lines."""
    plain = inspect.unwrap(getattr(function, "func", function))
    code = getattr(plain, "__code__", None)
    if code is None:
        return {}
    lines = linecache.getlines(code.co_filename)
    text = "".join(lines)
    return {code.co_filename: text} if 0 < len(text) <= _SMALL_SOURCE else {}


def load(kind: str, file: BinaryIO, offset: int, sizes: Sequence[int]) -> Any:
    """Load a body at ``offset`` whose signature was verified."""
    if kind == "json":
        file.seek(offset)
        return json.loads(file.read(sum(sizes)))
    return pickling.load(file, places(offset, sizes))


__all__ = ["VERSION", "Call", "load", "pack", "pack_command", "same_python", "sources"]
