"""A map as one Indexed Job: rendered and read, for the server of the test bed knows no such thing."""

from __future__ import annotations

import json

import pytest

from clustrix_core.model import Cluster, JobHandle, JobSpec, Site
from clustrix_core.resources import Resources
from clustrix_core.testing import FakeTransport
from clustrix_k8s import asking, documents, manifest, names, provisioning, submitting
from clustrix_k8s.options import K8sOptions

JOB = "0123456789abcdef"


def cluster(scheduler: str = manifest.PLAIN, transport: FakeTransport | None = None) -> Cluster:
    site = Site(manifest.MOUNT, (3, 11), scheduler=scheduler)
    return Cluster("pods", "k8s", K8sOptions(namespace="lab"), transport or FakeTransport(), site=site)


def spec(tasks: int = 1) -> JobSpec:
    return JobSpec(JOB, "simulate", Resources(), tasks=tasks, calls=tasks)


def test_a_map_is_one_job_where_the_server_lets_its_indexes_fail_one_by_one() -> None:
    job = spec(tasks=4)
    there = cluster(manifest.INDEXED)
    made, _secret = documents.read(manifest.render(job, there))
    assert made["metadata"]["name"] == names.objects(job, indexed=True)[0] == names.base(job)
    said = {
        name: made["spec"][name] for name in ("completionMode", "backoffLimitPerIndex", "completions", "parallelism")
    }
    assert said == {"completionMode": "Indexed", "backoffLimitPerIndex": 0, "completions": 4, "parallelism": 4}
    assert "backoffLimit" not in made["spec"], "one task that fails would end the others"
    task, _keeper = made["spec"]["template"]["spec"]["containers"]
    assert "$(CLUSTRIX_POD_TASK)" in task["command"] and names.INDEX in str(task["env"])
    assert names.TASK not in made["spec"]["template"]["metadata"]["labels"]
    alone = documents.read(manifest.render(spec(), there))[0]
    assert "completionMode" not in alone["spec"], "one call is one task"


def test_an_index_is_a_task() -> None:
    handle = JobHandle(JOB, f"simulate-{JOB}", names.base(spec()), 4)
    labels = {names.JOB: JOB, names.NAME: handle.name}
    pods = [
        {"metadata": {"labels": labels, "annotations": {names.INDEX: index}}, "n": index}
        for index in ("0", "2", "4", "-1", "x")
    ]
    found = asking.of(handle, pods)
    assert {task: one["n"] for task, one in found.items()} == {0: "0", 2: "2"}
    assert {*asking.of(handle, [{"metadata": {"labels": labels}}])} == {0, 1, 2, 3}, "one Job is that of all tasks"
    assert names.objects(handle) == [handle.native]
    several = JobHandle(JOB, handle.name, f"{handle.native}-0", 4)
    assert names.objects(several) == [f"{handle.native}-{task}" for task in range(4)]


@pytest.mark.parametrize("kept", [True, False])
def test_what_the_first_contact_says_of_indexes(kept: bool) -> None:

    transport = FakeTransport()
    ended = {"exitCode": 0, "message": json.dumps({"python": [3, 11], "user": "a", "interpreter": "x"})}
    status = {"containerStatuses": [{"name": "task", "state": {"terminated": ended}}]}
    metadata = {"name": "probe", "annotations": {names.ALONE: "0"} if kept else {names.INDEX: "0"}}
    transport.answer("^GET .*/pods", json.dumps({"items": [{"metadata": metadata, "status": status}]}))
    site = provisioning.provision(cluster(transport=transport)).site
    assert site is not None and site.scheduler == (manifest.INDEXED if kept else manifest.PLAIN)


def test_a_job_is_found_in_either_form() -> None:
    """The server may have learnt of Indexed Jobs since it was submitted."""
    transport, job = FakeTransport(), spec(tasks=2)
    transport.answer("^GET", json.dumps({"message": "not found"}), rc=404)
    first = {"name": f"{names.base(job)}-0", "uid": "one"}
    transport.answer(f"jobs/{first['name']}$", json.dumps({"metadata": first}))
    transport.answer(f"secrets/{names.base(job)}$", json.dumps({"metadata": {"ownerReferences": [{"uid": "one"}]}}))
    found = submitting.find(job, cluster(transport=transport))
    assert found is not None and found.native == first["name"]


def test_a_job_whose_last_secret_is_missing_or_of_an_earlier_try_is_removed() -> None:
    job = spec(tasks=2)
    for owners in (None, [], [{"uid": "another"}]):
        transport = FakeTransport()
        transport.answer("^GET", json.dumps({"message": "not found"}), rc=404)
        transport.answer("^DELETE", "{}")
        transport.answer(f"^GET .*jobs/{names.base(job)}-0$", json.dumps({"metadata": {"name": "x", "uid": "one"}}))
        if owners is not None:
            transport.answer("^GET .*secrets/", json.dumps({"metadata": {"ownerReferences": owners}}))
        assert submitting.find(job, cluster(transport=transport)) is None
        removed = {line.rpartition("/")[2] for line in transport.commands if line.startswith("DELETE")}
        assert removed == {*names.objects(job, indexed=True), *names.objects(job, indexed=False)}
