"""Where jobs stand, and ending them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clustrix_core.model import Cluster, JobHandle, JobState, JobStatus, TaskStatus
from clustrix_k8s import asking, names, shelving, states

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
    for handle, found in known.items():
        found.update(shelving.checked(handle, found, asking.of(handle, pods), cluster))
    _end_hopeless([handle for handle, found in known.items() if _hopeless(found)], cluster)
    return {handle.job: JobStatus.of(found, handle.tasks) for handle, found in known.items()}


def cancel(handles: Sequence[JobHandle], cluster: Cluster) -> None:
    """End jobs, and leave a note that says so: with room for no pod the server ends those that there are."""
    note = {"metadata": {"annotations": {names.CANCELLED: "true"}}, "spec": {"parallelism": 0}}
    path = names.jobs_path(asking.namespace(cluster))
    for handle in handles:
        for name in names.objects(handle):
            asking.ask(cluster, f"PATCH {path}/{name}", note, missing=True)


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


def _hopeless(tasks: Mapping[int, TaskStatus]) -> bool:
    never = (*states.NEVER, *states.PERHAPS)
    return any(one.state is JobState.FAILED and one.word in never for one in tasks.values())


def _end_hopeless(handles: Sequence[JobHandle], cluster: Cluster) -> None:
    """Who was told of a failure must not see the job run after all, when its image has come at last."""
    path = names.jobs_path(asking.namespace(cluster))
    for handle in handles:
        for name in names.objects(handle):
            asking.ask(cluster, f"PATCH {path}/{name}", {"spec": {"parallelism": 0}}, missing=True)
