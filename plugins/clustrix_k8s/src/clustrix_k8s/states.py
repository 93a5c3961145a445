"""From a pod, and from a Job without one, to where a task stands."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from clustrix_core.batch.queue import read_marker
from clustrix_core.model import JobHandle, JobState, TaskStatus
from clustrix_k8s import names

# What a container waits for that will not come, whatever is tried again.
NEVER = ("ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError")
PERHAPS = ("ImagePullBackOff", "ErrImagePull", "RegistryUnavailable", "CreateContainerError", "RunContainerError")
NO_POD = "no pod has been made for it yet"
KILLED = (137, 143)  # exit codes of who was told to end, or made to
# What a pod's status gives as the reason of its end.
AMID = ("Terminated", "NodeShutdown", "Shutdown")  # its node shut down; the task may have ended before
UNFIT = ("OutOfcpu", "OutOfmemory", "OutOfpods", "NodeAffinity", "UnexpectedAdmissionError")  # its node refused it
ENDS = {
    "DeadlineExceeded": JobState.TIMEOUT,
    "NodeLost": JobState.NODE_FAIL,
    **dict.fromkeys(("Preempting", "Evicted", *AMID, *UNFIT), JobState.PREEMPTED),
}
# Why a pod was taken away, as servers say since 1.26; see the Pod API, condition DisruptionTarget.
DISRUPTED = {
    "PreemptionByScheduler": JobState.PREEMPTED,
    "EvictionByEvictionAPI": JobState.PREEMPTED,  # as when its node is drained
    "TerminationByKubelet": JobState.PREEMPTED,  # the node shuts down, or is short of memory or disk
    "DeletionByTaintManager": JobState.NODE_FAIL,
    "DeletionByPodGC": JobState.NODE_FAIL,
}
OWN_LIMIT = ("exceeds the", "exceeded its", "Usage of EmptyDir")


def of_pod(pod: Mapping[str, Any], handle: JobHandle, patience: float) -> TaskStatus:
    """Return where a task stands. ``patience``: seconds for which an image may fail to come."""
    status = pod.get("status") or {}
    task = container(pod, "task")
    state = task.get("state") or {}
    if "terminated" in state:
        return _kept(pod, state["terminated"]) or _terminated(state["terminated"], status)
    if status.get("phase") == "Failed" or status.get("reason") in ENDS:
        return _failed(status)
    if "running" in state:
        return TaskStatus(JobState.RUNNING, "Running")
    waiting = state.get("waiting") or {}
    reason, message = str(waiting.get("reason") or ""), str(waiting.get("message") or "")
    said = f"{reason}: {message}" if message else reason
    old = time.time() - (_instant(status.get("startTime")) or handle.submitted) > patience
    if reason in NEVER or (reason in PERHAPS and old):
        return TaskStatus(JobState.FAILED, reason, message or reason)
    return TaskStatus(JobState.PENDING, str(status.get("phase") or "Pending"), said or _unscheduled(status))


def is_going(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod was deleted before it had ended by itself: its Job knows whether another one is made."""
    if not pod["metadata"].get("deletionTimestamp"):
        return False
    ended = (container(pod, "task").get("state") or {}).get("terminated") or {}
    return ended.get("exitCode") in (None, *KILLED)


def of_going(pod: Mapping[str, Any], job: Mapping[str, Any] | None) -> TaskStatus:
    """Return where a task stands whose pod was deleted, from its Job."""
    said = of_job(job)
    if said is None:
        return TaskStatus(JobState.CANCELLED, "Deleted", "its Job was deleted")
    begun = said.word not in (*NEVER, *PERHAPS)
    return _deleted(pod) if said.state is JobState.FAILED and begun else said


def of_job(job: Mapping[str, Any] | None) -> TaskStatus | None:
    """Return what a Job says of a task that has no pod; None for nothing."""
    if job is None:
        return None
    if (job["metadata"].get("annotations") or {}).get(names.CANCELLED):
        return TaskStatus(JobState.CANCELLED, "Cancelled", "by its owner")
    if noted := (job["metadata"].get("annotations") or {}).get(names.FAILED):
        word, _, reason = str(noted).partition("\n")
        return TaskStatus(JobState.FAILED, word, reason)
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition.get("status") != "True":
            continue
        reason, message = str(condition.get("reason") or ""), str(condition.get("message") or "")
        # The second is said since 1.31, when it is decided and pods still go: that of a dead node goes for long.
        if condition.get("type") in ("Failed", "FailureTarget"):
            state = JobState.TIMEOUT if reason == "DeadlineExceeded" else JobState.FAILED
            return TaskStatus(state, reason, message)
        if condition.get("type") == "Complete":
            return TaskStatus(JobState.SUCCEEDED, "Complete")
    return TaskStatus(JobState.PENDING, "Pending", NO_POD)


