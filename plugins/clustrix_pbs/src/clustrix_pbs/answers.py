"""What PBS's commands are asked, and what they answer.

Only ``qstat -f`` in whole lines is read. Its JSON has holes: with several ids some versions show the first job alone,
others print numbers and control characters that no parser takes.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from clustrix_core.batch import Row
from clustrix_core.errors import TransportError
from clustrix_core.model import Cluster, JobHandle, JobState
from clustrix_pbs.flavor import flavor

# qstat(1B), "JOB STATES", of OpenPBS and of Torque. E holds its node still. An end is F or C there, and X of a task,
# whatever became of it: the rest is told by the exit status (Administrator's Guide of PBS Professional, "Job Exit
# Status Codes", and of Torque, "Job Exit Status"; the two write it differently) and the substate.
STATES = {
    "Q": JobState.PENDING,
    "H": JobState.PENDING,
    "W": JobState.PENDING,
    "T": JobState.PENDING,
    "R": JobState.RUNNING,
    "E": JobState.RUNNING,
    "B": JobState.RUNNING,
    "S": JobState.RUNNING,
    "U": JobState.RUNNING,
    "finished": JobState.SUCCEEDED,
    "failed": JobState.FAILED,
    "never ran": JobState.FAILED,
    "dependency failed": JobState.CANCELLED,
    "deleted": JobState.CANCELLED,
    "over its walltime": JobState.TIMEOUT,
    "Exit_status -29": JobState.TIMEOUT,
    "Exit_status -28": JobState.TIMEOUT,
    "Exit_status -27": JobState.OUT_OF_MEMORY,
    "Exit_status -26": JobState.OUT_OF_MEMORY,
    "Exit_status -6": JobState.NODE_FAIL,
    "Exit_status -5": JobState.NODE_FAIL,
    "Exit_status -4": JobState.NODE_FAIL,
    "Exit_status 271": JobState.CANCELLED,
    "exit_status -12": JobState.TIMEOUT,
    "exit_status -11": JobState.TIMEOUT,
    "exit_status -10": JobState.OUT_OF_MEMORY,
    "exit_status -6": JobState.NODE_FAIL,
    "exit_status -5": JobState.NODE_FAIL,
    "exit_status -4": JobState.NODE_FAIL,
    "exit_status 271": JobState.CANCELLED,
}
_OVER = ("F", "X", "C")
_DELETED, _RAN = "91", "92"  # substates
_WAITS = {"W": "waiting for its time to begin", "T": "on its way to another server", "S": "suspended"}
_KILLED = 256 + 15  # by a signal from outside, TERM

# What qdel says of jobs that are over or forgotten.
UNKNOWN = re.compile("Unknown Job Id|Job has finished|Request invalid for state of job", re.IGNORECASE)
# qsub fails with these although the server may have accepted the job, or will when it is there again.
UNSURE = re.compile("cannot connect to server|Connection refused|End of File|Premature end|timed? ?out", re.IGNORECASE)
# A server without history keeps nothing of jobs that are over.
NO_HISTORY = re.compile("not configured to maintain job history", re.IGNORECASE)
# Often only login shells find PBS's programs; its configuration says where they are (pbs.conf(7)). PBS_DPREFIX makes
# directives comments. PBS_DEFAULT chooses the server, which is the user's business.
FOUND = "PATH=$PATH:$(sed -n 's/^PBS_EXEC=//p' \"${PBS_CONF_FILE:-/etc/pbs.conf}\" 2>/dev/null)/bin; unset PBS_DPREFIX"

_ATTRIBUTES = (
    "Job_Name", "job_state", "substate", "[Ee]xit_status", "comment", "depend", "Hold_Types", "stime", "start_time",
    "resources_used[.]walltime", "Resource_List[.]walltime",
)  # fmt: skip
# Most of what qstat shows is of no use to us, and some of it nobody's business; where it folds, a line goes on after a
# tab.
_FILTER = f"/^\\t/ {{ if (wanted) print; next }} {{ wanted = /^Job Id: |^    ({'|'.join(_ATTRIBUTES)}) = / }} wanted"
# "id|name" of each job. Of an array Torque may show the tasks alone, each with a name of its own.
_PAIRS = (
    '/^Job Id: / { id = $3; end = ""; if (match(id, /[[][0-9]+[]]/)) { end = "-" substr(id, RSTART + 1, RLENGTH - 2);'
    " id = substr(id, 1, RSTART) substr(id, RSTART + RLENGTH - 1) } }"
    " /^    Job_Name = / { name = $3; cut = length(name) - length(end);"
    ' if (end != "" && substr(name, cut + 1) == end) name = substr(name, 1, cut); print id "|" name }'
)
_MINE = 'qselect {history} -u "$(id -un)"'
_ID = re.compile(r"(?P<number>\d+)(?:\[(?P<index>\d{0,9})\])?(?P<server>\.\S+)?")
_ATTRIBUTE = re.compile(r" {4}([\w.]+) = ?(.*)")


def read_job_id(answer: str) -> str:
    """Return the job id of qsub: ``7.server``, of an array ``7[].server``."""
    match = re.search(r"^(\d+(?:\[\])?(?:\.[\w.:-]+)?)\s*\Z", answer, re.MULTILINE)
    if match is None:
        raise TransportError(f"qsub answered {answer.strip()[:200]!r}, which names no job; there may be one")
    return match[1]


def _sh(script: str, *arguments: str) -> Sequence[str]:
    return ["sh", "-c", f"{FOUND}; {script}", *arguments]


def qsub(script: str, after: Sequence[str]) -> Sequence[str]:
    """However the producers end: the worker looks for their values and says what became of them.

    A dependency on a job that the server has forgotten ends a job at once, so only those that are still in the queue
    are named.
    """
    if not after:
        return _sh(f"exec qsub {shlex.quote(script)}")
    live = f"live=$({_MINE.format(history='')}) || exit"
    known = 'known=$(printf \'%s\\n\' "$live" | grep -Fx "$@" | paste -s -d : -)'
    submit = f'exec qsub ${{known:+-W "depend=afterany:$known"}} {shlex.quote(script)}'
    return _sh(f"{live}; {known}; {submit}", "qsub", *(word for id in after for word in ("-e", id)))


def queue(handles: Sequence[JobHandle], cluster: Cluster) -> Sequence[str]:
    """All jobs of the user and their tasks: the size of the question does not grow with the jobs in flight."""
    return _sh(f"ids=$({_MINE.format(history='')}) || exit; {_qstat(cluster, '')}")


def history(handles: Sequence[JobHandle], cluster: Cluster) -> Sequence[str]:
    """By id; to find a job, by its name."""
    kind = flavor(cluster)
    if not kind.history:
        return ["true"]
    known = shlex.join(["printf", r"%s\n", *(handle.native for handle in handles if handle.native)])
    named = [f"{_MINE.format(history=kind.history)} -N {shlex.quote(h.name)}" for h in handles if not h.native]
    asked = "; ".join([f"ids=$({known})", *(f'more=$({ask}) || exit; ids="$ids $more"' for ask in named)])
    return _sh(f"{asked}; {_qstat(cluster, kind.history)}")


def _qstat(cluster: Cluster, history: str) -> str:
    """Return what shows the jobs of $ids and their tasks.

    35 and 153 say that some of them are over or unknown; what is known of the others is printed all the same.
    """
    # Ids of tasks look like patterns for names of files; without any id qstat would show everybody's jobs.
    some = "set -f; set -- $ids; [ $# -gt 0 ] || exit 0"
    ask = f'said=$(qstat -f {flavor(cluster).unfolded} -t {history} "$@"); code=$?'
    cut = f"printf '%s\\n' \"$said\" | LC_ALL=C awk {shlex.quote(_FILTER)}"
    return f"{some}; {ask}; {cut}; case $code in 35|153) ;; *) exit $code;; esac"


def cancel(handles: Sequence[JobHandle], cluster: Cluster) -> Sequence[str]:
    """By id and name, because ids begin anew where a server was set up anew."""
    known = shlex.join(["printf", r"%s\n", *(handle.native for handle in handles if handle.native)])
    live = f"live=$(ids=$({known}); {_qstat(cluster, '')}) || exit"
    ours = f"ours=$(printf '%s\\n' \"$live\" | awk {shlex.quote(_PAIRS)} | grep -Fx \"$@\" | cut -d '|' -f 1 | sort -u)"
    wanted = [word for handle in handles for word in ("-e", f"{handle.native}|{handle.name}")]
    return _sh(f'{live}; {ours}; set -f; [ -z "$ours" ] || exec qdel $ours', "qdel", *wanted)


def read(handles: Sequence[JobHandle], answer: str) -> Iterator[Row]:
    names = {handle.name for handle in handles}
    for job in _jobs(answer):
        match = _ID.fullmatch(job["Job Id"])
        if match is None:
            continue
        index = match["index"]
        # Torque gives each task a name of its own.
        name = job.get("Job_Name", "").removesuffix(f"-{index}" if index else "")
        native = f"{match['number']}{'' if index is None else '[]'}{match['server'] or ''}"
        if name in names and (known := _known(job, native, index)):
            yield Row(native, name, *known, tasks=(int(index),) if index else ())


def _jobs(answer: str) -> Iterator[dict[str, str]]:
    job: dict[str, str] = {}
    for line in answer.replace("\n\t", "").split("\n"):
        if line.startswith("Job Id: "):
            if job:
                yield job
            job = {"Job Id": line[8:].strip()}
        elif job and (match := _ATTRIBUTE.fullmatch(line)):
            # A value may hold a line end, and what follows it may look like another attribute.
            job.setdefault(match[1], match[2].replace("\\,", ","))
    if job:
        yield job


def _known(job: Mapping[str, str], native: str, index: str | None) -> tuple[str, str, int | None] | None:
    """Return word, reason and exit code; None where it says nothing of use."""
    letter = job.get("job_state", "")
    if not letter:
        return None
    if letter not in _OVER:
        return letter, _reason(letter, job, native), None
    if index == "" or (letter == "X" and _status(job)[1] is None):
        return None  # the exit status of an array is that of the task that finished last
    return _end(job)


def _reason(letter: str, job: Mapping[str, str], native: str) -> str:
    comment = job.get("comment", "")
    if letter == "H":
        if "depend" in job:
            return "waiting for other jobs"
        return f"held by the user: qrls {native}" if "u" in job.get("Hold_Types", "u") else "held: ask the site"
    if letter == "Q":
        never = comment.startswith("Can Never Run")
        return f"{comment}: clustrix cancel, and ask for less" if never else comment
    return _WAITS.get(letter, "")


def _end(job: Mapping[str, str]) -> tuple[str, str, int | None]:
    key, status = _status(job)
    substate, comment = job.get("substate"), job.get("comment", "")
    code = None if status is None or status < 0 else status if status < 256 else status - 128  # as shells have it
    if substate == _DELETED:
        return "deleted", comment, code
    if status is None:
        if substate == _RAN and not comment:
            return "dependency failed", "it never ran: a job before it did not end as it had to, or is not known", None
        return "never ran", comment or "the scheduler gives no reason", None
    if status == _KILLED and _over_time(job):
        return "over its walltime", comment, code
    if f"{key} {status}" in STATES:
        return f"{key} {status}", comment, code
    return "failed" if status else "finished", comment or f"{key} {status}", code


def _status(job: Mapping[str, str]) -> tuple[str, int | None]:
    key = "exit_status" if "exit_status" in job else "Exit_status"
    said = job.get(key, "")
    return key, int(said) if re.fullmatch(r"-?\d{1,6}", said) else None


def _over_time(job: Mapping[str, str]) -> bool:
    used, limit = (seconds(job.get(f"{name}.walltime", "")) for name in ("resources_used", "Resource_List"))
    return used is not None and limit is not None and used >= limit


def seconds(text: str) -> int | None:
    """``100:00:00``, hours that may be many; None for anything else."""
    match = re.fullmatch(r"(\d{1,9}):(\d\d):(\d\d)", text)
    return int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3]) if match else None
