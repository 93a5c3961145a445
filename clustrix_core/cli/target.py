"""What is to run: ``FILE.py[:function]`` and its arguments, as words of a command line."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import click

_KEYWORD = re.compile(r"([^\W\d]\w*)=(?!=)", re.ASCII)
_NUMBER = re.compile(r"-[\d.]")


class Broken(click.ClickException):
    """The user's file raised when it was loaded; ``trace`` is its traceback."""

    exit_code = 2

    def __init__(self, message: str, trace: str) -> None:
        super().__init__(message)
        self.trace = trace


@dataclass(frozen=True)
class Target:
    """A function of a file; None: the one that is meant where none is named."""

    file: Path
    function: str | None = None

    @classmethod
    def of(cls, word: str) -> Target:
        """Return what a word names. Raises UsageError when there is no such file."""
        before, colon, after = word.rpartition(":")
        for file, function in ((word, None), *([(before, after)] if colon and before else [])):
            path = Path(file)
            if path.is_file():
                if function is not None and not all(part.isidentifier() for part in function.split(".")):
                    raise click.UsageError(f"{function!r} is not the name of a function.")
                return cls(path.resolve(), function)
        hint = "" if word.endswith(".py") or colon else " A shell command goes behind --: clustrix run -- COMMAND."
        raise click.UsageError(f"there is no file {before or word!r}.{hint}")

    def load(self) -> Callable[..., Any]:
        """Return the function. What the file prints while it is loaded goes to stderr."""
        return self._find(_module(self.file))

    def _find(self, module: ModuleType) -> Callable[..., Any]:
        if self.function is not None:
            return self._named(module, self.function)
        from clustrix_core.api.function import ClusterFunction

        decorated = {
            name: value
            for name, value in vars(module).items()
            if isinstance(value, ClusterFunction) and value.local.__module__ == module.__name__
        }
        if len({id(value) for value in decorated.values()}) == 1:
            return next(iter(decorated.values()))
        if callable(getattr(module, "main", None)):
            return self._named(module, "main")
        file = self.file.name
        if not decorated:
            raise click.UsageError(f"{file} has neither a function under @cluster nor main(): say {file}:FUNCTION.")
        raise click.UsageError(f"which function of {file}? One of {', '.join(f'{file}:{name}' for name in decorated)}.")

    def _named(self, module: ModuleType, dotted: str) -> Callable[..., Any]:
        found: Any = module
        for name in dotted.split("."):
            if not hasattr(found, name):
                from clustrix_core.resources import nearest

                known = [name for name, value in vars(found).items() if _own(value, module) and name[:2] != "__"]
                hint = f" {nearest(name, known)}" if known else ""
                raise click.UsageError(f"{self.file.name} has no {dotted!r}.{hint}")
            found = getattr(found, name)
        if not callable(found):
            raise click.UsageError(f"{dotted!r} of {self.file.name} is not a function.")
        return found  # type: ignore[no-any-return]


def _own(value: Any, module: ModuleType) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def arguments(words: Sequence[str]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments that the words stand for: Python literals where they parse, else text; ``name=value``."""
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    for word in words:
        match = _KEYWORD.match(word)
        if match is None:
            positional.append(literal(word))
        elif match[1] in keywords:
            raise click.UsageError(f"{match[1]} is given twice.")
        else:
            keywords[match[1]] = literal(word[match.end() :])
    return tuple(positional), keywords


def literal(word: str) -> Any:
    """Return the Python literal that a word is, else the word."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.literal_eval(word)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return word


def is_option(word: str) -> bool:
    """Return whether a word looks like an option rather than like an argument; ``-1`` and ``-`` do not."""
    return word.startswith("-") and word != "-" and not _NUMBER.match(word)


def _module(path: Path) -> ModuleType:
    name = _name(path)
    loader = SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # under its own name: functions of a module that is loaded travel by value
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise Broken(f"{path.name} cannot be loaded: {type(error).__name__}: {error}", _trace(error, path)) from error
    return module


def _name(path: Path) -> str:
    stem = re.sub(r"\W", "_", path.stem)
    # It must not take the place of a module that somebody here needs.
    taken = stem in sys.modules or stem in sys.stdlib_module_names or stem[:1].isdigit()
    return f"clustrix_run_{stem}" if taken else stem


def _trace(error: BaseException, path: Path) -> str:
    """Return the traceback from the user's file on."""
    import traceback

    report = traceback.TracebackException.from_exception(error)
    frames = [number for number, frame in enumerate(report.stack) if frame.filename == str(path)]
    report.stack[:] = report.stack[frames[0] :] if frames else []
    return "".join(report.format()).rstrip()
