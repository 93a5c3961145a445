"""Grid Engine for Clustrix. Run against Son of Grid Engine 8.1.9; other lines of it print alike, but were not tried."""

from __future__ import annotations

from dataclasses import dataclass, field

from clustrix_core import batch
from clustrix_core.hookspecs import hookimpl
from clustrix_core.model import BackendInfo
from clustrix_sge import accounting, probe, queue
from clustrix_sge.directives import PREFIX, directives
from clustrix_sge.programs import run


@dataclass(frozen=True)
class SgeOptions:
    """What only Grid Engine knows."""

    settings: str | None = field(
        default=None, metadata={"help": "the site's settings.sh, where a plain `ssh HOST qsub` finds no qsub"}
    )
    parallel_environment: str = field(default="smp", metadata={"help": "parallel environment for several cores"})
    memory_resource: str = field(default="h_vmem", metadata={"help": "resource that memory is asked for as"})
    memory_per_slot: bool = field(
        default=True, metadata={"help": "memory is counted for each slot; false where its consumable is JOB"}
    )
    gpu_resource: str = field(
        default="gpu", metadata={"help": "resource that GPUs are asked for as, counted for a job as a whole"}
    )
    project: str | None = field(default=None, metadata={"help": "project (-P); account is the accounting string (-A)"})
    requeue: bool | None = field(default=None, metadata={"help": "run again after a node failure"})


SGE = batch.Dialect(
    name="sge",
    directives=directives,
    submit=lambda job, cluster: run(cluster, *queue.QSUB, f"job-{job.round}.sh"),
    read_job_id=queue.read_job_id,
    queries=(
        batch.Query(queue.qstat, queue.read_qstat),
        batch.Query(accounting.qacct, accounting.read_qacct, accounting.NOTHING),
    ),
    cancel=queue.qdel,
    states=queue.STATES | accounting.STATES,
    unsure=queue.UNSURE,
    unknown=queue.UNKNOWN,
    task="$((SGE_TASK_ID-1))",
    directory=".",  # -cwd: a job that cannot go there does not begin
    native="$JOB_ID",
    own_log=True,
    anywhere=PREFIX,
    probe=probe.commands,
    read_probe=probe.read,
    check=probe.check,
)


@hookimpl
def describe_backend() -> BackendInfo:
    return BackendInfo(
        "sge",
        SgeOptions,
        "Grid Engine, on a login node over SSH or on this machine",
        lacks=("nodes", "qos", "constraint", "exclusive"),
        programs=("qsub", "qacct"),
    )


check, provision, render_script, submit, find, status, fetch, logs, cancel = batch.hooks(SGE, __name__)
