"""Slurm for Clustrix. Run against Slurm 22.05; only plain `-o` and `-P` text is parsed, which others print alike."""

from __future__ import annotations

from dataclasses import dataclass, field

from clustrix_core import batch
from clustrix_core.hookspecs import hookimpl
from clustrix_core.model import BackendInfo
from clustrix_slurm import answers, probe
from clustrix_slurm.directives import directives, output


@dataclass(frozen=True)
class SlurmOptions:
    """What only Slurm knows."""

    reservation: str | None = field(default=None, metadata={"help": "reservation to run in"})
    requeue: bool | None = field(default=None, metadata={"help": "run again after a node failure or preemption"})


SLURM = batch.Dialect(
    name="slurm",
    directives=directives,
    submit=lambda job, cluster: [*answers.PLAIN, "sbatch", "--parsable", *output(job, cluster), f"job-{job.round}.sh"],
    read_job_id=answers.read_job_id,
    queries=(
        batch.Query(answers.squeue, answers.read_squeue),
        batch.Query(answers.sacct, answers.read_sacct, answers.NO_ACCOUNTING),
    ),
    cancel=answers.cancel,
    states=answers.STATES,
    unsure=answers.UNSURE,
    unknown=answers.UNKNOWN,
    task="${SLURM_ARRAY_TASK_ID:-0}",
    directory="$SLURM_SUBMIT_DIR",
    native="$SLURM_JOB_ID",
    probe=probe.commands,
    read_probe=probe.read,
    check=probe.check,
)


@hookimpl
def describe_backend() -> BackendInfo:
    return BackendInfo(
        "slurm", SlurmOptions, "Slurm, on a login node over SSH or on this machine", programs=("sbatch",)
    )


check, provision, render_script, submit, find, status, fetch, logs, cancel = batch.hooks(SLURM, __name__)
