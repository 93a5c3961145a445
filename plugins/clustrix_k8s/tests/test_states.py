"""From what the API server says of a pod to what is said of a task.

The answers are those of a Kubernetes 1.20; the condition DisruptionTarget, which is newer, is as the API's reference
says.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from clustrix_core.model import JobHandle, JobState
from clustrix_k8s import names, states

HANDLE = JobHandle("0123456789abcdef", "simulate-0123456789abcdef", "simulate-0123456789abcdef")


def pod(task: dict[str, Any] | None = None, deleted: bool = False, **status: Any) -> dict[str, Any]:
    metadata = {"name": "simulate", **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleted else {})}
    containers = [{"name": "keeper", "state": {"running": {}}}, {"name": "task", "state": task or {}}]
    return {"metadata": metadata, "status": {"phase": "Running", "containerStatuses": containers, **status}}


def ended(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def waiting(reason: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": "in its own words"}}


@pytest.mark.parametrize(
    ("given", "state", "word"),
    [
        (pod({"running": {}}), "RUNNING", "Running"),
        (pod({}, phase="Pending"), "PENDING", "Pending"),
        (pod(waiting("ContainerCreating"), phase="Pending"), "PENDING", "Pending"),
        (pod(waiting("ErrImageNeverPull"), phase="Pending"), "FAILED", "ErrImageNeverPull"),
        (pod(waiting("InvalidImageName"), phase="Pending"), "FAILED", "InvalidImageName"),
        (pod(ended(0, "Completed", "EXIT 0\nH4s")), "SUCCEEDED", "Completed"),
        (pod(ended(3, message="EXIT 3\n")), "FAILED", "Error"),
        (pod(ended(128, "StartError", "no such program")), "FAILED", "StartError"),
        (pod(ended(143, message="TIMEOUT 143 over its walltime\n")), "TIMEOUT", "TIMEOUT"),
        (pod(ended(137, "OOMKilled")), "OUT_OF_MEMORY", "OOMKilled"),
        (pod(ended(137), phase="Failed", reason="DeadlineExceeded"), "TIMEOUT", "DeadlineExceeded"),
        (
            pod(phase="Failed", reason="Evicted", message="The node was low on resource"),
            "PREEMPTED",
            "Evicted",
        ),
        (pod(phase="Failed", reason="Evicted", message='Usage of EmptyDir volume "work" exceeds'), "FAILED", "Evicted"),
        (pod({"running": {}}, reason="NodeLost"), "NODE_FAIL", "NodeLost"),
        (pod(phase="Failed", reason="OutOfcpu", message="Node didn't have enough resource"), "PREEMPTED", "OutOfcpu"),
        (
            pod(ended(143, message="CANCELLED 143 it was told to stop\n"), phase="Failed", reason="Terminated"),
            "PREEMPTED",
            "Terminated",
        ),
        (pod(ended(3, message="EXIT 3\n"), phase="Failed", reason="Terminated"), "FAILED", "Error"),
        # Its node shuts down: it was told to stop, and not by who has sent it there.
        (
            pod(
                ended(143, message="CANCELLED 143 it was told to stop\n"),
                phase="Failed",
                reason="Terminated",
                conditions=[{"type": "DisruptionTarget", "reason": "TerminationByKubelet", "status": "True"}],
            ),
            "PREEMPTED",
            "TerminationByKubelet",
        ),
    ],
)
def test_where_a_pod_stands(given: dict[str, Any], state: str, word: str) -> None:
    said = states.of_pod(given, HANDLE, 60)
    assert (said.state.value, said.word) == (state, word)


def test_an_image_may_be_late_but_not_for_ever() -> None:
    late = pod(waiting("ImagePullBackOff"), phase="Pending")
    fresh = JobHandle(HANDLE.job, HANDLE.name, HANDLE.native, submitted=time.time())
    assert states.of_pod(late, fresh, 60).state is JobState.PENDING
    assert states.of_pod(late, HANDLE, 60).state is JobState.FAILED
    late["status"]["startTime"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    assert states.of_pod(late, HANDLE, 60).state is JobState.PENDING, "it has waited for a node, not for its image"


def test_why_a_container_never_began_is_told_when_its_pod_is_gone() -> None:
    """Whoever was told has ended the Job, so that nothing runs after all."""
    job = {"metadata": {"annotations": {names.FAILED: "ErrImagePull\nno such image"}}, "status": OVER}
    for said in (states.of_job(job), states.of_going(pod(waiting("ErrImagePull"), deleted=True), job)):
        assert said is not None
        assert (said.state, said.word, said.reason) == (JobState.FAILED, "ErrImagePull", "no such image")


def test_what_keeps_a_pod_waiting_is_told() -> None:
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}]
    assert states.of_pod(pod(phase="Pending", conditions=conditions), HANDLE, 60).reason == "Unschedulable: 0/2 nodes"


@pytest.mark.parametrize("damaged", [{}, {"status": {}}, {"status": None}, {"status": {"containerStatuses": None}}])
def test_a_pod_of_which_nothing_is_known_has_not_ended(damaged: dict[str, Any]) -> None:
    assert states.of_pod({"metadata": {}, **damaged}, HANDLE, 60).state is JobState.PENDING


@pytest.mark.parametrize(
    ("status", "annotations", "state"),
    [
        ({}, {}, "PENDING"),
        ({}, {names.CANCELLED: "true"}, "CANCELLED"),
        ({"conditions": [{"type": "Complete", "status": "True"}]}, {}, "SUCCEEDED"),
        ({"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]}, {}, "TIMEOUT"),
        ({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}, {}, "FAILED"),
        ({"conditions": [{"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded"}]}, {}, "FAILED"),
        ({}, {names.FAILED: "ErrImagePull\nno such image"}, "FAILED"),
    ],
)
def test_where_a_job_without_a_pod_stands(status: dict[str, Any], annotations: dict[str, str], state: str) -> None:
    said = states.of_job({"metadata": {"annotations": annotations}, "status": status})
    assert said is not None and said.state.value == state


def condition(kind: str, reason: str) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "reason": reason, "status": "True"}]}


OVER = condition("Failed", "BackoffLimitExceeded")


@pytest.mark.parametrize(
    ("job", "why", "state"),
    [
        (None, {}, "CANCELLED"),  # somebody has deleted it
        ({}, {}, "PENDING"),  # another pod is made
        (condition("Failed", "BackoffLimitExceeded"), condition("Ready", "NodeNotReady"), "NODE_FAIL"),
        (
            condition("Failed", "BackoffLimitExceeded"),
            condition("DisruptionTarget", "DeletionByTaintManager"),
            "NODE_FAIL",
        ),
        (
            condition("Failed", "BackoffLimitExceeded"),
            condition("DisruptionTarget", "PreemptionByScheduler"),
            "PREEMPTED",
        ),
        (OVER, condition("DisruptionTarget", "EvictionByEvictionAPI"), "PREEMPTED"),
        (OVER, condition("DisruptionTarget", "DeletionByPodGC"), "NODE_FAIL"),
        (OVER, {}, "CANCELLED"),
    ],
)
def test_a_pod_that_was_deleted(job: dict[str, Any] | None, why: dict[str, Any], state: str) -> None:
    gone = pod({"running": {}}, deleted=True, **why)
    assert states.is_going(gone) and not states.is_going(pod({"running": {}}))
    assert states.is_going(pod(ended(143), deleted=True, phase="Failed"))
    assert not any(states.is_going(pod(ended(code), deleted=True)) for code in (0, 1)), "they had ended by themselves"
    given = None if job is None else {"metadata": {}, "status": job}
    assert states.of_going(gone, given).state.value == state


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize(
    ("keeper", "status", "state", "reason"),
    [
        ({"running": {}}, {}, {0: "SUCCEEDED", 1: "FAILED"}, "its result waits in the pod until "),
        ({"terminated": {"exitCode": 0}}, {}, {0: "SUCCEEDED", 1: "FAILED"}, ""),
        ({"terminated": {"exitCode": 1, "message": "it has waited"}}, {}, "RESULT_LOST", "it has waited; nobody had"),
        # What newer servers than 1.20 leave of a pod that was evicted: its containers with how they ended.
        (
            {"terminated": {"exitCode": 137}},
            {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource"},
            "RESULT_LOST",
            "The node was low on resource; nobody had",
        ),
        (
            {"terminated": {"exitCode": 137}},
            {"phase": "Failed", "reason": "DeadlineExceeded"},
            "RESULT_LOST",
            "DeadlineExceeded; nobody had",
        ),
    ],
)
def test_a_result_that_waits_in_its_pod_or_did(
    keeper: dict[str, Any], status: dict[str, Any], state: Any, reason: str, code: int
) -> None:
    given = pod(ended(code, message=f"EXIT {code}\n"), **status)
    given["status"]["containerStatuses"][0]["state"] = keeper
    said = states.of_pod(given, HANDLE, 60)
    assert said.state.value == (state[code] if isinstance(state, dict) else state)
    assert said.reason.startswith(reason)


def test_until_when_a_result_waits() -> None:
    given = pod(ended(0, message="EXIT 0\n"))
    given["status"]["containerStatuses"][1]["state"]["terminated"]["finishedAt"] = "2026-01-01T00:00:00Z"
    given["spec"] = {"containers": [{"name": "keeper", "command": ["python3", "pod.py", "keep", "/clustrix", "3600"]}]}
    then = time.strftime("%H:%M:%S", time.localtime(1767229200))  # 2026-01-01 01:00:00 UTC
    assert states.of_pod(given, HANDLE, 60).reason == f"its result waits in the pod until {then}"
