"""The Kubernetes test bed itself: what the other tests on it take for granted."""

from __future__ import annotations

import json
import time
import urllib.error
from collections.abc import Iterator
from typing import Any

import pytest

from clustrix_k8s.api import Api
from clustrix_k8s.options import K8sOptions
from tests.testbeds.kubernetes import KubernetesBed

LABEL = "app%3Dbed-test"


def _api(bed: KubernetesBed, user: str) -> Iterator[Api]:
    made = Api(K8sOptions(kubeconfig=str(bed.kubeconfig_of(user))))
    yield made
    made.close()


@pytest.fixture
def ada(k8s_bed: KubernetesBed) -> Iterator[Api]:
    yield from _api(k8s_bed, k8s_bed.user)


@pytest.fixture
def eve(k8s_bed: KubernetesBed) -> Iterator[Api]:
    yield from _api(k8s_bed, k8s_bed.stranger)


@pytest.fixture
def pod(k8s_bed: KubernetesBed, ada: Api) -> Iterator[str]:
    """The name of a running pod of a Job, made by the ordinary user."""
    container = {
        "name": "it",
        "image": k8s_bed.image,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", "echo said; exec sleep 60"],
        "resources": {"requests": {"cpu": "10m"}},
    }
    spec = {"restartPolicy": "Never", "containers": [container]}
    template = {"metadata": {"labels": {"app": "bed-test"}}, "spec": spec}
    body = {"metadata": {"name": "bed-test"}, "spec": {"backoffLimit": 0, "template": template}}
    jobs = f"/apis/batch/v1/namespaces/{k8s_bed.namespace}/jobs"
    made = ada.run(f"POST {jobs}", [json.dumps(body).encode()])
    assert made.returncode == 0, made.text
    yield _running(k8s_bed)
    gone = ada.run(f"DELETE {jobs}/bed-test", [b'{"propagationPolicy": "Background"}'])
    assert gone.returncode == 0, gone.text


def _running(bed: KubernetesBed) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for pod in bed.listed("pods", LABEL):
            if pod["status"]["phase"] == "Running":
                return str(pod["metadata"]["name"])
        time.sleep(0.1)
    raise AssertionError(f"no pod is running: {bed.listed('pods', LABEL)}")


def test_a_job_runs_and_can_be_looked_into(k8s_bed: KubernetesBed, ada: Api, pod: str) -> None:
    log = ada.run(f"GET /api/v1/namespaces/{k8s_bed.namespace}/pods/{pod}/log")
    assert (log.returncode, log.text) == (0, "said\n")
    program = "import sys; print(sys.stdin.readline().upper()); sys.exit(3)"
    done = ada.run(f"EXEC {k8s_bed.namespace}/{pod} it python3 -c '{program}'", [b"heard\n"])
    assert (done.returncode, done.text.strip()) == (3, "HEARD")


def test_there_are_two_nodes_and_an_ordinary_user(k8s_bed: KubernetesBed, ada: Api, eve: Api) -> None:
    nodes = k8s_bed.admin("GET", "/api/v1/nodes")["items"]
    assert {node["metadata"]["name"] for node in nodes} == {*k8s_bed.nodes}
    jobs = f"GET /apis/batch/v1/namespaces/{k8s_bed.namespace}/jobs"
    assert [ada.run(jobs).returncode, ada.run("GET /api/v1/nodes").returncode, eve.run(jobs).returncode] == [
        0,
        403,
        403,
    ]


def test_this_version_drops_what_it_does_not_know(k8s_bed: KubernetesBed) -> None:
    """What was sent is not always what is kept, and nothing says so: here the mode of Indexed Jobs."""
    spec = {"restartPolicy": "Never", "containers": [{"name": "it", "image": k8s_bed.image}]}
    body: dict[str, Any] = {"metadata": {"name": "bed-indexed"}, "spec": {"template": {"spec": spec}, "parallelism": 0}}
    body["spec"]["completionMode"] = "Indexed"
    jobs = f"/apis/batch/v1/namespaces/{k8s_bed.namespace}/jobs"
    made = k8s_bed.admin("POST", jobs, body)
    k8s_bed.admin("DELETE", f"{jobs}/bed-indexed")
    assert "completionMode" not in made["spec"]


def test_what_is_not_there_is_an_error(k8s_bed: KubernetesBed) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404") as error:
        k8s_bed.admin("GET", "/api/v1/namespaces/no-such-namespace")
    error.value.close()


def test_up_twice_changes_nothing(k8s_bed: KubernetesBed) -> None:
    assert "started" not in k8s_bed.repair()
