"""One attempt: a run of one task of a round, with the job directory that it works in."""

import json
import os
import sys
import time

from clustrix_core.worker import key, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence


class Attempt:
    """What the processes of one attempt share: the job's spec and key, and where things lie."""

    def __init__(self, directory: str, round: int, task: int) -> None:
        self.directory = os.path.abspath(directory)
        self.round = round
        self.task = task
        # Where an attempt does not see the files of the one before, somebody else must count.
        self.number = int(os.environ.get("CLUSTRIX_ATTEMPT") or 0)
        self.started = _started()
        self.spec: "Dict[str, Any]" = self._json("spec.json")
        self.signer = records.Signer(key.read(self.path("key")), self.spec["id"])

    def path(self, name: str) -> str:
        """Return the path of a file in the job directory."""
        return os.path.join(self.directory, name)

    def begin(self) -> int:
        """Find the number of this attempt and return the descriptor of its results file 0, which is the task's own."""
        while True:
            try:
                return self.create_results(0)
            except FileExistsError:
                self.number += 1

    def run(self, slot: int, number: "Optional[int]" = None) -> str:
        """Return the name of one process of this attempt, or another: ``<round>.<task>.<attempt>.<slot>``."""
        return "%d.%d.%d.%d" % (self.round, self.task, self.number if number is None else number, slot)

    def results(self, slot: int, number: "Optional[int]" = None) -> str:
        """Return the path of the results that one process writes, of this attempt or another."""
        return self.path("results-" + self.run(slot, number))

    def create_results(self, slot: int) -> int:
        """Create the file for the results of one process. Nobody else ever writes to it."""
        return os.open(self.results(slot), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)

    def open_calls(self) -> "Sequence[int]":
        """Return the calls that this round is to make."""
        if os.path.exists(self.path("todo-%d" % self.round)):
            todo: "List[int]" = self._json("todo-%d" % self.round)
            return todo
        return range(self.spec["calls"])

    def asked(self, name: str, absent: "Any" = None) -> "Any":
        """Return a resource that was asked for."""
        value = (self.spec.get("resources") or {}).get(name)
        return absent if value is None else value

    def tries_left(self, call: int) -> int:
        """Return how often a call may still be tried again; say in the log which try this one is."""
        retries, tried = self.asked("retries", 0), (self.spec.get("tries") or {}).get(str(call), 0)
        if tried:
            print("clustrix: call %d: try %d of %d" % (call, tried + 1, retries + 1), file=sys.stderr, flush=True)
        return max(0, int(retries - tried))

    def warn_in(self) -> "Optional[float]":
        """Return in how many seconds the calls are to be told that their end is near; None: never."""
        walltime, warn = self.spec.get("walltime"), self.asked("warn")
        return self.started + walltime - warn - time.time() if walltime and warn else None

    def earlier(self) -> "Dict[int, str]":
        """Return the calls that earlier attempts of this task have ended, with the kind of their record."""
        found: "Dict[int, str]" = {}
        for path in self.before():
            found.update((call, kind) for call, kind in recorded(path).items() if kind != "again")
        return found

    def before(self) -> "List[str]":
        """Return the results files of earlier attempts of this task, as far as they are here."""
        mine = "results-%d.%d." % (self.round, self.task)
        names = sorted(os.listdir(self.directory)) if self.number else []
        runs = [name[len(mine) :].split(".") for name in names if name.startswith(mine)]
        return [self.results(int(slot), int(number)) for number, slot in runs if int(number) < self.number]

    def _json(self, name: str) -> "Any":
        with open(self.path(name), "rb") as file:
            return json.loads(file.read().decode("utf-8"))


def recorded(path: str) -> "Dict[int, str]":
    """Return the calls that have a complete record in a results file, with its kind."""
    with open(path, "rb") as file:
        try:
            return {header["call"]: header["kind"] for header in records.headers(file) if "call" in header}
        except records.ForgedRecord:
            return {}


def _started() -> float:
    """Return when the task began, by the clock of time.time(). The script may know better than this process."""
    try:
        return min(time.time(), float(os.environ["CLUSTRIX_STARTED"]))
    except (KeyError, ValueError):
        return time.time()
