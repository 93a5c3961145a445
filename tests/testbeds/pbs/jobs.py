"""The jobs of the fake PBS server, and the one node on which they really run."""

from __future__ import annotations

import os
import pwd
import re
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

TICK = 0.05
SERVER = "vm"
CPUS, MEMORY = 8, 16 << 30
DELETED, RAN, FAILED = 91, 92, 93  # substates of what is over


@dataclass
class Settings:
    """What a test may set otherwise."""

    torque: bool = False
    down: bool = False
    history: bool = True
    kill_delay: float = 10.0  # seconds between TERM and KILL
    exiting: float = 1.2  # seconds in E
    max_array: int = 10000
    whole: bool = True  # TERM reaches the job's top shell too, so that 271 is told; else 143


@dataclass
class Queue:
    """A queue. Times in seconds."""

    name: str
    enabled: bool = True
    started: bool = True
    max_walltime: int | None = None
    default_walltime: int | None = None
    max_run: int | None = None


@dataclass
class Job:
    """A job, an array, or a task of one (then ``index`` is set)."""

    number: int
    index: int | None
    array: tuple[int, ...]  # the indexes of an array
    name: str
    owner: str
    script: str
    cwd: str
    env: dict[str, str]
    queue: str
    options: list[str]
    ncpus: int = 1
    chunks: int = 1
    memory: int | None = None
    walltime: int | None = None
    max_run: int | None = None
    shell: str = "/bin/bash"
    output: str = ""
    error: str = ""
    join: str = "n"
    mail: str = "a"
    account: str = ""
    rerunnable: bool = True
    holds: str = "n"
    depend: list[tuple[str, str]] = field(default_factory=list)
    asked: dict[str, str] = field(default_factory=dict)  # Resource_List
    state: str = "Q"
    substate: int = 10
    comment: str = ""
    status: int | None = None
    created: float = field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    runs: int = 0
    why: str = ""  # what it is being ended for: walltime, mem, deleted, rerun
    told: float | None = None  # when it got its TERM
    left: float | None = None  # when it came into E
    peak: int = 0
    process: subprocess.Popen[bytes] | None = None
    forced: bool = False

    @property
    def over(self) -> bool:
        return self.state in "FXC"

    @property
    def id(self) -> str:
        return f"{self.number}{'' if not self.array and self.index is None else f'[{self.at}]'}.{SERVER}"

    @property
    def at(self) -> str:
        return "" if self.index is None else str(self.index)

    @property
    def used(self) -> int:
        return int((self.ended or time.time()) - self.started) if self.started else 0


