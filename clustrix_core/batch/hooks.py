"""The hooks of a batch scheduler's plugin: all of them follow from its dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from clustrix_core.batch import queue, script, site
from clustrix_core.batch.dialect import Dialect
from clustrix_core.batch.fetch import fetch as copy
from clustrix_core.batch.find import find as look_up
from clustrix_core.batch.logs import logs as read
from clustrix_core.batch.submit import submit as stage
from clustrix_core.hookspecs import hookimpl
from clustrix_core.model import Cluster, Fetched, JobHandle, JobSpec, JobStatus, LogChunk, Problem


class Hooks(NamedTuple):
    """Functions with the names and arguments of the hooks, marked as such, in the order in which they are unpacked."""

    check: Callable[[Cluster], Sequence[Problem]]
    provision: Callable[[Cluster], Cluster]
    render_script: Callable[[JobSpec, Cluster], str]
    submit: Callable[[JobSpec, str, Cluster], JobHandle]
    find: Callable[[JobSpec, Cluster], JobHandle | None]
    status: Callable[[Sequence[JobHandle], Cluster], Mapping[str, JobStatus]]
    fetch: Callable[[Sequence[JobHandle], Path, Cluster], Mapping[str, Fetched]]
    logs: Callable[[JobHandle, Cluster, int], LogChunk]
    cancel: Callable[[Sequence[JobHandle], Cluster], None]


def hooks(dialect: Dialect, module: str) -> Hooks:
    """Return the hooks of a scheduler, for the plugin's module to name; one written by hand replaces its own.

    check, provision, render_script, submit, find, status, fetch, logs, cancel = batch.hooks(SLURM, __name__)
    """

    @hookimpl
    def check(cluster: Cluster) -> Sequence[Problem]:
        return site.check(dialect, cluster)

    @hookimpl
    def provision(cluster: Cluster) -> Cluster:
        return site.provision(dialect, cluster)

    @hookimpl
    def render_script(job: JobSpec, cluster: Cluster) -> str:
        return script.render(dialect, job, cluster)

    @hookimpl
    def submit(job: JobSpec, script: str, cluster: Cluster) -> JobHandle:
        return stage(dialect, job, script, cluster)

    @hookimpl
    def find(job: JobSpec, cluster: Cluster) -> JobHandle | None:
        return look_up(dialect, job, cluster)

    @hookimpl
    def status(handles: Sequence[JobHandle], cluster: Cluster) -> Mapping[str, JobStatus]:
        return queue.status(dialect, handles, cluster)

    @hookimpl
    def fetch(handles: Sequence[JobHandle], into: Path, cluster: Cluster) -> Mapping[str, Fetched]:
        return copy(handles, into, cluster)

    @hookimpl
    def logs(handle: JobHandle, cluster: Cluster, since: int) -> LogChunk:
        return read(handle, cluster, since)

    @hookimpl
    def cancel(handles: Sequence[JobHandle], cluster: Cluster) -> None:
        queue.cancel(dialect, handles, cluster)

    made = Hooks(check, provision, render_script, submit, find, status, fetch, logs, cancel)
    for hook in made:
        hook.__module__ = module  # they are that plugin's, which is what another one must not import
    return made


__all__ = ["Hooks", "hooks"]
