"""This machine: jobs are detached processes that outlive their client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from clustrix_core import batch
from clustrix_core.backends import host
from clustrix_core.hookspecs import hookimpl
from clustrix_core.model import BackendInfo, Cluster, Fetched, JobHandle, JobSpec, JobStatus, LogChunk, Problem


@hookimpl
def describe_backend() -> BackendInfo:
    return BackendInfo("local", host.HostOptions, "this machine")


@hookimpl
def check(cluster: Cluster) -> Sequence[Problem]:
    return batch.check(host.HOST, cluster)


@hookimpl
def provision(cluster: Cluster) -> Cluster:
    return batch.provision(host.HOST, cluster)


@hookimpl
def render_script(job: JobSpec, cluster: Cluster) -> str:
    return batch.render(host.HOST, job, cluster)


@hookimpl
def submit(job: JobSpec, script: str, cluster: Cluster) -> JobHandle:
    return batch.submit(host.HOST, job, script, cluster)


@hookimpl
def find(job: JobSpec, cluster: Cluster) -> JobHandle | None:
    return batch.find(host.HOST, job, cluster)


@hookimpl
def status(handles: Sequence[JobHandle], cluster: Cluster) -> Mapping[str, JobStatus]:
    return batch.status(host.HOST, handles, cluster)


@hookimpl
def fetch(handles: Sequence[JobHandle], into: Path, cluster: Cluster) -> Mapping[str, Fetched]:
    return batch.fetch(handles, into, cluster)


@hookimpl
def logs(handle: JobHandle, cluster: Cluster, since: int) -> LogChunk:
    return batch.logs(handle, cluster, since)


@hookimpl
def cancel(handles: Sequence[JobHandle], cluster: Cluster) -> None:
    batch.cancel(host.HOST, handles, cluster)
