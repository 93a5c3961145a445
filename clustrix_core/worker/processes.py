"""Processes of this host: those that belong to a task, how much memory they hold, and how to end them all."""

import os
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterable, Optional, Sequence, Set

_PROC = os.path.isdir("/proc/self")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# The variable by which processes are known that have left the session and lost their parents.
MARK = "CLUSTRIX_SESSION"


def mark(directory: str, round: int, task: int) -> str:
    """Return what the processes of a task carry. No other task of this host has the same."""
    return "%s %d.%d" % (os.path.realpath(directory), round, task)


class Process:
    """What is known of a process. ``began`` tells it from a later one of the same number."""

    __slots__ = ("began", "parent", "pid", "resident", "session", "zombie")

    def __init__(self, pid: int, parent: int, session: int, resident: int, began: int, zombie: bool) -> None:
        self.pid = pid
        self.parent = parent
        self.session = session
        self.resident = resident
        self.began = began
        self.zombie = zombie


def look(pid: int) -> "Optional[Process]":
    """Return one process, None when there is none (or it is only waiting to be reaped)."""
    if not _PROC:
        return _listed("-p", str(pid)).get(pid)
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            words = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    found = Process(pid, int(words[1]), int(words[3]), int(words[21]) * _PAGE, int(words[19]), words[0] in b"ZX")
    return None if found.zombie else found


def everyone() -> "Dict[int, Process]":
    """Return all processes of this host."""
    if not _PROC:
        return _listed("-A")
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            process = look(int(name))
            if process is not None:
                found[process.pid] = process
    return found


def _listed(*which: str) -> "Dict[int, Process]":
    """Ask ``ps``. Where it knows no sessions, the process group stands in for one."""
    import subprocess

    command = ["ps"] + list(which) + ["-o", "pid=,ppid=,pgid=,rss=,stat="]
    found = {}
    for line in subprocess.run(command, stdout=subprocess.PIPE).stdout.decode("ascii", "replace").splitlines():
        words = line.split()
        pid, parent, group, resident = (int(word) for word in words[:4])
        if not words[4].startswith("Z"):
            found[pid] = Process(pid, parent, group, resident * 1024, 0, False)
    return found


class Family:
    """The processes of a task: its session, the descendants of these, and whoever carries its mark."""

    def __init__(self, leader: int, mark: str) -> None:
        self.leader = leader
        self._mark = os.fsencode("%s=%s" % (MARK, mark))
        self._known: "Dict[int, Process]" = {}
        self._scan_at = 0.0

    def memory(self) -> int:
        """Return the resident memory of all of them, in bytes. Looks at the whole host only once in a while."""
        now = time.monotonic()
        if now >= self._scan_at:
            self.scan()
            # However many processes the host has: at most one fiftieth of a core.
            self._scan_at = now + max(1.0, 50 * (time.monotonic() - now))
        else:
            self._refresh()
        return sum(process.resident for process in self._known.values())

    def proportional_memory(self) -> int:
        """Return the same, pages that several of them share counted once; slow."""
        return sum(_proportional(process) for process in self._known.values())

    def scan(self, thorough: bool = False) -> "Dict[int, Process]":
        """Find all members. ``thorough``: also by their mark, which costs a look at every environment."""
        host = everyone()
        found = {
            pid: process
            for pid, process in host.items()
            if process.session == self.leader or self._is_known(process) or (thorough and self._is_marked(pid))
        }
        grown = True
        while grown:
            more = {pid: p for pid, p in host.items() if p.parent in found and pid not in found}
            found.update(more)
            grown = bool(more)
        self._known = found
        return found

    def _refresh(self) -> None:
        waiting = list(self._known.values())
        self._known = {}
        for process in waiting:
            now = look(process.pid)
            if now is None or now.began != process.began:
                continue
            self._known[now.pid] = now
            waiting += _children(now.pid, self._known)

    def _is_known(self, process: Process) -> bool:
        known = self._known.get(process.pid)
        return known is not None and known.began == process.began

    def _is_marked(self, pid: int) -> bool:
        try:
            with open("/proc/%d/environ" % pid, "rb") as file:
                return self._mark in file.read().split(b"\0")
        except OSError:
            return False


def end(families: "Sequence[Family]", patience: float = 2.0) -> None:
    """End all processes of tasks: their leaders at once, the others politely, after ``patience`` whatever is left.

    Returns when none is left, or when what is left cannot be ended.
    """
    started = time.monotonic()
    members = _members(families)
    # The leader is the job script: it must not go on with its next line, nor write its own end.
    leaders = {family.leader for family in families} & members
    _send(signal.SIGKILL, leaders)
    _send(signal.SIGTERM, members - leaders)
    _send(signal.SIGCONT, members)
    pause = 0.005
    while members and time.monotonic() < started + 2 * patience:
        if time.monotonic() >= started + patience:
            _send(signal.SIGKILL, members)
        time.sleep(pause)
        pause = min(0.1, 2 * pause)
        members = _members(families)


def _members(families: "Sequence[Family]") -> "Set[int]":
    return {pid for family in families for pid in family.scan(thorough=True)}


def _children(pid: int, known: "Dict[int, Process]") -> "Iterable[Process]":
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid), "rb") as file:
            numbers = [int(word) for word in file.read().split()]
    except (OSError, ValueError):
        return []
    found = (look(number) for number in numbers if number not in known)
    return [process for process in found if process is not None]


def _proportional(process: Process) -> int:
    try:
        with open("/proc/%d/smaps_rollup" % process.pid, "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return process.resident


def _send(number: int, pids: "Iterable[int]") -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            pass
