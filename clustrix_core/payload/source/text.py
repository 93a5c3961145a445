"""The source of a module here: what binds its names, where its functions are, and whether it is what was run."""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from clustrix_core.errors import CannotTravel
from clustrix_core.payload.source import scopes
from clustrix_core.payload.source.scopes import Piece
from clustrix_core.worker import trees

# What pytest and others put into functions whose asserts they have rewritten.
_REWRITTEN = frozenset({"@pytest_ar", "@py_builtins"})
_AT_HAND = "Put it into a file. What is typed at a prompt can only go to the same minor version of Python."


class Text:
    """One file, parsed. ``postponed``: its annotations are not evaluated. Raises CannotTravel where that fails."""

    def __init__(self, file: str, text: str) -> None:
        self.file, self.text = file, text
        try:
            self.tree = ast.parse(text, file)
            self._code = compile(text, file, "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise CannotTravel(f"the source {file} cannot be read: {error}") from error
        # As Python's parser counts lines: a form feed or a Unicode line end begins none.
        self._lines = [line + "\n" for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
        self.postponed = any(
            isinstance(node, ast.ImportFrom)
            and node.module == "__future__"
            and any(alias.name == "annotations" for alias in node.names)
            for node in self.tree.body
        )

    # -- what binds a name

    @functools.cached_property
    def binders(self) -> Mapping[str, Sequence[tuple[ast.stmt, ast.stmt]]]:
        """For each name of the module the statements that bind it: (at the top level, the one itself within)."""
        found: dict[str, list[tuple[ast.stmt, ast.stmt]]] = {}
        for top in self.tree.body:
            for inner in scopes.in_scope(top):
                for name in scopes.bound_by(inner):
                    found.setdefault(name, []).append((top, inner))
        return found

    def binds(self, name: str) -> tuple[ast.stmt | None, ast.stmt | None]:
        """Return the statement that has bound a name last (at the top level, itself); None where none is in sight.

        What a script binds under ``if __name__ == "__main__"`` is never run over there: that is none.
        """
        found = self.binders.get(name)
        return (None, None) if not found or scopes.is_main_guard(found[-1][0]) else found[-1]

    @functools.cached_property
    def stars(self) -> Sequence[ast.ImportFrom]:
        """The statements ``from x import *``."""
        return [node for node in self.tree.body if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"]

    def statement(self, node: ast.stmt) -> Piece:
        """Return a statement as it travels, with its decorators."""
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
        if node.col_offset:  # behind another one on its line
            return {"line": first, "text": ast.get_source_segment(self.text, node) or ""}
        return {"line": first, "text": self._cut(first, node.end_lineno or first, node)}

    def _cut(self, first: int, last: int, node: ast.stmt) -> str:
        lines = self._lines[first - 1 : last]
        line = lines[-1].encode()
        if line[node.end_col_offset or 0 :].lstrip().startswith(b";"):
            lines[-1] = line[: node.end_col_offset].decode()
        return "".join(lines)

    # -- functions by themselves

    def function(self, function: FunctionType) -> Piece:
        """Return a function as it travels by itself. Raises CannotTravel where it cannot be told or has changed."""
        code = function.__code__
        nodes = self._functions.get((code.co_name, code.co_firstlineno), [])
        if len(nodes) > 1:
            nodes = [node for node in nodes if self._is(node, code)]
        if not nodes:
            raise CannotTravel(f"{function.__qualname__} is not in {self.file} any more", hint="Import it again.")
        self.check(function)
        node = nodes[0]
        free = list(code.co_freevars)
        if "__class__" in free or any(_is_private(name) for name in _identifiers(node)):
            raise CannotTravel(
                f"{function.__qualname__} belongs to a class that has no name of its own",
                hint="Define the class at the top level of its module.",
            )
        return {**self._piece(node), "free": free, "name": function.__name__, "qualname": function.__qualname__}

    @functools.cached_property
    def _functions(self) -> Mapping[tuple[str, int], list[Any]]:
        found: dict[tuple[str, int], list[Any]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Lambda):
                found.setdefault(("<lambda>", node.lineno), []).append(node)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                found.setdefault((node.name, first), []).append(node)
        return found

    def _is(self, node: Any, code: CodeType) -> bool:
        """Return whether a node, one of several at a line, compiles to that code."""
        made = trees.factory_of({**self._piece(node), "free": list(code.co_freevars)}, self.file, self.postponed)
        return any(alike(code, one) for one in _within(made) if one.co_name == code.co_name)

    def _piece(self, node: Any) -> Piece:
        if isinstance(node, ast.Lambda):
            return {"line": node.lineno, "text": f"({ast.get_source_segment(self.text, node)}\n)"}
        return {"line": node.lineno, "text": "".join(self._lines[node.lineno - 1 : node.end_lineno])}

    def check(self, function: FunctionType) -> None:
        """Raise CannotTravel where a function is not what its source says: another would run over there."""
        code = function.__code__
        if not _REWRITTEN.isdisjoint(_names_in(code)):
            return
        same = [other for other in self._codes.get((code.co_name, code.co_firstlineno), ()) if alike(code, other)]
        if not same:
            raise CannotTravel(
                f"{function.__qualname__} is not what {self.file} says now",
                hint="Its file was changed after it was imported, or it was put together in another way. Start anew.",
            )

    @functools.cached_property
    def _codes(self) -> Mapping[tuple[str, int], list[CodeType]]:
        found: dict[tuple[str, int], list[CodeType]] = {}
        for code in _within(self._code):
            found.setdefault((code.co_name, code.co_firstlineno), []).append(code)
        return found


def _within(code: CodeType) -> Iterator[CodeType]:
    waiting = [code]
    while waiting:
        one = waiting.pop()
        yield one
        waiting += [inner for inner in one.co_consts if isinstance(inner, CodeType)]


def of_module(module: ModuleType) -> Text | None:
    """Return the source of a module; None where it has no file of its own, as a prompt or a namespace package."""
    file = getattr(module, "__file__", None)
    return None if not file else of_file(str(file))


def of_file(file: str) -> Text:
    """Return the source in a file, or in what a notebook has kept of a cell. Raises CannotTravel."""
    linecache.checkcache(file)
    try:
        lines = linecache.getlines(file)
    except (LookupError, SyntaxError, UnicodeError) as error:  # it says that it is written in something odd
        raise CannotTravel(f"the source {file} cannot be read: {error}") from error
    if not lines:
        if Path(file).is_file() and not Path(file).stat().st_size:
            return Text(file, "")
        raise CannotTravel(f"the source {file} is not at hand", hint=_AT_HAND)
    return _read(file, "".join(lines))


@functools.lru_cache(64)
def _read(file: str, text: str) -> Text:
    return Text(file, text)


def _identifiers(node: ast.AST) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.Name):
            yield one.id
        elif isinstance(one, ast.Attribute):
            yield one.attr


def _is_private(name: str) -> bool:
    return name.startswith("__") and not name.endswith("__")


def _names_in(code: CodeType) -> set[str]:
    return {name for one in _within(code) for name in one.co_names}


def alike(one: CodeType, other: CodeType) -> bool:
    """Return whether two code objects do the same, wherever they stand."""
    if (one.co_varnames, one.co_freevars) != (other.co_varnames, other.co_freevars):
        return False
    if one.co_code != other.co_code or one.co_names != other.co_names or len(one.co_consts) != len(other.co_consts):
        return False
    return all(
        alike(a, b) if isinstance(a, CodeType) and isinstance(b, CodeType) else repr(a) == repr(b)
        for a, b in zip(one.co_consts, other.co_consts, strict=True)
    )


__all__ = ["Text", "alike", "of_file", "of_module"]
