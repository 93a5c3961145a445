"""Where jobs stand, and ending them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from clustrix_core.model import Cluster, JobHandle, JobState, JobStatus, TaskStatus
from clustrix_k8s import asking, names, shelving, states

SLOW = 3.0  # seconds in which a server makes a pod that it can make

Objects = Sequence[Mapping[str, Any]]


def status(handles: Sequence[JobHandle], cluster: Cluster) -> Mapping[str, JobStatus]:
    """Return the status of every handle: one list of pods, and one of Jobs where a task has no pod."""
    if not handles:
        return {}
    pods = asking.pods(cluster, handles)
    known = {handle: _by_pods(handle, pods, cluster) for handle in handles}
    if any(len(found) < handle.tasks for handle, found in known.items()):
        jobs = asking.jobs(cluster, handles)
        for handle, found in known.items():
            found.update(_by_jobs(handle, pods, jobs, found))
        _explain(known, cluster)
    if not cluster.options.claim:  # what lies there is not lost with a pod
        for handle, found in known.items():
            found.update(shelving.checked(handle, found, asking.of(handle, pods), cluster))
    for handle, found in known.items():
        if why := _hopeless(found):
            # Who was told of a failure must not see the job run after all, when its image has come at last.
            _end(handle, {names.FAILED: f"{why.word}\n{why.reason}"[:1000]}, cluster)
    return {handle.job: JobStatus.of(found, handle.tasks) for handle, found in known.items()}


def cancel(handles: Sequence[JobHandle], cluster: Cluster) -> None:
    """End jobs, and leave a note that says so."""
    for handle in handles:
        _end(handle, {names.CANCELLED: "true"}, cluster)


def _end(handle: JobHandle, note: Mapping[str, str], cluster: Cluster) -> None:
    """With room for no pod the server ends those that there are; its deadline makes the Job one that is over, which the
    server removes in the end."""
    body = {"metadata": {"annotations": note}, "spec": {"parallelism": 0, "activeDeadlineSeconds": 1}}
    path = names.jobs_path(asking.namespace(cluster))
    for name in names.objects(handle):
        asking.ask(cluster, f"PATCH {path}/{name}", body, missing=True)


def _by_pods(handle: JobHandle, pods: Objects, cluster: Cluster) -> dict[int, TaskStatus]:
    patience = cluster.options.image_patience_seconds
    mine = asking.of(handle, pods).items()
    return {task: states.of_pod(pod, handle, patience) for task, pod in mine if not states.is_going(pod)}


def _by_jobs(handle: JobHandle, pods: Objects, jobs: Objects, known: Mapping[int, TaskStatus]) -> dict[int, TaskStatus]:
    """Return what the Jobs say of those tasks that have no pod, or one that goes."""
    mine, going = asking.of(handle, jobs), asking.of(handle, pods)
    found = {}
    for task in range(handle.tasks):
        if task in known:
            continue
        if task in going:
            found[task] = states.of_going(going[task], mine.get(task))
        elif said := states.of_job(mine.get(task)):
            found[task] = said
    return found


def _explain(known: Mapping[JobHandle, dict[int, TaskStatus]], cluster: Cluster) -> None:
    """Say of tasks that have had no pod for a while what keeps the server from making one, if we may see it."""
    late = [handle for handle in known if time.time() - handle.submitted > SLOW]
    wanting = [handle for handle in late if any(one.reason == states.NO_POD for one in known[handle].values())]
    if not wanting:
        return
    why = asking.why_no_pods(cluster)
    for handle in wanting:
        jobs = names.objects(handle)
        for task, said in known[handle].items():
            if said.reason == states.NO_POD:
                name = jobs[task] if len(jobs) > 1 else jobs[0]
                reason = why.get(name) or f"{states.NO_POD}: `kubectl describe job {name}` says why"
                known[handle][task] = replace(said, reason=reason)


def _hopeless(tasks: Mapping[int, TaskStatus]) -> TaskStatus | None:
    """Return the end of a task whose container will not begin, if one is not noted yet."""
    ended = (one for one in tasks.values() if one.state is JobState.FAILED)
    return next((one for one in ended if one.word in (*states.NEVER, *states.PERHAPS)), None)
