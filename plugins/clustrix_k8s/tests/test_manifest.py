"""The objects of a job: what is laid over them, what they are called, how files are put into them."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from clustrix_core.errors import CommandError, ConfigError, StagingError, SubmitRejected, TransportError
from clustrix_core.model import Cluster, JobHandle, JobSpec, Site
from clustrix_core.resources import Resources
from clustrix_core.testing import FakeTransport
from clustrix_k8s import asking, documents, door, manifest, names, pod, submitting
from clustrix_k8s.options import K8sOptions

JOB = "0123456789abcdef"


def cluster(transport: FakeTransport | None = None, **options: Any) -> Cluster:
    site = Site(manifest.MOUNT, (3, 11))
    given = {"namespace": "lab", **options}
    return Cluster("pods", "k8s", K8sOptions(**given), transport or FakeTransport(), site=site)


def spec(label: str = "simulate", **more: Any) -> JobSpec:
    return JobSpec(JOB, label, **({"resources": Resources()} | more))


def objects(job: JobSpec, **options: Any) -> list[dict[str, Any]]:
    return list(documents.read(manifest.render(job, cluster(**options))))


def test_a_patch_is_laid_over_as_the_server_does() -> None:
    under = {
        "a": 1,
        "gone": 2,
        "containers": [{"name": "task", "env": [{"name": "A", "value": "1"}], "x": 1}],
        "args": [1],
    }
    over = {"gone": None, "containers": [{"name": "task", "env": [{"name": "B"}]}, {"name": "new"}], "args": [2]}
    task = {"name": "task", "env": [{"name": "A", "value": "1"}, {"name": "B"}], "x": 1}
    assert documents.merged(under, over) == {"a": 1, "containers": [task, {"name": "new"}], "args": [2]}


def test_mounts_are_laid_over_by_their_path() -> None:
    """One volume may be in two places; what is mounted elsewhere is in nobody's way."""
    ours = {"name": "work", "mountPath": "/clustrix"}
    mounts = [{"name": "data", "mountPath": "/data"}, {"name": "data", "mountPath": "/out"}]
    assert documents.merged([ours], mounts) == [ours, *mounts]
    assert documents.merged([ours], [{"mountPath": "/clustrix", "subPath": "ada"}]) == [{**ours, "subPath": "ada"}]


def test_what_is_said_of_a_container_that_a_pod_has_not_makes_none() -> None:
    """The first contact and the door are pods without a keeper."""
    patch = {"spec": {"containers": [{"name": "keeper", "resources": {"limits": {"cpu": "1"}}}]}}
    keeper = objects(spec(), pod_template=patch)[0]["spec"]["template"]["spec"]["containers"][1]
    assert keeper["resources"]["limits"] == {"cpu": "1", "memory": "128Mi"} and keeper["command"]
    asked = cluster(pod_template=patch, claim="shared")
    for found in (door._job(asked), objects(spec(), pod_template=patch, claim="shared")[0]):
        assert [one["name"] for one in found["spec"]["template"]["spec"]["containers"]] == ["task"]


def test_the_keeper_may_be_what_the_task_is() -> None:
    def said(**keeper: Any) -> list[Any]:
        own = [{"name": "keeper", "securityContext": keeper}] if keeper else []
        patch = {"spec": {"containers": [{"name": "task", "securityContext": {"runAsNonRoot": True}}, *own]}}
        found = objects(spec(), pod_template=patch)[0]["spec"]["template"]["spec"]["containers"]
        return [one["securityContext"] for one in found]

    assert said() == [{"runAsNonRoot": True}] * 2
    assert said(runAsUser=7) == [{"runAsNonRoot": True}, {"runAsUser": 7}]


def test_the_server_gives_a_pod_time_to_pull_its_image() -> None:
    for more in ({}, {"claim": "shared"}):
        found = objects(spec(walltime=300), **more)[0]["spec"]["template"]["spec"]
        assert found["activeDeadlineSeconds"] >= 300 + 3600


def test_a_template_reaches_the_pod() -> None:
    patch = {"spec": {"hostNetwork": True, "containers": [{"name": "task", "securityContext": {"runAsUser": 7}}]}}
    found = objects(spec(), pod_template=patch)[0]["spec"]["template"]["spec"]
    assert found["hostNetwork"] is True
    assert [one["name"] for one in found["containers"]] == ["task", "keeper"]
    assert found["containers"][0]["securityContext"] == {"runAsUser": 7} and found["containers"][0]["command"]


