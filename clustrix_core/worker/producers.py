"""Producers: jobs of this work_dir whose values are arguments of a call. The values go from job to job over there."""

import importlib
import json
import os
import time

from clustrix_core.worker import blobs, inside, key, markers, pickling, records
from clustrix_core.worker.parts import places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, Optional, Tuple

    Found = Tuple[str, records.Record]

# Seconds for which a record is looked for that is not there. Shared file systems show new files late: a job that says
# that it ended well has written one, and its directory was there before we were asked for.
_LAG, _GRACE = 60.0, 3.0
_PAUSE = 0.25
# The kinds of records that end a call. A job that was started again may have several: the first of these counts.
_ENDS = ("value", "json", "error", "error-text", "unreturnable", "died")
_seen: "Dict[str, Producer]" = {}


def value(job: str, label: str) -> "Any":
    """Return the value of a job: what travels in its place among the arguments of a call. Raises DependencyFailed."""
    if job not in _seen:
        current = inside.current_job()
        assert current is not None
        _seen[job] = Producer(os.path.join(current.directory, "..", "..", job[:2], job), job, label)
    return _seen[job].value()


def itself(value: "Any") -> "Any":
    """Return what it is given: a job whose value is known when the call is sent is pickled as a call of this."""
    return value


def failed(job: str, label: str, why: str, cause: "Optional[BaseException]" = None) -> BaseException:
    """Return the error of a call that was to have the value of a job without one.

    Where that job itself had missed the value of another, it is the other that is named.
    """
    errors = importlib.import_module("clustrix_core.errors")
    if isinstance(cause, errors.DependencyFailed):
        message, job, cause = cause.args[0], cause.producer, cause.__cause__
    else:
        message = "%s (job %s), whose value was to be an argument, has none: %s" % (label, job, why)
    hint = "See what became of it: `clustrix status %s`." % job
    error: BaseException = errors.DependencyFailed(message, producer=job, state="FAILED", hint=hint)
    error.__cause__ = cause
    return error


class Producer:
    """A job that is over, and what it has left. It is looked for once; its value is loaded for each call afresh."""

    def __init__(self, directory: str, job: str, label: str) -> None:
        self._directory = os.path.normpath(directory)
        self._job = job
        self._shelf = blobs.Shelf(self._directory, mapped=True)
        self._label = label
        self._marker = ""
        self._found = self._wait()

    def value(self) -> "Any":
        """Load the value. Raises DependencyFailed, which says what became of it instead."""
        if self._found is None:
            raise self._failed(_end(self._marker))
        path, record = self._found
        kind, message = record.header["kind"], record.header.get("message")
        if kind == "value":
            return self._load()
        if kind == "json":
            code = self._json(path, record)
            if code:
                raise self._failed("the command ended with exit code %d" % code)
            return code
        if kind in ("error", "error-text"):
            said = "it raised %s: %s" % (record.header.get("type"), message)
            raise self._failed(said, self._raised(record.header) if kind == "error" else None)
        if kind == "unreturnable":
            raise self._failed("its result cannot be pickled: %s" % message)
        # Its process died: of the limit that it was killed for only the marker knows.
        raise self._failed(_end(self._marker) if self._marker[:5] not in ("", "EXIT ") else str(message))

    def _failed(self, why: str, cause: "Optional[BaseException]" = None) -> BaseException:
        return failed(self._job, self._label, why, cause)

    def _load(self) -> "Any":
        assert self._found is not None
        path, record = self._found
        with open(path, "rb") as file:
            return pickling.load(file, places(record.offset, record.sizes), self._shelf)

    def _json(self, path: str, record: "records.Record") -> int:
        with open(path, "rb") as file:
            file.seek(record.offset)
            return int(json.loads(file.read(sum(record.sizes)).decode("utf-8")))

    def _raised(self, header: "Dict[str, Any]") -> "Optional[BaseException]":
        """Return what the job has raised, with the traceback as its own client would show it; None if that is lost."""
        try:
            error: "BaseException" = self._load()
            error.remote_traceback = header.get("traceback")  # type: ignore[attr-defined]
        except Exception:
            return None
        return error

    def _wait(self) -> "Optional[Found]":
        began = time.monotonic()
        while True:
            self._marker = markers.read(self._directory, 0, 0)
            found = sorted(self._records(), key=lambda one: _ENDS.index(one[1].header["kind"]))
            late = self._marker == "EXIT 0" or not os.path.isdir(self._directory)
            if found or time.monotonic() - began >= (_LAG if late else _GRACE):
                return found[0] if found else None
            time.sleep(_PAUSE)

    def _records(self) -> "Iterator[Found]":
        """Yield the records that end its call. Nothing is loaded before its signature was checked."""
        try:
            signer = records.Signer(key.read(os.path.join(self._directory, "key")), self._job)
            names = sorted(name for name in os.listdir(self._directory) if name.startswith("results-"))
        except OSError:
            return
        except SystemExit as refused:  # that is for the job whose own key it is
            raise self._failed(str(refused))
        for name in names:
            path = os.path.join(self._directory, name)
            with open(path, "rb") as file:
                try:
                    for record in records.read_all(file, 0, signer):
                        if "results-%s" % record.header.get("run") == name and record.header.get("kind") in _ENDS:
                            yield path, record
                except records.ForgedRecord:
                    continue


def _end(marker: str) -> str:
    word, code, reason = (marker.split(" ", 2) + ["", "", ""])[:3]
    if not marker:
        return "it was cancelled, or lost"
    if word == "EXIT":
        return "it ended with exit code %s" % code if code != "0" else "it ended well, but its result never appeared"
    return reason or word
