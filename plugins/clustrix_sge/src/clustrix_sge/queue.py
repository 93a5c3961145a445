"""What qsub, qstat and qdel are asked, and what they answer."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from clustrix_core.batch import Row, expand
from clustrix_core.errors import TransportError
from clustrix_core.model import Cluster, JobHandle, JobState
from clustrix_sge.programs import OURS, XML, awk, shell, user

# How scripts are read is not left to a ~/.sge_request.
QSUB = ("qsub", "-terse", "-C", "#$", "-b", "n")
# qsub fails with these although qmaster may have accepted the job.
UNSURE = re.compile(
    "commlib error|unable to (send message|contact)|got (send|read|select) error|timeout", re.IGNORECASE
)
# What qdel says of jobs that are over, and between that of those that it has ended.
UNKNOWN = re.compile("does not exist|has (deleted|registered the) job|is already in deletion", re.IGNORECASE)
_PENDING = [f"{h}{r}{word}" for h in ("", "h") for r in ("", "R") for word in ("qw", "wq", "q")]
_RUNNING = [
    f"{h}{r}{word}" for h in ("", "h") for r in ("", "R") for word in ("r", "t", "s", "ts", "S", "tS", "T", "tT")
]
# sge_status(5). A job in error would wait for somebody's hand: it has ended, and is taken out of the queue.
STATES = {
    **dict.fromkeys(_PENDING, JobState.PENDING),
    **dict.fromkeys((f"d{word}" for word in _PENDING), JobState.CANCELLED),
    **dict.fromkeys((d + word for word in _RUNNING for d in ("", "d")), JobState.RUNNING),
    **dict.fromkeys((d + "E" + word for word in _PENDING for d in ("", "d")), JobState.FAILED),
}
WAITS = 30  # seconds after which a job that waits is asked why
_NO_REASON = re.compile(r"Job is in error state|\(Collecting of scheduler job information is turned off\)")

# Of all jobs of the user one line "job|id|tasks|state|name" for each that was asked for; then those that are in error
# or have waited for long ("why|1,2"), and those in error as qdel wants them ("drop|1 2.3-4"). Other jobs stay there.
# Where there is no list of jobs (~/.sge_qstat may ask for another), that is no answer.
_ROWS = (
    OURS
    + XML
    + """
    tag == "queue_info" { known = 1 }
    tag ~ /^(JB_job_number|JB_name|JB_submission_time|state|tasks)$/ { of[tag] = text }
    tag == "/job_list" && ours(of["JB_name"]) {
        id = of["JB_job_number"]; error = index(of["state"], "E");
        print "job|" id "|" of["tasks"] "|" of["state"] "|" of["JB_name"];
        late = of["state"] == "qw" && of["JB_submission_time"] < before && seen++ < 10;
        if ((error || late) && !(id in why)) { why[id]; ids = ids "," id }
        if (error) {
            n = split(of["tasks"], task, ",");
            if (!n) drop = drop " " id;
            for (i = 1; i <= n; i++) drop = drop " " id "." task[i]
        }
    }
    tag == "/job_list" { split("", of) }
    END { if (ids) print "why|" substr(ids, 2); if (drop) print "drop|" drop; exit !known }
"""
)
# After those lines what qstat -j says: why a task is in error, and what keeps the scheduler from starting a job.
# A job in error is taken out of the queue, and accounting keeps less of its reason: it becomes the marker of its end.
_WHY = """
    /^job[|]/ {
        split($0, row, "|"); key = row[5]; round = 0;
        if (match(key, /-r[0-9]+$/)) { round = substr(key, RSTART + 2); key = substr(key, 1, RSTART - 1) }
        sub(/^.*-/, "", key); home[row[2]] = "jobs/" substr(key, 1, 2) "/" key "/status-" round "."
    }
    /^[a-z_]/ { more = 0 }
    /^job_number:/ { id = $2 }
    /^error reason/ {
        task = $3; sub(/:$/, "", task); sub(/^[^:]*: */, ""); sub(/^[^ ]+ [^ ]+ [[][0-9:]+[]]: /, "");
        print "error|" id "|" task "|" $0; print "mark|" home[id] (task - 1) "|" $0
    }
    /^scheduling info:/ { more = 1 }
    more && more++ < 4 { sub(/^(scheduling info:)? */, ""); print "info|" id "||" $0 }