def is_over(job: Mapping[str, Any]) -> bool:
    """Return whether a Job has ended, well or not."""
    return any(
        one.get("type") in ("Complete", "Failed") and one.get("status") == "True"
        for one in (job.get("status") or {}).get("conditions") or ()
    )


def container(pod: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return what is known of a container of a pod."""
    found = (pod.get("status") or {}).get("containerStatuses") or ()
    return next((one for one in found if one.get("name") == name), {})


def _kept(pod: Mapping[str, Any], end: Mapping[str, Any]) -> TaskStatus | None:
    """Return what there is to say of results that wait in the pod, or did; None for nothing.

    A worker ends with 1 where a call has raised: that is a result like others.
    """
    words, _, said = str(end.get("message") or "").partition("\n")
    if said.strip() or words not in ("EXIT 0", "EXIT 1"):
        return None
    keeper = container(pod, "keeper")
    state = keeper.get("state") or {}
    if "running" in state:
        waits = f"its result waits in the pod until {_until(pod, end)}"
        return replace(_terminated(end, pod.get("status") or {}), reason=waits)
    gone = state.get("terminated") or {}
    if not gone or gone.get("exitCode") == 0:
        return None
    status = pod.get("status") or {}
    how = f"the container that kept it has ended: {gone.get('reason')}, exit code {gone.get('exitCode')}"
    why = (gone.get("message"), status.get("message"), status.get("reason"), how)
    return TaskStatus(JobState.RESULT_LOST, "", f"{next(filter(None, why))}; nobody had fetched it")


def _until(pod: Mapping[str, Any], end: Mapping[str, Any]) -> str:
    """Return until when a pod keeps its results, by this machine's clock."""
    try:
        command = next(one["command"] for one in pod["spec"]["containers"] if one["name"] == "keeper")
        seconds, ended = float(command[-1]), _instant(end.get("finishedAt"))
    except (KeyError, ValueError, StopIteration, IndexError):
        ended = None
    return "its time is over" if ended is None else datetime.fromtimestamp(ended + seconds).strftime("%H:%M:%S")


def _instant(said: object) -> float | None:
    """Return when it was, in seconds since the epoch; None where the server does not say."""
    try:
        return datetime.fromisoformat(str(said).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def _terminated(end: Mapping[str, Any], status: Mapping[str, Any]) -> TaskStatus:
    code, reason = end.get("exitCode"), str(end.get("reason") or "")
    exit_code = code if isinstance(code, int) else None
    if reason == "OOMKilled":
        return TaskStatus(JobState.OUT_OF_MEMORY, reason, "over its memory", exit_code)
    if code in KILLED and (taken := _taken(status)) is not None:
        return replace(taken, exit_code=exit_code)
    if status.get("reason") in ENDS and (status["reason"] not in AMID or code in KILLED):
        return _failed(status, exit_code)
    marker = read_marker(str(end.get("message") or "").partition("\n")[0])
    if marker is not None and marker.word != "EXIT":
        return marker
    if exit_code == 0:
        return TaskStatus(JobState.SUCCEEDED, reason or "Completed", "", 0)
    why = "" if marker is not None else str(end.get("message") or "")[:500]
    return TaskStatus(JobState.FAILED, reason or "Error", why or f"exit code {exit_code}", exit_code)


def _failed(status: Mapping[str, Any], exit_code: int | None = None) -> TaskStatus:
    reason, message = str(status.get("reason") or "Failed"), str(status.get("message") or "")
    state = ENDS.get(reason, JobState.FAILED)
    # For want of room on its node it is nobody's fault; over a limit of its own it would be again.
    if reason == "Evicted" and any(words in message for words in OWN_LIMIT):
        state = JobState.FAILED
    return TaskStatus(state, reason, message, exit_code)


def _deleted(pod: Mapping[str, Any]) -> TaskStatus:
    status = pod.get("status") or {}
    if (taken := _taken(status)) is not None:
        return taken
    if any(
        one.get("type") == "Ready" and one.get("reason") == "NodeNotReady" for one in status.get("conditions") or ()
    ):
        return TaskStatus(JobState.NODE_FAIL, "NodeLost", "its node does not answer")
    return TaskStatus(JobState.CANCELLED, "Deleted", "its pod was deleted")


def _taken(status: Mapping[str, Any]) -> TaskStatus | None:
    """Return what a newer server says of a pod that it has taken away; None for nothing."""
    for one in status.get("conditions") or ():
        reason = str(one.get("reason") or "")
        if one.get("type") == "DisruptionTarget" and reason in DISRUPTED:
            return TaskStatus(DISRUPTED[reason], reason, str(one.get("message") or ""))
    return None


def _unscheduled(status: Mapping[str, Any]) -> str:
    for one in status.get("conditions") or ():
        if one.get("type") == "PodScheduled" and one.get("status") == "False":
            return ": ".join(filter(None, [str(one.get("reason") or ""), str(one.get("message") or "")]))
    return ""
