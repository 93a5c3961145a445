"""What statements bind, need and import."""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator
from typing import Any

from clustrix_core.worker import trees

Piece = dict[str, Any]
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
IMPORTS = (ast.Import, ast.ImportFrom)
_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr)


def names_of(piece: Piece, postponed: bool, *, alone: bool = False) -> set[str]:
    """Return the global names that a piece needs when it is defined or run. ``alone``: it is a function by itself."""
    tree = trees.parsed(piece["text"], "piece", 1)
    if alone:
        node = trees.bare(tree)
        tree = ast.Module([node if isinstance(node, ast.stmt) else ast.Expr(node)], [])
    else:
        tree = trees.Lean(postponed).visit(tree)
    table = symtable.symtable(ast.unparse(ast.fix_missing_locations(tree)), "piece", "exec")
    found = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    waiting = table.get_children()
    while waiting:
        inner = waiting.pop()
        waiting += inner.get_children()
        found |= {symbol.get_name() for symbol in inner.get_symbols() if symbol.is_global()}
    return found - set(piece.get("free", ()))


def imports_in(tree: ast.AST, guarded: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Yield the import statements of a tree, and whether each is under a condition or may fail."""
    waiting: list[tuple[ast.AST, bool]] = [(tree, guarded)]
    while waiting:
        node, under = waiting.pop()
        if isinstance(node, IMPORTS):
            yield node, under
        under = under or isinstance(node, (ast.Try, ast.If))
        waiting += [
            (child, under) for child in ast.iter_child_nodes(node) if isinstance(child, (ast.stmt, ast.ExceptHandler))
        ]


def bound_by(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement binds by itself."""
    if isinstance(node, DEFINITIONS):
        yield node.name
    elif isinstance(node, IMPORTS):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0]
    else:
        for child in ast.walk(node) if isinstance(node, _SIMPLE) else ():
            if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
                yield child.id


def in_scope(node: ast.stmt) -> Iterator[ast.stmt]:
    """Yield a statement and those within it that run in the same scope."""
    waiting = [node]
    while waiting:
        one = waiting.pop(0)
        yield one
        if not isinstance(one, DEFINITIONS):
            for child in ast.iter_child_nodes(one):
                if isinstance(child, ast.stmt):
                    waiting.append(child)
                elif isinstance(child, ast.ExceptHandler):
                    waiting += child.body


def is_main_guard(node: ast.stmt) -> bool:
    """Return whether a statement is ``if __name__ == "__main__"``: what it holds is never run over there."""
    return isinstance(node, ast.If) and any(
        isinstance(one, ast.Name) and one.id == "__name__" for one in ast.walk(node.test)
    )


def absolute(node: ast.ImportFrom, module: str, package: bool) -> str:
    """Return the module that a statement in ``module`` imports from."""
    if not node.level:
        return node.module or ""
    base = module if package else module.rpartition(".")[0]
    for _ in range(node.level - 1):
        base = base.rpartition(".")[0]
    return f"{base}.{node.module}" if node.module else base


__all__ = ["DEFINITIONS", "IMPORTS", "absolute", "bound_by", "imports_in", "in_scope", "is_main_guard", "names_of"]
