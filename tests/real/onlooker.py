"""Somebody who watches a job from outside: when did the scheduler, or the host's supervisor, first show its end?"""

from __future__ import annotations

import subprocess
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clustrix
from clustrix import JobError
from clustrix_core.config import ClusterConfig
from clustrix_core.model import JobHandle
from tests.testbeds.bed import Bed

PROMPT = 5.0  # seconds after which a caller must know what the scheduler knows
SLACK = 2.0  # for the onlooker's own looks on a busy machine


@dataclass
class Onlooker:
    """Looks at jobs of one place with its own tools; never through ours."""

    place: ClusterConfig
    bed: Bed | None

    @property
    def scheduler(self) -> Bed | None:
        """Who schedules the jobs; None on a host."""
        return None if self.place.backend in ("local", "ssh") else self.bed

    @property
    def work_dir(self) -> Path:
        home = str(self.bed.home) if self.bed else str(Path.home())
        return Path(
            self.place.work_dir.replace("~", home, 1) if self.place.work_dir.startswith("~") else self.place.work_dir
        )

    def handle(self, job: Any) -> JobHandle:
        """Return how the scheduler knows a job, once it does."""
        return until(lambda: job._flight.handle, "the job was submitted")

    def directory(self, job: Any) -> Path:
        return self.work_dir / self.handle(job).dir

    def ended(self, job: Any) -> str:
        """Return the word for how a job ended, of the scheduler or of the host's supervisor; "" before that."""
        handle = self.handle(job)
        if self.scheduler:
            return self.scheduler.ended(handle.native)
        marker = self.directory(job) / f"status-{handle.round}.0"
        return marker.read_text().split()[0] if marker.exists() else ""

    def wait_until_running(self, job: Any) -> None:
        """Wait until the function has begun to write its log."""
        log = self.directory(job) / "log-0.0"
        until(lambda: log.exists() and log.stat().st_size > 0, "the job began", 100)

    def cancel(self, job: Any) -> None:
        """Cancel a job as its owner does who has never heard of Clustrix."""
        handle = self.handle(job)
        if self.scheduler:
            self.scheduler.cancel(handle.native)
            return
        complete = max((self.work_dir / "worker").glob("*/complete"), key=lambda path: path.stat().st_mtime)
        kill = f"{self.place.python or 'python3'} '{complete.parent}' kill"
        command = f"cd '{self.work_dir}' && echo '{handle.job} {handle.round}' | {kill}"
        if self.bed:
            self.bed.run("sh", "-c", command)
        else:
            subprocess.run(["sh", "-c", command], check=True)

    def denied(self, job: Any) -> AbstractContextManager[None]:
        """Whoever schedules knows nothing of a running job any more."""
        if self.scheduler:
            return self.scheduler.forget(self.handle(job).native)
        self.cancel(job)
        return nullcontext()

    def ending(self, job: Any) -> Ending:
        """Begin to watch a job."""
        return Ending(self, job)


class Ending:
    """The end of a job, as it was first shown: ``at`` by the clock of time.monotonic, and the word."""

    def __init__(self, onlooker: Onlooker, job: Any) -> None:
        self.at: float | None = None
        self.word = ""
        self._onlooker, self._job = onlooker, job
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        deadline = time.monotonic() + 110
        while time.monotonic() < deadline:
            word = self._onlooker.ended(self._job)
            if word:
                self.at, self.word = time.monotonic(), word
                return
            time.sleep(0.1)

    def error(self) -> Any:
        """Return the caller's error, and insist that it came soon after the end was shown."""
        error = self._job.exception(110)
        heard = time.monotonic()
        self._thread.join(SLACK)
        assert self.at is not None, f"nobody but the caller has seen the end: {error!r}"
        assert heard - self.at < PROMPT + SLACK, f"{heard - self.at:.1f} s after {self.word}"
        return error


def check(error: Any, kind: type[JobError], job: Any, log: str = "", **known: Any) -> None:
    """What every typed end has."""
    assert type(error) is kind, repr(error)
    assert error.job == job.id
    assert error.cluster == job._flight.cluster.name
    assert error.state == known.get("state", error.state)
    assert log in error.log
    assert log in str(error)
    assert error.reason and error.reason in str(error)
    (kept,) = [info for info in clustrix.jobs() if info.id == job.id]
    assert kept.state == error.state
    # Another client gets the same end, without asking the cluster.
    again = clustrix.get_job(job.id).exception(10)
    assert (type(again), again.state, again.exit_code, again.log) == (kind, error.state, error.exit_code, error.log)


def until(true: Any, what: str, patience: float = 60.0) -> Any:
    """Wait until a condition holds and return what it returned."""
    deadline = time.monotonic() + patience
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {patience:.0f} s: {what}"
        time.sleep(0.05)
    return found


def scontrol(native: str) -> str:
    """Return what Slurm shows of a job."""
    argv = ["scontrol", "-o", "show", "job", native]
    return subprocess.run(argv, capture_output=True, text=True).stdout
