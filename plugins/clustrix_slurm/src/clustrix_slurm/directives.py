"""The head of a Slurm script."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from clustrix_core import batch
from clustrix_core.errors import ConfigError
from clustrix_core.model import Cluster, JobSpec, format_time

_NAME = re.compile(r"[A-Za-z0-9_.,:=@%+/][A-Za-z0-9_.,:=@%+/\-]*")
# With these the job or its log would not be found again, sbatch would not come back, or it would submit nothing.
_NOT_RAW = (
    "array", "chdir", "clusters", "error", "gid", "job-name", "open-mode", "output", "test-only", "uid", "wait", "wrap",
)  # fmt: skip
# sbatch reads several short options in one word, up to the first that has a value.
_NOT_RAW_SHORT = re.compile(r"-[HOQVhksv]*[DJMWaeo]")


def directives(job: JobSpec, cluster: Cluster) -> Sequence[str]:
    """Return the ``#SBATCH`` lines of a job."""
    if "\\" in (cluster.site.work_dir if cluster.site else cluster.work_dir):
        raise ConfigError("work_dir: Slurm writes no logs below a directory with a backslash in its name")
    return [f"#SBATCH {option}" for option in [*_ours(job), *_resources(job), *_options(cluster), *_RAW.options(job)]]


def _ours(job: JobSpec) -> Iterator[str]:
    yield f"--job-name={job.name}"
    if job.tasks > 1:
        limit = f"%{job.max_parallel}" if job.max_parallel else ""
        yield f"--array=0-{job.tasks - 1}{limit}"
    yield f"--output={_log(job)}"
    yield "--open-mode=append"  # a requeued job goes on in the same log
    if producers := [native for native in job.after.values() if native.isdigit()]:
        # However they end: the worker looks for their values and says what became of them. An id that Slurm no longer
        # knows counts as over.
        yield f"--dependency=afterany:{':'.join(producers)}"
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


def _depends(word: str) -> bool:
    if word.startswith("--"):
        return "dependency".startswith(word[2:].partition("=")[0])
    return bool(re.match(r"-[HOQVhksv]*d", word))


def _breaks(word: str) -> bool:
    if word.startswith("--"):
        # sbatch takes any beginning of a name, and which are ambiguous depends on its version.
        return any(name.startswith(word[2:].partition("=")[0]) for name in _NOT_RAW)
    return bool(_NOT_RAW_SHORT.match(word))


_RAW = batch.Raw("Slurm", "sbatch", "--mail-type=END", _breaks, _depends)
