"""``admit LENIENT``: would this interpreter take what came as source? Asked before a job is submitted.

Nothing of the user's is run: it is compiled, and what it names is looked for.
"""

import importlib
import pickle
import sys
import traceback

from clustrix_core.worker import names, sources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator

REFUSED = 71
_WAYS = {
    "dataclasses": "It came with Python 3.7; its backport would do, as in environment: [dataclasses]",
    "contextvars": "It came with Python 3.7; its backport would do, as in environment: [contextvars]",
}


def admit(lenient: int) -> int:
    """Return 0, or 71 with the reasons on stderr. ``lenient``: packages may be brought later, by the job's setup."""
    plan = sources.read("source")
    reasons = list(_reasons(plan, bool(lenient)))
    if reasons:
        sys.stderr.write("\n".join(reasons) + "\n")
    return REFUSED if reasons else 0


def _reasons(plan: "Dict[str, Any]", lenient: bool) -> "Iterator[str]":
    if plan["protocol"] > pickle.HIGHEST_PROTOCOL:
        yield "its arguments are pickled for a later Python than %s: call it again" % _here()
        return
    for compiled, piece, file, postponed in sources.pieces(plan):
        try:
            compiled(piece, file, postponed)
        except SyntaxError as error:
            yield "".join(traceback.format_exception_only(type(error), error)).rstrip()
        except (ValueError, RecursionError) as error:
            yield "%s: %s" % (file, error)
    for module, name in plan["imports"]:
        why = _missing(module, name)
        if why:
            yield why
    for module, name in plan["names"]:
        if lenient and module.partition(".")[0] not in plan["standard"]:
            continue
        why = _missing(module, name)
        if why:
            yield "an argument, or a variable that the function uses, is made of something that is not there: " + why


def _missing(module: str, name: str) -> str:
    label = module + ("." + name if name else "")
    try:
        if name:
            _found(module, name)
        else:
            importlib.import_module(module)
        return ""
    except Exception as error:  # importing runs the code of packages
        top = module.partition(".")[0]
        way = _WAYS.get(top, "")
        return "%s has no %s (%s)%s" % (_here(), label, error, ". " + way if way else "")


def _found(module: str, name: str) -> "Any":
    try:
        return names.resolve(module, name)
    except AttributeError:
        return importlib.import_module(module + "." + name)  # ``from package import module``


def _here() -> str:
    return "Python %d.%d (%s)" % (sys.version_info[0], sys.version_info[1], sys.executable)


__all__ = ["REFUSED", "admit"]
