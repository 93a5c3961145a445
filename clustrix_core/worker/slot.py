"""A slot: the process that runs calls, one after the other, as its parent asks for them."""

import importlib
import io
import json
import os
import struct
import sys
import time
import types

from clustrix_core.worker import blobs, checkpoint, inside, outcome, records
from clustrix_core.worker.attempt import Attempt
from clustrix_core.worker.machine import host
from clustrix_core.worker.parts import write_all
from clustrix_core.worker.payloads import Payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

REQUEST = struct.Struct("<q")
REPLY = struct.Struct("<?dI")
CANNOT_WRITE = 74
_FINAL = ("KeyboardInterrupt", "SystemExit")


class Slot:
    """Runs calls of one payload and writes their records."""

    def __init__(self, attempt: Attempt, number: int, results: int) -> None:
        self._attempt = attempt
        self._run = attempt.run(number)
        self._results = results
        self._show = attempt.spec["calls"] == 1
        self._pid = os.getpid()
        self._store = blobs.Store(attempt.directory, blobs.OUT)
        self._payload: "Optional[Payload]" = None
        self._constants: "Dict[str, Any]" = {}
        self._broken: "Optional[outcome.Outcome]" = None
        try:
            _enter(attempt.spec.get("cwd"))
            self._directory = os.open(".", os.O_RDONLY)
            self._load()
        except BaseException as error:
            self._broken = outcome.raised(_explained(error))

    def _load(self) -> None:
        self._payload = payload = Payload(self._attempt.path("payload"))
        packed = payload.header.get("python")
        if packed and tuple(packed) != sys.version_info[:2]:
            versions = tuple(packed) + sys.version_info[:2]
            raise _refusal(
                "the function was packed by Python %d.%d and cannot run on Python %d.%d" % versions,
                "Set `python:` of the cluster to a Python %d.%d." % tuple(packed),
            )
        by_source = payload.header["kind"] == "source"
        if by_source:
            from clustrix_core.worker import sources

            sources.bring(sources.read(self._attempt.path("source")))
        loaded = payload.function()
        apart = "constants" in payload.header
        self._function, self._constants = (loaded, {}) if apart else loaded
        if not by_source:
            _adopt_main(self._function)

    def serve(self, requests: int, replies: int) -> None:
        """Run the calls that are asked for until the requests end."""
        while True:
            data = os.read(requests, REQUEST.size)
            if len(data) < REQUEST.size:
                break
            (call,) = REQUEST.unpack(data)
            started = time.perf_counter()
            ended = self._broken or self._tried(call)
            seconds = time.perf_counter() - started
            if os.getpid() != self._pid:  # the function has forked and let its child return
                os._exit(0)
            self._write(call, ended, seconds)
            shown = json.dumps(ended.shown).encode("utf-8") if self._show and ended.shown else b""
            os.write(replies, REPLY.pack(ended.ok, seconds, len(shown)) + shown)
        if self._payload is not None:
            self._payload.close()

    def _tried(self, call: int) -> "outcome.Outcome":
        """Run a call; where exceptions are to be tried again, up to as often as it may be. That needs no other job."""
        left = self._attempt.tries_left(call)
        for number in range(left if "ERROR" in self._attempt.asked("retry_on", ()) else 0):
            ended = self._call(call)
            if ended.header["kind"] not in ("error", "error-text") or ended.header["type"] in _FINAL:
                return ended
            said = "%s: %s" % (ended.header["type"], ended.header["message"])
            print("clustrix: call %d is tried again, up to %d times: %s" % (call, left - number, said), file=sys.stderr)
        return self._call(call)

    def _call(self, call: int) -> "outcome.Outcome":
        inside.enter(_info(self._attempt, call), self._run)
        try:
            assert self._payload is not None
            os.fchdir(self._directory)
            args, keywords = self._payload.call(call)
            keywords = dict(self._constants or self._payload.constants(), **keywords)
        except BaseException as error:
            return outcome.raised(_explained(error), self._attempt.spec.get("sources"))
        try:
            with checkpoint.at(os.path.join(self._attempt.directory, "checkpoints", str(call))):
                value = self._function(*args, **keywords)
        except checkpoint.Again:
            return outcome.again()
        except BaseException as error:
            return outcome.raised(error, self._attempt.spec.get("sources"))
        finally:
            del args, keywords
            inside.leave()
            _flush()
        return outcome.returned(value, self._show, self._store)

    def _write(self, call: int, ended: "outcome.Outcome", seconds: float) -> None:
        header = dict(ended.header, call=call, run=self._run, seconds=round(seconds, 6), host=host(), peak=peak())
        before = os.fstat(self._results).st_size
        try:
            body = ended.body and blobs.named(ended.body, self._store.keep)
            write_all(self._results, records.pack(self._attempt.signer, header, body))
        except OSError as error:
            # On a full disk the room of what is half written is needed to say so. Nothing is written here any more.
            os.ftruncate(self._results, before)
            print("clustrix: the result of call %d cannot be written: %s" % (call, error), file=sys.stderr)
            _flush()
            os._exit(CANNOT_WRITE)


