"""Creating the objects of a job, and looking whether they are there."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clustrix_core import bundle
from clustrix_core.batch.submit import NO_BLOBS
from clustrix_core.errors import CommandError, StagingError, SubmitRejected, TransportError
from clustrix_core.model import Cluster, JobHandle, JobSpec
from clustrix_core.transport import Completed
from clustrix_k8s import asking, documents, manifest, names, provisioning
from clustrix_k8s.api import owner

PART = 900_000  # bytes in one Secret, which holds 1 MiB at most
PARTS = "clustrix/parts"
MOST = 32  # Secrets of one job: they are kept in the cluster's own database
_log = logging.getLogger("clustrix.k8s")
_KINDS = {"Job": "jobs", "Secret": "secrets"}


def submit(job: JobSpec, script: str, cluster: Cluster) -> JobHandle:
    """Create the Jobs and Secrets of a job. What is there already is taken for an earlier try of the same.

    Raises SubmitRejected where the server refuses, StagingError where the payload is too large for it, and
    TransportError where there may be a job.
    """
    objects = [dict(one) for one in documents.read(script)]
    jobs = [one for one in objects if one["kind"] == "Job"]
    secrets = [one for one in objects if one["kind"] == "Secret"]
    first = _first(job, cluster) if job.round else {}
    filled = list(_filled(secrets[0], _files(job, cluster, first)))
    parts = [*(first.get("parts") or ()), *(secret["metadata"]["name"] for secret in filled[1:])]
    for one in jobs:
        sources = _sources(one)
        sources += [{"secret": {"name": name}} for name in parts]
    done = create(jobs, [*filled[1:], filled[0]], cluster, needed=_worker(cluster))
    if done.returncode == asking.GONE and _worker(cluster).rpartition("/")[2] in asking.words(done):
        provisioning.forget(cluster)
        raise StagingError("the worker is gone from the namespace", returncode=asking.GONE, transient=True)
    handle = accepted(job, done, cluster)
    if job.round:
        _share([manifest.first_secret(job), *first["parts"]], [*first["owners"], *_jobs(done)], cluster)
    return handle


def create(jobs: Sequence[Any], secrets: Sequence[Any], cluster: Cluster, needed: str = "") -> Completed:
    """Create the objects of a job, if ``needed`` is there.

    No pod begins before the last Secret is there, which is the last of all: whoever finds it finds a job that is whole,
    and of one that is not nothing has run. The Secrets go with the last Job; no Job owns another one, since the server
    may remove it while others still run.
    """
    order = [*((one, False) for one in jobs), *((one, True) for one in secrets)]
    wanted = [{"path": path(one, cluster), "body": one, "owned": owned} for one, owned in order]
    return cluster.transport.run(f"CREATE {needed}".strip(), (json.dumps(wanted).encode(),))


def _worker(cluster: Cluster) -> str:
    return f"{names.core_path(asking.namespace(cluster), 'secrets')}/{manifest.worker_name(bundle.digest())}"


def _jobs(done: Completed) -> list[Any]:
    return [owner(one) for one in json.loads(done.stdout) if one["kind"] == "Job"]


def _share(secrets: Sequence[str], owners: Sequence[Any], cluster: Cluster) -> None:
    """Let the Secrets of the first round live as long as any Job of those that came after."""
    for name in secrets:
        path = f"{names.core_path(asking.namespace(cluster), 'secrets')}/{name}"
        done = cluster.transport.run(f"PATCH {path}", [json.dumps({"metadata": {"ownerReferences": owners}}).encode()])
        if done.returncode not in (0, asking.GONE):
            # The job is there, and mostly it is done long before the server removes the first of its Jobs.
            _log.warning("the Secret %s may go before its job: %s", name, asking.words(done))


def accepted(job: JobSpec, done: Completed, cluster: Cluster) -> JobHandle:
    """Return the handle of a job whose objects were created. Raises SubmitRejected where nothing is there,
    TransportError where something may be."""
    if done.returncode == 0:
        return _handle(job, json.loads(done.stdout)[0])
    if done.returncode in asking.BUSY or done.returncode < 400 or asking.begins(cluster, done):
        raise TransportError(f"the API server did not take the job, or did and said otherwise: {asking.words(done)}")
    if cluster.options.store:
        from clustrix_k8s.store import Store

        Store(cluster.options).remove(f"jobs/{job.id}")
    try:
        _withdraw(job, cluster)  # what was refused may be the last of many
    except CommandError as error:
        raise TransportError(f"a part of the job was refused, {asking.words(done)}: {error.args[0]}") from error
    raise SubmitRejected(f"Kubernetes refused the job: {asking.words(done)}", hint=asking.hint(done))


def _withdraw(job: JobSpec, cluster: Cluster) -> None:
    """Remove what there is of a round."""
    path, policy = names.jobs_path(asking.namespace(cluster)), {"propagationPolicy": "Background"}
    for name in dict.fromkeys([*names.objects(job, indexed=True), *names.objects(job, indexed=False)]):
        asking.ask(cluster, f"DELETE {path}/{name}", policy, missing=True)


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
        last = asking.ask(cluster, f"GET {names.core_path(namespace, 'secrets')}/{names.base(job)}", missing=True)
        owners = ((last or {}).get("metadata") or {}).get("ownerReferences") or ()
        if any(one["uid"] == made["metadata"]["uid"] for one in owners):
            return _handle(job, made)
        _withdraw(job, cluster)
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


def _first(job: JobSpec, cluster: Cluster) -> Mapping[str, Any]:
    """Return what a later round needs of the first: the names of its other Secrets, and what it has in the store."""
    name = manifest.first_secret(job)
    path = f"{names.core_path(asking.namespace(cluster), 'secrets')}/{name}"
    made = asking.ask(cluster, f"GET {path}", missing=True)
    if made is None:
        raise StagingError(
            "what the first round of this job was sent with is gone from the namespace",
            hint="Somebody, or the server's clean-up, has removed its Job. Call it again.",
        )
    count = int((made["metadata"].get("annotations") or {}).get(PARTS, 1))
    store = (made.get("data") or {}).get("store")
    return {
        "parts": [_part(name, number) for number in range(1, count)],
        "store": store and base64.b64decode(store),
        "owners": made["metadata"].get("ownerReferences") or [],
    }


def _files(job: JobSpec, cluster: Cluster, first: Mapping[str, Any]) -> Mapping[str, Path | bytes]:
    """Return what goes into Secrets, by name; what is large is in the store, where there is one."""
    if cluster.options.store:
        from clustrix_k8s import store

        if first:
            return {**job.files, **({"store": store.again(job, cluster, first["store"])} if first["store"] else {})}
        return store.load(job, cluster, NO_BLOBS)
    files: dict[str, Path | bytes] = {name: path for name, path in job.files.items() if name != "needs"}
    if "needs" in job.files:
        held = job.files["payload"].with_name("blobs")
        for line in job.files["needs"].read_text("ascii").splitlines():
            digest = line.split()[0]
            files[f"blob.{digest}"] = held / digest
    return files


def _filled(secret: Mapping[str, Any], files: Mapping[str, Path | bytes]) -> Iterator[dict[str, Any]]:
    """Yield the Secret with all files of the job, and others where one is not enough."""
    size = sum(map(_size, files.values()))
    if size > MOST * PART:
        raise StagingError(
            f"function and arguments are {size >> 20} MB, and {MOST * PART >> 20} MB fit into Secrets",
            hint="Set claim: in options: to a volume that all pods can mount, or store: to an object store.",
        )
    parts = list(_parts(files)) or [{}]
    for number, data in enumerate(parts):
        text = {key: base64.b64encode(value).decode() for key, value in data.items()}
        own = {} if number else {"stringData": secret["stringData"]}
        metadata = {
            **secret["metadata"],
            "name": _part(secret["metadata"]["name"], number),
            "annotations": {PARTS: str(len(parts))},
        }
        yield {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": text, **own}


def _part(name: str, number: int) -> str:
    return f"{name}-part{number}" if number else name


def _size(file: Path | bytes) -> int:
    return len(file) if isinstance(file, bytes) else file.stat().st_size


def _parts(files: Mapping[str, Path | bytes]) -> Iterator[Mapping[str, bytes]]:
    """Yield what goes into each Secret; a file that is too large for one is cut, in parts ``name..000`` and so on."""
    gathered: dict[str, bytes] = {}
    room = PART
    for name, whole in files.items():
        size = _size(whole)
        with io.BytesIO(whole) if isinstance(whole, bytes) else whole.open("rb") as file:
            for number in range(-(-size // PART) or 1):  # an empty file is one too
                data = file.read(PART)
                if len(data) > room:
                    yield gathered
                    gathered, room = {}, PART
                gathered[f"{name}..{number:03}" if size > PART else name] = data
                room -= len(data)
    if gathered:
        yield gathered
