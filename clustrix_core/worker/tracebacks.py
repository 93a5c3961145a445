"""Tracebacks as people should see them: the user's files and lines, and nothing of Clustrix."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional, Set

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_LONGEST = 1 << 18


def format_exception(error: BaseException, sources: "Optional[Dict[str, str]]" = None) -> str:
    """Return the traceback of an exception and its chain as text.

    ``sources`` holds source texts by file name: the user's files seldom lie on the cluster.
    """
    import traceback

    try:
        _remember(sources or {})
        report = traceback.TracebackException(type(error), error, error.__traceback__)
        _prune(report, set())
        text = "".join(report.format())
    except Exception as problem:
        text = "%s (its traceback cannot be shown: %s)" % (describe(error), problem)
    if len(text) > _LONGEST:
        half = _LONGEST // 2
        text = "%s\n[... %d characters left out ...]\n%s" % (text[:half], len(text) - _LONGEST, text[-half:])
    return text


def describe(error: BaseException) -> str:
    """Return the message of an exception; also of one whose ``__str__`` raises."""
    return shortened(str, error)


def shortened(show: "Any", value: "Any", longest: int = 1 << 14) -> str:
    """Return ``show(value)``, cut to a bearable length; or that it raised."""
    try:
        text: str = show(value)
    except BaseException as problem:
        return "<%s of %s raised %s>" % (show.__name__, type(value).__name__, type(problem).__name__)
    return text if len(text) <= longest else "%s... (%d characters)" % (text[:longest], len(text))


def type_name(error: BaseException) -> str:
    """Return the dotted name of an exception's class, as a traceback shows it."""
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else "%s.%s" % (cls.__module__, cls.__qualname__)


def _remember(sources: "Dict[str, str]") -> None:
    """Give ``linecache`` the sources that the client has sent along."""
    import linecache

    for name, text in sources.items():
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)


def _prune(report: "Any", seen: "Set[int]") -> None:
    waiting = [report]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.stack[:] = [frame for frame in one.stack if not frame.filename.startswith(_OURS)]
        waiting += [one.__cause__, one.__context__] + list(getattr(one, "exceptions", None) or ())