def peak() -> int:
    """Return the most memory that this process has held, in bytes."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def make_live(name: str, shared: bool) -> None:
    """Make ``sys.stdout`` or ``sys.stderr`` write each line at once, and any character.

    ``shared``: other slots write to the same log: lines must come whole, whatever PYTHONUNBUFFERED says.
    """
    stream = getattr(sys, name)
    if stream is None:
        return
    if sys.version_info >= (3, 7):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
        if shared:
            stream.reconfigure(write_through=False)
    else:
        raw = open(stream.fileno(), "wb", closefd=False)
        stream = io.TextIOWrapper(raw, "utf-8", "backslashreplace", line_buffering=True)
        setattr(sys, name, stream)
        setattr(sys, "__%s__" % name, stream)


def finish() -> None:
    """Do what an interpreter does at its end: wait for threads, call what is registered, flush."""
    import atexit

    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    atexit._run_exitfuncs()
    _flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # closed or replaced by the function
            pass


def _enter(directory: "Optional[str]") -> None:
    """Go to the working directory: the one asked for, else the home directory."""
    if directory is not None:
        try:
            os.chdir(directory)
        except OSError as error:
            message = "%s cannot enter the working directory: %s" % (host(), error)
            raise _refusal(message, "Create it there, or change `cwd`.")
        return
    for place in (os.environ.get("HOME", ""), os.path.join("..", "..", "..")):
        try:
            return os.chdir(place)
        except OSError:
            continue


def _adopt_main(function: "Any") -> None:
    """Let ``__main__`` be the function's own, so that it can hand its neighbours to processes that it starts."""
    code = function
    for inner in ("func", "__func__", "__wrapped__"):  # of a partial, a method, a decorated function
        code = getattr(code, inner, code)
    if getattr(code, "__module__", None) == "__main__" and isinstance(code, types.FunctionType):
        main = types.ModuleType("__main__")
        main.__dict__.update(code.__globals__)
        main.__dict__.setdefault(code.__name__, code)
        main.__dict__["__name__"] = "__main__"
        sys.modules["__main__"] = main


def _info(attempt: Attempt, call: int) -> "Dict[str, Any]":
    spec = attempt.spec
    return {
        "id": spec["id"],
        "name": spec.get("name"),
        "task": attempt.task,
        "round": attempt.round,
        "call": call,
        "attempt": attempt.number,
        "directory": attempt.directory,
        "cores": spec.get("cores"),
        "scheduler_id": os.environ.get("CLUSTRIX_SCHEDULER_ID"),
    }


def _explained(error: BaseException) -> BaseException:
    """Return an error that says what to do about one that unpickling has raised."""
    errors = importlib.import_module("clustrix_core.errors")
    if issubclass(type(error), errors.ClustrixError):
        return error
    where = "Python %d.%d on %s (%s)" % (sys.version_info[0], sys.version_info[1], host(), sys.executable)
    hint = None
    if isinstance(error, ImportError) and error.name:
        message = "the function needs the module %r, which %s cannot import: %s" % (error.name, where, error)
        hint = _way_out(error.name)
    else:
        message = "the function or its arguments cannot be loaded by %s: %s: %s" % (where, type(error).__name__, error)
        if isinstance(error, AttributeError):
            hint = "A package seems to have another version there than here."
    told = _refusal(message, hint)
    told.__cause__ = error
    return told


def _way_out(name: str) -> str:
    package = name.split(".")[0]
    try:
        found = importlib.import_module(package)
    except Exception:
        return (
            "Install %s there (`python`, `environment` or `modules` of the cluster say which Python that is), or, "
            "if it is your own, keep it beside your script so that it travels along." % package
        )
    version = getattr(found, "__version__", "")
    return "%s is there%s, but seems to be another version than here." % (package, version and " (%s)" % version)


def _refusal(message: str, hint: "Optional[str]" = None) -> BaseException:
    errors = importlib.import_module("clustrix_core.errors")
    error: "BaseException" = errors.PayloadError(message, hint=hint)
    return error