"""


def read_job_id(answer: str) -> str:
    """Return the job id of ``qsub -terse``: ``4``, or ``5.1-100:1`` of an array."""
    match = re.search(r"^(\d+)(?:\.\d+-\d+:\d+)?\s*\Z", answer, re.MULTILINE)
    if match is None:
        raise TransportError(f"qsub answered {answer.strip()[:200]!r}, which names no job; there may be one")
    return match[1]


def _ask(cluster: Cluster) -> str:
    before = f"before=$(date -d '-{WAITS} seconds' +%Y-%m-%dT%H:%M:%S)"
    return (
        f"said=$(qstat -xml -u {user(cluster)} -s prs </dev/null) || exit;"
        f" rows=$({{ cat; echo =; printf '%s\\n' \"$said\"; }} | {awk(_ROWS, before)}) ||"
        " { printf 'qstat has not answered with a list of jobs: %.200s\\n' \"$said\" >&2; exit 1; };"
        ' part() { printf \'%s\\n\' "$rows" | sed -n "s/^$1|//p"; }'
    )


def qstat(handles: Sequence[JobHandle], cluster: Cluster) -> Sequence[str]:
    """All jobs of the user, arrays unexpanded: the size of the question does not grow with the jobs in flight."""
    why = f'{{ printf \'%s\\n\' "$rows"; qstat -j "$(part why)" </dev/null 2>/dev/null; }} | {awk(_WHY)}'
    mark = (
        'part mark | while IFS=\'|\' read -r file why; do [ -e "$file" ] || [ ! -d "${file%/*}" ] ||'
        ' { printf \'FAILED 0 %s\\n\' "$why" >"$file.new" && mv "$file.new" "$file"; }; done'
    )
    return shell(
        cluster,
        f'{_ask(cluster)}; printf \'%s\\n\' "$rows"; [ -n "$(part why)" ] || exit 0; drop=$(part drop); rows=$({why});'
        f' printf "%s\\n" "$rows"; [ -z "$drop" ] || {{ {mark}; qdel $drop </dev/null >/dev/null 2>&1; }}; exit 0',
    )


def qdel(handles: Sequence[JobHandle], cluster: Cluster) -> Sequence[str]:
    """By name, because an id may have been used again, and a name never; qdel itself takes names for patterns."""
    ids = "ids=$(part job | cut -d '|' -f 1 | sort -u)"
    return shell(cluster, f'{_ask(cluster)}; {ids}; [ -z "$ids" ] || exec qdel $ids')


def read_qstat(handles: Sequence[JobHandle], answer: str) -> Iterator[Row]:
    names = {handle.name for handle in handles}
    fields = [line.split("|", 4) for line in answer.splitlines()]
    errors, waits = _reasons(fields)
    for _, native, indexes, word, *rest in (found for found in fields if len(found) == 5 and found[0] == "job"):
        tasks = tuple(index - 1 for index in expand(indexes))
        if "E" in word:
            for task in tasks or (0,):
                reason = errors.get((native, task), "it could not be started")
                yield Row(native, rest[0], word, reason, None, (task,) if tasks else ())
        elif rest[0] in names:
            yield Row(native, rest[0], word, _held(word) or waits.get(native, ""), None, tasks)


def _reasons(fields: Sequence[Sequence[str]]) -> tuple[dict[tuple[str, int], str], dict[str, str]]:
    errors: dict[tuple[str, int], str] = {}
    waits: dict[str, list[str]] = defaultdict(list)
    for kind, native, task, *text in (found for found in fields if len(found) > 3):
        said = "|".join(text).strip()
        if kind == "error" and re.fullmatch("[0-9]{1,9}", task):
            errors[native, int(task) - 1] = said
        elif kind == "info" and not _NO_REASON.fullmatch(said):
            waits[native].append(said)
    return errors, {native: "; ".join(said[:2]) for native, said in waits.items()}


def _held(word: str) -> str:
    if "h" in word and "r" not in word:
        return "held, or waiting for the jobs that it comes after"
    return "suspended" if word.strip("dhRt") in ("s", "S", "T") else ""
