"""The head of a Slurm script."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from clustrix_core.errors import ConfigError
from clustrix_core.model import Cluster, JobSpec, format_time

_NAME = re.compile(r"[A-Za-z0-9_.,:=@%+/][A-Za-z0-9_.,:=@%+/\-]*")
# With these the job would not be found again, or sbatch would not come back.
_NOT_RAW = re.compile(r"-[JaoDWM].*|--(job-name|array|output|chdir|wait|wrap|clusters?|test-only|parsable)(=.*)?")


def directives(job: JobSpec, cluster: Cluster) -> Sequence[str]:
    """Return the ``#SBATCH`` lines of a job."""
    if "\\" in (cluster.site.work_dir if cluster.site else cluster.work_dir):
        raise ConfigError("work_dir: Slurm writes no logs below a directory with a backslash in its name")
    return [f"#SBATCH {option}" for option in [*_ours(job), *_resources(job), *_options(cluster), *_raw(job)]]


def _ours(job: JobSpec) -> Iterator[str]:
    yield f"--job-name={job.name}"
    if job.tasks > 1:
        limit = f"%{job.max_parallel}" if job.max_parallel else ""
        yield f"--array=0-{job.tasks - 1}{limit}"
    yield f"--output={_log(job)}"
    yield "--open-mode=append"  # a requeued job goes on in the same log
    yield "--kill-on-invalid-dep=yes"  # without it a job whose dependency failed stays pending for ever


def _log(job: JobSpec) -> str:
    return f"log-{job.round}.{'%a' if job.tasks > 1 else '0'}"


def output(job: JobSpec, cluster: Cluster) -> Sequence[str]:
    """Return the option that sbatch needs besides: Slurm reads patterns in the directory's own name as well."""
    work_dir = cluster.site.work_dir if cluster.site else ""
    if "%" not in work_dir:
        return ()
    return (f"--output={work_dir.replace('%', '%%')}/{job.dir}/{_log(job)}",)


def _resources(job: JobSpec) -> Iterator[str]:
    asked = job.resources
    yield f"--cpus-per-task={asked.cores * job.width}"
    if asked.nodes is not None:
        yield f"--nodes={asked.nodes}"
    if asked.memory is not None:
        yield f"--mem={math.ceil(asked.memory * job.width / 2**20)}M"
    if asked.time is not None:
        yield f"--time={format_time(asked.time)}"
    if asked.gpus is not None:
        # --gres counts per node and every Slurm has it; --gpus needs select/cons_tres.
        kind, _, number = str(asked.gpus).rpartition(":")
        yield f"--gres=gpu:{kind + ':' if kind else ''}{int(number) * job.width}"
    for option in ("partition", "account", "qos", "constraint"):
        value = getattr(asked, option)
        if value is not None:
            yield f"--{option}={value}"
    if asked.exclusive:
        yield "--exclusive"


def _options(cluster: Cluster) -> Iterator[str]:
    reservation = cluster.options.reservation
    if reservation is not None:
        if not _NAME.fullmatch(reservation):
            raise ConfigError(f"reservation={reservation!r} is not a name that Slurm knows")
        yield f"--reservation={reservation}"
    if cluster.options.requeue is not None:
        yield "--requeue" if cluster.options.requeue else "--no-requeue"


def _raw(job: JobSpec) -> Iterator[str]:
    for line in job.resources.directives:
        if not line.startswith("-"):
            raise ConfigError(
                f"directives: {line!r} is not an option of sbatch", hint='Write it like "--mail-type=END".'
            )
        for word in line.split():
            if _NOT_RAW.fullmatch(word):
                raise ConfigError(
                    f"directives: {word!r} would keep Clustrix from finding the job again",
                    hint="For another name there is name=, for another cluster a configuration of its own.",
                )
        yield line
