"""The log: a line of JSON for each entry, in a file that is only ever added to."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clustrix_core.errors import ConfigError

VARIABLE = "CLUSTRIX_AUDIT_LOG"
_log = logging.getLogger("clustrix.audit")


def path() -> Path:
    """Return where the log is: ``$CLUSTRIX_AUDIT_LOG``, else ``audit.jsonl`` beside the journal."""
    named = os.environ.get(VARIABLE)
    return Path(named or Path(os.environ.get("CLUSTRIX_HOME") or "~/.clustrix") / "audit.jsonl").expanduser()


class Book:
    """The open log."""

    def __init__(self, file: int) -> None:
        self._file = file

    def write(self, entry: Mapping[str, Any]) -> None:
        """Add an entry. Never raises: by now there may be a job, and its handle must not be lost."""
        line = json.dumps(entry, ensure_ascii=True) + "\n"
        try:
            os.write(self._file, line.encode())  # one write, so that lines of several processes do not mix
        except OSError:
            _log.exception("not in the audit log: %s", line)


@contextmanager
def opened() -> Iterator[Book]:
    """Open the log to add to it. Raises ConfigError where that cannot be."""
    there = path()
    try:
        there.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(there, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(
            f"the audit log {there} cannot be written: {error.strerror or error}",
            hint=f"{VARIABLE} names another file; CLUSTRIX_DISABLE_PLUGINS=audit does without.",
        ) from error
    try:
        yield Book(file)
    finally:
        os.close(file)


def read(there: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the entries, the oldest first. A line that is none is passed over: it was cut off, or somebody wrote it."""
    try:
        file = there.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                yield entry
