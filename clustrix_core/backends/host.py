"""A host without a scheduler: the worker's own supervisor, spoken to as if it were one.

The hooks here are those of both ``local`` and ``ssh``, which differ in what they say of themselves.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from clustrix_core import batch, bundle
from clustrix_core.batch.script import python
from clustrix_core.errors import ConfigError, TransportError
from clustrix_core.model import (
    Cluster,
    JobHandle,
    JobSpec,
    JobState,
    Node,
    Site,
)
from clustrix_core.resources import Resources

# Asked of a scheduler, they would be obeyed; a host cannot, and silence would be a lie.
FOREIGN = ("gpus", "nodes", "partition", "account", "qos", "constraint")


@dataclass(frozen=True)
class HostOptions:
    """Options of the backends ``local`` and ``ssh``."""

    slots: int | None = field(default=None, metadata={"help": "cores for all jobs together; absent: all the host has"})


def _worker(cluster: Cluster, command: str, up: str = "") -> list[str]:
    return [*shlex.split(cluster.python), f"{up}worker/{bundle.digest()}", *command.split()]


def _slots(cluster: Cluster) -> int:
    cores = sum(node.cores for node in cluster.site.nodes) if cluster.site else 1
    return int(cluster.options.slots or cores)


def directives(job: JobSpec, cluster: Cluster) -> Sequence[str]:
    """A host reads no directives; what it cannot do is refused."""
    asked, unasked = job.resources, Resources()
    for name in FOREIGN:
        if getattr(asked, name) != getattr(unasked, name):
            raise ConfigError(f"{name}={getattr(asked, name)!r}: a host without a scheduler has no such thing")
    if asked.directives:
        raise ConfigError("directives: a host without a scheduler reads none")
    if cluster.site is not None and asked.cores > _slots(cluster):
        raise ConfigError(f"cores={asked.cores}, but {cluster.name} has {_slots(cluster)}")
    return ()


def _read_job_id(answer: str) -> str:
    words = answer.split()
    if not words:
        raise TransportError("the supervisor named no job; there may be one")
    return words[-1]


def _read(handles: Sequence[JobHandle], answer: str) -> Iterator[batch.Row]:
    """Lines ``JOB ROUND STATE REASON``; a job that is GONE speaks through its markers alone."""
    names = {(handle.job, str(handle.round)): handle.name for handle in handles}
    for line in answer.splitlines():
        job, round, word, *reason = [*line.split(" ", 3), "", ""][:4]
        if (job, round) in names and word != "GONE":
            yield batch.Row(f"{job}.{round}", names[job, round], word, " ".join(reason).strip())


def _read_probe(text: str, site: Site, cluster: Cluster) -> Site:
    words = text.split()
    cores = int(words[0]) if words and words[0].isdigit() else 1
    memory = int(words[1]) if len(words) > 1 and words[1].isdigit() else None
    cores = cluster.options.slots or cores
    # One node a core: tasks of one call each, so that the supervisor can hold every call to its own limits.
    nodes = (Node(cores, memory),) if cluster.resources.cores > 1 else (Node(1, None),) * cores
    return dataclasses.replace(site, nodes=nodes, scheduler="none")


HOST = batch.Dialect(
    name="host",
    directives=directives,
    submit=lambda job, cluster: _worker(cluster, f"start {job.round} {_slots(cluster)}", "../../../"),
    read_job_id=_read_job_id,
    queries=(batch.Query(lambda handles, cluster: _worker(cluster, "ps"), _read),),
    cancel=lambda handles, cluster: _worker(cluster, "kill"),
    states={"PENDING": JobState.PENDING, "RUNNING": JobState.RUNNING},
    task="${CLUSTRIX_TASK:-0}",
    directory=".",
    native="$CLUSTRIX_JOB",
    shell="/bin/sh",
    probe=lambda cluster: [f"{python(cluster)} worker/{bundle.digest()} cores"],
    read_probe=_read_probe,
)


check, provision, render_script, submit, find, status, fetch, logs, cancel = batch.hooks(HOST, __name__)

__all__ = ["cancel", "check", "fetch", "find", "logs", "provision", "render_script", "status", "submit"]
