"""Creating the objects of a job, and looking whether they are there."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clustrix_core import bundle
from clustrix_core.errors import StagingError, SubmitRejected, TransportError
from clustrix_core.model import Cluster, JobHandle, JobSpec
from clustrix_core.transport import Completed
from clustrix_k8s import asking, documents, manifest, names, provisioning

PART = 900_000  # bytes in one Secret, which holds 1 MiB at most
MOST = 32  # Secrets of one job: they are kept in the cluster's own database
_KINDS = {"Job": "jobs", "Secret": "secrets"}


def submit(job: JobSpec, script: str, cluster: Cluster) -> JobHandle:
    """Create the Jobs and Secrets of a job. What is there already is taken for an earlier try of the same.

    Raises SubmitRejected where the server refuses, StagingError where the payload is too large for it, and
    TransportError where there may be a job.
    """
    objects = [dict(one) for one in documents.read(script)]
    jobs = [one for one in objects if one["kind"] == "Job"]
    secrets = [one for one in objects if one["kind"] == "Secret"]
    filled = list(_filled(job, secrets[0]))
    for one in jobs:
        sources = _sources(one)
        sources += [{"secret": {"name": secret["metadata"]["name"]}} for secret in filled[1:]]
    # The first Job owns all the others, so that nothing is left when it goes.
    wanted = [{"path": path(one, cluster), "body": one} for one in [jobs[0], *filled, *secrets[1:], *jobs[1:]]]
    worker = manifest.worker_name(bundle.digest())
    needed = f"{names.core_path(asking.namespace(cluster), 'secrets')}/{worker}"
    done = cluster.transport.run(f"CREATE {needed}", (json.dumps(wanted).encode(),))
    if done.returncode == asking.GONE and worker in asking.words(done):
        provisioning.release(cluster)
        raise StagingError("the worker is gone from the namespace", returncode=asking.GONE, transient=True)
    return accepted(job, done, cluster)


def accepted(job: JobSpec, done: Completed, cluster: Cluster) -> JobHandle:
    """Return the handle of a job whose objects were created. Raises SubmitRejected, or TransportError where they may
    be there."""
    if done.returncode == 0:
        return _handle(job, json.loads(done.stdout)[0])
    if done.returncode in asking.BUSY or done.returncode < 400 or asking.begins(cluster, done):
        raise TransportError(f"the API server did not take the job, or did and said otherwise: {asking.words(done)}")
    raise SubmitRejected(
        f"Kubernetes refused the job: {asking.words(done)}",
        hint=asking.hint(done),
    )


def find(job: JobSpec, cluster: Cluster) -> JobHandle | None:
    """Return the handle of a job that is there whole; None where none is, or will be.

    One whose submission broke off is removed: its payload is missing.
    """
    namespace = asking.namespace(cluster)
    jobs = names.jobs_path(namespace)
    for found in [names.objects(job, indexed=True), names.objects(job, indexed=False)][: 2 if job.tasks > 1 else 1]:
        made = asking.ask(cluster, f"GET {jobs}/{found[0]}", missing=True)
        if made is None or made["metadata"].get("deletionTimestamp"):
            continue
        payload = f"{names.core_path(namespace, 'secrets')}/{names.base(job)}"
        needed = {payload, f"{jobs}/{found[-1]}"}
        if all(asking.ask(cluster, f"GET {one}", missing=True) is not None for one in needed):
            return _handle(job, made)
        asking.ask(cluster, f"DELETE {jobs}/{found[0]}", {"propagationPolicy": "Background"}, missing=True)
    return None


def _handle(job: JobSpec, made: Mapping[str, Any]) -> JobHandle:
    return JobHandle(job.id, job.name, str(made["metadata"]["name"]), job.tasks, job.round, asking.created(made))


def path(document: Mapping[str, Any], cluster: Cluster) -> str:
    """Return where an object is created."""
    namespace = document["metadata"].get("namespace") or asking.namespace(cluster)
    kind = _KINDS[document["kind"]]
    return names.jobs_path(namespace) if kind == "jobs" else names.core_path(namespace, kind)


def _sources(job: Mapping[str, Any]) -> list[Any]:
    volumes = job["spec"]["template"]["spec"]["volumes"]
    found: list[Any] = next(one for one in volumes if one["name"] == "job")["projected"]["sources"]
    return found


def _filled(job: JobSpec, secret: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the Secret with all files of the job, and others where one is not enough."""
    parts = list(_parts(job.files))
    if len(parts) > MOST:
        size = sum(path.stat().st_size for path in job.files.values())
        raise StagingError(
            f"function and arguments are {size >> 20} MB, and {MOST * PART >> 20} MB fit into Secrets",
            hint="Put large data where pods can read it, a volume or an object store, and pass its name.",
        )
    for number, data in enumerate(parts or [{}]):
        name = secret["metadata"]["name"] + (f"-part{number}" if number else "")
        text = {key: base64.b64encode(value).decode() for key, value in data.items()}
        own = {} if number else {"stringData": secret["stringData"]}
        metadata = {**secret["metadata"], "name": name}
        yield {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": text, **own}


def _parts(files: Mapping[str, Path]) -> Iterator[Mapping[str, bytes]]:
    """Yield what goes into each Secret; a file that is too large for one is cut, in parts ``name..000`` and so on."""
    gathered: dict[str, bytes] = {}
    room = PART
    for name, path in files.items():
        with path.open("rb") as file:
            number = 0
            while (data := file.read(PART)) or not number:  # an empty file is one too
                if len(data) > room:
                    yield gathered
                    gathered, room = {}, PART
                cut = number or file.peek(1)
                gathered[f"{name}..{number:03}" if cut else name] = data
                room -= len(data)
                number += 1
    if gathered:
        yield gathered
