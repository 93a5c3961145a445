"""PBS for Clustrix: OpenPBS, PBS Professional and Torque.

Run against programs that answer as OpenPBS 23.06.06 was seen to; not against a real server.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from clustrix_core import batch
from clustrix_core.hookspecs import hookimpl
from clustrix_core.model import BackendInfo
from clustrix_pbs import answers, probe
from clustrix_pbs.directives import directives


@dataclass(frozen=True)
class PBSOptions:
    """What only PBS knows."""

    dialect: Literal["openpbs", "torque"] | None = field(
        default=None, metadata={"help": "which PBS it is, where the server does not say"}
    )
    rerunnable: bool | None = field(default=None, metadata={"help": "run again after a node failure or preemption"})


PBS = batch.Dialect(
    name="pbs",
    directives=directives,
    submit=lambda job, cluster: answers.qsub(f"job-{job.round}.sh", [id for id in job.after.values() if id]),
    read_job_id=answers.read_job_id,
    queries=(
        batch.Query(answers.queue, answers.read),
        batch.Query(answers.history, answers.read, answers.NO_HISTORY),
    ),
    cancel=answers.cancel,
    states=answers.STATES,
    unsure=answers.UNSURE,
    unknown=answers.UNKNOWN,
    task="${PBS_ARRAY_INDEX:-${PBS_ARRAYID:-0}}",
    directory="$PBS_O_WORKDIR",
    native="$PBS_JOBID",
    own_log=True,
    probe=probe.commands,
    read_probe=probe.read,
    check=probe.check,
)


@hookimpl
def describe_backend() -> BackendInfo:
    summary = "OpenPBS, PBS Professional or Torque, on a login node over SSH or on this machine"
    return BackendInfo("pbs", PBSOptions, summary, lacks=("qos",), programs=("qsub", "pbsnodes"))


check, provision, render_script, submit, find, status, fetch, logs, cancel = batch.hooks(PBS, __name__)
