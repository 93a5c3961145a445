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
from clustrix_core.entry import error_data, error_from
from clustrix_core.errors import CannotTravel, DependencyFailed, PayloadError, ValueGone
from clustrix_core.payload import modules, reached, references, source, suspects
from clustrix_core.payload.outgoing import BLOBS, Outgoing, held_in, needs
from clustrix_core.payload.pickler import parts_of
from clustrix_core.worker import payloads, pickling
from clustrix_core.worker.blobs import Shelf
from clustrix_core.worker.parts import Parts, places

VERSION = __version__
_SMALL_SOURCE = 200_000  # bytes of source that travel for tracebacks

_ONCE = 64 << 20  # bytes of data that are packed twice where nobody knows yet for which Python
HERE = sys.version_info[:2]
# In one directory: what the same minor version takes, or what any other does (with its file ``source``), or why not.
_BY_VALUE, _AS_SOURCE, _PLAN, _REFUSAL = "payload", "payload-source", "source", "refused"
# All of this, and the directory BLOBS: what these payloads need.
PACKED = (_BY_VALUE, _AS_SOURCE, _PLAN, _REFUSAL, f"{_BY_VALUE}-needs", f"{_AS_SOURCE}-needs")

Call = tuple[tuple[Any, ...], dict[str, Any]]


def files(directory: Path, python: tuple[int, int]) -> dict[str, Path]:
    """Return what to send to a Python of that version, by the name over there. Raises why nothing can be."""
    by_value, as_source, refusal = (directory / name for name in (_BY_VALUE, _AS_SOURCE, _REFUSAL))
    packed_for = _packed_for(by_value)
    if by_value.exists() and packed_for in (None, python):
        return _with_needs(by_value)
    there, here = "{}.{}".format(*python), "{}.{}".format(*(packed_for or HERE))
    if python < source.OLDEST:
        raise PayloadError(
            f"Python {there} on the cluster: functions can be sent to 3.6 and later",
            hint=f"Set python: to a Python {here} on the cluster (modules: may bring one).",
        )
    if as_source.exists():
        return {**_with_needs(as_source), "source": directory / _PLAN}
    if refusal.exists():
        raise error_from(json.loads(refusal.read_text("utf-8")))
    raise PayloadError(f"there is another Python on the cluster than before, {there}", hint="Call it again.")


def _with_needs(path: Path) -> dict[str, Path]:
    listed = needs(path)
    return {"payload": path, **({"needs": listed} if listed.exists() else {})}


def _packed_for(path: Path) -> tuple[int, ...] | None:
    """Return the version of Python that alone takes a payload; None for a command, or where there is none."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        python = payloads.read_header(file).get("python")
    return tuple(python) if python else None


def pack(
    directory: Path,
    function: Callable[..., Any],
    calls: Sequence[Call],
    constants: Mapping[str, Any],
    refer: references.Refer | None = None,
    python: tuple[int, int] | None = None,
) -> set[str]:
    """Write into a directory what ``files`` will send: for the Python over there; None: nobody has seen it yet.

    ``refer`` returns how a job among the arguments is pickled; without it they are refused. Raises CannotTravel naming
    the object that cannot be pickled, and DependencyFailed. Returns the names of the modules that all this reaches.
    """
    found: set[str] = set()
    if python in (None, HERE):
        found |= pack_by_value(directory / _BY_VALUE, function, calls, constants, refer)
    if python == HERE:
        return found
    for name in (_AS_SOURCE, _PLAN, _REFUSAL):
        (directory / name).unlink(missing_ok=True)
    if python is None and held_in(directory) > _ONCE:
        (directory / _REFUSAL).write_text(json.dumps(error_data(_unknown_python())), "utf-8")
        return found
    try:
        found |= source.pack(directory / _AS_SOURCE, directory / _PLAN, function, calls, constants, refer, python)
    except CannotTravel as error:
        if python is not None:
            raise
        (directory / _AS_SOURCE).unlink(missing_ok=True)
        (directory / _REFUSAL).write_text(json.dumps(error_data(error)), "utf-8")
    return found


def _unknown_python() -> PayloadError:
    # In another form it would be in memory, and on this disk, a second and a third time.
    return PayloadError(
        "which Python the cluster has was not known yet, and data of this size is packed for one only",
        hint="It is known now: call it again.",
    )


def pack_by_value(
    path: Path,
    function: Callable[..., Any],
    calls: Iterable[Call],
    constants: Mapping[str, Any],
    refer: references.Refer | None = None,
) -> set[str]:
    """Write a payload for the same minor version: the function and its constants once, then each call.

    ``refer`` returns how a job among the arguments is pickled; without it they are refused. Raises CannotTravel naming
    the object that cannot be pickled, and DependencyFailed. Returns the names of the modules that all this reaches.
    """
    header = {"kind": "pickle", "python": list(sys.version_info[:2])}
    store = Outgoing(path)
    with modules.by_value(), pickling.Deep(), reached.noting() as found, store, path.open("wb") as file:
        # Apart from the function constants are loaded for each call afresh; there is no need for that without any.
        with references.by(None):
            whole: Any = function if constants else (function, {})
            head = _dump(whole, "the function", lambda: suspects.of_function(function))
        with references.by(refer):
            what = "the constants"
            rest = _dump(dict(constants), what, lambda: suspects.of_constants(constants)) if constants else None
            payloads.write(file, header, head, (_dump_call(function, call) for call in calls), rest, store.keep)
    store.write_down()
    return found


def pack_command(directory: Path, line: str) -> None:
    """Write the payload of a shell command, which any Python takes, into a directory."""
    with (directory / _BY_VALUE).open("wb") as file:
        payloads.write(file, {"kind": "command", "command": line}, Parts(), [Parts()])


def _dump_call(function: Callable[..., Any], call: Call) -> Parts:
    return _dump(call, "the arguments", lambda: suspects.of_call(function, call))


def _dump(value: Any, what: str, suspected: Callable[[], Iterator[suspects.Suspect]]) -> Parts:
    """Pickle a value; where that fails, say which of those ``suspected`` is to blame."""
    try:
        return parts_of(value)
    except (DependencyFailed, ValueGone):
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


def load(kind: str, file: BinaryIO, offset: int, sizes: Sequence[int], shelf: Shelf | None = None) -> Any:
    """Load a body at ``offset`` whose signature was verified; ``shelf`` has the blobs that it names."""
    if kind == "json":
        file.seek(offset)
        return json.loads(file.read(sum(sizes)))
    return pickling.load(file, places(offset, sizes), shelf)


__all__ = [
    "BLOBS",
    "HERE",
    "PACKED",
    "VERSION",
    "Call",
    "files",
    "load",
    "pack",
    "pack_by_value",
    "pack_command",
    "sources",
]