class Node:
    """Runs jobs as processes of their owners, and ends them."""

    def __init__(self, house: Path, settings: Settings) -> None:
        self.house, self.settings = house, settings
        self.spool = house / "spool"
        self.spool.mkdir(mode=0o755)

    def start(self, job: Job) -> None:
        user = pwd.getpwnam(job.owner)
        base = self.spool / f"{job.number}_{job.at}"
        script, line = base.with_suffix(".SC"), base.with_suffix(".IN")
        script.write_bytes(job.script.encode("utf-8", "surrogateescape"))
        line.write_text(f"'{script}'\n")
        for path in (script, line):
            os.chown(path, user.pw_uid, user.pw_gid)
            path.chmod(0o700)
        job.started, job.ended, job.state, job.substate = time.time(), None, "R", 42
        job.runs += 1
        job.comment = f"Job run at {time.strftime('%a %b %d at %H:%M')} on ({SERVER}:ncpus={job.ncpus})"
        if not os.access(job.shell, os.X_OK):
            job.status, job.state, job.left = 254, "E", time.time()
            return
        # The top shell reads the script's name, so what the script ends with is what its child ended with.
        with (
            line.open("rb") as stdin,
            base.with_suffix(".OU").open("wb") as out,
            base.with_suffix(".ER").open("wb") as err,
        ):
            job.process = subprocess.Popen(
                [job.shell],
                stdin=stdin,
                stdout=out,
                stderr=out if "oe" in job.join else err,
                cwd=user.pw_dir,
                env=self._environment(job, user),
                user=user.pw_uid,
                group=user.pw_gid,
                extra_groups=[],
                umask=0o077,
                start_new_session=True,
            )

    def _environment(self, job: Job, user: pwd.struct_passwd) -> dict[str, str]:
        ours = {
            "HOME": user.pw_dir,
            "USER": user.pw_name,
            "LOGNAME": user.pw_name,
            "SHELL": user.pw_shell,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "TMPDIR": "/var/tmp",
            "PBS_ENVIRONMENT": "PBS_BATCH",
            "PBS_JOBID": job.id,
            "PBS_JOBNAME": job.name,
            "PBS_QUEUE": job.queue,
            "PBS_O_WORKDIR": job.cwd,
            "NCPUS": str(job.ncpus),
        }
        if job.index is not None:
            array = {"PBS_ARRAY_INDEX": job.at, "PBS_ARRAY_ID": f"{job.number}[].{SERVER}"}
            ours |= {"PBS_ARRAYID": job.at} if self.settings.torque else array
        return {**job.env, **ours}

    def tend(self, job: Job) -> None:
        """Look after a job that runs: its limits, its end."""
        assert job.started is not None
        if job.state == "E":
            return
        assert job.process is not None
        now, code = time.time(), job.process.poll()
        if code is not None and job.status is None:
            job.status = 256 - code if code < 0 else code
        if code is not None and (job.told is None or not session(job.process.pid)):
            self.clear(job)
            job.state, job.left = "E", now
            self._say(job)
            return
        if job.told is not None:
            if now - job.told > self.settings.kill_delay or job.forced:
                self.clear(job)
            return
        self._limits(job)

    def _limits(self, job: Job) -> None:
        assert job.process is not None
        held = sum(map(resident, session(job.process.pid)))
        job.peak = max(job.peak, held)
        if job.walltime is not None and job.used > job.walltime:
            self.end(job, "walltime")
        elif job.memory is not None and held > job.memory * job.chunks:
            self.end(job, "mem")

    def end(self, job: Job, why: str) -> None:
        """Send TERM; KILL follows when the delay is over."""
        job.why, job.told = job.why or why, job.told or time.time()
        if job.process is None:
            return
        for pid in session(job.process.pid):  # the script first: it must not see its child die before
            if self.settings.whole or pid != job.process.pid:
                kill(pid, signal.SIGTERM)

    def clear(self, job: Job) -> None:
        if job.process is not None:
            for pid in session(job.process.pid):
                kill(pid, signal.SIGKILL)
            job.process.wait()

    def _say(self, job: Job) -> None:
        said = {
            "walltime": f"walltime {job.used} exceeded limit {job.walltime}",
            "mem": f"mem {job.peak >> 10}kb exceeded limit {(job.memory or 0) * job.chunks >> 10}kb",
        }.get(job.why)
        if said:
            stream = ".OU" if "oe" in job.join else ".ER"
            with (self.spool / f"{job.number}_{job.at}{stream}").open("a") as file:
                file.write(f"=>> PBS: job killed: {said}\n")

    def deliver(self, job: Job) -> None:
        """Move the logs to where they belong: only now, mode 0600, over what is there."""
        user = pwd.getpwnam(job.owner)
        letters = {".OU": ("o", job.output), ".ER": ("e", job.error)}
        for suffix, (letter, wanted) in letters.items():
            file = self.spool / f"{job.number}_{job.at}{suffix}"
            if not file.exists() or (letter == "e" and "oe" in job.join):
                continue
            usual = f"{job.name}.{letter}{job.number}{'' if job.index is None else f'.{job.at}'}"
            target = Path(job.cwd) / (wanted.replace("^array_index^", job.at) or usual)
            if wanted.endswith("/"):
                target = target / f"{job.id}{suffix}"
            if str(target) == "/dev/null" or not target.parent.is_dir():
                continue
            if target.is_symlink():
                target.unlink()
            target.write_bytes(file.read_bytes())
            target.chmod(0o600)
            os.chown(target, user.pw_uid, user.pw_gid)
        for file in self.spool.glob(f"{job.number}_{job.at}.*"):
            file.unlink()


def session(leader: int) -> list[int]:
    """Return the living processes of a session, the leader first."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _read(f"/proc/{entry}/stat").rpartition(")")[2].split()
            if len(fields) > 3 and int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(entry))
    return sorted(found)


def resident(pid: int) -> int:
    """Return a process's memory in bytes; what it shares counts for each in part, where the kernel says so."""
    pss = re.search(r"^Pss:\s+(\d+) kB", _read(f"/proc/{pid}/smaps_rollup"), re.MULTILINE)
    return int(pss[1]) << 10 if pss else 0


def kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""
