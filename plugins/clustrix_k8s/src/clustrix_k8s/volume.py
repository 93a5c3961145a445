"""Where pods share a volume: core's own toolkit for batch clusters does the rest, through the door."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from typing import Any

from clustrix_core import batch
from clustrix_core.model import Cluster, JobHandle, JobSpec, JobState, JobStatus
from clustrix_k8s import asking, documents, manifest, names, states, submitting


def submit(job: JobSpec, script: str, cluster: Cluster) -> JobHandle:
    """Put a job's files onto the volume, then create its objects. Raises what ``batch.submit`` raises."""
    objects = documents.read(script)
    (secret,) = [one for one in objects if one["kind"] == "Secret"]
    jobs = [one for one in objects if one["kind"] == "Job"]
    accept = replace(manifest.SCRIPT, submit=lambda job, cluster: ["echo", names.objects(job)[0]])
    with resources.as_file(resources.files("clustrix_k8s").joinpath(manifest.SHARING)) as program:
        text = secret["stringData"][f"job-{job.round}.sh"]
        batch.submit(accept, replace(job, files={**job.files, manifest.SHARING: program}), text, cluster)
    done = submitting.create(jobs, [secret], cluster)
    return submitting.accepted(job, done, cluster)


def start_those_that_may(handles: Sequence[JobHandle], found: Mapping[str, JobStatus], cluster: Cluster) -> None:
    """Give pods to the jobs that have waited for others, where these are over, however they ended."""
    waiting = [handle for handle in handles if found[handle.job].state is JobState.PENDING]
    mine = [job for job in asking.jobs(cluster, waiting) if _after(job)] if waiting else []
    if not mine:
        return
    wanted = {name for job in mine for name in _after(job)}
    before = asking.jobs(cluster, [JobHandle(name, name, name) for name in sorted(wanted)])
    live = {job["metadata"]["labels"].get(names.JOB) for job in before if _is_live(job)}
    for job in mine:
        if not live.intersection(_after(job)):
            _start(job, cluster)


def _after(job: Mapping[str, Any]) -> Sequence[str]:
    """Return the jobs that one waits for."""
    said = job["metadata"].get("annotations") or {}
    return () if said.get(names.CANCELLED) else str(said.get(names.AFTER) or "").split()


def _is_live(job: Mapping[str, Any]) -> bool:
    """Return whether a Job runs, or will. Without room for pods it was ended, or waits itself."""
    return not states.is_over(job) and bool(job["spec"].get("parallelism") or _after(job))


def _start(job: Mapping[str, Any], cluster: Cluster) -> None:
    # Of somebody who cancels it meanwhile the server has another version.
    metadata = {"annotations": {names.AFTER: None}, "resourceVersion": job["metadata"]["resourceVersion"]}
    body = {"metadata": metadata, "spec": {"parallelism": job["spec"]["completions"]}}
    path = f"{names.jobs_path(asking.namespace(cluster))}/{job['metadata']['name']}"
    done = cluster.transport.run(f"PATCH {path}", [json.dumps(body).encode()])
    if done.returncode not in (0, asking.GONE, asking.CONFLICT):
        raise asking.refusal("PATCH", done)
