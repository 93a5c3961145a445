"""Grid Engine for Clustrix. Run against Son of Grid Engine 8.1.9; other lines of it print alike, but were not tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clustrix_core import batch
from clustrix_core.hookspecs import hookimpl
from clustrix_core.model import BackendInfo, Cluster, Fetched, JobHandle, JobSpec, JobStatus, LogChunk, Problem
from clustrix_sge import accounting, probe, queue
from clustrix_sge.directives import directives, no_others
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


@hookimpl
def check(cluster: Cluster) -> Sequence[Problem]:
    return batch.check(SGE, cluster)


@hookimpl
def provision(cluster: Cluster) -> Cluster:
    return batch.provision(SGE, cluster)


@hookimpl
def render_script(job: JobSpec, cluster: Cluster) -> str:
    return no_others(batch.render(SGE, job, cluster), job, cluster)


@hookimpl
def submit(job: JobSpec, script: str, cluster: Cluster) -> JobHandle:
    return batch.submit(SGE, job, script, cluster)


@hookimpl
def find(job: JobSpec, cluster: Cluster) -> JobHandle | None:
    return batch.find(SGE, job, cluster)


@hookimpl
def status(handles: Sequence[JobHandle], cluster: Cluster) -> Mapping[str, JobStatus]:
    return batch.status(SGE, handles, cluster)


@hookimpl
def fetch(handles: Sequence[JobHandle], into: Path, cluster: Cluster) -> Mapping[str, Fetched]:
    return batch.fetch(handles, into, cluster)


@hookimpl
def logs(handle: JobHandle, cluster: Cluster, since: int) -> LogChunk:
    return batch.logs(handle, cluster, since)


@hookimpl
def cancel(handles: Sequence[JobHandle], cluster: Cluster) -> None:
    batch.cancel(SGE, handles, cluster)
