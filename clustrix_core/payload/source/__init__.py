"""Source mode: a function for another version of Python, as the pieces of source that it needs and standard pickles."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clustrix_core.errors import CannotTravel, ClustrixError, DependencyFailed, ValueGone
from clustrix_core.payload import reached, references
from clustrix_core.payload.outgoing import Outgoing
from clustrix_core.payload.source import pickler
from clustrix_core.payload.source.reach import Reach
from clustrix_core.worker import payloads, pickling
from clustrix_core.worker.parts import Parts

OLDEST = (3, 6)
Call = tuple[tuple[Any, ...], dict[str, Any]]
_SAME = "Make it inside the function, or use the same Python over there (`python:`, conda, uv): then more can travel."


def pack(
    path: Path,
    plan: Path,
    function: Callable[..., Any],
    calls: Iterable[Call],
    constants: Mapping[str, Any],
    refer: references.Refer | None,
    python: tuple[int, int] | None,
) -> set[str]:
    """Write a payload and its file ``source``. ``python`` is the version over there; None: any that is served.

    Raises CannotTravel naming what cannot go this way, and DependencyFailed. Returns the names of the modules that all
    this reaches.
    """
    # Python 3.6 and 3.7 know protocol 4.
    reach = Reach(5 if python is not None and python >= (3, 8) else 4)
    store = Outgoing(path)
    try:
        with pickling.Deep(), reached.noting() as found, references.by(None), store, path.open("wb") as file:
            head = _dump(function if constants else (function, {}), "the function", [], reach)
            with references.by(refer):
                named = [(f"the constant argument {name!r}", value) for name, value in constants.items()]
                rest = _dump(dict(constants), "the constants", named, reach) if constants else None
                packed = (_dump(call, "the arguments", _arguments(function, call), reach) for call in calls)
                payloads.write(file, {"kind": "source", "python": None}, head, packed, rest, store.keep)
            store.write_down()
            reach.finish()
    except ClustrixError:
        raise
    except Exception as error:  # what is read is anybody's source
        raise CannotTravel(f"its source cannot be followed: {type(error).__name__}: {error}", hint=_SAME) from error
    plan.write_text(json.dumps(reach.plan.to_json()), "utf-8")
    return found


def _dump(value: Any, what: str, named: Sequence[tuple[str, Any]], reach: Reach) -> Parts:
    try:
        return pickler.dump(value, reach.plan.protocol, reach, apart=True)
    except (DependencyFailed, ValueGone):
        raise
    except Exception as error:  # pickling runs anybody's code
        name, culprit, why = pickler.why_not(named, reach.plan.protocol, reach) or (what, value, error)
        reason = why.args[0] if isinstance(why, ClustrixError) else why
        shown = f"{type(culprit).__name__} object: " if culprit is not value else ""
        raise CannotTravel(
            f"{name} cannot travel to another version of Python: {shown}{reason}",
            hint=getattr(why, "hint", None) or _SAME,
        ) from error


def _arguments(function: Callable[..., Any], call: Call) -> Sequence[tuple[str, Any]]:
    args, keywords = call
    try:
        bound = inspect.signature(function).bind_partial(*args, **keywords).arguments
    except (TypeError, ValueError):
        bound = {**{str(number): value for number, value in enumerate(args)}, **keywords}
    return [(f"the argument {name!r}", value) for name, value in bound.items()]


__all__ = ["OLDEST", "pack"]
