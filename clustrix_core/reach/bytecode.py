"""What compiled code imports and names: where there is no source to read, this is all there is."""

from __future__ import annotations

import dis
import functools
from collections.abc import Iterator
from types import CodeType
from typing import Any, NamedTuple

_IMPORT = dis.opmap["IMPORT_NAME"]


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
            if step.opname.startswith(("LOAD_GLOBAL", "LOAD_NAME")):
                yield step.argval
