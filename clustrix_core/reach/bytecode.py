"""What compiled code imports and names: where there is no source to read, this is all there is."""

from __future__ import annotations

import dis
import functools
import inspect
from collections.abc import Iterator
from types import CodeType
from typing import Any, NamedTuple

_IMPORT = dis.opmap["IMPORT_NAME"]
_OF_CLASSES = ("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")


class Import(NamedTuple):
    """An import statement: ``from <level dots><name> import <names>``."""

    name: str
    level: int
    names: tuple[str, ...]


@functools.lru_cache(4096)
def imports(code: CodeType) -> tuple[Import, ...]:
    """Return the import statements of a piece of code, those of the functions in it included."""
    found = []
    for one in codes(code):
        if _IMPORT not in one.co_code[::2]:
            continue
        constants: list[Any] = []
        for step in dis.get_instructions(one):
            if step.opname.startswith(("LOAD_CONST", "LOAD_SMALL_INT")):
                constants.append(step.argval)
            elif step.opname == "IMPORT_NAME":
                found.append(Import(step.argval, constants[-2], tuple(constants[-1] or ())))
    return tuple(found)


def codes(code: CodeType) -> Iterator[CodeType]:
    """Yield a piece of code and those of the functions and classes in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def global_names(code: CodeType) -> Iterator[str]:
    """Yield the names that code looks for outside of itself."""
    for one in codes(code):
        yield from one.co_freevars
        for step in dis.get_instructions(one):
            if step.opname.startswith(("LOAD_GLOBAL", *_OF_CLASSES)):
                yield step.argval


@functools.lru_cache(4096)
def names_of_classes(code: CodeType) -> tuple[str, ...]:
    """Return the names that the bodies of classes inside of code look for, some of which are their own."""
    return tuple(
        step.argval
        for one in codes(code)
        for step in (dis.get_instructions(one) if one.co_names and not one.co_flags & inspect.CO_OPTIMIZED else ())
        if step.opname.startswith(_OF_CLASSES) and not step.argval.startswith("__")
    )
