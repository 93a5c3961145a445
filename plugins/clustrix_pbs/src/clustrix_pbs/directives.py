"""The head of a PBS script."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from clustrix_core import batch
from clustrix_core.errors import ConfigError
from clustrix_core.model import Cluster, JobSpec
from clustrix_pbs.flavor import TORQUE, Flavor, flavor

# qsub reads several short options in one word, up to the first that has a value; these are those without one, of both
# kinds of PBS. With those of the second group the job or its log would not be found again, or qsub would not come back.
_WORD = re.compile(r"-[fhnxEGVX]*([CDIJNSTdejkotuwz])")
_MAIL = re.compile(r"-[fhnxEGVX]*m")
# Attributes after -W, in a word of their own or not.
_WAITS = re.compile(r"(^|[,W])(block|interactive)\b")
_DEPENDS = re.compile(r"(^|[,W])depend\b")
_CHUNK = re.compile(r"[A-Za-z0-9_.=:\-]+")


def directives(job: JobSpec, cluster: Cluster) -> Sequence[str]:
    """Return the ``#PBS`` lines of a job."""
    kind, raw = flavor(cluster), list(_RAW.options(job))
    options = [*_ours(job, kind), *_resources(job, kind)]
    if not any(_MAIL.match(word) for line in raw for word in _words(line)):
        options.append("-m n")  # what is said of the job is said by us; the default is a mail about each abort
    if cluster.options.rerunnable is not None:
        options.append(f"-r {'y' if cluster.options.rerunnable else 'n'}")
    return [f"#PBS {option}" for option in [*options, *raw]]


def _ours(job: JobSpec, kind: Flavor) -> Iterator[str]:
    yield f"-N {job.name}"
    # The login shell starts the script, whichever that is, unless it is told otherwise.
    yield "-S /bin/bash"
    # PBS puts a log in place only when the job has ended; the script writes its own.
    yield "-j oe"
    yield "-o /dev/null"
    if job.tasks > 1:  # an array of one task is refused
        limit = f"%{job.max_parallel}" if job.max_parallel else ""
        yield f"{kind.array} 0-{job.tasks - 1}{limit}"


def _resources(job: JobSpec, kind: Flavor) -> Iterator[str]:
    asked = job.resources
    yield f"-l {_torque(job) if kind is TORQUE else _select(job)}"
    if asked.exclusive:
        yield "-n" if kind is TORQUE else "-l place=excl"
    if asked.time is not None:
        minutes, seconds = divmod(asked.time, 60)
        yield f"-l walltime={minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
    if asked.qos is not None:
        raise ConfigError(f"qos={asked.qos!r}: PBS has none", hint="Its queues are what qos is elsewhere: queue=.")
    for option, value in (("-q", asked.partition), ("-A", asked.account)):
        if value is not None:
            yield f"{option} {value}"


def _select(job: JobSpec) -> str:
    """Chunks: what is asked for is what each of them has (pbs_resources(7))."""
    chunk = [str(job.resources.nodes or 1), f"ncpus={job.resources.cores * job.width}"]
    if (memory := _megabytes(job)) is not None:
        chunk.append(f"mem={memory}mb")
    if (gpus := _gpus(job)) is not None:
        chunk.append(f"ngpus={gpus}")
    return "select=" + ":".join([*chunk, *_constraint(job)])


def _torque(job: JobSpec) -> str:
    """Nodes and processors on each; memory is that of the whole job (pbs_resources_linux(7) of Torque)."""
    nodes = job.resources.nodes or 1
    node = [str(nodes), f"ppn={job.resources.cores * job.width}"]
    if (gpus := _gpus(job)) is not None:
        node.append(f"gpus={gpus}")
    memory = _megabytes(job)
    whole = "" if memory is None else f",mem={memory * nodes}mb"
    return "nodes=" + ":".join([*node, *_constraint(job)]) + whole


def _megabytes(job: JobSpec) -> int | None:
    """Ours is the memory of one call; a task runs ``width`` of them at a time."""
    memory = job.resources.memory
    return None if memory is None else math.ceil(memory * job.width / 2**20)


def _gpus(job: JobSpec) -> int | None:
    gpus = job.resources.gpus
    if isinstance(gpus, str):
        raise ConfigError(
            f"gpus={gpus!r}: PBS has no word of its own for kinds of GPUs",
            hint="Ask for a number, and for the kind as your site names it: constraint=gpu_type=a100.",
        )
    return None if gpus is None else gpus * job.width


def _constraint(job: JobSpec) -> Iterator[str]:
    constraint = job.resources.constraint
    if constraint is not None:
        if not _CHUNK.fullmatch(constraint):
            raise ConfigError(
                f"constraint={constraint!r} is not what a chunk may ask for", hint="Write it like host=n1:arch=linux."
            )
        yield constraint


def _breaks(word: str) -> bool:
    return bool(_WORD.match(word) or _WAITS.search(word))


def _words(line: str) -> Sequence[str]:
    """Return the words of a line, and what is between quotes as well: PBS and shells do not read these alike."""
    return re.sub("['\"]", "", line).split() + re.sub("['\"]", " ", line).split()


_RAW = batch.Raw("PBS", "qsub", "-p 10", _breaks, lambda word: bool(_DEPENDS.search(word)), _words)
