"""Waiting for jobs, and what is printed when they have ended."""

from __future__ import annotations

import concurrent.futures
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from clustrix_core.api import progress
from clustrix_core.api.job import Job
from clustrix_core.api.map import Map
from clustrix_core.cli import output
from clustrix_core.cli.ending import FAILED, NotFinished, described
from clustrix_core.cli.state import state
from clustrix_core.entry import OVER, REFUSED
from clustrix_core.errors import ClustrixError, JobFailed, RemoteError

SETTLED = 2.0  # seconds

Waited = Job[Any] | Map[Any]


def finish(job: Waited, timeout: float | None = None) -> int:
    """Wait for a job, print its value or how it failed, and return the exit code. Raises NotFinished, ClustrixError."""
    with going_on(job):
        if not ended(job, timeout):
            raise NotFinished(f"{job.name} has not finished after {timeout:g} s; it goes on")
        _journalled(job)
    if isinstance(job, Map):
        return _print_all(job)
    error = job.exception()
    if error is None:
        print_value(job.result())
        return 0
    return print_error(error)


def finish_command(job: Job[int]) -> int:
    """Wait for a command and return its exit code. Raises ClustrixError where it has none."""
    with going_on(job):
        ended(job)
        _journalled(job)
    error = job.exception()
    if error is not None and not (isinstance(error, JobFailed) and error.exit_code):
        raise error
    code = int(getattr(error, "exit_code", 0) or 0)
    if state().json:
        output.document({"id": job.id, "name": job.name, "exit_code": code})
    return code


def ended(job: Waited, timeout: float | None = None) -> bool:
    """Wait until a job has ended, at most ``timeout`` seconds; return whether it has."""
    if isinstance(job, Map):
        try:
            for _ in job.as_completed(timeout):
                pass
        except TimeoutError:
            return job.done()
        return True
    deadline = None if timeout is None else time.monotonic() + timeout
    with progress.spinner(job.name, lambda: progress.standing(job._known[1])) as update:
        while True:
            left = progress.TICK if deadline is None else max(deadline - time.monotonic(), 0)
            # A TimeoutError of the function itself is a result, so the future is looked at from outside.
            if concurrent.futures.wait([job], min(left, progress.TICK)).done:
                return True
            if left == 0:
                return False
            update()


def _journalled(job: Waited) -> None:
    """Give the end of a job, whose results are here, the moment that it takes to be written down."""
    deadline = time.monotonic() + SETTLED
    while job._flight is not None and job._flight.entry.phase not in (OVER, REFUSED) and time.monotonic() < deadline:
        time.sleep(0.005)


def accepted(job: Waited) -> None:
    """Wait until the scheduler has a job. Raises what kept it from that."""
    flight = job._known[1]
    while flight.handle is None and not job.done():
        time.sleep(0.01)
    if isinstance(job, Job) and job.done() and flight.handle is None and (error := job.exception()) is not None:
        raise error


@contextmanager
def going_on(job: Waited) -> Iterator[None]:
    """Within this context, who leaves before the job has ended is told how to come back to it."""
    try:
        yield
    except (KeyboardInterrupt, output.NoReader):
        if not job.done():
            output.say(f"\n{job.name} goes on without you. Its result: clustrix result {job.id}")
            output.say(f"To end it: clustrix cancel {job.id}")
        raise


def print_value(value: Any) -> None:
    """Print a value: its repr, or as JSON."""
    if state().json:
        output.document(as_json(value))
    else:
        output.line(_repr(value))


def print_error(error: BaseException) -> int:
    """Print what a function raised; raise what is an error of ours, for main to tell. Returns the exit code."""
    if isinstance(error, ClustrixError) and not isinstance(error, RemoteError) and not _remote(error):
        raise error
    if state().json:
        output.document({"error": described(error)})
    else:
        output.say(_remote(error) or f"{type(error).__name__}: {error}")
    return FAILED


def as_json(value: Any) -> Any:
    """Return a value where JSON can hold it, else its repr."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return {"repr": _repr(value)}
    return value


def _print_all(results: Map[Any]) -> int:
    done = sorted(results.as_completed(), key=lambda one: one.index)
    errors = [error for one in done if (error := one.exception()) is not None]
    if state().json:
        output.document(
            [{"error": described(error)} if (error := one.exception()) else as_json(one.result()) for one in done]
        )
    else:
        output.line(f"[{', '.join(_repr(one.exception() or one.result()) for one in done)}]")
        for error in errors[:1]:
            output.say(_remote(error) or f"{type(error).__name__}: {error}")
        if len(errors) > 1:
            output.say(f"… and {len(errors) - 1} more of {len(done)} calls failed.")
    return FAILED if errors else 0


def _remote(error: BaseException) -> str:
    return str(getattr(error, "remote_traceback", None) or "")


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # anybody's code
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"


__all__ = ["accepted", "as_json", "ended", "finish", "finish_command", "going_on", "print_error", "print_value"]
