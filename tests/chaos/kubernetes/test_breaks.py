"""Kubernetes breaks under running jobs: its API server is away, and a node is lost."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from clustrix import cluster
from clustrix_core import config
from clustrix_core.config import ClusterConfig
from clustrix_core.model import JobState
from tests.testbeds.kubernetes import KubernetesBed

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def _there(home: Path, k8s_bed_alone: KubernetesBed) -> None:
    use(k8s_bed_alone)


def use(bed: KubernetesBed, **more: str) -> None:
    options = {"kubeconfig": str(bed.kubeconfig), "image": bed.image, "image_pull_policy": "Never"}
    config.configure(default=ClusterConfig(name="k8s", backend="k8s", options=options | more))


@cluster
def slow(seconds: float) -> str:
    print("slow begins", flush=True)
    time.sleep(seconds)
    return os.uname().nodename


def running(job: Any) -> Any:
    deadline = time.monotonic() + 60
    while job.status().state is not JobState.RUNNING:
        assert time.monotonic() < deadline, job.status()
        time.sleep(0.2)
    return job


def end(uid: str) -> None:
    """Kill what runs in a pod, as it ends with its node."""
    killed = 0
    for path in Path("/proc").glob("[0-9]*/cgroup"):
        with suppress(OSError):  # with the first of them the others may have ended
            if uid in path.read_text():
                os.kill(int(path.parent.name), signal.SIGKILL)
                killed += 1
    assert killed, "nothing runs in that pod"


def test_an_api_server_that_is_away_is_no_end(k8s_bed_alone: KubernetesBed) -> None:
    job = running(slow.submit(4))
    k8s_bed_alone.stop("kube-apiserver")
    late = slow.submit(0)  # what is asked for meanwhile comes too
    time.sleep(8)
    assert not job.done() and not late.done()
    k8s_bed_alone.start("kube-apiserver")
    assert job.result(90) and late.result(90)


def test_an_api_server_that_is_killed_while_a_map_is_watched(k8s_bed_alone: KubernetesBed) -> None:
    """The watch ends without a word; the next one begins at a list. No result is missing or there twice."""
    numbers = slow.map([1.0] * 12)
    time.sleep(5)
    for _ in range(2):
        k8s_bed_alone.kill("kube-apiserver")
        k8s_bed_alone.start("kube-apiserver")
        time.sleep(3)
    assert len([*numbers]) == 12


@pytest.mark.parametrize("shared", [False, True])
def test_a_lost_node(k8s_bed_alone: KubernetesBed, shared: bool) -> None:
    """Another pod is made on another node; it writes under other names than the first, also on a shared volume."""
    if shared:
        use(k8s_bed_alone, image=k8s_bed_alone.login, claim=k8s_bed_alone.claim)
    job = running(slow.submit(45))
    (pod,) = k8s_bed_alone.listed("pods", f"clustrix%2Fjob%3D{job.id}")
    number = k8s_bed_alone.nodes.index(pod["spec"]["nodeName"]) + 1
    k8s_bed_alone.stop(f"kubelet{number}")
    end(pod["metadata"]["uid"])
    try:
        where = job.result(200)
    finally:
        k8s_bed_alone.start(f"kubelet{number}")
    assert where.startswith(f"slow-{job.id}") and where != pod["metadata"]["name"]
