"""What is written down: who, when, where, and what was asked for."""

from __future__ import annotations

import getpass
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from clustrix_core.model import Cluster, JobHandle, JobSpec, JobStatus, Resources

# What a site accounts for. Not env, setup and directives: what people put there may be secret.
RESOURCES = ("cores", "memory", "time", "gpus", "nodes", "partition", "account", "qos", "constraint", "exclusive")


def submission(event: str, job: JobSpec, cluster: Cluster, **more: str) -> Mapping[str, Any]:
    """Return the entry of a submission: ``event`` is submitted, refused or unanswered. Memory in bytes, time in s."""
    return {
        **_head(event, job.id, job.name, cluster),
        "round": job.round,
        "calls": job.calls,
        "tasks": job.tasks,
        "resources": _asked(job.resources),
        **more,
    }


def change(handle: JobHandle, before: JobStatus, after: JobStatus, cluster: Cluster) -> Mapping[str, Any]:
    """Return the entry of a job whose state has changed."""
    states = {"before": str(before.state), "after": str(after.state), "reason": after.reason}
    return {**_head("changed", handle.job, handle.name, cluster), "native": handle.native, **states}


def _head(event: str, job: str, name: str, cluster: Cluster) -> Mapping[str, Any]:
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "who": f"{_user()}@{socket.gethostname()}",
        "event": event,
        "cluster": cluster.name,
        "backend": cluster.backend,
        "job": job,
        "name": name,
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        return str(os.getuid())


def _asked(resources: Resources) -> Mapping[str, Any]:
    unasked = Resources()
    said = {name: getattr(resources, name) for name in RESOURCES}
    return {name: value for name, value in said.items() if name == "cores" or value != getattr(unasked, name)}
