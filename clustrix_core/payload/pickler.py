"""The client's pickler: cloudpickle's, but for open files, exceptions, caches and the user's own modules."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Collection, Iterable
from types import FunctionType, ModuleType
from typing import Any

import cloudpickle

from clustrix_core.payload import modules, reached, references, staying
from clustrix_core.reach import bytecode
from clustrix_core.reach.own import is_own, with_parents
from clustrix_core.worker import classes, exceptions, pickling, shells
from clustrix_core.worker.parts import Parts

PROTOCOL = 5
_STANDARD = frozenset(sys.stdlib_module_names) | {"__main__", "__mp_main__"}


def parts_of(value: Any) -> Parts:
    """Return a pickle without copying its large buffers: the stream in pieces, and what lies beside it.

    Own modules that the value needs as a whole travel in front of it. Raises whatever pickling raises.
    """
    parts, pickler = _dump(value)
    if not pickler.needed:
        return parts
    luggage = _gather(pickler.needed)
    luggage.check(pickler.functions)
    for code in luggage.codes:
        reached.note_code(code)
    return _dump(_WithModules(luggage, value), luggage.filled, pickler.others)[0]


def _dump(value: Any, filled: Iterable[str] = (), strict: Collection[str] | None = None) -> tuple[Parts, Pickler]:
    parts = Parts()
    pickler = Pickler(_Pieces(parts), pickling.keeper(parts), filled, strict)
    pickler.dump(value)
    return parts, pickler


class _Pieces:
    def __init__(self, parts: Parts) -> None:
        self.write = parts.stream.append


class _Nowhere:
    def write(self, data: object) -> None:
        pass


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Notes what it meets: ``needed`` own modules by name, ``others`` that are modules, ``functions`` by value.

    The functions of the modules that are ``filled`` over there get the variables of these as their globals. Modules
    that are not among ``strict`` may be missing over there until they are used.
    """

    def __init__(
        self,
        file: Any,
        keep: Callable[[Any], bool | None],
        filled: Iterable[str] = (),
        strict: Collection[str] | None = None,
    ) -> None:
        super().__init__(file, PROTOCOL, buffer_callback=keep)
        self.needed: set[str] = set()
        self.others: set[str] = set()
        self.functions: list[FunctionType] = []
        self._strict = strict
        for name in filled:
            self.globals_ref[id(vars(sys.modules[name]))] = _Variables(name)

    def reducer_override(self, obj: Any) -> Any:
        if (counterpart := staying.counterpart(obj)) is not None:
            return counterpart
        reached.note(obj)
        if isinstance(obj, BaseException):
            return exceptions.reduce_exception(obj, PROTOCOL)
        if isinstance(obj, functools._lru_cache_wrapper) and not _is_found_by_name(obj):
            return pickling.cached, (obj.__wrapped__, obj.cache_parameters())
        if type(obj) is functools.singledispatchmethod:  # from Python 3.13 on it holds weak references
            return functools.singledispatchmethod, (obj.func,), {"dispatcher": obj.dispatcher}
        if type(obj) is functools.cached_property:  # before Python 3.12 it holds a lock
            return functools.cached_property, (obj.func,), {"attrname": obj.attrname, "__doc__": obj.__doc__}
        if isinstance(obj, ModuleType):
            return self._module(obj)
        reduced = super().reducer_override(obj)
        if isinstance(obj, type):
            return classes.with_slots(obj, reduced)
        if isinstance(obj, FunctionType) and isinstance(reduced, tuple):
            references.check(obj)
            self.functions.append(obj)
            self.needed.update(modules.imported_by(obj))
            _add_names_of_classes(obj, reduced)
            if hasattr(obj, "dispatch") and hasattr(obj, "registry"):  # functools.singledispatch: holds weak references
                known = vars(obj)["__wrapped__"], dict(obj.registry)
                return pickling.dispatching, (), known, None, None, pickling.teach
        return reduced

    def _module(self, module: ModuleType) -> Any:
        name = module.__name__
        if is_own(module):
            self.needed.update(with_parents(name))
            return shells.shell, (name,)
        if sys.modules.get(name) is not module or name.partition(".")[0] in _STANDARD:
            return NotImplemented
        self.others.add(name)
        return NotImplemented if self._strict is None or name in self._strict else (shells.imported, (name,))


class _Variables:
    """The variables of a module over there."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __reduce__(self) -> Any:
        return shells.variables, (self._name,)


class _WithModules:
    """A value behind the modules that it needs; it is unpickled as the value."""

    def __init__(self, luggage: modules.Luggage, value: Any) -> None:
        self._luggage, self._value = luggage, value

    def __reduce__(self) -> Any:
        contents = list(self._luggage.filled.values())
        return shells.bring, (self._luggage.sources, contents, self._value)


def _gather(needed: Iterable[str]) -> modules.Luggage:
    """Collect modules and those that they need in turn."""
    luggage = modules.Luggage()
    waiting = list(needed)
    while waiting:
        name = waiting.pop()
        if name in luggage:
            continue
        module = sys.modules.get(name)
        if module is None:
            waiting += luggage.add_source(name)
            continue
        contents, absent = modules.contents(module), {}
        try:
            found = _needs(contents)
        except Exception:
            # Nobody may need what of it cannot travel.
            found = set()
            for key, value in list(contents.items()):
                try:
                    found |= _needs(value)
                except Exception as error:
                    del contents[key]
                    absent[key] = f"{type(error).__name__}: {error.args[0] if error.args else ''}"[:500]
        luggage.add(module, contents, absent)
        waiting += found
    return luggage


def _needs(value: Any) -> set[str]:
    pickler = Pickler(_Nowhere(), lambda buffer: None)
    with references.by(None):  # what a module holds is no argument
        pickler.dump(value)
    return pickler.needed


def _add_names_of_classes(function: FunctionType, reduced: Any) -> None:
    """Add the globals that only the bodies of classes inside a function name: cloudpickle looks in functions alone."""
    known, variables = reduced[2][1]["__globals__"], function.__globals__
    for name in bytecode.names_of_classes(function.__code__):
        if name in variables:
            known.setdefault(name, variables[name])


def _is_found_by_name(function: Any) -> bool:
    """Return whether the name of a function is all that needs to travel: an installed module holds it."""
    name, found = function.__module__, sys.modules.get(function.__module__)
    if name in ("__main__", "__mp_main__") or name in cloudpickle.list_registry_pickle_by_value():
        return False
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is function
