"""The head of a Grid Engine script."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator, Sequence

from clustrix_core.errors import ConfigError
from clustrix_core.model import Cluster, JobSpec

PREFIX = "#$"
_NAME = re.compile(r"[A-Za-z0-9_.@-]+")
# With these the job or its log would not be found again, qsub would not come back, or it would submit nothing.
_NOT_RAW = (
    "-@", "-b", "-C", "-clear", "-cwd", "-e", "-help", "-inherit", "-j", "-N", "-now", "-o", "-pty", "-S",
    "-shell", "-sync", "-t", "-terse", "-verify", "-wd",
)  # fmt: skip
_LACKS = {
    "nodes": "A parallel environment that spreads over nodes is named like directives: ['-pe mpi 32'].",
    "qos": "Nothing in Grid Engine is called that; see partition=, and the option project.",
    "constraint": "Ask for what the nodes offer, like directives: ['-l arch=lx-amd64'].",
    "exclusive": "Where the site has a resource for it: directives: ['-l exclusive=true'].",
}


def directives(job: JobSpec, cluster: Cluster) -> Sequence[str]:
    """Return the ``#$`` lines of a job."""
    return [f"{PREFIX} {option}" for option in [*_ours(job), *resources(job, cluster), *_raw(job)]]


def no_others(script: str, job: JobSpec, cluster: Cluster) -> str:
    """Return the script. Grid Engine reads directives on any of its lines: where the user's begin like one it is an
    error (ConfigError)."""
    found = [line for line in script.split("\n") if line.startswith(PREFIX)]
    others = found[len(directives(job, cluster)) :]
    if others:
        raise ConfigError(
            f"{others[0]!r} in setup, teardown or env would be a directive to Grid Engine, wherever it stands",
            hint="Write `# $` there, or put what it asks for into directives:.",
        )
    return script


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


def _raw(job: JobSpec) -> Iterator[str]:
    for line in job.resources.directives:
        words = _words(line)
        for word in words:
            if word in _NOT_RAW:
                raise ConfigError(
                    f"directives: {word!r} would keep Clustrix from finding the job or its log again",
                    hint="For another name there is name=.",
                )
            if job.after and word in ("-hold_jid", "-hold_jid_ad"):
                raise ConfigError(f"directives: {word!r} and a job as an argument: Grid Engine keeps one of the two")
        if "-w" in words and {"v", "p"} & {*words}:
            raise ConfigError(f"directives: with {line!r} qsub submits nothing")
        yield line


def _words(line: str) -> Sequence[str]:
    if not line.startswith("-"):
        raise ConfigError(f"directives: {line!r} is not an option of qsub", hint='Write it like "-m e".')
    if "\\" in line:
        raise ConfigError(f"directives: {line!r} holds a backslash, which Grid Engine does not read as shells do")
    try:
        return shlex.split(line)
    except ValueError as error:
        raise ConfigError(f"directives: {line!r}: {error}") from None
