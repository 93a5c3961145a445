"""What a client learns of a Slurm: room, limits, and requests that could never run."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clustrix_core.model import Cluster, Node, Problem, Resources, Site, format_time, nearest

_MB = 2**20
_USABLE = ("idle", "mixed", "allocated", "completing")


@dataclass(frozen=True)
class _Room:
    """One node in one partition. Times in seconds, None for none."""

    partition: str
    default: bool
    free: int
    cores: int
    memory: int
    usable: bool
    limit: int | None
    default_time: int | None


def commands(cluster: Cluster) -> Sequence[str]:
    return (
        "sinfo -h -a -N -o 'node|%P|%C|%m|%T|%l|%L'",
        "scontrol show config | grep -E '^(MaxArraySize|SLURM_VERSION) '",
    )


def read(text: str, site: Site, cluster: Cluster) -> Site:
    """Return the site with its free room in the cluster's partition, its largest array and its version."""
    rooms = _mine(_rooms(text), cluster.resources)
    nodes = tuple(
        Node(room.free, room.memory * _MB * room.free // room.cores) for room in rooms if room.usable and room.free
    )
    times = {room.default_time for room in rooms}
    largest = _config(text, "MaxArraySize")
    return dataclasses.replace(
        site,
        nodes=nodes,
        # Array indexes run up to MaxArraySize - 1; with 0 there are no arrays (slurm.conf(5)).
        max_array=max(1, int(largest)) if largest and largest.isdigit() else None,
        default_time=times.pop() if len(times) == 1 else None,
        scheduler=f"Slurm {_config(text, 'SLURM_VERSION') or 'of unknown version'}",
    )


def check(cluster: Cluster, site: Site, text: str) -> Sequence[Problem]:
    """Return what of the cluster's default resources this Slurm could never satisfy, and what else is wrong."""
    rooms = list(_rooms(text))
    if not rooms:
        return [Problem("error", f"sinfo shows no nodes: {text.strip()[:300]}", "Is this the login node of a Slurm?")]
    asked = cluster.resources
    names = {room.partition for room in rooms}
    unknown = [name for name in _partitions(asked) if name not in names]
    if unknown:
        return [Problem("error", f"there is no partition {name!r}", nearest(name, names)) for name in unknown]
    mine = _mine(rooms, asked)
    if not mine:
        hint = f"Set partition: to one of {', '.join(sorted(names))}."
        return [Problem("error", "this Slurm has no default partition", hint)]
    return [*_impossible(asked, mine), *_not_shared(cluster, site)]


def _impossible(asked: Resources, rooms: Sequence[_Room]) -> Iterator[Problem]:
    most = max(room.cores for room in rooms)
    if asked.cores > most:
        yield Problem(
            "error", f"cores={asked.cores}, but no node has more than {most}", "Slurm would let it wait for ever."
        )
    memory = max(room.memory for room in rooms) * _MB
    if asked.memory and asked.memory > memory:
        yield Problem("error", f"memory={asked.memory // _MB}MB, but no node has more than {memory // _MB}MB")
    if asked.nodes and asked.nodes > len(rooms):
        yield Problem("error", f"nodes={asked.nodes}, but the partition has {len(rooms)}")
    limits = [room.limit for room in rooms if room.limit is not None]
    if asked.time and limits and asked.time > max(limits):
        yield Problem(
            "error",
            f"time={format_time(asked.time)}, but the partition allows {format_time(max(limits))}",
            "Ask for less, or for another partition.",
        )
    if not any(room.usable for room in rooms):
        yield Problem("warning", "no node of the partition is up", "Jobs will wait; see `sinfo -R` on the cluster.")


def _not_shared(cluster: Cluster, site: Site) -> Iterator[Problem]:
    """Ask a compute node for work_dir, if one answers soon."""
    wanted = {name: getattr(cluster.resources, name) for name in ("partition", "account", "qos", "constraint")}
    wanted["reservation"] = cluster.options.reservation
    asking = [f"--{name}={value}" for name, value in wanted.items() if value is not None]
    test = f"test -O {shlex.quote(site.work_dir)} || echo clustrix: not here"
    srun = [
        "srun",
        "--immediate=20",
        "-N1",
        "-n1",
        "-t1",
        *asking,
        "-J",
        "clustrix-doctor",
        "-D",
        "/",
        "sh",
        "-c",
        test,
    ]
    asked = cluster.transport.run(shlex.join(srun))
    if "clustrix: not here" in asked.text:
        yield Problem(
            "error",
            f"work_dir {site.work_dir!r} is not there on a compute node",
            "Set work_dir to a directory that login and compute nodes share.",
        )
    elif asked.returncode:
        yield Problem("warning", f"no compute node could be asked for work_dir: {asked.error[-300:]}")


def _rooms(text: str) -> Iterator[_Room]:
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) != 7 or fields[0] != "node":
            continue
        counts = [int(part) for part in fields[2].split("/") if part.isdigit()]
        if len(counts) != 4 or not counts[3]:
            continue
        yield _Room(
            partition=fields[1].rstrip("*"),
            default=fields[1].endswith("*"),
            free=counts[1],
            cores=counts[3],
            memory=int(re.sub(r"\D", "", fields[3]) or 0),
            usable=fields[4].rstrip("+-").startswith(_USABLE) and not fields[4].endswith("*"),
            limit=_seconds(fields[5]),
            default_time=_seconds(fields[6]),
        )


def _mine(rooms: Iterator[_Room] | Sequence[_Room], asked: Resources) -> Sequence[_Room]:
    names = _partitions(asked)
    return [room for room in rooms if (room.partition in names if names else room.default)]


def _partitions(asked: Resources) -> Sequence[str]:
    """Slurm takes several, and the job starts where it can first."""
    return asked.partition.split(",") if asked.partition else ()


def _config(text: str, name: str) -> str | None:
    match = re.search(rf"^{name}\s*=\s*(\S+)", text, re.MULTILINE)
    return match[1] if match else None


def _seconds(text: str) -> int | None:
    """``10:00`` minutes:seconds, ``1:00:00``, ``1-00:00:00``; ``infinite`` and ``n/a`` are None."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text.strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
