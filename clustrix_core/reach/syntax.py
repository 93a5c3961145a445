"""What pieces of syntax amount to: dotted names, import statements, conditions and handlers that matter to imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from clustrix_core.reach.bytecode import Import

_IMPORT_ERRORS = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}


def chain_of(node: ast.AST) -> tuple[str, ...] | None:
    """Return the names of ``a.b.c``; None for anything else."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else None


def is_for_checkers(test: ast.expr) -> bool:
    """Return whether a condition holds for type checkers only."""
    chain = chain_of(test)
    return (chain is not None and chain[-1] == "TYPE_CHECKING") or (isinstance(test, ast.Constant) and not test.value)


def forgives(node: ast.Try) -> bool:
    """Return whether a try statement goes on where an import in it fails."""
    return any(names_import_error(handler.type) for handler in node.handlers)


def names_import_error(kind: ast.expr | None) -> bool:
    """Return whether a handler for this takes an ImportError too; None: it takes all."""
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(one is None or (chain_of(one) or ("",))[-1] in _IMPORT_ERRORS for one in kinds)


def statements(node: ast.Import | ast.ImportFrom) -> Iterator[Import]:
    """Yield the modules that an import statement wants."""
    if isinstance(node, ast.ImportFrom):
        yield Import(node.module or "", node.level, tuple(alias.name for alias in node.names))
    else:
        yield from (Import(alias.name, 0, ()) for alias in node.names)
