"""A small scheduler that really runs jobs on this machine, as a plugin's source, and what can be done wrong in one.

There is no queue: a job is a process group, found again by the job's name at the end of its command line.
"""

from __future__ import annotations

GOOD = '''
from dataclasses import dataclass, field, replace

from clustrix_core import batch
from clustrix_core.errors import ClustrixError, CommandError, ConfigError, SubmitRejected, TransportError
from clustrix_core.hookspecs import hookimpl
from clustrix_core.model import (
    BackendInfo, Fetched, JobHandle, JobState, JobStatus, LogChunk, Problem, Site, TaskStatus,
)

NAME = "@NAME@"
START = (
    'script=$1 tasks=$2 name=$3; [ -z "$4" ] || { echo "there is no partition $4" >&2; exit 1; };'
    ' setsid sh -c \\'task=0; while [ $task -lt $2 ]; do TOY_TASK=$task sh "$1" & task=$((task+1)); done; wait\\''
    ' toy "$script" "$tasks" "$name" >/dev/null 2>&1 </dev/null & echo $!'
)
CANCEL = (
    'while read -r job round; do pid=$1 name=$2 tasks=$3; shift 3;'
    ' ps -ww -o args= -p "$pid" 2>/dev/null | grep -q " $name\\\\$" || continue; kill -KILL -- "-$pid"; task=0;'
    ' while [ $task -lt $tasks ]; do file=jobs/${job%"${job#??}"}/$job/status-$round.$task;'
    ' [ -e $file ] || echo CANCELLED 143 by request >$file; task=$((task+1)); done; done'
)


@dataclass(frozen=True)
class Options:
    """What only the toy knows."""

    colour: str | None = field(default=None, metadata={"help": "colour of its jobs"})


def directives(job, cluster):
    colour = cluster.options.colour
    if colour is not None and not colour.isalpha():
        raise ConfigError(f"colour={colour!r} is no colour")
    yield f"#TOY --name={job.name} --colour={colour}"
    yield from (f"#TOY {line}" for line in job.resources.directives)


def read(handles, answer):
    for line in answer.splitlines():
        words = line.split()
        if len(words) > 5 and "toy" in words:
            yield batch.Row(words[0], words[-1], "RUNNING")


TOY = batch.Dialect(
    name=NAME,
    directives=directives,
    submit=lambda job, cluster: [
        "sh", "-c", START, "toysub", f"job-{job.round}.sh", str(job.tasks), job.name, job.resources.partition or ""
    ],
    read_job_id=lambda answer: answer.split()[-1],
    queries=(batch.Query(lambda handles, cluster: ["ps", "-A", "-ww", "-o", "pid=", "-o", "args="], read),),
    cancel=lambda handles, cluster: [
        "sh", "-c", CANCEL, "toydel", *(word for h in handles for word in (h.native, h.name, str(h.tasks)))
    ],
    states={"RUNNING": JobState.RUNNING},
    task="${TOY_TASK:-0}",
    directory=".",
    native="$PPID",
    shell="/bin/sh",
    own_log=True,
)


@hookimpl
def describe_backend():
    return BackendInfo(NAME, Options, "a toy without a queue")


check, provision, render_script, submit, find, status, fetch, logs, cancel = batch.hooks(TOY, __name__)
'''


def source(name: str, more: str = "") -> str:
    """Return the source of a toy backend of this name, with ``more`` at its end: what comes last counts."""
    return GOOD.replace("@NAME@", name) + more
