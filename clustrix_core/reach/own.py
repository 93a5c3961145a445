"""The user's own modules: which they are, and where a module that nobody has imported would come from."""

from __future__ import annotations

import functools
import importlib.util
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

BROUGHT = frozenset({"clustrix", "clustrix_core", "cloudpickle"})  # the worker has them
_NOT_OWN = BROUGHT | {"__main__", "__mp_main__"}


def is_own(module: Any) -> bool:
    """Return whether a module is the user's own: imported from a file that no installer has put there."""
    name = getattr(module, "__name__", "")
    if not isinstance(module, ModuleType) or sys.modules.get(name) is not module or name.split(".")[0] in _NOT_OWN:
        return False
    file = getattr(module, "__file__", None)
    return is_own_place(file, getattr(module, "__path__", ()))


def is_own_place(file: object, path: Iterable[str]) -> bool:
    """Return whether what lies there is the user's own: a module's file, or the folders of a package without one."""
    if isinstance(file, str):
        return _is_own_file(file)
    places = list(path)  # a package without a file
    return file is None and bool(places) and all(_is_own_file(os.path.join(place, "")) for place in places)


@functools.cache
def installed_roots() -> tuple[str, ...]:
    """Return the folders that installers write to, each with a separator at its end."""
    named = {*map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")), site.getusersitepackages()}
    entries = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    return tuple({os.path.realpath(path) + os.sep for path in [*named, *entries] if path})


@functools.cache
def _is_own_file(file: str) -> bool:
    return not file.endswith((".so", ".pyd")) and not (os.path.realpath(file) + os.sep).startswith(installed_roots())


def with_parents(name: str) -> Iterator[str]:
    """Yield the name of a module and those of the packages that it is in."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def is_to_be_had(name: str) -> bool:
    """Return whether there is an own module of that name, imported or not."""
    if name in sys.modules:
        return is_own(sys.modules[name])
    spec = find(name)
    return spec is not None and is_own_place(spec.origin, spec.submodule_search_locations or ())


def find_in(folders: Iterable[str], name: str) -> ModuleSpec | None:
    """Return the spec of a module that is in one of these folders."""
    # By its last name: a package without a file looks for its parent in sys.modules, under the name that it is told.
    return PathFinder.find_spec(name.rpartition(".")[2], [*folders])


def find(name: str) -> ModuleSpec | None:
    """Return the spec of a module that is not imported, without importing the packages that it is in."""
    parent = name.rpartition(".")[0]
    try:
        if not parent:
            return None if name in sys.stdlib_module_names else importlib.util.find_spec(name)
        above = sys.modules.get(parent) or find(parent)
        path = getattr(above, "__path__", None) or getattr(above, "submodule_search_locations", None)
        return find_in(path, name) if path else None
    except (ImportError, ValueError, AttributeError):
        return None
