"""The hooks: what a plugin may answer, wrap or hear. Their names and arguments are the plugin API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pluggy

from clustrix_core.model import BackendInfo, Cluster, Fetched, JobHandle, JobSpec, JobStatus, LogChunk, Problem

GROUP = "clustrix"  # of the entry points
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec(firstresult=True)
def describe_backend() -> BackendInfo | None:
    """Return the backend's name, options dataclass and abilities.

    Called once when the plugin is registered: no I/O, and no import of a client library.
    """


@hookspec(firstresult=True)
def check(cluster: Cluster) -> Sequence[Problem] | None:
    """Return what is wrong with this cluster (behind ``clustrix doctor``); an empty sequence when nothing is.

    Raise TransportError when it cannot be reached: that is not a problem of the cluster.
    """


@hookspec(firstresult=True)
def provision(cluster: Cluster) -> Cluster | None:
    """Bring up what is needed and return the cluster ready for jobs, ``site`` filled in.

    Called at the first contact of a client with a cluster, and again when what it learnt is old. Calling it twice
    must not cost twice. It may hand over to another backend by returning a cluster with that ``backend``.

    Raise ConfigError or StagingError when jobs can never run there as it is configured, TransportError when it cannot
    be reached.
    """


@hookspec(firstresult=True)
def release(cluster: Cluster) -> None:
    """Give back what ``provision`` took, from any half-made state. Backends that take nothing leave it out."""


@hookspec(firstresult=True)
def render_script(job: JobSpec, cluster: Cluster) -> str | None:
    """Return the script that ``submit`` will send. Pure: same arguments, same text, no I/O.

    Called before each submission, and by ``clustrix render``. Raise ConfigError for what the scheduler could not obey:
    nothing has happened yet.
    """


@hookspec(firstresult=True)
def submit(job: JobSpec, script: str, cluster: Cluster) -> JobHandle | None:
    """Stage ``job.files`` and the script into the job's directory, and submit it.

    Raise SubmitRejected when there is no job, in the scheduler's own words, and TransportError when there may be one.
    """


@hookspec(firstresult=True)
def find(job: JobSpec, cluster: Cluster) -> JobHandle | None:
    """Look a job up by its unique name; None when there is no such job. It makes ``submit`` safe to repeat.

    Called when the answer to ``submit`` was lost, and for jobs of a client that has died. After None the submission is
    made again, so raise TransportError while the scheduler may still accept the earlier one.
    """


@hookspec(firstresult=True)
def status(handles: Sequence[JobHandle], cluster: Cluster) -> Mapping[str, JobStatus] | None:
    """Return the status of every handle, by ``handle.job``: one query for all.

    Jobs that the scheduler does not know and words that the plugin does not know are UNKNOWN; none is left out.
    Raise TransportError or CommandError when the scheduler cannot be asked: an outage is not an end.
    """


@hookspec(firstresult=True)
def fetch(handles: Sequence[JobHandle], into: Path, cluster: Cluster) -> Mapping[str, Fetched] | None:
    """Copy what is new of results and markers to ``into/<handle.job>/``, by ``handle.job``.

    Called at every poll: what a local file already holds is not copied again. Never deserialises. Of handles with
    ``discard`` nothing is copied; what they left on the cluster is removed. Raise TransportError or CommandError when
    nothing could be copied; a directory that is not there is ``missing``, and no error.
    """


@hookspec(firstresult=True)
def logs(handle: JobHandle, cluster: Cluster, since: int) -> LogChunk | None:
    """Return what the job has written after the offset ``since`` (0: from the start; negative: the last bytes).

    Nothing written yet is an empty text, and no error. Raise TransportError or CommandError when it cannot be read.
    """


@hookspec(firstresult=True)
def cancel(handles: Sequence[JobHandle], cluster: Cluster) -> None:
    """End these jobs, running or not; return when the scheduler took it. A job already over is no error.

    Raise TransportError or CommandError when it did not take it: the jobs may go on.
    """


@hookspec
def job_changed(handle: JobHandle, before: JobStatus, after: JobStatus, cluster: Cluster) -> None:
    """Hear that a job's state has changed. An exception is logged and costs nobody else anything.

    Called in every process that follows the job, from the thread that watches its cluster: return soon. The end of a
    job is told before its last value is in the caller's hand, for a program may end as soon as it has that.
    """


@hookspec
def register_commands(cli: Any) -> None:
    """Add commands to the CLI, a ``click.Group``. One with the name of a command of ours is never called.

    Called only where the module of the entry point itself names the hook, so that other commands cost no import.
    """
