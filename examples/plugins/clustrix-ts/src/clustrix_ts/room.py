"""What a queue of task-spooler has, and what it has not."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from clustrix_core.errors import ConfigError
from clustrix_core.model import Cluster, JobSpec, Node, Problem, Resources, Site

# Asked of tsp they would be ignored, and silence would be a lie.
FOREIGN = ("memory", "gpus", "nodes", "partition", "account", "qos", "constraint", "exclusive")
PROGRAMS = ("timeout", "ps", "awk")


def directives(job: JobSpec, cluster: Cluster) -> Sequence[str]:
    """tsp reads no directives; what it cannot do is refused."""
    asked, unasked = job.resources, Resources()
    for name in (*FOREIGN, "directives"):
        if getattr(asked, name) != getattr(unasked, name):
            raise ConfigError(
                f"{name}={getattr(asked, name)!r}: task-spooler has no such thing", hint="It knows cores and time."
            )
    return ()


def read(text: str, site: Site, cluster: Cluster) -> Site:
    """Return the site with the slots of the queue: one room each, since slots become free one by one."""
    slots = _slots(text)
    nodes = (Node(slots),) if cluster.resources.cores > 1 else (Node(1),) * slots
    version = re.search(r"^Task Spooler v(\S+)", text, re.MULTILINE)
    return dataclasses.replace(site, nodes=nodes, scheduler=f"task-spooler {version[1] if version else ''}".strip())


def check(cluster: Cluster, site: Site, text: str) -> Sequence[Problem]:
    """Return what is missing on the machine of the queue, and whether the queue is too small."""
    slots, cores = _slots(text), cluster.resources.cores
    if not slots:
        where = "Install task-spooler, or set options: {program: ...}; it is ts outside of Debian."
        return [Problem("error", f"{cluster.options.program} does not answer: {text.strip()[-300:]}", where)]
    problems = [
        Problem("error", f"there is no {name} on the machine of the queue", "Install coreutils, procps and awk.")
        for name in PROGRAMS
        if not re.search(rf"(^|/){name}$", text, re.MULTILINE)
    ]
    if cores > slots:
        problems.append(
            Problem("error", f"cores={cores}, but the queue has {slots} slots", f"On that machine: tsp -S {cores}.")
        )
    return problems


def _slots(text: str) -> int:
    found = re.search(r"^slots (\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else 0
