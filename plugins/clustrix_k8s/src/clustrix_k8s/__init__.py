"""Kubernetes for Clustrix: a batch/v1 Job for each task. Run against Kubernetes 1.20."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clustrix_core.hookspecs import hookimpl
from clustrix_core.model import BackendInfo, Cluster, Fetched, JobHandle, JobSpec, JobStatus, LogChunk, Problem
from clustrix_core.transport import Transport
from clustrix_k8s.options import K8sOptions

LACKS = ("nodes", "partition", "account", "qos", "constraint", "exclusive")


def connect(options: Any, work_dir: str, python: str) -> Transport:
    """Return the way to the API server; nothing is connected yet."""
    from clustrix_k8s.api import Api

    return Api(options, work_dir, python)


class Data:
    """Where data of jobs goes that is too large for the API server."""

    def send(
        self, files: Mapping[str, Path], cluster: Cluster, arrived: Callable[[str], None], going: Callable[[], None]
    ) -> None:
        """Send it to the volume that pods share, or into the object store: only a cluster with one ever misses any."""
        from clustrix_core.batch import blobs
        from clustrix_k8s import store

        way = blobs.send if cluster.options.claim else store.send
        way(files, cluster, arrived, going)

    def collect(self, cluster: Cluster) -> None:
        """Remove from there what no job needs; without either there is nothing to remove."""
        from clustrix_core.batch import blobs
        from clustrix_k8s import store

        if cluster.options.claim:
            blobs.collect(cluster)
        elif cluster.options.store:
            store.collect(cluster)


_DATA = Data()


@hookimpl
def describe_backend() -> BackendInfo:
    return BackendInfo("k8s", K8sOptions, "Kubernetes, by its API", lacks=LACKS, connect=connect, blobs=_DATA)


@hookimpl
def check(cluster: Cluster) -> Sequence[Problem]:
    from clustrix_k8s import doctor

    found = doctor.check(cluster)
    if cluster.options.store:
        from clustrix_k8s import store

        return [*found, *store.check(cluster)]
    return found


@hookimpl
def provision(cluster: Cluster) -> Cluster:
    from clustrix_k8s import provisioning

    return provisioning.provision(cluster)


@hookimpl
def release(cluster: Cluster) -> None:
    from clustrix_k8s import provisioning

    provisioning.release(cluster)


@hookimpl
def render_script(job: JobSpec, cluster: Cluster) -> str:
    from clustrix_k8s import manifest

    return manifest.render(job, cluster)


@hookimpl
def submit(job: JobSpec, script: str, cluster: Cluster) -> JobHandle:
    from clustrix_k8s import submitting, volume

    way = volume.submit if cluster.options.claim else submitting.submit
    return way(job, script, cluster)


@hookimpl
def find(job: JobSpec, cluster: Cluster) -> JobHandle | None:
    from clustrix_k8s import submitting

    return submitting.find(job, cluster)


@hookimpl
def status(handles: Sequence[JobHandle], cluster: Cluster) -> Mapping[str, JobStatus]:
    from clustrix_k8s import querying, volume

    found = querying.status(handles, cluster)
    if cluster.options.claim:
        volume.start_those_that_may(handles, found, cluster)
    return found


@hookimpl
def fetch(handles: Sequence[JobHandle], into: Path, cluster: Cluster) -> Mapping[str, Fetched]:
    from clustrix_k8s import fetching

    return fetching.fetch(handles, into, cluster)


@hookimpl
def logs(handle: JobHandle, cluster: Cluster, since: int) -> LogChunk:
    from clustrix_k8s import fetching

    return fetching.logs(handle, cluster, since)


@hookimpl
def cancel(handles: Sequence[JobHandle], cluster: Cluster) -> None:
    from clustrix_k8s import querying

    querying.cancel(handles, cluster)
