"""The user's own modules: which they are, what imports them, and what of them travels.

Functions and classes of own modules travel by value, with the globals that they name. Where a function refers to such a
module itself, or imports it when it runs, the module travels as well: what it holds now, or, if nobody has imported it
here, its source.
"""

from __future__ import annotations

import dis
import importlib.util
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import cloudpickle

from clustrix_core.errors import CannotTravel
from clustrix_core.reach.bytecode import codes, imports
from clustrix_core.reach.own import find, is_own, is_to_be_had, with_parents

# What the import system keeps in a module.
_MACHINERY = {"__name__", "__loader__", "__spec__", "__package__", "__file__", "__cached__", "__builtins__", "__path__"}
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


# -- what imports them


def imported_by(function: FunctionType) -> set[str]:
    """Return the own modules that a function imports when it runs, with the packages that they are in."""
    package = function.__globals__.get("__package__") or ""
    return _wanted(function.__code__, package)


def _wanted(code: CodeType, package: str) -> set[str]:
    found: set[str] = set()
    for one in imports(code):
        try:
            name = importlib.util.resolve_name("." * one.level + one.name, package) if one.level else one.name
        except ImportError:  # it will fail over there as it would here
            continue
        for wanted in (name, *(f"{name}.{part}" for part in one.names)):
            if is_to_be_had(wanted):
                found.update(with_parents(wanted))
    return found


# -- what of them travels


def contents(module: ModuleType) -> dict[str, Any]:
    """Return the variables of a module."""
    return {name: value for name, value in vars(module).items() if name not in _MACHINERY}


class Luggage:
    """Own modules on their way: those with their contents (``filled``), those as ``sources``."""

    def __init__(self) -> None:
        self.filled: dict[str, tuple[str, dict[str, Any], dict[str, Any], dict[str, str]]] = {}
        self.sources: dict[str, tuple[bytes, str, bool]] = {}
        self.codes: list[CodeType] = []  # of the sources

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
        except (SyntaxError, ValueError, RecursionError, MemoryError):  # who imports it there will be told
            return set()
        self.codes.append(code)
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
    for one in imports(function.__code__):
        name = f"{package.rsplit('.', one.level - 1)[0]}.{one.name}".strip(".") if one.level else one.name
        yield from ((name, part) for part in one.names)
    for code in codes(function.__code__):
        held: Mapping[str, Any] | Any = None
        for step in dis.get_instructions(code):
            if step.opname.startswith(("LOAD_GLOBAL", "LOAD_NAME")):
                held = function.__globals__.get(step.argval)
            elif step.opname.startswith(("LOAD_ATTR", "LOAD_METHOD")):
                if isinstance(held, ModuleType):
                    yield held.__name__, step.argval
                held = getattr(held, step.argval, None) if isinstance(held, ModuleType) else None
            else:
                held = None
