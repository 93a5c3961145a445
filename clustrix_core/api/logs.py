"""The log of one task, wherever it is by now: on the cluster, or brought home before its directory was removed."""

from __future__ import annotations

import time

from clustrix_core.api import session
from clustrix_core.engine.flight import UNKNOWN_FOR
from clustrix_core.entry import OVER
from clustrix_core.model import JobState, LogChunk


class Log:
    """Reads the log of a task from any offset on."""

    def __init__(self, job: str, task: int = 0) -> None:
        self.job, self.task = job, task
        self._known = time.monotonic()

    def read(self, since: int) -> LogChunk:
        """Return what was written after an offset. Raises ClustrixError."""
        return session.engine().logs(self.job, since, self.task)

    def is_over(self) -> bool:
        """Return whether nothing more will be written: the job is over, or nobody has known of it for a long time."""
        state = session.engine().status(self.job).state
        if state is not JobState.UNKNOWN:
            self._known = time.monotonic()
        return state.over or time.monotonic() - self._known > UNKNOWN_FOR

    def why_empty(self) -> str:
        """Return what to say of a log without a byte in it."""
        entry = session.engine().journal.get(self.job)
        if entry.handle is None:
            return f"Job {self.job} has not begun: {entry.reason or entry.state.lower()}."
        if entry.phase == OVER and entry.settings.get("cleanup", "success") != "never":
            return f"Job {self.job} has written nothing, or its directory was removed (cleanup)."
        return f"Job {self.job} has written nothing" + ("." if entry.phase == OVER else " so far.")


__all__ = ["Log"]
