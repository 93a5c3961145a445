"""How the program ends: which exit code, and what is said of an error."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from clustrix_core.cli import output
from clustrix_core.cli.state import State

OK, FAILED, USAGE, UNREACHABLE, NOT_FINISHED, INTERRUPTED, NO_READER = 0, 1, 2, 3, 4, 130, 141

CODES = {
    OK: "all is well",
    FAILED: "the function raised, the job failed or was refused, or `doctor` found an error",
    USAGE: "the command line, the configuration or a plugin is wrong, or a function cannot travel: nothing was done",
    UNREACHABLE: "the cluster cannot be reached",
    NOT_FINISHED: "the job has not finished yet (`result --no-wait`, `--timeout`)",
    INTERRUPTED: "interrupted with Ctrl-C; jobs go on",
    NO_READER: "whoever read the output has gone",
}


class NotFinished(Exception):
    """A job that was asked for its result is still going on."""


def code_of(error: BaseException) -> int:
    """Return the exit code of an error."""
    from clustrix_core import errors

    if isinstance(error, click.ClickException):
        return error.exit_code
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return INTERRUPTED
    if isinstance(error, output.NoReader):
        return NO_READER
    if isinstance(error, NotFinished):
        return NOT_FINISHED
    if isinstance(error, errors.TransportError):
        return UNREACHABLE
    nothing_done = (errors.ConfigError, errors.PluginError, errors.CannotTravel, errors.InsideJobError)
    return USAGE if isinstance(error, nothing_done) else FAILED


def end(error: BaseException | None, code: int | None, state: State) -> int:
    """Say what is to be said of ``error``, let go of what is held, and return the exit code."""
    try:
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
            if isinstance(error.code, str):
                output.say(error.code)
        elif error is not None:
            code = code_of(error)
            _say(error, state)
        output.flush()
        if code not in (INTERRUPTED, NO_READER, UNREACHABLE):
            _let_go()
    except output.NoReader:
        code = NO_READER
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == NO_READER:
        _close_stdout()
    return code or OK


def _say(error: BaseException, state: State) -> None:
    if isinstance(error, output.NoReader):
        return
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        output.say("Interrupted.")
        if state.json:
            output.document({"error": {"type": "Interrupted", "message": "interrupted", "hint": None}}, state)
        return
    if state.json:
        output.document({"error": described(error)}, state)
    if state.debug or _unforeseen(error):
        _traceback(error)
    elif not state.json:
        _tell(error)


def _tell(error: BaseException) -> None:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        output.say(error.ctx.get_usage())
    if trace := getattr(error, "trace", None):
        output.say(trace)
    found = described(error)
    log = found.get("log")
    output.say(f"Error: {found['message']}")
    if log:
        output.say(f"--- the end of its log ---\n{log.rstrip()}\n---")
    if found["hint"]:
        output.say(found["hint"])


def described(error: BaseException) -> dict[str, Any]:
    """Return an error as JSON-safe data: type, message and hint, and what else an error of ours carries."""
    from clustrix_core.errors import ClustrixError

    if isinstance(error, click.ClickException):
        told = {"traceback": error.trace} if hasattr(error, "trace") else {}
        return {"type": type(error).__name__, "message": error.format_message(), "hint": _help_of(error), **told}
    found: dict[str, Any] = {"type": type(error).__name__, "message": str(error), "hint": None}
    if isinstance(error, ClustrixError):
        found["message"] = str(error.args[0]) if error.args else ""
        found["hint"] = error.hint
        for name in ("cluster", "plugin", "job", "state", "reason", "exit_code", "log", "file", "line", "path"):
            value = getattr(error, name, None)
            if value is not None and value != "":
                found[name] = value
    trace = getattr(error, "remote_traceback", None)
    if trace:
        found["traceback"] = trace
    return found


def _help_of(error: click.ClickException) -> str | None:
    context = getattr(error, "ctx", None)
    if not isinstance(error, click.UsageError) or context is None:
        return None
    return f"See `{context.command_path} --help`."


def _unforeseen(error: BaseException) -> bool:
    from clustrix_core.errors import ClustrixError

    return not isinstance(error, (ClustrixError, click.ClickException, NotFinished))


def _traceback(error: BaseException) -> None:
    import traceback

    output.say("".join(traceback.format_exception(error)).rstrip())


def _let_go() -> None:
    """Drop connections properly, where there are any."""
    session = sys.modules.get("clustrix_core.api.session")
    if session is not None:
        session.close()


def _close_stdout() -> None:
    # Python flushes stdout once more at its end, and would complain.
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        pass
