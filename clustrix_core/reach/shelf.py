"""Source files, read and parsed once, never run, and no more of them than the limits allow."""

from __future__ import annotations

import ast
import linecache
import os
import sys
import warnings
from dataclasses import dataclass

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True)
class Limits:
    """How much source is read: bytes of one file, files, and bytes of all."""

    file: int = 2_000_000
    files: int = 500
    bytes: int = 8_000_000


@dataclass(frozen=True)
class Source:
    """A parsed file. Its ``tree`` is empty where it cannot be had, and ``problem`` says why."""

    file: str
    tree: ast.Module
    problem: str = ""
    line: int = 0


class Shelf:
    """Counts what it reads: ``files`` and ``bytes``; ``full`` once a limit has kept it from reading."""

    def __init__(self, limits: Limits = Limits()) -> None:
        self.limits = limits
        self.files = 0
        self.bytes = 0
        self.full = False
        self._sources: dict[str, Source] = {}
        self._functions: dict[str, dict[int, list[Function]]] = {}

    def source(self, file: str) -> Source:
        """Return a file, parsed. Whatever is in it, nothing is raised."""
        if file not in self._sources:
            text, problem = self._read(file)
            self._sources[file] = _parsed(file, text) if text is not None else _empty(file, problem)
        return self._sources[file]

    def functions(self, file: str, line: int) -> list[Function]:
        """Return the functions of a file that begin in a line, the first of their decorators being a part of them."""
        if file not in self._functions:
            index: dict[int, list[Function]] = {}
            for node in ast.walk(self.source(file).tree):
                if isinstance(node, Function):
                    begin = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
                    index.setdefault(begin, []).append(node)
            self._functions[file] = index
        return self._functions[file].get(line, [])

    def _read(self, file: str) -> tuple[bytes | str | None, str]:
        if self.files >= self.limits.files:
            self.full = True
            return None, f"was not read: {self.limits.files} files have been"
        try:
            if not os.path.isfile(file):
                lines = "".join(linecache.getlines(file))  # the cell of a notebook, for one
                return self._counted(lines, len(lines)) if lines else (None, "is not there")
            size = os.path.getsize(file)
            if size > self.limits.file:
                self.full = True
                return None, f"was not read: {size} bytes are more than {self.limits.file}"
            with open(file, "rb") as stream:
                return self._counted(stream.read(self.limits.file + 1), size)
        except (OSError, ValueError) as error:
            return None, f"cannot be read: {error}"

    def _counted(self, text: bytes | str, size: int) -> tuple[bytes | str | None, str]:
        if self.bytes + size > self.limits.bytes:
            self.full = True
            return None, f"was not read: all in all it would be more than {self.limits.bytes} bytes"
        self.files += 1
        self.bytes += size
        return text, ""


def _empty(file: str, problem: str, line: int = 0) -> Source:
    return Source(file, ast.Module(body=[], type_ignores=[]), problem, line)


def _parsed(file: str, text: bytes | str) -> Source:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if sys.version_info < (3, 11):  # there ast.parse overflows the stack of C; the compiler sees it coming
                compile(text, file, "exec", dont_inherit=True)
            return Source(file, ast.parse(text, file))
    except SyntaxError as error:
        return _empty(file, f"is no Python {sys.version_info[0]}.{sys.version_info[1]}: {error.msg}", error.lineno or 0)
    except (RecursionError, MemoryError):
        return _empty(file, "is nested too deeply to be read")
    except (ValueError, LookupError, OverflowError) as error:
        return _empty(file, f"cannot be parsed: {error}")
