"""What a job costs an API server, and what a watch survives: through a door that counts and cuts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clustrix import cluster
from clustrix_core import config
from clustrix_core.config import ClusterConfig
from clustrix_core.model import JobState
from tests.real.test_k8s_ends import bed  # noqa: F401
from tests.testbeds.kubernetes import KubernetesBed
from tests.testbeds.kubernetes.front import Front

PATIENCE = 100.0
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def front(bed: KubernetesBed, home: Path, tmp_path: Path) -> Iterator[Front]:  # noqa: F811
    """A namespace of its own as the default cluster, reached through a door; a first call has been made."""
    with Front(bed) as front:
        kubeconfig = str(front.kubeconfig(tmp_path / "kubeconfig"))
        options = {"kubeconfig": kubeconfig, "image": bed.image, "image_pull_policy": "Never", "parallelism": 2}
        config.configure(default=ClusterConfig(name="k8s", backend="k8s", options=options))
        assert double(1) == 2
        yield front


@cluster
def double(number: int, seconds: float = 0) -> int:
    import time

    time.sleep(seconds)
    return number * 2


def settled(front: Front) -> dict[str, int]:
    """Return what has been asked, once nothing more is: what a job leaves is removed behind its caller's back."""
    before, quiet = dict(front.asked), time.monotonic()
    while time.monotonic() < quiet + 4:
        time.sleep(0.2)
        if dict(front.asked) != before:
            before, quiet = dict(front.asked), time.monotonic()
    return before


def running(job: Any) -> Any:
    deadline = time.monotonic() + PATIENCE
    while job.status().state is not JobState.RUNNING:
        assert time.monotonic() < deadline, job.status()
        time.sleep(0.2)
    return job


def test_what_one_job_costs(front: Front) -> None:
    """Creating it is three requests (is the worker there? a Job, a Secret), removing it four. Between them is no
    look that costs one: not with the seconds that it runs, either."""
    settled(front)
    front.asked.clear()
    assert double(2, 6) == 4
    asked = settled(front)
    print(asked)
    assert asked["create"] == 2 and asked["get"] == 1 and asked.get("watch", 0) <= 1, asked
    assert asked["list"] <= 6 and asked["delete"] <= 4 and asked.get("exec", 0) <= 2, asked
    assert sum(asked.values()) <= 14, asked


def test_what_a_map_of_1000_calls_costs(front: Front) -> None:
    settled(front)
    front.asked.clear()
    assert list(double.map(range(1000))) == [2 * number for number in range(1000)]
    asked = settled(front)
    print(asked)
    assert asked["create"] == 3 and asked["get"] == 1, asked
    assert sum(asked.values()) <= 25, asked


@pytest.mark.parametrize("code", [429, 503])
def test_a_server_that_refuses_for_a_while(front: Front, code: int) -> None:
    """What runs goes on, what is asked for meanwhile comes too, each once."""
    job = running(double.submit(3, 6))
    front.refuse(code, 5)
    front.cut()
    late = double.submit(4)
    assert (job.result(PATIENCE), late.result(PATIENCE)) == (6, 8)
    assert front.refused, "nobody has asked meanwhile"


def test_connections_that_are_cut(front: Front) -> None:
    job = running(double.submit(3, 8))
    for _ in range(5):
        front.cut()
        time.sleep(1)
    assert job.result(PATIENCE) == 6


def test_a_version_that_the_server_has_forgotten(front: Front) -> None:
    """The server's own answer, 410: then pods are listed, and watched from there."""
    front.old = True
    job = running(double.submit(3, 4))
    time.sleep(2)
    assert front.asked["watch"], "nobody watches"
    front.old = False
    front.asked.clear()
    front.cut()
    assert job.result(PATIENCE) == 6


@pytest.mark.timeout(400)
def test_ten_thousand_tiny_calls(front: Front) -> None:
    """All results, each in its place, and each call was run once: a process counts its calls, and no number is missing
    among the values that came."""

    @cluster
    def told(number: int) -> tuple[int, str, int]:
        import os

        count = int(os.environ.get("COUNT_OF_CALLS", "0")) + 1
        os.environ["COUNT_OF_CALLS"] = str(count)
        return number * number, f"{os.uname().nodename} {os.getpid()}", count

    begun = time.monotonic()
    found = list(told.map(range(10_000)))
    took = time.monotonic() - begun
    print(f"{took:.1f} s", dict(front.asked))
    assert [square for square, _, _ in found] == [number * number for number in range(10_000)]
    counts: dict[str, list[int]] = {}
    for _, process, count in found:
        counts.setdefault(process, []).append(count)
    assert len(counts) == 2 and all(sorted(one) == [*range(1, len(one) + 1)] for one in counts.values())
    assert took < 240
