"""What Slurm's commands are asked, and what they answer."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator, Sequence

from clustrix_core.batch import Row
from clustrix_core.batch.queue import expand
from clustrix_core.errors import TransportError
from clustrix_core.model import Cluster, JobHandle, JobState
from clustrix_slurm.reasons import in_words

# squeue(1), "JOB STATE CODES". COMPLETING still holds its node; SPECIAL_EXIT and the like wait for somebody's hand.
STATES = {
    "PENDING": JobState.PENDING,
    "CONFIGURING": JobState.PENDING,
    "REQUEUED": JobState.PENDING,
    "REQUEUE_FED": JobState.PENDING,
    "REQUEUE_HOLD": JobState.PENDING,
    "RESV_DEL_HOLD": JobState.PENDING,
    "SPECIAL_EXIT": JobState.PENDING,
    "RUNNING": JobState.RUNNING,
    "COMPLETING": JobState.RUNNING,
    "RESIZING": JobState.RUNNING,
    "SIGNALING": JobState.RUNNING,
    "STAGE_OUT": JobState.RUNNING,
    "STOPPED": JobState.RUNNING,
    "SUSPENDED": JobState.RUNNING,
    "COMPLETED": JobState.SUCCEEDED,
    "FAILED": JobState.FAILED,
    "LAUNCH_FAILED": JobState.FAILED,
    "RECONFIG_FAIL": JobState.FAILED,
    "CANCELLED": JobState.CANCELLED,
    "REVOKED": JobState.CANCELLED,
    "TIMEOUT": JobState.TIMEOUT,
    "DEADLINE": JobState.TIMEOUT,
    "OUT_OF_MEMORY": JobState.OUT_OF_MEMORY,
    "NODE_FAIL": JobState.NODE_FAIL,
    "BOOT_FAIL": JobState.NODE_FAIL,
    "PREEMPTED": JobState.PREEMPTED,
}
# A site without accounting may not even have sacct; each shell has its own words for that.
NO_ACCOUNTING = re.compile(
    "accounting storage is disabled|sacct: (command )?not found|command not found: sacct", re.IGNORECASE
)
# What scancel says of jobs that are over or forgotten, where it says anything.
UNKNOWN = re.compile("Invalid job id specified|already completing or completed", re.IGNORECASE)
# sbatch fails with these although slurmctld may have accepted the job.
UNSURE = re.compile("Socket timed out|Unable to contact slurm controller|Zero Bytes were transmitted", re.IGNORECASE)
# What users may have in their environment, so that jobs would be submitted or seen otherwise than they were meant.
_MEDDLING = (
    "SBATCH_ARRAY_INX", "SBATCH_CLUSTERS", "SBATCH_ERROR", "SBATCH_JOB_NAME", "SBATCH_OPEN_MODE", "SBATCH_OUTPUT",
    "SBATCH_WAIT", "SQUEUE_ACCOUNT", "SQUEUE_LICENSES", "SQUEUE_NAMES", "SQUEUE_PARTITION", "SQUEUE_QOS",
    "SQUEUE_STATES", "SCANCEL_ACCOUNT", "SCANCEL_BATCH", "SCANCEL_INTERACTIVE", "SCANCEL_NAME", "SCANCEL_PARTITION",
    "SCANCEL_QOS", "SCANCEL_STATE", "SCANCEL_WCKEY",
)  # fmt: skip
PLAIN = ("env", *(f"-u{name}" for name in _MEDDLING))
_CODE = re.compile(r"(?P<job>\d+) +(?P<index>\S+) +(?P<code>\d+) +(?P<name>\S+) *\Z")
_NOT_STARTED = "0:53"
_ENDS = "CA,CD,DL,F,NF,OOM,PR,TO,BF"
_DAY = 86400


def read_job_id(answer: str) -> str:
    """Return the job id of ``sbatch --parsable``: ``123`` or ``123;cluster``."""
    match = re.search(r"^(\d+)(?:;\S+)?\s*\Z", answer, re.MULTILINE)
    if match is None:
        raise TransportError(f"sbatch answered {answer.strip()[:200]!r}, which names no job; there may be one")
    return match[1]


def squeue(handles: Sequence[JobHandle], cluster: Cluster) -> Sequence[str]:
    """All jobs of the user, arrays unexpanded: the size of the question does not grow with the jobs in flight."""
    # With -t all a job is still shown for MinJobAge after its end, with its state. Exit codes are in another format,
    # which is asked for only where a job has failed.
    ask = f"said=$({_squeue(cluster)} -t all -o '%F|%K|%T|%r|%j') || exit; printf '%s\\n' \"$said\""
    codes = f"{_squeue(cluster)} -t F -O ArrayJobID:24,ArrayTaskID:80,exit_code:12,Name:64"
    return [*PLAIN, "sh", "-c", f'{ask}; case $said in *"|FAILED|"*) {codes};; esac']


def _squeue(cluster: Cluster) -> str:
    user = cluster.site.user if cluster.site else ""
    # Without -a it keeps quiet about jobs in hidden partitions, the user's own too.
    return f"squeue -h -a {f'-u {shlex.quote(user)}' if user else '--me'}"


def cancel(handles: Sequence[JobHandle], cluster: Cluster) -> Sequence[str]:
    """By id and name, because an id may have been used again. ``scancel --name`` takes one name at a time."""
    live = f"live=$({_squeue(cluster)} -o '%F|%j') || exit"
    ours = "ours=$(printf '%s\\n' \"$live\" | grep -Fx \"$@\" | cut -d '|' -f 1 | sort -u)"
    wanted = [word for handle in handles for word in ("-e", f"{handle.native}|{handle.name}")]
    return [*PLAIN, "sh", "-c", f'{live}; {ours}; [ -z "$ours" ] || exec scancel $ours', "scancel", *wanted]


def read_squeue(handles: Sequence[JobHandle], answer: str) -> Iterator[Row]:
    lines, names = answer.splitlines(), {handle.name for handle in handles}
    codes = {
        found.group("job", "index", "name"): _wait_status(int(found["code"]))
        for found in map(_CODE.match, lines)
        if found
    }
    for line in lines:
        fields = line.split("|", 4)
        if len(fields) == 5 and fields[4] in names:
            native, index, word, reason, name = fields
            code = codes.get((native, index, name)) if word == "FAILED" else None
            yield Row(native, name, word, _reason(word, reason, native), code, _tasks(index))


def _reason(word: str, reason: str, native: str) -> str:
    if reason == "None":
        return ""
    return in_words(reason, native) if word == "PENDING" else reason


def sacct(handles: Sequence[JobHandle], cluster: Cluster) -> Sequence[str]:
    """By id; to find a job, by its name. Without a start time the window begins at midnight.

    Asked by name, sacct keeps quiet about what was cancelled while it was pending, unless it is asked for ends.
    """
    known = [handle.submitted for handle in handles if handle.submitted]
    since = time.strftime("%Y-%m-%d", time.localtime(min(known, default=time.time() - 30 * _DAY) - 2 * _DAY))
    if all(handle.native for handle in handles):
        which = ["-j", ",".join(handle.native for handle in handles)]
    else:
        which = ["--name", ",".join(handle.name for handle in handles), "-E", "now", "-s", _ENDS]
    return ["sacct", "-X", "-n", "-P", "-S", since, *which, "-o", "JobID,State,ExitCode,JobName"]


def read_sacct(handles: Sequence[JobHandle], answer: str) -> Iterator[Row]:
    for line in answer.splitlines():
        fields = line.split("|", 3)
        if len(fields) == 4:
            native, _, index = fields[0].partition("_")
            word, _, reason = fields[1].partition(" ")
            if fields[2] == _NOT_STARTED:
                reason = reason or "the node could not start it: its log or its directory is not there"
            yield Row(native, fields[3], word, reason, _exit_code(fields[2]), _tasks(index))


def _tasks(indexes: str) -> tuple[int, ...]:
    return tuple(expand(indexes.strip("[]")))


def _wait_status(status: int) -> int | None:
    """As wait(2) has it: 768 is exit code 3, 9 died of signal 9."""
    return _code(status >> 8 & 255, status & 127)


def _exit_code(text: str) -> int | None:
    """``3:0`` is exit code 3, ``0:9`` died of signal 9."""
    match = re.fullmatch(r"(\d+):(\d+)", text)
    return _code(int(match[1]), int(match[2])) if match else None


def _code(code: int, signal: int) -> int | None:
    """Death by signal 9 is 137, as in shells. 53 and 125 are no signals but say what the state says too."""
    if signal and not code:
        return 128 + signal if signal < 32 else None
    return code
