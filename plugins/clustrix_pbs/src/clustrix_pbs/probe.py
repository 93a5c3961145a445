"""What a client learns of a PBS: room, limits, and requests that could never run."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence

from clustrix_core.model import Cluster, Node, Problem, Resources, Site, format_time, nearest
from clustrix_pbs.answers import FOUND, seconds

_MB = 2**20
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}
_AWAY = re.compile(r"down|offline|unknown|stale|provision|sleep|maintenance")
_MARKS = ("version", "server", "queues", "nodes")

Attributes = Mapping[str, str]


def commands(cluster: Cluster) -> Sequence[str]:
    asked = ("qstat --version", "qstat -B -f", "qstat -Q -f", "pbsnodes -a")
    return [f"echo '== {mark}'; {FOUND}; {command} 2>&1" for mark, command in zip(_MARKS, asked, strict=True)]


def read(text: str, site: Site, cluster: Cluster) -> Site:
    """Return the site with its free room, its largest array, its default walltime and its kind and version."""
    parts = _parts(text)
    server, queues = _server(parts), dict(_blocks(parts["queues"], "Queue: "))
    queue = queues.get(_queue(parts, cluster.resources), {})
    largest = server.get("max_array_size") or server.get("max_job_array_size") or ""
    default = queue.get("resources_default.walltime") or server.get("resources_default.walltime") or ""
    return dataclasses.replace(
        site,
        nodes=tuple(node for node in map(_free, _nodes(parts)) if node is not None and node.cores > 0),
        max_array=int(largest) if re.fullmatch(r"\d{1,9}", largest) else None,
        default_time=seconds(default),
        scheduler=_scheduler(parts["version"]),
    )


def check(cluster: Cluster, site: Site, text: str) -> Sequence[Problem]:
    """Return what of the cluster's default resources this PBS could never satisfy, and what else is wrong."""
    parts = _parts(text)
    queues = dict(_blocks(parts["queues"], "Queue: "))
    if not queues:
        said = parts["queues"].strip()[:300]
        return [Problem("error", f"qstat shows no queues: {said}", "Is this the login node of a PBS?")]
    asked = cluster.resources
    name = _queue(parts, asked)
    if not name:
        known = ", ".join(sorted(queues))
        return [Problem("error", "this PBS has no default queue", f"Set partition: to one of {known}.")]
    if name not in queues:
        return [Problem("error", f"there is no queue {name!r}", nearest(name, queues))]
    return [*_closed(name, queues[name]), *_impossible(asked, queues[name], list(_nodes(parts)))]


def _closed(name: str, queue: Attributes) -> Iterator[Problem]:
    if queue.get("enabled") == "False":
        yield Problem("error", f"the queue {name!r} takes no jobs", "Set partition: to another one, or ask the site.")
    if queue.get("started") == "False":
        yield Problem("warning", f"the queue {name!r} is stopped", "Jobs will wait until the site starts it.")


def _impossible(asked: Resources, queue: Attributes, nodes: Sequence[Attributes]) -> Iterator[Problem]:
    limit = seconds(queue.get("resources_max.walltime", ""))
    if asked.time and limit and asked.time > limit:
        allowed = f"time={format_time(asked.time)}, but the queue allows {format_time(limit)}"
        yield Problem("error", allowed, "Ask for less, or for another queue.")
    cores = [_cores(node) for node in nodes]
    if cores and asked.cores > max(cores):
        what = f"cores={asked.cores}, but no node has more than {max(cores)}"
        yield Problem("error", what, "PBS would let it wait for ever.")
    memory = [size for size in map(_memory, nodes) if size is not None]
    if memory and asked.memory and asked.memory > max(memory):
        yield Problem("error", f"memory={asked.memory // _MB}MB, but no node has more than {max(memory) // _MB}MB")
    if nodes and not any(_up(node) for node in nodes):
        yield Problem("warning", "no node is up", "Jobs will wait; see `pbsnodes -l` on the cluster.")


def _parts(text: str) -> Mapping[str, str]:
    """Return what each command has said; they may come in any order."""
    found = dict.fromkeys(_MARKS, "")
    for part in re.split(r"^== ", text, flags=re.MULTILINE)[1:]:
        mark, _, said = part.partition("\n")
        found[mark] = said
    return found


def _blocks(text: str, head: str) -> Iterator[tuple[str, Attributes]]:
    """Yield each thing that is described, with its attributes: lines ``    name = value`` below its own line."""
    for block in re.split(r"^(?=\S)", text.replace("\n\t", ""), flags=re.MULTILINE):
        first, _, rest = block.partition("\n")
        if first.strip() and first.startswith(head):
            yield first[len(head) :].strip(), dict(re.findall(r"^ +([\w.]+) = ?(.*)$", rest, re.MULTILINE))


def _server(parts: Mapping[str, str]) -> Attributes:
    return next((known for _, known in _blocks(parts["server"], "Server: ")), {})


def _queue(parts: Mapping[str, str], asked: Resources) -> str:
    """Return the queue's name; ``queue@server`` is one of this server as far as we know."""
    return (asked.partition or _server(parts).get("default_queue", "")).partition("@")[0]


def _nodes(parts: Mapping[str, str]) -> Iterator[Attributes]:
    return (known for _, known in _blocks(parts["nodes"], "") if _cores(known))


def _free(node: Attributes) -> Node | None:
    """Return the room that is left on a node; None where it takes no jobs."""
    if not _up(node):
        return None
    if "np" in node:  # Torque
        free = _cores(node) - sum(map(_taken, node.get("jobs", "").split(",")))
        memory = _memory(node)
        return Node(free, None if memory is None else memory * max(free, 0) // _cores(node))
    free = _cores(node) - (_number(node.get("resources_assigned.ncpus", "")) or 0)
    memory = _memory(node)
    used = _bytes(node.get("resources_assigned.mem", "")) or 0
    return Node(free, None if memory is None else max(memory - used, 0))


def _up(node: Attributes) -> bool:
    return not _AWAY.search(node.get("state", "down"))


def _cores(node: Attributes) -> int:
    return _number(node.get("resources_available.ncpus", "") or node.get("np", "")) or 0


def _memory(node: Attributes) -> int | None:
    found = re.search(r"\bphysmem=(\d+\w*)", node.get("status", ""))
    return _bytes(node.get("resources_available.mem", "") or (found[1] if found else ""))


def _taken(item: str) -> int:
    """``0/7.server`` is one core of job 7, ``0-3/7.server`` are four."""
    found = re.fullmatch(r"(\d+)(?:-(\d+))?/\S+", item.strip())
    return int(found[2] or found[1]) - int(found[1]) + 1 if found else 0


def _scheduler(said: str) -> str:
    for pattern, name in ((r"pbs_version = (\S+)", "OpenPBS"), (r"^Version: (\S+)", "Torque")):
        if found := re.search(pattern, said, re.MULTILINE):
            return f"{name} {found[1]}"
    return "PBS of unknown version"


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,9}", text) else None


def _bytes(text: str) -> int | None:
    """``16384000kb``; PBS counts in powers of 1024."""
    found = re.fullmatch(r"(\d{1,15})([kmgtp]?)b", text.lower())
    return int(found[1]) * _UNITS[found[2]] if found else None
