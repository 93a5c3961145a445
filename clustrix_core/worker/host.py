"""What the backends ``local`` and ``ssh`` ask of a host: start a job, say where jobs stand, end them, count cores."""

import fcntl
import os
import signal
import sys
import time

from clustrix_core.worker import machine, markers, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Tuple

# How long ``kill`` waits for a supervisor before it takes over.
_PATIENCE = 5.0
_AGAIN = 1.0


def start(round: int, slots: int) -> int:
    """Start the supervisor of the job in the working directory, once, and print the job's id."""
    if processes.MARK in os.environ:
        # Started by a job, it is not of that job: it must not carry its mark.
        del os.environ[processes.MARK]
        os.execv(sys.executable, [sys.executable] + sys.argv[:1] + ["start", str(round), str(slots)])
    directory = os.getcwd()
    name = "%s.%d" % (os.path.basename(directory), round)
    file = os.open("supervisor-%d" % round, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    # Whoever asks for the state holds the lock for a moment.
    while not _locked(file):
        if os.fstat(file).st_size:
            break
        time.sleep(0.01)
    if not os.fstat(file).st_size:
        _detach(directory, round, slots, file)
    print(name, flush=True)
    return 0


def ps() -> int:
    """Answer lines ``JOB ROUND`` with ``JOB ROUND STATE REASON``: PENDING, RUNNING or GONE."""
    for job, round in _asked():
        known = Known(job, round)
        if not known.alive():
            print(job, round, "GONE")
        elif known.tasks():
            print(job, round, "RUNNING")
        else:
            print(job, round, "PENDING", "waiting for free cores on %s" % machine.host())
    return 0


def kill() -> int:
    """End the jobs named by lines ``JOB ROUND``; all of them are over, and say so, when this returns."""
    jobs = [Known(job, round) for job, round in _asked()]
    jobs = [known for known in jobs if os.path.isdir(known.directory)]
    for known in jobs:
        known.forbid()
    give_up_at = time.monotonic() + _PATIENCE
    waiting, ask_at = jobs, 0.0
    while waiting and time.monotonic() < give_up_at:
        if time.monotonic() >= ask_at:  # again, should a signal have come at the wrong moment
            ask_at = time.monotonic() + _AGAIN
            for known in waiting:
                known.signal(signal.SIGTERM)
        waiting = [known for known in waiting if known.alive()]
        time.sleep(0.01 if waiting else 0)
    for known in waiting:
        known.signal(signal.SIGKILL)
    for known in jobs:
        known.clear_up()
    return 0


def cores() -> int:
    """Print how many cores and how many bytes of memory there are for us."""
    print(machine.cores(), machine.memory())
    return 0


class Known:
    """A job of this host, as its files tell."""

    def __init__(self, job: str, round: int) -> None:
        self.directory = os.path.join("jobs", job[:2], job)
        self._round = round
        self._path = os.path.join(self.directory, "supervisor-%d" % round)

    def alive(self) -> bool:
        """Whether its supervisor lives."""
        try:
            file = os.open(self._path, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            return not _locked(file, fcntl.LOCK_SH)
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

    def _count(self) -> int:
        import json

        try:
            with open(os.path.join(self.directory, "spec.json"), "rb") as file:
                return int(json.loads(file.read().decode("utf-8"))["tasks"])
        except (OSError, ValueError, KeyError):
            return 1

    def _lines(self) -> "List[str]":
        try:
            with open(self._path) as file:
                return file.read().splitlines()
        except OSError:
            return []


def _detach(directory: str, round: int, slots: int, file: int) -> None:
    """Leave a supervisor behind that hears of neither us nor our terminal. It inherits the lock."""
    ready, tell = os.pipe()
    pid = os.fork()
    if pid:  # the supervisor's grandparent
        os.close(tell)
        os.waitpid(pid, 0)
        if not os.read(ready, 1):
            raise SystemExit("clustrix: the supervisor has not started; see log-%d.0" % round)
        os.close(ready)
        return
    code = 1
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.close(ready)
        _leave_terminal("log-%d.0" % round)
        from clustrix_core.worker.supervisor import Supervisor

        supervisor = Supervisor(directory, round, slots, file)
        supervisor.introduce()
        os.write(tell, b"1")
        os.close(tell)
        supervisor.run()
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _leave_terminal(log: str) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for old, new in ((0, nothing), (1, nothing), (2, said)):
        os.dup2(new, old)


def _locked(file: int, how: int = fcntl.LOCK_EX) -> bool:
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


def _asked() -> "List[Tuple[str, int]]":
    lines = [line.split() for line in sys.stdin]
    return [(words[0], int(words[1])) for words in lines if len(words) == 2 and "/" not in words[0]]
