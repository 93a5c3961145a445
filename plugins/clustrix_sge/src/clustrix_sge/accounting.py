"""What qacct says of jobs that have left the queue."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from clustrix_core.batch import Row
from clustrix_core.model import Cluster, JobHandle, JobState
from clustrix_sge.programs import OURS, awk, shell, user

STATES = {state.value: state for state in JobState}
# There is no record of this user, no file yet, or one that not everybody may read: then markers have to do.
NOTHING = re.compile("not found|No such file or directory|Permission denied|no jobs running", re.IGNORECASE)
_RESTARTED = (24, 25)  # it runs once more: the record is of no end
_REFUSED = (26, 27, 28, 29, 30)  # with these a job is in error, and waits for somebody's hand
_LIMIT, _KILLED = 37, 100
# What a signal that killed the whole job was for: qdel and its -notify, s_rt, s_cpu.
_SIGNALS = {
    137: JobState.CANCELLED,
    140: JobState.CANCELLED,
    138: JobState.TIMEOUT,
    152: JobState.TIMEOUT,
}
_NAMES = ("jobnumber", "taskid", "failed", "exit_status", "ru_wallclock", "maxvmem", "jobname", "category")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}

# One line for each record of a job that was asked for, then the exit code of qacct as its own.
_RECORDS = (
    OURS
    + """
    function tell(n, i) { if (ours(of["jobname"])) {
        n = split("NAMES", name, " ");
        for (i = 1; i <= n; i++) printf "%s%s", of[name[i]], (i < n ? "|" : "\\n") }
        split("", of)
    }
    /^=====/ { tell(); next }
    $1 == "clustrix:" { code = $2; next }
    { key = $1; sub(/^[^ ]+ +/, ""); sub(/ +$/, ""); of[key] = $0 }
    END { tell(); exit code }
""".replace("NAMES", " ".join(_NAMES))
)


def qacct(handles: Sequence[JobHandle], cluster: Cluster) -> Sequence[str]:
    """One scan of the accounting file for any number of jobs: qacct reads all of it for a single one too."""
    ask = f"qacct -o {user(cluster)} -j '*' </dev/null; echo \"clustrix: $?\""
    return shell(cluster, f"{{ cat; echo =; {ask}; }} | {awk(_RECORDS)}")


def read_qacct(handles: Sequence[JobHandle], answer: str) -> Iterator[Row]:
    """Yield what the records say, the last of a task last: a job that has run again has several."""
    for line in answer.splitlines():
        values = line.split("|", len(_NAMES) - 1)
        if len(values) != len(_NAMES):
            continue
        record = dict(zip(_NAMES, values, strict=True))
        failed, code = _number(record["failed"]), int(_number(record["exit_status"]))
        if failed in _RESTARTED:
            continue
        state, reason = _end(int(failed), code, record)
        task = (int(record["taskid"]) - 1,) if re.fullmatch("[0-9]{1,9}", record["taskid"]) else ()
        yield Row(record["jobnumber"], record["jobname"], state.value, reason, code or None, task)


def _end(failed: int, code: int, record: dict[str, str]) -> tuple[JobState, str]:
    """See sge_status(5), "Failed" states."""
    words = "failed " + " ".join(record["failed"].split())
    if failed == 0:
        return (JobState.FAILED, f"exit status {code}") if code else (JobState.SUCCEEDED, "")
    if failed == _LIMIT:
        return _limit(record), words
    if failed == _KILLED and code > 128:
        return _SIGNALS.get(code, JobState.FAILED), f"killed by signal {code - 128} ({words})"
    return JobState.FAILED if failed in _REFUSED else JobState.NODE_FAIL, words


def _limit(record: dict[str, str]) -> JobState:
    """Return which limit it was. The record says only that there was one; what was used and asked for tells more."""
    asked = dict(re.findall(r"([\w.]+)=([^,\s]+)", record["category"]))
    if "h_rt" in asked and _number(record["ru_wallclock"]) >= _seconds(asked["h_rt"]):
        return JobState.TIMEOUT
    # The limit of a slot: one that is over it, and not over its time, can only be over the limit of all its slots.
    memory = number_of_bytes(asked.get("h_vmem", "0"))
    if memory and "h_cpu" not in asked and number_of_bytes(record["maxvmem"]) >= memory:
        return JobState.OUT_OF_MEMORY
    return JobState.FAILED  # a limit of the queue, or of h_cpu: the words say what is known


def _number(text: str) -> float:
    match = re.match(r"[0-9]{1,15}(?:[.][0-9]{1,9})?", text)
    return float(match[0]) if match else 0.0


def _seconds(text: str) -> float:
    """Return the seconds of ``90`` or ``1:00:00``; what is empty between colons is nothing."""
    seconds = 0.0
    for field in text.split(":"):
        seconds = 60 * seconds + _number(field)
    return seconds


def number_of_bytes(text: str) -> int:
    """Return what Grid Engine means by ``100M`` or ``285.562MB``, in powers of 1024; 0 where it is no amount."""
    match = re.match(r"([0-9]{1,15}(?:[.][0-9]{1,9})?)([KMGT]?)", text.upper())
    return int(float(match[1]) * _UNITS[match[2]]) if match else 0
