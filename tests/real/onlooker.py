"""Somebody who watches a job from outside: when did the scheduler, or the host's supervisor, first show its end?"""

from __future__ import annotations

import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clustrix_core.config import ClusterConfig
from clustrix_core.model import JobHandle
from tests.testbeds.slurm import SlurmBed

PROMPT = 5.0  # seconds after which a caller must know what the scheduler knows
SLACK = 2.0  # for the onlooker's own looks on a busy machine
_LIVE = ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "REQUEUED", "STAGE_OUT", "")


@dataclass
class Onlooker:
    """Looks at jobs of one place with its own tools; never through ours."""

    place: ClusterConfig
    bed: SlurmBed | None

    @property
    def slurm(self) -> bool:
        return self.place.backend == "slurm"

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

    def word(self, job: Any) -> str:
        """Return the scheduler's word for a job; "" before it is known."""
        handle = self.handle(job)
        if not self.slurm:
            marker = self.directory(job) / f"status-{handle.round}.0"
            return marker.read_text().split()[0] if marker.exists() else ""
        words = [word.partition("=")[2] for word in scontrol(handle.native).split() if word.startswith("JobState=")]
        return words[0] if words else ""

    def wait_until_running(self, job: Any) -> None:
        """Wait until the function has begun to write its log."""
        log = self.directory(job) / "log-0.0"
        until(lambda: log.exists() and log.stat().st_size > 0, "the job began", 100)

    def cancel(self, job: Any) -> None:
        """Cancel a job as its owner does who has never heard of Clustrix."""
        handle = self.handle(job)
        if self.slurm:
            subprocess.run(["scancel", handle.native], check=True)
            return
        complete = max((self.work_dir / "worker").glob("*/complete"), key=lambda path: path.stat().st_mtime)
        kill = f"{self.place.python or 'python3'} '{complete.parent}' kill"
        command = f"cd '{self.work_dir}' && echo '{handle.job} {handle.round}' | {kill}"
        if self.bed:
            self.bed.run("sh", "-c", command)
        else:
            subprocess.run(["sh", "-c", command], check=True)

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
            word = self._onlooker.word(self._job)
            if word not in _LIVE:
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
