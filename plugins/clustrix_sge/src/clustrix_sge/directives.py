"""The head of a Grid Engine script."""

from __future__ import annotations

import itertools
import math
import re
import shlex
from collections.abc import Iterator, Sequence

from clustrix_core import batch
from clustrix_core.errors import ConfigError
from clustrix_core.model import Cluster, JobSpec

PREFIX = "#$"
_NAME = re.compile(r"[A-Za-z0-9_.@-]+")
# With these the job or its log would not be found again, qsub would not come back, or it would submit nothing.
_NOT_RAW = (
    "-@", "-b", "-C", "-clear", "-cwd", "-e", "-help", "-inherit", "-j", "-N", "-now", "-o", "-pty", "-S",
    "-shell", "-sync", "-t", "-terse", "-verify", "-w p", "-w v", "-wd",
)  # fmt: skip
_LACKS = {
    "nodes": "A parallel environment that spreads over nodes is named like directives: ['-pe mpi 32'].",
    "qos": "Nothing in Grid Engine is called that; see partition=, and the option project.",
    "constraint": "Ask for what the nodes offer, like directives: ['-l arch=lx-amd64'].",
    "exclusive": "Where the site has a resource for it: directives: ['-l exclusive=true'].",
}


def directives(job: JobSpec, cluster: Cluster) -> Sequence[str]:
    """Return the ``#$`` lines of a job."""
    return [f"{PREFIX} {option}" for option in [*_ours(job), *resources(job, cluster), *_RAW.options(job)]]


def _ours(job: JobSpec) -> Iterator[str]:
    yield f"-N {job.name}"
    if job.tasks > 1:
        yield f"-t 1-{job.tasks}"
        if job.max_parallel:
            yield f"-tc {job.max_parallel}"
    yield "-cwd"
    yield "-S /bin/bash"
    yield "-j y"
    yield "-o /dev/null"
    if producers := [native for native in job.after.values() if native.isdigit()]:
        # However they end: the worker looks for their values and says what became of them.
        yield f"-hold_jid {','.join(producers)}"


def resources(job: JobSpec, cluster: Cluster) -> Iterator[str]:
    """Yield what a job asks for, as options of qsub. Raises ConfigError for what Grid Engine has no word for."""
    asked, options = job.resources, cluster.options
    for name, instead in _LACKS.items():
        if getattr(asked, name):
            raise ConfigError(f"{name}: Grid Engine knows nothing of that", hint=instead)
    slots = asked.cores * job.width
    if slots > 1:
        yield f"-pe {_word('parallel_environment', options.parallel_environment)} {slots}"
    if asked.time is not None:
        yield f"-l h_rt={asked.time}"
    if asked.memory is not None:
        memory = asked.memory * job.width / (slots if options.memory_per_slot else 1)
        yield f"-l {_word('memory_resource', options.memory_resource)}={math.ceil(memory / 2**20)}M"
    if asked.gpus is not None:
        kind, _, number = str(asked.gpus).rpartition(":")  # a kind of GPUs is a resource of its own
        yield f"-l {_word('gpu_resource', kind or options.gpu_resource)}={int(number) * job.width}"
    if asked.partition is not None:
        yield f"-q {asked.partition}"
    if asked.account is not None:
        yield f"-A {asked.account}"
    if options.project is not None:
        yield f"-P {_word('project', options.project)}"
    if options.requeue is not None:
        yield f"-r {'y' if options.requeue else 'n'}"


def _word(name: str, value: str) -> str:
    if not _NAME.fullmatch(value) or value.startswith("-"):
        raise ConfigError(f"{name}={value!r} is not a name that Grid Engine knows")
    return value


def _words(line: str) -> Sequence[str]:
    """Return the words of a line, and each two that follow one another: some options matter for their value."""
    words = shlex.split(line)
    return [*words, *map(" ".join, itertools.pairwise(words))]


_RAW = batch.Raw(
    "Grid Engine", "qsub", "-m e", _NOT_RAW.__contains__, ("-hold_jid", "-hold_jid_ad").__contains__, _words
)
