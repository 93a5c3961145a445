"""``files``: answer a client's question about the file system of this machine.

Stdin is one JSON object: ``ask`` names a file function, ``arguments`` are its own, ``cwd`` is where relative paths
begin (null: the home directory). The answer is a line MARK, a line of JSON for each value, in no order, and a last one
that is an object: ``{"end": number of values}`` or ``{"error": class, "said": why, "path": where}``. Empty lines only
say that the search goes on. Paths are text as UTF-8 has it, with a surrogate for each byte that it has not.
"""

import json
import os
import sys
import threading

from clustrix_core.worker import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Callable, Dict, Iterable

MARK = b"clustrix: looked up"
BEAT = 20.0  # seconds; whoever hears nothing for minutes takes the connection for dead
_STREAMS: "Dict[str, Callable[..., Iterable[str]]]" = {
    "cluster_ls": lambda path=".": files.names(files.place(path)),
    "cluster_find": lambda pattern, path=".": files.found(pattern, files.place(path)),
    "cluster_glob": lambda pattern, path=".": files.globbed(pattern, files.place(path)),
}


def answer() -> int:
    """Read a question, write the answer, and return the exit code: 0 also where the answer is an error."""
    question = json.loads(sys.stdin.buffer.read().decode("utf-8"))
    out = sys.stdout.buffer
    out.write(MARK + b"\n")
    threading.Thread(target=_beat, args=(out,), daemon=True).start()
    count = 0
    try:
        os.chdir(os.path.expanduser("~") if question["cwd"] is None else _native(question["cwd"]))
        for value in _values(question):
            count += 1
            _write(out, value)
        last: "Dict[str, Any]" = {"end": count}
    except OSError as error:
        path = error.filename if isinstance(error.filename, str) else ""
        last = {"error": type(error).__name__, "said": error.strerror or str(error), "path": path}
    _write(out, last)
    out.flush()
    return 0


def _values(question: "Dict[str, Any]") -> "Iterable[Any]":
    name = question["ask"]
    if name not in files.NAMES:
        raise SystemExit("clustrix: there is no question %r" % name)
    arguments = {key: _native(value) for key, value in question["arguments"].items()}
    if name in _STREAMS:
        values: "Iterable[Any]" = _STREAMS[name](**arguments)
        return values
    return [getattr(files, name)(**arguments)]


def _write(out: "BinaryIO", value: "Any") -> None:
    out.write(json.dumps(_sent(value)).encode("ascii") + b"\n")


def _sent(value: "Any") -> "Any":
    if isinstance(value, str):
        return os.fsencode(value).decode("utf-8", "surrogateescape")
    if isinstance(value, dict):
        return {key: _sent(inner) for key, inner in value.items()}
    return [_sent(inner) for inner in value] if isinstance(value, tuple) else value


def _native(text: str) -> str:
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def _beat(out: "BinaryIO") -> None:
    """Say from time to time that the search goes on, and end it when nobody listens any more."""
    while not threading.Event().wait(BEAT):
        try:
            out.write(b"\n")
            out.flush()
        except OSError:
            os._exit(1)
