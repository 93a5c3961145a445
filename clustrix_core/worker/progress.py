"""Progress: how far a call says it is, in a small signed file that the client's looks bring home.

One line in ``progress-<run>``, replaced as a whole: MAC · " " · JSON. The MAC, by the job's key, is over the file's
name and the JSON, so it is also what tells one report from the next. A slot has one file: its next call takes it over.
"""

import hmac
import importlib
import json
import math
import os
import re
from typing import NamedTuple, Optional, Union

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Tuple

    from clustrix_core.worker.records import Signer

LONGEST = 2048  # bytes of a line
_TEXT = 120  # characters
_EXACT = 1 << 53  # whole numbers below it are whole in JSON too, whoever reads it
_NAME = re.compile(r"progress-(\d+)\.(\d+)\.(\d+)\.(\d+)")
_MAC = re.compile(rb"[0-9a-f]{64}")

Number = Union[int, float]


class Progress(
    NamedTuple(
        "Progress",
        [("done", Number), ("total", Optional[Number]), ("text", str), ("at", float), ("call", int)],
    )
):
    """How far a call said it was: ``done`` of ``total`` (None: unknown), a text, and when.

    ``at`` is in seconds since the epoch, by the clock over there; ``call`` counts the calls of a map from 0.
    """

    __slots__ = ()

    def __str__(self) -> str:
        said = "%s%s" % (_short(self.done), "" if self.total is None else " of %s" % _short(self.total))
        text = " ".join("".join(char if char.isprintable() else " " for char in self.text).split())
        return "%s: %s" % (said, text) if text else said


def checked(done: "Any", total: "Any", text: "Any") -> "Dict[str, Any]":
    """Return a report as data that JSON can hold. Raises ConfigError for what is none."""
    if not isinstance(text, str):
        raise _wrong("text=%s is not a text" % repr(text)[:80])
    return {
        "done": _number("done", done),
        "total": None if total is None else _number("total", total),
        "text": text[:_TEXT],
    }


def pack(signer: "Signer", name: str, said: "Dict[str, Any]") -> bytes:
    """Return the line of the file ``name`` for a report."""
    text = json.dumps(said, separators=(",", ":")).encode("ascii")
    return _mac(signer, name, text) + b" " + text + b"\n"


def read(directory: "Any", signer: "Signer") -> "Dict[int, Progress]":
    """Return the latest report of each call, by call. For the client: what the job has not signed is left out."""
    latest: "Dict[int, Tuple[Any, Progress]]" = {}
    try:
        names = os.listdir(directory)
    except OSError:
        names = []
    for name in names:
        run = _NAME.fullmatch(name)
        said = _genuine(os.path.join(directory, name), name, signer) if run else None
        if run and said:
            order = (int(run.group(1)), int(run.group(3)), said.at)  # a later round or attempt begins anew
            if said.call not in latest or order > latest[said.call][0]:
                latest[said.call] = order, said
    return {call: latest[call][1] for call in sorted(latest)}


def version(path: "Any") -> str:
    """Return what tells the report in a file from others; "0" where there is none. For the client."""
    try:
        with open(path, "rb") as file:
            mac = file.read(64)
    except OSError:
        return "0"
    return mac.decode("ascii") if _MAC.fullmatch(mac) else "0"


def _genuine(path: str, name: str, signer: "Signer") -> "Optional[Progress]":
    try:
        with open(path, "rb") as file:
            line = file.read(LONGEST + 1)
        mac, _, text = line.rstrip(b"\n").partition(b" ")
        if len(line) > LONGEST or not hmac.compare_digest(mac, _mac(signer, name, text)):
            return None
        said = json.loads(text.decode("ascii"))
        call, at = said.pop("call"), _number("at", said.pop("at"))
        return Progress(at=at, call=call, **checked(**said)) if type(call) is int else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None  # the function's own code can sign, too


def _mac(signer: "Signer", name: str, text: bytes) -> bytes:
    mac = signer.start()
    mac.update(name.encode("ascii") + b" " + text)
    return mac.hexdigest().encode("ascii")


def _number(name: str, value: "Any") -> Number:
    try:
        number = math.nan if isinstance(value, (str, bytes, bytearray)) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 <= number < math.inf:
        raise _wrong("%s=%s is not a number of at least 0" % (name, repr(value)[:80]))
    return int(number) if number < _EXACT and number == int(number) else number


def _wrong(message: str) -> BaseException:
    errors = importlib.import_module("clustrix_core.errors")
    error: BaseException = errors.ConfigError("report_progress: " + message)
    return error


def _short(number: Number) -> str:
    return "%d" % number if isinstance(number, int) else "%.6g" % number
