"""The supervisor: what a host without a scheduler has in its place. One process a job; it outlives the client.

Its file ``supervisor-<round>`` is locked as long as it lives. The first line is ``<pid> <when it began> <host>``, then
comes a line ``task <index> <pid> <when it began>`` for each task that it starts.
"""

import json
import os
import select
import signal
import sys
import time

from clustrix_core.worker import markers, processes
from clustrix_core.worker.known import Known
from clustrix_core.worker.machine import host
from clustrix_core.worker.turnstile import Turnstile, give_back

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List

    Ends = Dict[int, "tuple[str, int, str]"]

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Seconds between two looks at the memory of tasks, and at the slots of this host.
_SAMPLE = 0.1
_POLL = (0.02, 0.25)


class _Woken(Exception):
    """A signal came while waiting for the turn."""


class Running:
    """A task at work."""

    def __init__(self, pid: int, family: processes.Family, slots: "List[int]") -> None:
        self.pid = pid
        self.family = family
        self.slots = slots
        self.since = time.monotonic()


class Supervisor:
    """Runs the tasks of one round as slots become free, within their limits."""

    def __init__(self, directory: str, round: int, slots: int, file: int) -> None:
        self._directory = directory
        self._round = round
        self._file = file
        with open(os.path.join(directory, "spec.json"), "rb") as spec:
            self._spec: "Dict[str, Any]" = json.loads(spec.read().decode("utf-8"))
        width = self._spec.get("width") or 1
        # A task that wants more than there is runs alone.
        self._need = max(1, min(slots, (self._spec.get("cores") or 1) * width))
        self._at_once = max(1, (self._spec.get("max_parallel") or 1 << 30) // width)
        self._memory = (self._spec.get("memory") or 0) * width
        self._turnstile = Turnstile(os.path.join(directory, "..", "..", ".."), slots)
        self._running: "Dict[int, Running]" = {}
        self._pending = [task for task in range(self._spec["tasks"]) if not markers.exists(directory, round, task)]
        self._producers = Known(os.path.basename(directory), round, os.path.join(directory, "..", "..")).producers()
        self._poll = _POLL[0]
        self._cancelled = False
        self._waiting = False
        self._wake, wake = os.pipe()
        for fd in (self._wake, wake):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in _ENDING:
            signal.signal(number, self._on_signal)

    def introduce(self) -> None:
        """Write who holds the lock."""
        me = processes.look(os.getpid())
        self._note("%d %d %s\n" % (os.getpid(), me.began if me else 0, host()))

    def run(self) -> None:
        """Run until all tasks are over or the job is cancelled."""
        while self._pending or self._running:
            if self._cancelled or os.path.exists(os.path.join(self._directory, "cancel-%d" % self._round)):
                return self._cancel()
            self._producers = [producer for producer in self._producers if not producer.over()]
            if not self._producers:
                self._launch()
            if self._pending and not self._running and not self._producers and not self._turnstile.is_mine:
                self._wait_for_turn()
                continue
            self._nap()
            self._reap()
            self._enforce()

    def _on_signal(self, number: int, frame: "Any") -> None:
        self._cancelled = True
        if self._waiting:
            raise _Woken

    def _wait_for_turn(self) -> None:
        """Sleep in the kernel until our turn comes. Only where nothing runs that needs watching."""
        try:
            self._waiting = True
            if not self._cancelled:
                self._turnstile.wait()
        except _Woken:
            pass
        finally:
            self._waiting = False

    def _launch(self) -> None:
        while self._pending and len(self._running) < self._at_once:
            slots = self._turnstile.take(self._need)
            if not slots:
                return
            self._poll = _POLL[0]
            task = self._pending.pop(0)
            self._running[task] = self._start(task, slots)

    def _start(self, task: int, slots: "List[int]") -> Running:
        mark = processes.mark(self._directory, self._round, task)
        pid = os.fork()
        if pid == 0:
            self._be_task(task, mark)
        began = processes.look(pid)
        self._note("task %d %d %d\n" % (task, pid, began.began if began else 0))
        return Running(pid, processes.Family(pid, mark), slots)

    def _be_task(self, task: int, mark: str) -> None:
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in _ENDING + (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            log = os.open("log-%d.%d" % (self._round, task), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.environ["CLUSTRIX_TASK"] = str(task)
            os.environ[processes.MARK] = mark
            os.execv("/bin/sh", ["/bin/sh", "job-%d.sh" % self._round])
        except OSError as error:
            print("clustrix: the job script cannot be started: %s" % error, file=sys.stderr, flush=True)
        finally:
            os._exit(127)

    def _nap(self) -> None:
        """Sleep until a signal or until something is due."""
        pauses: "List[float]" = []
        if self._pending and len(self._running) < self._at_once:
            self._poll = min(_POLL[1], 1.2 * self._poll)
            pauses.append(self._poll)
        if self._running and self._memory:
            pauses.append(_SAMPLE)
        walltime = self._spec.get("walltime")
        if walltime:
            now = time.monotonic()
            pauses += [max(0.0, one.since + walltime - now) for one in self._running.values()]
        select.select([self._wake], [], [], min(pauses) if pauses else None)
        try:
            os.read(self._wake, 4096)
        except BlockingIOError:
            pass

    def _reap(self) -> None:
        for task, one in list(self._running.items()):
            pid, status = os.waitpid(one.pid, os.WNOHANG)
            if not pid:
                continue
            if one.family.scan():  # what the script has left behind
                processes.end([one.family])
            if not markers.exists(self._directory, self._round, task):
                code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
                self._mark(task, "EXIT", code)
            self._forget(task)

    def _enforce(self) -> None:
        """End the tasks that have used more than they had asked for."""
        ends: "Ends" = {}
        walltime = self._spec.get("walltime")
        for task, one in self._running.items():
            ran = time.monotonic() - one.since
            if walltime and ran >= walltime:
                ends[task] = ("TIMEOUT", 143, "ran %.0f s, asked for %.0f s" % (ran, walltime))
            elif self._memory:
                used = self._used(one)
                if used > self._memory:
                    ends[task] = ("OUT_OF_MEMORY", 137, "used %s, asked for %s" % (_mb(used), _mb(self._memory)))
        if ends:
            self._end(ends)

    def _used(self, one: Running) -> int:
        used = one.family.memory()
        # The sum counts a page once for each process that shares it: before anything is killed, count it properly.
        return min(used, one.family.proportional_memory()) if used > self._memory else used

    def _end(self, ends: "Ends") -> None:
        processes.end([self._running[task].family for task in ends])
        for task, (word, code, reason) in ends.items():
            try:
                os.waitpid(self._running[task].pid, os.WNOHANG)
            except ChildProcessError:
                pass
            self._mark(task, word, code, reason)
            self._forget(task)

    def _cancel(self) -> None:
        self._turnstile.leave()
        self._end(dict.fromkeys(self._running, ("CANCELLED", 143, "cancelled")))
        for task in self._pending:
            self._mark(task, "CANCELLED", 143, "cancelled before it began")

    def _mark(self, task: int, word: str, code: int, reason: str = "") -> None:
        try:
            markers.write(self._directory, self._round, task, word, code, reason)
        except OSError as error:  # the disk is full: the others must be looked after all the same
            print("clustrix: the end of task %d cannot be written: %s" % (task, error), file=sys.stderr, flush=True)

    def _forget(self, task: int) -> None:
        give_back(self._running.pop(task).slots)

    def _note(self, line: str) -> None:
        os.write(self._file, line.encode("utf-8"))


def _mb(size: int) -> str:
    return "%.0f MB" % (size / 1048576.0)
