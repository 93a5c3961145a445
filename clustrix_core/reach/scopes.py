"""Which names a function, a class or a comprehension binds: all others come from outside of it."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

from clustrix_core.reach.bytecode import Import

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_CLOSED = (*_COMPREHENSIONS, ast.Lambda)


@dataclass
class Scope:
    """``names`` with the imports that bind them, none for those bound otherwise; ``elsewhere``: global and nonlocal."""

    names: dict[str, tuple[Import, ...]] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)
    is_class: bool = False


def bound(nodes: Iterable[ast.AST], arguments: Iterable[str], is_class: bool = False) -> Scope:
    """Return the scope of these statements or targets."""
    scope = Scope(dict.fromkeys(arguments, ()), is_class=is_class)
    opaque = set(scope.names)
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for name, wanted in imported_names(node):
                if name not in opaque:
                    scope.names[name] = (*scope.names.get(name, ()), wanted)
            continue
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            scope.elsewhere.update(node.names)
        for name in _own_names(node):
            opaque.add(name)
            scope.names[name] = ()
        waiting += _children(node)
    return scope


def imported_names(node: ast.Import | ast.ImportFrom) -> Iterable[tuple[str, Import]]:
    """Yield the names that an import statement binds, with what stands behind each: a module, or one name of it."""
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            yield alias.asname or alias.name, Import(node.module or "", node.level, (alias.name,))
        else:
            name = alias.name if alias.asname else alias.name.partition(".")[0]
            yield alias.asname or name, Import(name, 0, ())


def _own_names(node: ast.AST) -> Iterable[str]:
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        return [node.id]
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
        return [node.name] if node.name else []
    if isinstance(node, ast.MatchMapping):
        return [node.rest] if node.rest else []
    return []


def _children(node: ast.AST) -> Iterable[ast.AST]:
    """Return what shares the scope of a node."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return ()
    if isinstance(node, _CLOSED):  # of what is in there only `:=` binds out here
        return [one.target for one in ast.walk(node) if isinstance(one, ast.NamedExpr)]
    return ast.iter_child_nodes(node)