def test_options_are_named_after_the_api() -> None:
    options = {
        "image_pull_secrets": ("one",),
        "service_account": "me",
        "node_selector": {"kind": "big"},
        "tolerations": ({"key": "gpu", "operator": "Exists"},),
        "priority_class_name": "low",
        "queue_name": "mine",
    }
    job = objects(spec(resources=Resources(gpus=2, memory=1 << 30)), **options)[0]
    found = job["spec"]["template"]["spec"]
    assert found["imagePullSecrets"] == [{"name": "one"}] and found["serviceAccountName"] == "me"
    assert found["nodeSelector"] == {"kind": "big"} and found["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert found["priorityClassName"] == "low" and found["automountServiceAccountToken"] is False
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "mine" and job["spec"]["suspend"] is True
    limits = found["containers"][0]["resources"]["limits"]
    assert limits == {"cpu": "1", "memory": str(1 << 30), "nvidia.com/gpu": "2"}


@pytest.mark.parametrize(
    "options",
    [{"image": "a b"}, {"namespace": "Lab"}, {"namespace": "a/b"}, {"service_account": ""}, {"parallelism": 0},
     {"image_pull_secrets": ("a\n",)}, {"gpu_resource": "a b"}, {"store_options": {"secret": "x"}},
     {"store_options": {"client_kwargs": {"aws_secret_access_key": "x"}}}],
)  # fmt: skip
def test_what_no_server_takes_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        K8sOptions(**options)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"after": {"ff": "x"}}, "value of another job"),
        ({"environment": "abc"}, "environment:"),
        ({"resources": Resources(directives=("--x",))}, "directives"),
        ({"resources": Resources(gpus="a100:1")}, "number of GPUs"),
        ({"resources": Resources(partition="x")}, "partition"),
    ],
)
def test_what_pods_cannot_do_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        objects(spec(**change))


@pytest.mark.parametrize("label", ["simulate", "Über Ähre", "9 lives", "_", "a" * 200, "x.y.<lambda>"])
@pytest.mark.parametrize("tasks", [1, 1000])
def test_names_are_those_of_kubernetes(label: str, tasks: int) -> None:
    job = spec(label, tasks=tasks, calls=tasks, round=3)
    handle = JobHandle(job.id, job.name, "", tasks, 3)
    found = names.objects(job)
    assert found == names.objects(handle) and len({*found}) == tasks
    assert all(len(name) <= 57 and K8sOptions(namespace=name) for name in found)
    assert all(
        len(value) <= 63 and value[0].isalnum() and value[-1].isalnum() for value in names.labels(job, 7).values()
    )


def test_files_come_out_as_they_went_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"spec.json": 100, "key": 64, "payload": 2 * submitting.PART + 5, "todo-1": submitting.PART, "none": 0}
    files = {name: tmp_path / name for name in sizes}
    for name, size in sizes.items():
        files[name].write_bytes(os.urandom(size))
    sent = tmp_path / "in/job"
    sent.mkdir(parents=True)
    secret = {"metadata": {"name": "s"}, "stringData": {"job-0.sh": "true"}}
    for filled in submitting._filled(secret, files):
        assert sum(len(base64.b64decode(data)) for data in filled["data"].values()) <= submitting.PART
        for name, data in filled["data"].items():
            (sent / name).write_bytes(base64.b64decode(data))
    import tarfile

    (tmp_path / "in/worker").mkdir()
    tarfile.open(tmp_path / "in/worker/worker.tar.gz", "w:gz").close()
    monkeypatch.setattr(pod, "IN", str(tmp_path / "in"))
    pod.receive(str(tmp_path / "out"), str(tmp_path / "worker"))
    for name, path in files.items():
        assert (tmp_path / "out" / name).read_bytes() == path.read_bytes(), name


def test_too_much_is_refused(tmp_path: Path) -> None:
    payload = tmp_path / "payload"
    with payload.open("wb") as file:
        file.truncate(submitting.PART * submitting.MOST + 1)
    secret = {"metadata": {"name": "s"}, "stringData": {}}
    with pytest.raises(StagingError, match="fit into Secrets"):
        list(submitting._filled(secret, {"payload": payload}))


@pytest.mark.parametrize(
    ("code", "kind"),
    [(403, SubmitRejected), (422, SubmitRejected), (500, TransportError), (503, TransportError), (429, TransportError)],
)
def test_a_refusal_is_no_job_and_an_overload_may_be_one(code: int, kind: type[Exception]) -> None:
    transport = FakeTransport()
    transport.answer("^GET /readyz", "ok")
    transport.answer("^CREATE", json.dumps({"message": "in its own words"}), rc=code)
    transport.answer("^DELETE .*/jobs/", json.dumps({"message": "not found"}), rc=404)
    with pytest.raises(kind, match="in its own words"):
        submitting.submit(spec(), manifest.render(spec(), cluster()), cluster(transport))
    assert any(line.startswith("DELETE") for line in transport.commands) == (kind is SubmitRejected)


def test_a_server_that_has_just_begun_forbids_everything_and_means_nothing_by_it() -> None:
    transport = FakeTransport()
    transport.answer("^(CREATE|GET|LIST|LOOK)", json.dumps({"message": "forbidden"}), rc=403)
    with pytest.raises(TransportError, match="forbidden"):
        submitting.submit(spec(), manifest.render(spec(), cluster()), cluster(transport))
    with pytest.raises(CommandError) as error:
        asking.pods(cluster(transport), [JobHandle(JOB, "x", "x")])
    assert error.value.transient


def test_a_worker_that_is_gone_is_put_there_again() -> None:
    transport = FakeTransport()
    from clustrix_core import bundle

    worker = manifest.worker_name(bundle.digest())
    transport.answer("^CREATE", json.dumps({"message": f'secrets "{worker}" not found'}), rc=404)
    transport.answer("^DELETE .*/jobs/clustrix-probe-", "{}")
    with pytest.raises(StagingError) as error:
        submitting.submit(spec(), manifest.render(spec(), cluster()), cluster(transport))
    assert error.value.transient and "DELETE" in transport.commands[-1]
