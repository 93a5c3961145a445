"""The user's own modules: which they are, what imports them, and what of them travels.

Functions and classes of own modules travel by value, with the globals that they name. Where a function refers to such a
module itself, or imports it when it runs, the module travels as well: what it holds now, or, if nobody has imported it
here, its source.
"""

from __future__ import annotations

import dis
import functools
import importlib.util
import os
import site
import sys
import sysconfig
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import cloudpickle

from clustrix_core.errors import CannotTravel

_NOT_OWN = {"__main__", "__mp_main__", "clustrix", "clustrix_core", "cloudpickle"}
# What the import system keeps in a module.
_MACHINERY = {"__name__", "__loader__", "__spec__", "__package__", "__file__", "__cached__", "__builtins__", "__path__"}
_IMPORT = dis.opmap["IMPORT_NAME"]
_registry = threading.Lock()


@contextmanager
def by_value() -> Iterator[None]:
    """Within this context cloudpickle sends the user's own modules by value: they are not installed over there."""
    with _registry:
        mine = [module for module in list(sys.modules.values()) if is_own(module)]
        already = cloudpickle.list_registry_pickle_by_value()
        fresh = [module for module in mine if module.__name__ not in already]
        for module in fresh:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            for module in fresh:
                cloudpickle.unregister_pickle_by_value(module)


def is_own(module: Any) -> bool:
    """Return whether a module is the user's own: imported from a file that no installer has put there."""
    name = getattr(module, "__name__", "")
    if not isinstance(module, ModuleType) or sys.modules.get(name) is not module or name.split(".")[0] in _NOT_OWN:
        return False
    file = getattr(module, "__file__", None)
    return _is_own_place(file, getattr(module, "__path__", ()))


def _is_own_place(file: object, path: Iterable[str]) -> bool:
    if isinstance(file, str):
        return _is_own_file(file)
    places = list(path)  # a package without a file
    return file is None and bool(places) and all(_is_own_file(os.path.join(place, "")) for place in places)


