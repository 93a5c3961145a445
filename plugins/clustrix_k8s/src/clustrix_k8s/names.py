"""What the objects of a job are called, and how they are found again."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from urllib.parse import quote

from clustrix_core.model import JobHandle, JobSpec

MANAGED = {"app.kubernetes.io/managed-by": "clustrix"}
JOB, ROUND, TASK, NAME, PROBE = "clustrix/job", "clustrix/round", "clustrix/task", "clustrix/name", "clustrix/probe"
CANCELLED = "clustrix/cancelled"
AT_ONCE = 50  # jobs that are asked for by name; of more all are listed
_UNFIT = re.compile(r"[^a-z0-9]+")


def base(job: JobSpec | JobHandle) -> str:
    """Return the name of a job's objects: small letters, digits and hyphens; pods need room for more behind it."""
    number = job.job if isinstance(job, JobHandle) else job.id
    label = _UNFIT.sub("-", job.name.partition(f"-{number}")[0].lower())[:20].strip("-") or "job"
    label = label if label[0].isalpha() else f"j{label}"
    return f"{label}-{number}" + (f"-r{job.round}" if job.round else "")


def objects(job: JobSpec | JobHandle) -> Sequence[str]:
    """Return the names of the Jobs of a round, one a task."""
    name = base(job)
    return [name] if job.tasks == 1 else [f"{name}-{task}" for task in range(job.tasks)]


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
