"""Questions to the API server, and what its refusals mean."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import quote

from clustrix_core.errors import CommandError
from clustrix_core.model import Cluster, JobHandle
from clustrix_core.transport import Completed
from clustrix_k8s import names
from clustrix_k8s.options import K8sOptions

EVENTS = 500
FAILED = "involvedObject.kind=Job,reason=FailedCreate"
GONE = 404
CONFLICT = 409
FORBIDDEN = 403  # also what a server says that has just begun and does not know its roles yet
BUSY = (408, 429, 500, 502, 503, 504)  # the server may have done it, or may do it when asked again
HINTS = {  # by what is part of the server's words
    "exceeded quota": "The namespace's quota is used up: wait for other jobs, or ask the cluster's administrator.",
    "failed quota": "The namespace's quota wants to know this of each pod: set memory= and cores=, or pod_template:.",
    "admission webhook": "A policy of the cluster: what it asks for can be laid over the pods by pod_template:.",
}


def namespace(cluster: Cluster) -> str:
    """Return where the jobs of a cluster are."""
    options: K8sOptions = cluster.options
    return options.namespace or _context_namespace(options.kubeconfig, options.context)


@cache
def _context_namespace(kubeconfig: str | None, context: str | None) -> str:
    from clustrix_k8s.api import namespace_of

    return namespace_of(K8sOptions(kubeconfig=kubeconfig, context=context))


def ask(cluster: Cluster, command: str, body: Any = None, missing: bool = False) -> Any:
    """Return what the server answers, as data. ``missing``: None where there is no such thing.

    Raises CommandError with the HTTP status as ``returncode`` for a refusal, TransportError where it is not known.
    """
    stdin = () if body is None else (json.dumps(body).encode(),)
    done = cluster.transport.run(command, stdin)
    if missing and done.returncode == GONE:
        return None
    if done.returncode:
        raise refusal(command, done)
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise CommandError(f"the API server's answer is damaged: {done.text[:200]!r}", transient=True) from None


def refusal(command: str, done: Completed) -> CommandError:
    """Return the error for an answer that says no."""
    what = command.partition("?")[0]
    return CommandError(
        f"{what} failed: {words(done)}",
        returncode=done.returncode,
        stderr=done.error,
        transient=done.returncode in (*BUSY, FORBIDDEN) or done.returncode < 400,
        hint=hint(done),
    )


def hint(done: Completed) -> str | None:
    """Return what to do about a refusal."""
    if (found := advice(words(done))) is not None:
        return found
    return "`clustrix doctor` says which rights are missing." if done.returncode == FORBIDDEN else None


def advice(said: str) -> str | None:
    """Return what to do about something that the server has said."""
    return next((advice for part, advice in HINTS.items() if part in said), None)


def why_no_pods(cluster: Cluster) -> Mapping[str, str]:
    """Return what keeps the server from making pods, by the names of their Jobs, if we may see it."""
    path = names.core_path(namespace(cluster), "events")
    found: dict[str, str] = {}
    for event in perhaps(cluster, f"GET {path}?fieldSelector={quote(FAILED)}&limit={EVENTS}"):
        about = event.get("involvedObject") or {}
        found[str(about.get("name"))] = str(event.get("message") or "")[:500]
    return found


def why_none(cluster: Cluster, job: str) -> str:
    """Return why a Job has no pod, or who says it."""
    return why_no_pods(cluster).get(job) or f"no pod was made: `kubectl describe job {job}` says why"


def perhaps(cluster: Cluster, command: str) -> Sequence[Mapping[str, Any]]:
    """Return what a list holds that not everybody may see; nothing where it cannot be had."""
    done = cluster.transport.run(command)
    try:
        items = json.loads(done.stdout)["items"] if done.returncode == 0 else []
        return [one for one in items if isinstance(one["metadata"], dict)]
    except (ValueError, KeyError, TypeError):
        return []


def begins(cluster: Cluster, done: Completed) -> bool:
    """Return whether a refusal may be that of a server that has just begun: then nobody may even ask that."""
    return done.returncode == FORBIDDEN and cluster.transport.run("GET /readyz").returncode != 0


def words(done: Completed) -> str:
    """Return why the server refuses, in its own words."""
    try:
        return str(json.loads(done.stdout)["message"])[:1000]
    except (ValueError, KeyError, TypeError):
        return (done.error or done.text)[:500].strip() or f"HTTP {done.returncode}"


def created(one: Mapping[str, Any]) -> float:
    """Return when an object was made, in seconds since the epoch; now where it does not say so."""
    try:
        return datetime.fromisoformat(str(one["metadata"]["creationTimestamp"]).replace("Z", "+00:00")).timestamp()
    except (KeyError, ValueError):
        return time.time()


def pods(cluster: Cluster, handles: Sequence[JobHandle]) -> Sequence[Mapping[str, Any]]:
    """Return the pods of these jobs, the older first: one question for all, and mostly the answer is here already."""
    return _items(cluster, f"LOOK {names.core_path(namespace(cluster), 'pods')}", handles)


def jobs(cluster: Cluster, handles: Sequence[JobHandle]) -> Sequence[Mapping[str, Any]]:
    """Return the Jobs of these jobs."""
    return _items(cluster, f"LIST {names.jobs_path(namespace(cluster))}", handles)


def left(cluster: Cluster, handles: Sequence[JobHandle]) -> Sequence[Mapping[str, Any]]:
    """Return the pods that there are this very moment."""
    return _items(cluster, f"LIST {names.core_path(namespace(cluster), 'pods')}", handles)


def _items(cluster: Cluster, command: str, handles: Sequence[JobHandle]) -> Sequence[Mapping[str, Any]]:
    answer = ask(cluster, command, sorted({handle.job for handle in handles}))
    if not isinstance(answer, dict) or not isinstance(answer.get("items"), list):
        raise CommandError("the API server's answer is no list", transient=True)
    return sorted(answer["items"], key=lambda one: str(one["metadata"].get("creationTimestamp")))


def owner(one: Mapping[str, Any]) -> str:
    """Return the id of the job that an object is of."""
    return str((one["metadata"].get("labels") or {}).get(names.JOB))


def of(handle: JobHandle, found: Sequence[Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    """Return those objects that are of one round of a job, by task; of several the latest."""
    mine: dict[int, Mapping[str, Any]] = {}
    for one in found:
        labels = one["metadata"].get("labels") or {}
        if labels.get(names.JOB) == handle.job and labels.get(names.NAME) == handle.name:
            mine.update(dict.fromkeys(names.tasks(one, handle), one))
    return mine
