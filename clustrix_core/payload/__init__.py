"""What travels: packing a function and its calls, and unpacking outcomes. The only place where the client unpickles."""

from __future__ import annotations

import inspect
import json
import linecache
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from clustrix_core import __version__
from clustrix_core.errors import CannotTravel, DependencyFailed, PayloadError
from clustrix_core.model import Cluster
from clustrix_core.payload import modules, reached, references, suspects
from clustrix_core.payload.pickler import parts_of
from clustrix_core.worker import payloads, pickling
from clustrix_core.worker.parts import Parts, places

VERSION = __version__
_SMALL_SOURCE = 200_000  # bytes of source that travel for tracebacks

Call = tuple[tuple[Any, ...], dict[str, Any]]


def same_python(cluster: Cluster) -> None:
    """Raise PayloadError unless the cluster runs the client's minor version: pickled functions hold bytecode."""
    here = sys.version_info[:2]
    if cluster.site is not None and cluster.site.python != here:
        there = "{}.{}".format(*cluster.site.python)
        raise PayloadError(
            "Python {} on the cluster, {}.{} here: a function cannot be sent to another minor version".format(
                there, *here
            ),
            cluster=cluster.name,
            hint=f"Set python: to a Python {here[0]}.{here[1]} on the cluster (modules: may bring one), "
            f"or run this script with Python {there}.",
        )


def pack(
    path: Path,
    function: Callable[..., Any],
    calls: Iterable[Call],
    constants: Mapping[str, Any],
    refer: references.Refer | None = None,
) -> set[str]:
    """Write a payload: the function and its constants once, then each call. Large buffers are written as they are.

    ``refer`` returns how a job among the arguments is pickled; without it they are refused. Raises CannotTravel naming
    the object that cannot be pickled, and DependencyFailed. Returns the names of the modules that all this reaches.
    """
    header = {"kind": "pickle", "python": list(sys.version_info[:2])}
    with modules.by_value(), pickling.Deep(), reached.noting() as found, path.open("wb") as file:
        # Apart from the function constants are loaded for each call afresh; there is no need for that without any.
        head = _dump(function if constants else (function, {}), "the function", lambda: suspects.of_function(function))
        with references.by(refer):
            what = "the constants"
            rest = _dump(dict(constants), what, lambda: suspects.of_constants(constants)) if constants else None
            payloads.write(file, header, head, (_dump_call(function, call) for call in calls), rest)
    return found


def pack_command(path: Path, line: str) -> None:
    """Write the payload of a shell command."""
    with path.open("wb") as file:
        payloads.write(file, {"kind": "command", "command": line}, Parts(), [Parts()])


def _dump_call(function: Callable[..., Any], call: Call) -> Parts:
    return _dump(call, "the arguments", lambda: suspects.of_call(function, call))


def _dump(value: Any, what: str, suspected: Callable[[], Iterator[suspects.Suspect]]) -> Parts:
    """Pickle a value; where that fails, say which of those ``suspected`` is to blame."""
    try:
        return parts_of(value)
    except DependencyFailed:
        raise
    except Exception as error:  # pickling runs anybody's code
        reason = error.args[0] if isinstance(error, PayloadError) else error
        otherwise = CannotTravel(f"{what} cannot travel: {reason}", hint=getattr(error, "hint", None))
        raise (suspects.blame(suspected()) or otherwise) from error


def sources(function: Callable[..., Any]) -> dict[str, str]:
    """Return the source around a function by file name, so that a traceback over there can show its lines."""
    plain = inspect.unwrap(getattr(function, "func", function))
    code = getattr(plain, "__code__", None)
    if code is None:
        return {}
    lines = linecache.getlines(code.co_filename)
    text = "".join(lines)
    return {code.co_filename: text} if 0 < len(text) <= _SMALL_SOURCE else {}


def load(kind: str, file: BinaryIO, offset: int, sizes: Sequence[int]) -> Any:
    """Load a body at ``offset`` whose signature was verified."""
    if kind == "json":
        file.seek(offset)
        return json.loads(file.read(sum(sizes)))
    return pickling.load(file, places(offset, sizes))


__all__ = ["VERSION", "Call", "load", "pack", "pack_command", "same_python", "sources"]
