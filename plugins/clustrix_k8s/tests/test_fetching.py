"""Results in a pod whose node is away are not lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clustrix_core.errors import CommandError, TransportError
from clustrix_core.model import Cluster, JobHandle
from clustrix_core.testing.transports import FakeTransport
from clustrix_k8s import fetching, names
from clustrix_k8s.options import K8sOptions

HANDLE = JobHandle("0123456789abcdef", "simulate-0123456789abcdef", "simulate-0123456789abcdef")


def fetched(said: str, into: Path) -> object:
    labels = {names.JOB: HANDLE.job, names.NAME: HANDLE.name, names.TASK: "0"}
    task = {"name": "task", "state": {"terminated": {"exitCode": 0, "message": "EXIT 0\n"}}}
    keeper = {"name": "keeper", "state": {"running": {}}}
    pod = {
        "metadata": {"name": "simulate", "namespace": "here", "labels": labels},
        "status": {"phase": "Running", "containerStatuses": [keeper, task]},
    }
    transport = FakeTransport()
    transport.answer("LOOK .*/pods", json.dumps({"items": [pod]}))
    transport.answer("EXEC", error=CommandError(f"no command can be run in pod simulate: {said}", transient=True))
    cluster = Cluster("k8s", "k8s", K8sOptions(namespace="here"), transport)
    return fetching.fetch([HANDLE], into, cluster)[HANDLE.job]


def test_a_node_that_does_not_answer_is_an_outage(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="dialing backend"):
        fetched("error dialing backend: dial tcp 10.0.0.2:10250: connect: connection refused", tmp_path)


def test_a_container_that_has_just_ended_is_none(tmp_path: Path) -> None:
    fetched("container keeper is not running", tmp_path)
