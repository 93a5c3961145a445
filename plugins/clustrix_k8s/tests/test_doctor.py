"""What keeps jobs from running, and pods from being made: rights, quotas, and what the server tells of them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from clustrix_core.errors import StagingError
from clustrix_core.model import Cluster, JobHandle, JobState, Site
from clustrix_core.testing import FakeTransport
from clustrix_k8s import doctor, manifest, names, provisioning, querying
from clustrix_k8s.options import K8sOptions


def cluster(transport: FakeTransport) -> Cluster:
    site = Site(manifest.MOUNT, (3, 11))
    return Cluster("pods", "k8s", K8sOptions(namespace="lab"), transport, site=site)


def test_doctor_names_the_missing_rights() -> None:
    transport = FakeTransport()
    transport.answer("^POST .*selfsubjectaccessreviews", json.dumps({"status": {"allowed": False}}))
    (problem,) = doctor.check(cluster(transport))
    assert "create jobs" in problem.message and "create pods/exec" in problem.message and "lab" in problem.message


@pytest.mark.parametrize(
    ("text", "amount"),
    [("500m", 0.5), ("2", 2), ("1.5", 1.5), ("1k", 1000), ("2Gi", 2 << 30), ("1e3", 1000), ("3M", 3e6), ("x", None),
     ("", None), ("1.2.3", None), (None, None)],
)  # fmt: skip
def test_amounts_are_read_as_the_server_writes_them(text: object, amount: float | None) -> None:
    assert doctor.quantity(text) == (None if amount is None else pytest.approx(amount))


def test_doctor_tells_of_a_quota_that_is_used_up() -> None:
    transport = FakeTransport()
    transport.answer("^POST .*selfsubjectaccessreviews", json.dumps({"status": {"allowed": True}}))
    transport.answer("^GET .*/pods", "{}", rc=500)
    hard = {"pods": "10", "requests.cpu": "4", "limits.memory": "1Gi", "services": "0", "count/secrets": "odd"}
    used = {"pods": "10", "requests.cpu": "3500m", "limits.memory": "1Gi", "services": "0"}
    quota = {"metadata": {"name": "tight"}, "status": {"hard": hard, "used": used}}
    transport.answer("^GET .*/resourcequotas$", json.dumps({"items": [quota]}))
    found = [one.message for one in doctor.check(cluster(transport)) if one.severity == "warning"]
    assert [next(name for name in hard if f"of {name} " in message) for message in found] == ["pods", "requests.cpu"]
    assert "3500m are used, and it allows 4" in found[1]


def test_what_keeps_pods_from_being_made_is_asked_once_for_all() -> None:
    transport = FakeTransport()
    jobs = [JobHandle(f"{number:016x}", "x", f"x-{number}", submitted=1.0) for number in range(3)]
    metadata = [
        {"name": names.base(one), "labels": {names.JOB: one.job, names.NAME: one.name, names.TASK: "0"}} for one in jobs
    ]
    transport.answer("^LOOK .*/pods", json.dumps({"items": []}))
    transport.answer("^LIST .*/jobs", json.dumps({"items": [{"metadata": one} for one in metadata]}))
    event = {"metadata": {}, "involvedObject": {"name": names.base(jobs[0])}, "message": "exceeded quota: tight"}
    transport.answer("^GET .*/events", json.dumps({"items": [event]}))
    found = querying.status(jobs, cluster(transport))
    assert [one.state for one in found.values()] == [JobState.PENDING] * 3
    assert found[jobs[0].job].reason == "exceeded quota: tight"
    assert f"kubectl describe job {names.base(jobs[1])}" in found[jobs[1].job].reason
    assert transport.runs == 3
    transport.answer("^GET .*/events", json.dumps({"message": "forbidden"}), rc=403)
    assert "kubectl describe job" in querying.status(jobs, cluster(transport))[jobs[0].job].reason


def test_a_first_contact_without_a_pod_says_why_and_leaves_the_worker_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(provisioning, "PATIENCE", -1.0)
    transport = FakeTransport()
    there = replace(cluster(transport), site=None)
    event = {"metadata": {}, "involvedObject": {"name": provisioning._mark(there)}, "message": "exceeded quota: tight"}
    transport.answer("^GET .*/pods", json.dumps({"items": []}))
    transport.answer("^GET .*/jobs/", json.dumps({"message": "not found"}), rc=404)
    transport.answer("^CREATE", "[]")
    transport.answer("^DELETE .*/jobs/", "{}")
    transport.answer("^GET .*/events", json.dumps({"items": [event]}))
    with pytest.raises(StagingError, match="exceeded quota: tight") as error:
        provisioning.provision(there)
    assert "quota is used up" in str(error.value.hint)
    removed = [line for line in transport.commands if line.startswith("DELETE")]
    assert len(removed) == 1 and "/jobs/clustrix-probe-" in removed[0]
