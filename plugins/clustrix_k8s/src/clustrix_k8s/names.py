"""What the objects of a job are called, and how they are found again."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from clustrix_core.model import JobHandle, JobSpec

MANAGED = {"app.kubernetes.io/managed-by": "clustrix"}
JOB, ROUND, TASK, NAME, PROBE = "clustrix/job", "clustrix/round", "clustrix/task", "clustrix/name", "clustrix/probe"
DOOR = "clustrix/door"
CANCELLED, FAILED, AFTER = "clustrix/cancelled", "clustrix/failed", "clustrix/after"
INDEX = "batch.kubernetes.io/job-completion-index"  # an annotation of the pods of an Indexed Job, since 1.21
# One of pods of which one that fails does not end the others (backoffLimitPerIndex): since 1.28, on from 1.29.
ALONE = "batch.kubernetes.io/job-index-failure-count"
AT_ONCE = 50  # jobs that are asked for by name; of more all are listed
_UNFIT = re.compile(r"[^a-z0-9]+")


def base(job: JobSpec | JobHandle) -> str:
    """Return the name of a job's objects: small letters, digits and hyphens; pods need room for more behind it."""
    number = job.job if isinstance(job, JobHandle) else job.id
    label = _UNFIT.sub("-", job.name.partition(f"-{number}")[0].lower())[:20].strip("-") or "job"
    label = label if label[0].isalpha() else f"j{label}"
    return f"{label}-{number}" + (f"-r{job.round}" if job.round else "")


def objects(job: JobSpec | JobHandle, indexed: bool | None = None) -> Sequence[str]:
    """Return the names of the Jobs of a round: one a task, or one for all. ``indexed``: which; a handle knows it."""
    name = base(job)
    if indexed is None:
        indexed = isinstance(job, JobHandle) and job.native == name
    return [name] if indexed or job.tasks == 1 else [f"{name}-{task}" for task in range(job.tasks)]


def tasks(one: Mapping[str, Any], handle: JobHandle) -> Sequence[int]:
    """Return of which tasks of a job an object is: a pod of one, a Job of one or of all."""
    metadata = one["metadata"]
    told = (metadata.get("labels") or {}).get(TASK) or (metadata.get("annotations") or {}).get(INDEX)
    if told is None:
        return range(handle.tasks)
    return [int(told)] if str(told).isdecimal() and int(told) < handle.tasks else []


def labels(job: JobSpec, task: int | None = None) -> Mapping[str, str]:
    """Return the labels of a job's objects."""
    found = {**MANAGED, JOB: job.id, ROUND: str(job.round), NAME: job.name}
    return found if task is None else {**found, TASK: str(task)}


def selector(jobs: Collection[str]) -> str:
    """Return what finds the objects of these jobs, as a part of a URL; without any, those of all jobs."""
    managed = ",".join(f"{key}={value}" for key, value in MANAGED.items())
    some = f" in ({','.join(sorted({*jobs}))})" if 0 < len(jobs) <= AT_ONCE else ""
    return f"labelSelector={quote(f'{managed},{JOB}{some}')}"


def jobs_path(namespace: str) -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


def core_path(namespace: str, kind: str) -> str:
    return f"/api/v1/namespaces/{namespace}/{kind}"
