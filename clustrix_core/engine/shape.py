"""How many calls become how many tasks, and how wide: packing, from what the first contact saw of the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from clustrix_core.model import JobSpec, Node, Site

WIDTHS = (16, 8, 4, 2)
ENOUGH = 0.9  # a wider task may cost at most this share of the slots
UNSEEN = 8  # tasks where the cluster told nothing of its room


def shape(job: JobSpec, site: Site, open_calls: int | None = None) -> JobSpec:
    """Return the job with its tasks, width and walltime. ``open_calls`` of a follow-up round; None: all.

    tasks × width is at most the number of calls, of free slots, of ``max_parallel``; tasks at most the largest array.
    """
    calls = job.calls if open_calls is None else open_calls
    walltime = job.resources.time or site.default_time
    if calls <= 1:
        return replace(job, tasks=1, width=1, walltime=walltime)
    slots = [_slots(node, job) for node in site.nodes]
    room = sum(slots) or UNSEEN
    wanted = min(calls, room, job.max_parallel or calls)
    width = _width(slots, wanted, job)
    tasks = min(wanted // width, site.max_array or wanted)
    return replace(job, tasks=tasks, width=width, walltime=walltime)


def _slots(node: Node, job: JobSpec) -> int:
    by_cores = node.cores // job.resources.cores
    if node.memory is None or job.resources.memory is None:
        return by_cores
    return min(by_cores, node.memory // job.resources.memory)


def _width(slots: Sequence[int], wanted: int, job: JobSpec) -> int:
    """Return the widest task that still fills the free slots: one start serves many calls."""
    asked = job.resources
    if asked.exclusive or (asked.nodes or 1) > 1 or asked.gpus is not None:
        return 1
    for width in WIDTHS:
        packed = sum(slot // width * width for slot in slots)
        # Wide tasks come in whole; the few slots that they leave over are worth less than the starts that they save.
        if packed >= ENOUGH * sum(slots) and wanted // width * width >= ENOUGH * wanted and packed >= width:
            return width
    return 1
