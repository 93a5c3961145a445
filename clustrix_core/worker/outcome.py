"""Outcomes: how a call ended, as the header and the body of its record."""

import json

from clustrix_core.worker import blobs, pickling, tracebacks
from clustrix_core.worker.exceptions import Chain
from clustrix_core.worker.parts import Parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

# A value that is longer is not shown in ``result.json``.
_SHOWN = 1 << 16


class Outcome:
    """How a call ended. ``shown`` is what ``result.json`` says of it."""

    __slots__ = ("body", "header", "ok", "shown")

    def __init__(
        self,
        ok: bool,
        header: "Dict[str, Any]",
        body: "Optional[Parts]" = None,
        shown: "Optional[Dict[str, Any]]" = None,
    ) -> None:
        self.ok = ok
        self.header = header
        self.body = body
        self.shown = shown


def returned(value: "Any", show: bool, store: "blobs.Store") -> Outcome:
    """Return the outcome of a call that returned. ``show``: also as JSON, where that can hold it.

    Files and folders among the value are put into ``store``.
    """
    del store.files[:]
    try:
        with store:
            body = pickling.dump(value)
        body.buffers += store.files
    except BaseException as error:
        message = "the result (%s) cannot be pickled: %s" % (type(value).__name__, tracebacks.describe(error))
        header = {"kind": "unreturnable", "message": message, "repr": tracebacks.shortened(repr, value)}
        return Outcome(False, header, shown={"error": message})
    return Outcome(True, {"kind": "value"}, body, _shown(value, body) if show else None)


def again() -> Outcome:
    """Return the outcome of a call that wants to go on in a later run."""
    return Outcome(True, {"kind": "again"})


def raised(error: BaseException, sources: "Optional[Dict[str, str]]" = None) -> Outcome:
    """Return the outcome of a call that raised."""
    header = {
        "kind": "error",
        "type": tracebacks.type_name(error),
        "message": tracebacks.describe(error),
        "traceback": tracebacks.format_exception(error, sources),
    }
    shown = {"error": "%s: %s" % (header["type"], header["message"])}
    body = _travelling(error)
    if body is None:
        header["kind"] = "error-text"
    return Outcome(False, header, body, shown)


def _travelling(error: BaseException) -> "Optional[Parts]":
    """Pickle an exception with its chain; None when it does not come back from that."""
    chain = Chain(error)
    for attempt in ("whole", "mended"):
        try:
            body = pickling.dump(chain)
            pickling.loads(body)
            return body
        except Exception:
            if attempt == "whole":
                _mend(chain)
    return None


def _mend(chain: Chain) -> None:
    """Put text in the place of those causes and contexts that cannot be pickled."""
    from clustrix_core.errors import RemoteError

    for place, error in list(enumerate(chain.errors))[1:]:
        try:
            pickling.loads(pickling.dump(error))
        except Exception:
            name = tracebacks.type_name(error)
            text = "%s: %s" % (name, tracebacks.describe(error))
            chain.stand_in(place, RemoteError(text, type_name=name))


def _shown(value: "Any", body: Parts) -> "Optional[Dict[str, Any]]":
    if sum(body.sizes()) > _SHOWN:
        return None
    try:
        text = json.dumps(value, allow_nan=False, indent=2)  # as it will be written: that costs the deepest stack
    except (TypeError, ValueError, RecursionError):
        return None
    return {"value": value} if len(text) <= _SHOWN else None
