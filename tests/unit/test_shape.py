"""Packing: whatever the cluster looks like and whatever is asked, some invariants hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clustrix_core.engine.shape import UNSEEN, shape
from clustrix_core.model import JobSpec, Node, Site
from clustrix_core.resources import Resources

GB = 2**30
NODES = st.builds(Node, st.integers(0, 256), st.none() | st.integers(0, 2048 * GB))
RESOURCES = st.builds(
    Resources,
    cores=st.integers(1, 64),
    memory=st.none() | st.integers(2**20, 512 * GB),
    time=st.none() | st.integers(1, 10**6),
    gpus=st.none() | st.integers(1, 8),
    nodes=st.none() | st.integers(1, 4),
    exclusive=st.booleans(),
)
SITES = st.builds(
    Site,
    st.just("/scratch"),
    st.just((3, 11)),
    nodes=st.lists(NODES, max_size=12).map(tuple),
    max_array=st.none() | st.integers(1, 2000),
    default_time=st.none() | st.integers(1, 10**6),
)
CALLS = st.integers(1, 20000)
FEW = st.none() | st.integers(1, 400)


def job(calls: int, resources: Resources | None = None, **changes: Any) -> JobSpec:
    return JobSpec("00aa", "simulate", resources or Resources(), calls, **changes)


def site(*nodes: Node, **changes: Any) -> Site:
    return Site("/scratch", (3, 11), nodes=nodes, **changes)


def slots(node: Node, resources: Resources) -> int:
    """How many calls fit a node at once, counted by putting one after the other there."""
    cores, memory, fit = node.cores, node.memory, 0
    while cores >= resources.cores and (memory is None or resources.memory is None or memory >= resources.memory):
        cores, fit = cores - resources.cores, fit + 1
        memory = None if memory is None or resources.memory is None else memory - resources.memory
    return fit


@given(CALLS, RESOURCES, SITES, FEW, st.none() | st.integers(1, 5000))
@example(19, Resources(), site(Node(19)), None, None)
@example(17, Resources(), site(Node(17)), None, None)
@example(33, Resources(), site(Node(33), max_array=1), 32, None)
def test_packing(calls: int, resources: Resources, site: Site, few: int | None, left: int | None) -> None:
    asked = job(calls, resources, max_parallel=few)
    made = shape(asked, site, left)
    open_calls = calls if left is None else left
    free = [slots(node, resources) for node in site.nodes]
    room = sum(free) or UNSEEN
    assert made.tasks >= 1 and made.width >= 1
    assert made.tasks * made.width <= open_calls
    assert made.tasks * made.width <= room
    assert made.tasks * made.width <= (few or open_calls)
    assert made.tasks <= (site.max_array or made.tasks)
    assert made.width == 1 or max(free) >= made.width  # a wide task fits a node
    # Nothing else of the job changes, and the walltime is that of a task.
    assert made.walltime in {resources.time, site.default_time}
    assert (made.id, made.calls, made.resources, made.max_parallel) == ("00aa", calls, resources, few)


@given(CALLS, SITES, FEW)
def test_most_of_the_room_is_used(calls: int, site: Site, few: int | None) -> None:
    """Wide tasks may waste a little room; a cluster is never left half empty for want of tasks."""
    made = shape(job(calls, max_parallel=few), site)
    wanted = min(calls, sum(node.cores for node in site.nodes) or UNSEEN, few or calls)
    limit = (site.max_array or wanted) * made.width
    assert made.tasks * made.width >= min(limit, 0.8 * wanted)


@pytest.mark.parametrize("few", [None, 1, 5])
def test_one_call_is_one_task(few: int | None) -> None:
    made = shape(job(1, Resources(time=60), max_parallel=few), site(Node(64, 64 * GB)))
    assert (made.tasks, made.width, made.walltime) == (1, 1, 60)


def test_a_full_cluster_still_gets_tasks() -> None:
    assert shape(job(1000), site()).tasks == UNSEEN
    assert shape(job(1000), site(Node(0), Node(0))).tasks == UNSEEN
    assert shape(job(3), site()).tasks == 3


def test_tiny_calls_are_packed_wide() -> None:
    made = shape(job(1000), site(Node(8), Node(8), Node(8)))
    assert (made.tasks, made.width) == (3, 8)


def test_memory_counts_as_well_as_cores() -> None:
    made = shape(job(1000, Resources(memory=4 * GB)), site(Node(8, 8 * GB)))
    assert made.tasks * made.width == 2


@pytest.mark.parametrize("resources", [Resources(gpus=1), Resources(nodes=2), Resources(exclusive=True)])
def test_what_takes_whole_things_is_not_packed(resources: Resources) -> None:
    assert shape(job(1000, resources), site(Node(8), Node(8))).width == 1


def test_a_follow_up_is_cut_to_what_is_left() -> None:
    made = shape(job(1000), site(Node(8), Node(8)), 3)
    assert made.tasks * made.width <= 3 and made.calls == 1000


def test_without_a_time_the_partition_decides() -> None:
    assert shape(job(10), site(Node(8), default_time=3600)).walltime == 3600
    assert shape(job(10, Resources(time=60)), site(Node(8), default_time=3600)).walltime == 60
    assert shape(job(10), site(Node(8))).walltime is None