@functools.cache
def _installed_roots() -> tuple[str, ...]:
    named = {*map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")), site.getusersitepackages()}
    entries = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    return tuple({os.path.realpath(path) + os.sep for path in [*named, *entries] if path})


@functools.cache
def _is_own_file(file: str) -> bool:
    return not file.endswith((".so", ".pyd")) and not (os.path.realpath(file) + os.sep).startswith(_installed_roots())


# -- what imports them


class Import(NamedTuple):
    """An import statement: ``from <level dots><name> import <names>``."""

    name: str
    level: int
    names: tuple[str, ...]


def imported_by(function: FunctionType) -> set[str]:
    """Return the own modules that a function imports when it runs, with the packages that they are in."""
    package = function.__globals__.get("__package__") or ""
    return _wanted(function.__code__, package)


def with_parents(name: str) -> Iterator[str]:
    """Yield the name of a module and those of the packages that it is in."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _wanted(code: CodeType, package: str) -> set[str]:
    found: set[str] = set()
    for one in _imports(code):
        try:
            name = importlib.util.resolve_name("." * one.level + one.name, package) if one.level else one.name
        except ImportError:  # it will fail over there as it would here
            continue
        for wanted in (name, *(f"{name}.{part}" for part in one.names)):
            if is_to_be_had(wanted):
                found.update(with_parents(wanted))
    return found


@functools.lru_cache(4096)
def _imports(code: CodeType) -> tuple[Import, ...]:
    found = []
    for one in _codes(code):
        if _IMPORT not in one.co_code[::2]:
            continue
        constants: list[Any] = []
        for step in dis.get_instructions(one):
            if step.opname.startswith(("LOAD_CONST", "LOAD_SMALL_INT")):
                constants.append(step.argval)
            elif step.opname == "IMPORT_NAME":
                found.append(Import(step.argval, constants[-2], tuple(constants[-1] or ())))
    return tuple(found)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def is_to_be_had(name: str) -> bool:
    """Return whether a module is the user's own, imported or not."""
    if name in sys.modules:
        return is_own(sys.modules[name])
    spec = find(name)
    return spec is not None and _is_own_place(spec.origin, spec.submodule_search_locations or ())


def find(name: str) -> ModuleSpec | None:
    """Return the spec of a module that is not imported, without importing the packages that it is in."""
    parent = name.rpartition(".")[0]
    try:
        if not parent:
            return None if name in sys.stdlib_module_names else importlib.util.find_spec(name)
        above = sys.modules.get(parent) or find(parent)
        path = getattr(above, "__path__", None) or getattr(above, "submodule_search_locations", None)
        return PathFinder.find_spec(name, path) if path else None
    except (ImportError, ValueError, AttributeError):
        return None


# -- what of them travels


def contents(module: ModuleType) -> dict[str, Any]:
    """Return the variables of a module."""
    return {name: value for name, value in vars(module).items() if name not in _MACHINERY}


class Luggage:
    """Own modules on their way: those with their contents (``filled``), those as ``sources``."""

    def __init__(self) -> None:
        self.filled: dict[str, tuple[str, dict[str, Any], dict[str, Any], dict[str, str]]] = {}
        self.sources: dict[str, tuple[bytes, str, bool]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.filled or name in self.sources

    def add(self, module: ModuleType, variables: dict[str, Any], absent: dict[str, str]) -> None:
        """Take a module with those of its variables that can travel; ``absent`` says why the others cannot."""
        facts: dict[str, Any] = {
            "__file__": getattr(module, "__file__", None),
            "__package__": module.__package__,
            **({"__path__": []} if hasattr(module, "__path__") else {}),
        }
        self.filled[module.__name__] = (module.__name__, facts, variables, absent)

    def add_source(self, name: str) -> set[str]:
        """Take the source of a module that nobody has imported here; return the modules that it imports."""
        spec = find(name)
        is_package = spec is not None and spec.submodule_search_locations is not None
        file = spec.origin if spec is not None and spec.origin else ""
        try:
            source = Path(file).read_bytes() if file else b""  # a package may have no file
        except OSError:
            return set()
        self.sources[name] = (source, file or f"<{name}>", is_package)
        try:
            code = compile(source, file, "exec", dont_inherit=True)
        except (SyntaxError, ValueError):  # who imports it there will be told
            return set()
        return _wanted(code, name if is_package else name.rpartition(".")[0])

    def check(self, functions: Iterable[FunctionType]) -> None:
        """Raise CannotTravel where a function uses a variable of a module that stays behind."""
        absent = {name: reasons for name, (_, _, _, reasons) in self.filled.items() if reasons}
        for function in functions if absent else ():
            for name, attribute in _attributes(function):
                if reason := absent.get(name, {}).get(attribute):
                    raise CannotTravel(
                        f"{name}.{attribute}, which {function.__qualname__} uses, cannot travel: {reason}",
                        hint="Make it inside the function.",
                    )


def _attributes(function: FunctionType) -> Iterator[tuple[str, str]]:
    """Yield (module, variable) for what a function plainly takes from modules."""
    package = function.__globals__.get("__package__") or ""
    for one in _imports(function.__code__):
        name = f"{package.rsplit('.', one.level - 1)[0]}.{one.name}".strip(".") if one.level else one.name
        yield from ((name, part) for part in one.names)
    for code in _codes(function.__code__):
        held: Mapping[str, Any] | Any = None
        for step in dis.get_instructions(code):
            if step.opname.startswith("LOAD_GLOBAL"):
                held = function.__globals__.get(step.argval)
            elif step.opname.startswith(("LOAD_ATTR", "LOAD_METHOD")):
                if isinstance(held, ModuleType):
                    yield held.__name__, step.argval
                held = getattr(held, step.argval, None) if isinstance(held, ModuleType) else None
            else:
                held = None
