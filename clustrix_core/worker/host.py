"""What the backends ``local`` and ``ssh`` ask of a host: start a job, say where jobs stand, end them, count cores."""

import os
import signal
import sys
import time

from clustrix_core.worker import machine, processes
from clustrix_core.worker.known import Known, locked

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
    while not locked(file):
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
            print(job, round, "PENDING", "waiting for", _awaited(known.producers()))
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


def _awaited(producers: "List[Known]") -> str:
    """Return what a job waits for that has not begun."""
    left = [producer for producer in producers if not producer.over()]
    if not left:
        return "free cores on %s" % machine.host()
    return "%s%s" % (left[0], " and %d more" % (len(left) - 1) if len(left) > 1 else "")


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


def _asked() -> "List[Tuple[str, int]]":
    lines = [line.split() for line in sys.stdin]
    return [(words[0], int(words[1])) for words in lines if len(words) == 2 and "/" not in words[0]]
