"""What the names of a module stand for, as its source has it: no line of it is run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from clustrix_core.reach.bytecode import Import
from clustrix_core.reach.graph import Need
from clustrix_core.reach.scopes import imported_names
from clustrix_core.reach.syntax import forgives, is_for_checkers, statements

Function = ast.FunctionDef | ast.AsyncFunctionDef
Meaning = Function | ast.ClassDef | ast.expr | Import


@dataclass(frozen=True)
class Binding:
    """What a name stands for: a definition, an import, or the expression that its value comes from."""

    meaning: Meaning
    line: int
    need: Need = Need.CERTAIN


@dataclass
class Bindings:
    """``names`` may have several meanings each. ``stars``: from where all is imported. ``checkers``: names that exist
    for type checkers only."""

    names: dict[str, list[Binding]] = field(default_factory=dict)
    stars: list[Import] = field(default_factory=list)
    checkers: set[str] = field(default_factory=set)
    postponed: bool = False

    def is_function(self, name: str) -> bool:
        """Return whether a name stands for nothing but functions."""
        found = self.names.get(name, ())
        return bool(found) and all(isinstance(one.meaning, Function) for one in found)


def of(tree: ast.Module) -> Bindings:
    """Return what the names of a module stand for once it has been imported."""
    found = Bindings()
    try:
        _read(tree.body, found, always=True, need=Need.CERTAIN)
    except RecursionError:  # what has been read so far is what there is
        pass
    return found


def imports(tree: ast.Module) -> Iterator[Import]:
    """Yield what is imported while a module is imported, those in its functions left out."""
    waiting: list[ast.AST] = [*tree.body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from statements(node)
        elif isinstance(node, ast.If) and is_for_checkers(node.test):
            waiting += node.orelse
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.expr)):
            waiting += ast.iter_child_nodes(node)


def _read(body: Iterable[ast.stmt], found: Bindings, always: bool, need: Need) -> None:
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            _import(node, found, always, need)
        for name, meaning in _meanings(node):
            _bind(found, name, Binding(meaning, node.lineno), always and not isinstance(node, ast.AugAssign))
        if isinstance(node, ast.If) and is_for_checkers(node.test):
            found.checkers.update(_all_names(node.body))
            _read(node.orelse, found, always, need)
        elif isinstance(node, ast.Try):
            inner = Need.OPTIONAL if forgives(node) else need
            for part in (node.body, *(handler.body for handler in node.handlers)):
                _read(part, found, False, inner)
            _read([*node.orelse, *node.finalbody], found, False, need)
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            _read(node.body, found, always, need)
        elif isinstance(node, (ast.If, ast.For, ast.AsyncFor, ast.While)):
            _read([*node.body, *node.orelse], found, False, need)
        elif isinstance(node, ast.Match):
            for case in node.cases:
                _read(case.body, found, False, need)


def _import(node: ast.Import | ast.ImportFrom, found: Bindings, always: bool, need: Need) -> None:
    for name, wanted in imported_names(node):
        if name == "*":
            found.stars.append(Import(wanted.name, wanted.level, ()))
        elif wanted.name == "__future__" and wanted.names:
            found.postponed |= wanted.names == ("annotations",)
        else:
            _bind(found, name, Binding(wanted, node.lineno, need), always)


def _bind(found: Bindings, name: str, binding: Binding, always: bool) -> None:
    if always:  # whatever it was before, now it is this
        found.names[name] = [binding]
    else:
        found.names.setdefault(name, []).append(binding)


def _meanings(node: ast.stmt) -> Iterator[tuple[str, Meaning]]:
    """Yield the names that a statement itself binds, with what they stand for then."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name, node
        return
    targets: list[ast.expr] = []
    value: ast.expr | None = None
    if isinstance(node, ast.Assign):
        targets, value = node.targets, node.value
    elif isinstance(node, (ast.AnnAssign, ast.AugAssign)):
        targets, value = [node.target], node.value
    elif isinstance(node, (ast.For, ast.AsyncFor)):
        targets, value = [node.target], node.iter
    elif isinstance(node, (ast.With, ast.AsyncWith)):
        for item in node.items:
            if item.optional_vars is not None:
                yield from ((name, item.context_expr) for name in _targets(item.optional_vars))
    if value is not None:
        for target in targets:
            yield from ((name, value) for name in _targets(target))


def _targets(target: ast.expr) -> Iterator[str]:
    for node in ast.walk(target):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _all_names(body: Iterable[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (name for name, _ in imported_names(node))
        else:
            yield from (name for name, _ in _meanings(node))
