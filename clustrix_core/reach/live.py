"""What objects of this process refer to: what their names are really bound to, without running any of their code."""

from __future__ import annotations
import __future__

import ast
import builtins
import os
import sys
from collections.abc import Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

from clustrix_core.reach import bytecode, data, objects, own, uses
from clustrix_core.reach.graph import Doubt, Edge, File, Module, Need, Place
from clustrix_core.reach.reading import Found, Reading
from clustrix_core.reach.shelf import Function
from clustrix_core.reach.world import World

_LEFT_OUT = {*vars(ModuleType("a module")), "__file__", "__cached__", "__builtins__", "__path__"}


def edges(world: World, value: Any) -> Found:
    """Yield what an object refers to: a function or a class that travels, or a value."""
    if isinstance(value, FunctionType):
        yield from _function(world, value)
    elif isinstance(value, type):
        yield from _class(world, value)
    else:
        yield from objects.held(value, type(value).__name__, objects.place_of(world, value))


def contents(world: World, module: ModuleType) -> Found:
    """Yield what an own module needs that travels as it is now."""
    file = world.find(module.__name__).file or module.__name__
    for parent in [*own.with_parents(module.__name__)][1:]:
        yield Edge(Module(parent), parent, Place(file))
    for name, value in [*vars(module).items()]:
        if name not in _LEFT_OUT:
            for edge in objects.held(value, name, Place(file)):
                is_other = isinstance(value, ModuleType) and not own.is_own(value)
                yield objects.softer(edge, Need.PERHAPS if is_other else Need.CERTAIN, held=True)


# -- functions


def _function(world: World, function: FunctionType) -> Found:
    file = function.__code__.co_filename
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    scope = _Scope(function.__globals__, {name: _content(cell) for name, cell in cells.items()})
    node, read = _read(world, function)
    for use in read.names:
        yield from scope.name(use.chain, Place(file, use.line))
    for one in read.imports:
        yield from _imported(world, function, one, Place(file, one.line))
    yield from (Doubt(text, Place(file, line)) for text, line in read.doubts)
    if node is not None and world.find(function.__module__ or "").kind == "own":
        for path, (_, line) in data.named(world, function.__module__, node):
            if path is not None:
                yield Edge(File(path), path, Place(file, line), body=True)
            else:
                yield Doubt("a path beside the module has a part that only a run can tell", Place(file, line))
    outside = (function.__defaults__, function.__kwdefaults__, vars(function), _annotations(function))
    for value in (*outside, *scope.closure.values()):
        yield from objects.held(value, "", objects.place_of(world, function))


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not set yet
        return None


def _annotations(function: FunctionType) -> Mapping[str, Any]:
    # From Python 3.14 on asking for them runs code.
    return function.__annotations__ if sys.version_info < (3, 14) else {}


class _Scope:
    """What the names of a function are bound to."""

    def __init__(self, variables: Mapping[str, Any], closure: dict[str, Any]) -> None:
        self._variables = variables
        self.closure = closure

    def name(self, chain: tuple[str, ...], place: Place) -> Found:
        first = chain[0]
        if first in self.closure:
            found = self.closure[first]
        elif first in self._variables:
            found = self._variables[first]
        elif first in vars(builtins):
            return
        else:
            yield Doubt(f"{first} is bound to nothing", place)
            return
        yield from _chain(found, chain, place)


def _chain(found: Any, chain: tuple[str, ...], place: Place) -> Found:
    """Yield what ``a.b.c`` is bound to, and the modules on the way."""
    for number, name in enumerate(chain[1:], 1):
        if not isinstance(found, ModuleType):
            break
        text = found.__name__ if own.is_own(found) else ".".join(chain)
        yield Edge(Module(found.__name__, chain[number:]), text, place, body=True)
        if name == uses.UNKNOWN:
            yield Doubt(f"getattr takes a name from {found.__name__} that only a run can tell", place)
            return
        if not own.is_own(found) or name not in vars(found):
            return
        found = vars(found)[name]
    for edge in objects.held(found, ".".join(chain), place):
        yield objects.softer(edge, Need.CERTAIN, body=True)


def _imported(world: World, function: FunctionType, one: uses.Imported, place: Place) -> Found:
    """Yield what an import leads to that is run: modules that nobody has imported here are read instead."""
    package = function.__globals__.get("__package__") or ""
    level = one.wanted.level
    base = ".".join([*package.split(".")[: len(package.split(".")) - level + 1]] if level and package else [])
    name = ".".join(filter(None, [base, one.wanted.name]))
    need = Need.OPTIONAL if one.optional else Need.CERTAIN
    if one.optional and not one.chain:
        yield Doubt(f"{name} is optional: that it cannot be imported is caught", place, need)
    if not name or (level and not package):
        yield Doubt("a relative import without a package around it", place, need)
        return
    yield Edge(Module(name, (*one.wanted.names, *one.chain)), name, place, need, body=True)
    for part in one.wanted.names or one.chain[:1]:
        module = sys.modules.get(name)
        if isinstance(module, ModuleType) and own.is_own(module) and part in vars(module):
            rest = one.chain[1:] if not one.wanted.names else ()
            yield from (objects.softer(edge, need) for edge in _chain(vars(module)[part], (part, *rest), place))
        elif world.find(name).kind == "own" and part != "*":
            yield from Reading(world, name).taken(part, place, need)


def _read(world: World, function: FunctionType) -> tuple[ast.AST | None, uses.Uses]:
    """Return the source of a function and what it uses; from its bytecode where there is no source that fits."""
    code = function.__code__
    node = _node(world, code)
    known = {*bytecode.global_names(code), *(one.name for one in bytecode.imports(code))}
    if node is not None:
        postponed = bool(code.co_flags & _annotations_flag)
        read = uses.of(node, postponed)
        if {use.chain[0] for use in read.names} <= known | {"super", "__class__"} and _says_all(node, code):
            return node, read
    line = code.co_firstlineno
    found = bytecode.imports(code)
    read = uses.Uses(
        [uses.Use((name,), line) for name in dict.fromkeys(bytecode.global_names(code))],
        [uses.Imported(one, line) for one in found],
    )
    if os.path.isabs(code.co_filename):
        read.doubts.append((f"the source of {function.__qualname__} is not at hand, so its bytecode was read", line))
    return None, read


def _says_all(node: ast.AST, code: CodeType) -> bool:
    """Return whether a source has all names of some code: it may have been written anew since the code was made."""
    said = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    # The compiler makes some names itself, and changes private ones of classes.
    return {name for name in bytecode.global_names(code) if not name.startswith(("_", "."))} <= said | {"super"}


_annotations_flag = __future__.annotations.compiler_flag


def _node(world: World, code: CodeType) -> Function | None:
    """Return the one function of the source that begins where the code says."""
    found = world.shelf.functions(code.co_filename, code.co_firstlineno)
    named = [node for node in found if getattr(node, "name", "<lambda>") == code.co_name]
    return named[0] if len(named) == 1 else None


# -- classes and other values


def _class(world: World, cls: type) -> Found:
    place = objects.place_of(world, cls)
    for value in (*cls.__bases__, type(cls)):
        yield from objects.held(value, getattr(value, "__name__", ""), place)
    for name, value in vars(cls).items():
        if name not in ("__dict__", "__weakref__"):
            yield from objects.held(value, name, place)
