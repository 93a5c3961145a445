"""Every object that is rendered, against two schemas: a real API server's (1.20), and that of the official client.

A server drops fields that it does not know, and says nothing: so what it answers is compared with what was sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from kubernetes import client

from clustrix_core.model import Cluster, JobSpec, Site
from clustrix_core.resources import Resources
from clustrix_core.testing import FakeTransport
from clustrix_k8s import doctor, documents, manifest
from clustrix_k8s.options import K8sOptions
from tests.real.test_docs import ROOT
from tests.testbeds.kubernetes import KubernetesBed

GOLDEN = sorted((ROOT / "tests/contract/golden/k8s").glob("*.sh"))
AFFINITY = {
    "nodeAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 5, "preference": {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}}
        ]
    },
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"labelSelector": {"matchLabels": {"app": "loud"}}, "topologyKey": "kubernetes.io/hostname"}
        ]
    },
}
VOLUMES = {
    "spec": {
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
        ],
        "containers": [
            {
                "name": "task",
                "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "shm", "mountPath": "/dev/shm"}],
            }
        ],
    }
}
TOLERATION = {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "kueue": {"queue_name": "mine"},
    "affinity": {"pod_template": {"spec": {"affinity": AFFINITY}}},
    "volumes": {"pod_template": VOLUMES},
    "gpus": {"node_selector": {"accelerator": "a100"}, "tolerations": (TOLERATION,), "gpu_resource": "amd.com/gpu"},
    "secrets": {"image_pull_secrets": ("one", "two"), "service_account": "me", "priority_class_name": "low"},
}
INDEXED = {"spec.completionMode", "spec.backoffLimitPerIndex"}
# What the server of the bed is too old for.
DROPPED = {"kueue": {"spec.suspend"}, "indexed": INDEXED}


def rendered(name: str) -> list[dict[str, Any]]:
    gpus = 2 if name == "gpus" else None
    resources = Resources(cores=2, memory=3 << 30, gpus=gpus, time=600)
    job = JobSpec("0123456789abcdef", "simulate", resources=resources, walltime=600)
    site = Site(manifest.MOUNT, (3, 11))
    if name == "indexed":
        job, site = replace(job, tasks=3, calls=3), replace(site, scheduler=manifest.INDEXED)
    cluster = Cluster("pods", "k8s", K8sOptions(**OPTIONS.get(name, {})), FakeTransport(), site=site)
    return [*documents.read(manifest.render(job, cluster))]


def dropped(sent: Any, kept: Any, path: str = "") -> Iterator[str]:
    """Yield what of an object the server has not kept as it was."""
    if isinstance(sent, dict) and isinstance(kept, dict):
        for name, value in sent.items():
            yield from dropped(value, kept.get(name), f"{path}.{name}" if path else name)
    elif isinstance(sent, list) and isinstance(kept, list) and len(sent) == len(kept):
        for number, (one, other) in enumerate(zip(sent, kept, strict=True)):
            yield from dropped(one, other, f"{path}[{number}]")
    elif sent != kept and (doctor.quantity(sent) is None or doctor.quantity(sent) != doctor.quantity(kept)):
        yield path


def sent_to(bed: KubernetesBed, document: dict[str, Any]) -> Any:
    group = "/apis/batch/v1" if document["kind"] == "Job" else "/api/v1"
    document["metadata"]["namespace"] = bed.namespace
    path = f"{group}/namespaces/{bed.namespace}/{document['kind'].lower()}s?dryRun=All"
    return bed.admin("POST", path, document)


def whole(document: dict[str, Any], kept: Any) -> set[str]:
    given = dict(document)
    if text := given.pop("stringData", None):  # it is written only
        assert {*text} <= {*kept["data"]}
    return {*dropped(given, kept)}


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_the_server_keeps_all_of_the_golden_objects(file: Any, k8s_bed: KubernetesBed) -> None:
    # The worker's digest is left out of them, and what is left is no name.
    text = file.read_text("utf-8").replace("clustrix-worker-WORKER", "clustrix-worker")
    for document in documents.read(text):
        expected = INDEXED if "completionMode" in document.get("spec", {}) else set()
        assert whole(document, sent_to(k8s_bed, document)) == expected


@pytest.mark.parametrize("name", [*OPTIONS, "indexed"])
def test_the_server_keeps_all_that_options_say(name: str, k8s_bed: KubernetesBed) -> None:
    job, secret = rendered(name)
    assert whole(job, sent_to(k8s_bed, job)) == DROPPED.get(name, set())
    assert not whole(secret, sent_to(k8s_bed, secret))


@pytest.mark.parametrize("name", [*OPTIONS, "indexed"])
def test_newer_servers_know_all_fields(name: str) -> None:
    """The official client's model of a Job refuses fields that it does not know."""
    job, secret = rendered(name)
    assert client.V1Job.model_validate(job).kind == "Job"
    assert client.V1Secret.model_validate(secret).kind == "Secret"
    with pytest.raises(ValueError, match="forbidden"):
        client.V1Job.model_validate({**job, "spec": {**job["spec"], "noSuchField": 1}})
