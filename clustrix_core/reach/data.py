"""Data files that code finds by the place of its own module: ``__file__``, ``importlib.resources``, ``pkgutil``."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator

from clustrix_core.reach.bytecode import Import
from clustrix_core.reach.graph import Definition, Module
from clustrix_core.reach.names import Target, lead
from clustrix_core.reach.syntax import chain_of
from clustrix_core.reach.world import World

_SAME = {"Path", "PurePath", "abspath", "realpath", "normpath", "fspath", "str", "resolve", "absolute", "as_file"}
_OF_PACKAGE = {"get_data", "open_text", "open_binary", "read_text", "read_binary", "path"}
_SIGNS = {"__file__", "files", *_OF_PACKAGE} - {"path", "read_text"}
_DEEPEST = 30

Where = tuple[str, int]


def named(world: World, module: str, node: ast.AST) -> Iterator[tuple[str | None, Where]]:
    """Yield files and folders that are there and that code of an own module names, with file and line.

    None stands for one whose name is computed. What only leads to a file, such as the module's own folder, is left out.
    """
    source = world.source(module)
    if source is None or not _may_name_files(world, module, source.tree):
        return
    reader = _Paths(world, module, _assigned(node))
    home = os.path.join(os.path.realpath(os.path.dirname(source.file)), "")
    waiting = [node]
    while waiting:
        one = waiting.pop()
        path = reader.path(one) if isinstance(one, ast.expr) else None
        if path is None:
            if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Div) and reader.path(one.left) is not None:
                yield None, (source.file, one.lineno)
            waiting += ast.iter_child_nodes(one)
        elif _is_data(path) and not home.startswith(os.path.join(os.path.realpath(path), "")):
            yield os.path.realpath(path), (source.file, getattr(one, "lineno", 0))


def _is_data(path: str) -> bool:
    return not path.endswith((".py", ".pyc")) and os.path.exists(path)


def _may_name_files(world: World, module: str, tree: ast.AST) -> bool:
    """Return whether it is worth looking: most code names no files of its own."""
    if module not in world.finds_files:
        imports = (one.meaning for names in world.bindings(module).names.values() for one in names)
        near = any(isinstance(one, Import) and world.find(module).absolute(one) != one.name for one in imports)
        # What a module imports from its neighbours may be a path.
        world.finds_files[module] = near or any(
            getattr(one, "id", None) in _SIGNS or getattr(one, "attr", None) in _SIGNS for one in ast.walk(tree)
        )
    return world.finds_files[module]


def _assigned(node: ast.AST) -> dict[str, ast.expr]:
    found: dict[str, ast.expr] = {}
    for one in ast.walk(node):
        if isinstance(one, ast.Assign) and len(one.targets) == 1 and isinstance(one.targets[0], ast.Name):
            found[one.targets[0].id] = one.value
    return found


class _Paths:
    """Works out expressions that are paths; of those that are not, or not for certain, it says None."""

    def __init__(self, world: World, module: str, assigned: dict[str, ast.expr]) -> None:
        self._world = world
        self._module = module
        self._assigned = assigned

    def path(self, node: ast.AST, depth: int = 0) -> str | None:
        if depth > _DEEPEST:
            return None
        if isinstance(node, ast.Name):
            return self._name(node.id, depth)
        if isinstance(node, ast.Call):
            return self._call(node, depth)
        if isinstance(node, ast.Attribute):
            base = self.path(node.value, depth + 1)
            return os.path.dirname(base) if base is not None and node.attr == "parent" else None
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute) and node.value.attr == "parents":
            return _above(self.path(node.value.value, depth + 1), node.slice)
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Div, ast.Add)):
            base, part = self.path(node.left, depth + 1), _text(node.right)
            if base is None or part is None:
                return None
            return os.path.join(base, part) if isinstance(node.op, ast.Div) else base + part
        return None

    def _name(self, name: str, depth: int) -> str | None:
        if name == "__file__":
            return self._world.find(self._module).file
        if name in self._assigned:
            return self.path(self._assigned[name], depth + 1)
        for target in lead(self._world, self._module, (name,)):
            if isinstance(target, Target) and isinstance(target.node, Definition):
                there = target.node
                values = self._world.bindings(there.module).names.get(there.name, ())
                if len(values) == 1 and isinstance(values[0].meaning, ast.expr):
                    return _Paths(self._world, there.module, {}).path(values[0].meaning, depth + 1)
        return None

    def _call(self, node: ast.Call, depth: int) -> str | None:
        chain = chain_of(node.func)
        last = node.func.attr if isinstance(node.func, ast.Attribute) else (chain or ("",))[-1]
        first = node.args[0] if node.args else None
        if isinstance(node.func, ast.Attribute) and last in ("joinpath", *_SAME) and not (chain and last == "Path"):
            base = self.path(node.func.value, depth + 1)
            if base is not None:
                return _joined(base, node.args)
        if first is None:
            return None
        if last in _SAME:
            base = self.path(first, depth + 1)
            return None if base is None else _joined(base, node.args[1:])
        if last == "dirname":
            base = self.path(first, depth + 1)
            return None if base is None else os.path.dirname(base)
        if last == "join":
            base = self.path(first, depth + 1)
            return None if base is None else _joined(base, node.args[1:])
        if last == "files":
            return self._folder(first)
        if last in _OF_PACKAGE and len(node.args) > 1 and (folder := self._folder(first)) is not None:
            return _joined(folder, node.args[1:2])
        return None

    def _folder(self, node: ast.expr) -> str | None:
        """Return the folder of an own package that a name, or the package itself, stands for."""
        name, chain = _text(node), chain_of(node)
        if chain in (("__package__",), ("__name__",)):
            here = self._world.find(self._module)
            name = here.name if here.places is not None else here.name.rpartition(".")[0]
        elif chain is not None:
            ways = lead(self._world, self._module, chain)
            modules = [way.node.name for way in ways if isinstance(way, Target) and isinstance(way.node, Module)]
            name = modules[-1] if modules else None
        found = self._world.find(name) if name else None
        return found.places[0] if found is not None and found.kind == "own" and found.places else None


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _joined(base: str, parts: list[ast.expr]) -> str | None:
    texts = [_text(part) for part in parts]
    known = [text for text in texts if text is not None and "\0" not in text]
    return os.path.join(base, *known) if len(known) == len(texts) else None


def _above(base: str | None, index: ast.expr) -> str | None:
    if base is None or not isinstance(index, ast.Constant) or not isinstance(index.value, int):
        return None
    for _ in range(min(max(index.value, 0), 100) + 1):
        base = os.path.dirname(base)
    return base
