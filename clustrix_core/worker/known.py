"""A job of a host without a scheduler, as its files tell."""

import fcntl
import json
import os

from clustrix_core.worker import markers, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Tuple


class Known:
    """A job of this host, as its files tell."""

    def __init__(self, job: str, round: int, jobs: str = "jobs") -> None:
        self.job = job
        self.directory = os.path.join(jobs, job[:2], job)
        self._round = round
        self._path = os.path.join(self.directory, "supervisor-%d" % round)

    def alive(self) -> bool:
        """Whether its supervisor lives."""
        try:
            file = os.open(self._path, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            return not locked(file, fcntl.LOCK_SH)
        finally:
            os.close(file)

    def tasks(self) -> "List[Tuple[int, int, int]]":
        """Return (task, pid, when it began) of the tasks that its supervisor has started."""
        lines = [line.split() for line in self._lines()]
        return [(int(w[1]), int(w[2]), int(w[3])) for w in lines if len(w) == 4 and w[0] == "task"]

    def forbid(self) -> None:
        """See to it that no further task begins, even if the supervisor is only about to."""
        os.close(os.open(os.path.join(self.directory, "cancel-%d" % self._round), os.O_WRONLY | os.O_CREAT, 0o600))

    def signal(self, number: int) -> None:
        """Send the supervisor a signal, if it lives."""
        words = self._lines()[:1]
        pid, began = [int(word) for word in words[0].split()[:2]] if words else (0, 0)
        if pid and _is(pid, began):
            os.kill(pid, number)

    def clear_up(self) -> None:
        """End what a dead supervisor has left, and write the markers that it owes."""
        families = []
        for task, pid, began in self.tasks():
            if not markers.exists(self.directory, self._round, task):
                # Where the leader is gone its number may be somebody else's: the mark alone tells then.
                leader = pid if _is(pid, began) else -1
                families.append(processes.Family(leader, processes.mark(self.directory, self._round, task)))
        if families:
            processes.end(families)
        for task in range(self._count()):
            if not markers.exists(self.directory, self._round, task):
                markers.write(self.directory, self._round, task, "CANCELLED", 143, "cancelled")

    def producers(self) -> "List[Known]":
        """Return the jobs whose values it takes, each of one call: it begins when they are over."""
        jobs = os.path.dirname(os.path.dirname(self.directory))
        return [Known(job, 0, jobs) for job in sorted(self._spec().get("after") or ())]

    def over(self) -> bool:
        """Whether the one task of a job has ended, or nobody looks after it any more."""
        return markers.exists(self.directory, self._round, 0) or not self.alive()

    def __str__(self) -> str:
        name = " ".join(str(self._spec().get("name")).split())  # on one line
        return "%s (job %s)" % (name, self.job)

    def _count(self) -> int:
        return int(self._spec().get("tasks") or 1)

    def _spec(self) -> "Dict[str, Any]":
        try:
            with open(os.path.join(self.directory, "spec.json"), "rb") as file:
                spec: "Dict[str, Any]" = json.loads(file.read().decode("utf-8"))
                return spec
        except (OSError, ValueError):
            return {}

    def _lines(self) -> "List[str]":
        try:
            with open(self._path) as file:
                return file.read().splitlines()
        except OSError:
            return []


def locked(file: int, how: int = fcntl.LOCK_EX) -> bool:
    """Take the lock, if nobody is in the way."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise SystemExit("clustrix: files cannot be locked in this work_dir (%s): choose another one" % error)
    return True


def _is(pid: int, began: int) -> bool:
    found = processes.look(pid)
    return found is not None and found.began == began
