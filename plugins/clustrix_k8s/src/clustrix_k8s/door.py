"""The door: a small pod in which lines of sh run, as they do on the login node of other clusters.

It is made when the first line comes, by a Job, as a user of the namespace may; others find it by its name, which says
what it is made of. It ends by itself when nobody has used it for a while, and the next line makes another one.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

from clustrix_core.errors import CommandError, ConfigError, StagingError, TransportError
from clustrix_core.model import Cluster, JobHandle, JobState
from clustrix_core.transport import CHUNK, Completed
from clustrix_k8s import asking, documents, manifest, names, states
from clustrix_k8s.porter import ITSELF, KILLED

IDLE = 900  # seconds without use after which it ends
PATIENCE = 300.0  # seconds for it to come up
PAUSE = 0.2
# Environments are built in it.
SIZE = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}}
_NO_CLAIM = re.compile('persistentvolumeclaim ".*" not found')
BEGIN = f'import os; exec(os.environ["{ITSELF}"])'


class Door:
    """The door of one cluster, whose ``transport`` is the API server. Thread-safe."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._name = _job(cluster)["metadata"]["name"]
        self._place = ""
        self._lock = threading.Lock()

    def run(self, command: str, stdin: Iterable[bytes], sink: Callable[[bytes], None] | None, idle: float) -> Completed:
        """Run one line of sh, with stdin, stdout, stderr and exit code.

        Raises TransportError where it may not have run to its end, ConfigError and StagingError where there is no door.
        """
        argv = shlex.join([*shlex.split(self._cluster.python), "-c", BEGIN, "run"])
        for last in (False, True):
            place, sent = self._open(), _Frames(command, stdin)
            try:
                done = self._cluster.transport.run(f"EXEC {place} task {argv}", sent, sink, idle)
            except CommandError as error:
                self._forget(place)
                if sent.begun:
                    raise TransportError(f"the door of the cluster went in between: {error.args[0]}") from error
                if last:
                    raise
            except TransportError:
                self._forget(place)
                raise
            else:
                if done.returncode == KILLED:
                    raise TransportError("a command was killed together with the door of the cluster")
                return done
        raise AssertionError("unreachable")

    def removed(self, path: str) -> None:
        """Take note that a Job was deleted: its pod lives on for a while, and whoever is in it then is cut off."""
        if path.endswith(f"/{self._name}"):
            self._place = ""

    def _forget(self, place: str) -> None:
        with self._lock:
            self._place = "" if self._place == place else self._place

    def _open(self) -> str:
        with self._lock:
            self._place = self._place or _awaited(self._cluster)
            return self._place


class _Frames:
    """A line and its stdin, as the porter reads them. ``begun``: something of it was taken."""

    def __init__(self, command: str, stdin: Iterable[bytes]) -> None:
        self._command, self._stdin = command, stdin
        self.begun = False

    def __iter__(self) -> Iterator[bytes]:
        self.begun = True
        yield _frame(self._command.encode("utf-8", "surrogateescape"))
        for data in self._stdin:
            view = memoryview(data).cast("B")
            for start in range(0, len(view), CHUNK):
                yield _frame(view[start : start + CHUNK])
        yield _frame(b"")


def _frame(data: bytes | memoryview) -> bytes:
    return len(data).to_bytes(4, "big") + data


@cache
def program() -> str:
    """Return the program that runs in the door."""
    return resources.files("clustrix_k8s").joinpath("porter.py").read_text("utf-8")


def release(cluster: Cluster) -> None:
    """Remove the door of a cluster, if there is one."""
    _delete(cluster, _job(cluster)["metadata"]["name"])


def _job(cluster: Cluster) -> dict[str, Any]:
    """Return the Job whose pod is the door. Made of something else it has another name."""
    task = {
        **manifest.container("task", cluster, []),
        "command": [*shlex.split(cluster.python), "-c", BEGIN, "wait", str(IDLE)],
        "env": [{"name": ITSELF, "value": program().replace("$", "$$")}],
        "volumeMounts": [{"name": "work", "mountPath": manifest.mount(cluster)}],
        "resources": SIZE,
    }
    pod = {**manifest.bare(cluster.options), "containers": [task], "volumes": [manifest.room(cluster.options)]}
    template = manifest.template(pod, names.MANAGED, cluster.options)
    mark = f"clustrix-door-{hashlib.sha256(json.dumps(template, default=dict).encode()).hexdigest()[:16]}"
    template = documents.merged(template, {"metadata": {"labels": {names.DOOR: mark}}})
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": mark, "labels": {**names.MANAGED, names.DOOR: mark}},
        "spec": {"backoffLimit": 0, "ttlSecondsAfterFinished": 60, "template": template},
    }


def _awaited(cluster: Cluster) -> str:
    """Return ``namespace/pod`` of the door, once it is open."""
    namespace, job, late = asking.namespace(cluster), _job(cluster), time.monotonic() + PATIENCE
    mark, said = job["metadata"]["name"], ""
    while True:
        made = asking.ask(cluster, f"GET {names.jobs_path(namespace)}/{mark}", missing=True)
        if made is not None and (states.is_over(made) or made["metadata"].get("deletionTimestamp")):
            _delete(cluster, mark, made["metadata"]["uid"])
            made = None
        if made is None:
            _create(cluster, job)
        for pod in _pods(cluster, mark, made["metadata"]["uid"]) if made is not None else ():
            state = states.container(pod, "task").get("state") or {}
            if "running" in state:
                return f"{namespace}/{pod['metadata']['name']}"
            if (state.get("terminated") or {}).get("exitCode") == 0:
                # It has ended as it should; a container that somebody has put beside it has not.
                _delete(cluster, mark, made["metadata"]["uid"])
            said = _insist(pod, cluster, mark)
        if time.monotonic() > late:
            said = said or asking.why_none(cluster, mark)
            raise StagingError(
                f"no pod has come up within {PATIENCE:.0f} s through which files could be reached: {said}",
                transient=True,
                hint=asking.advice(said) or "Is there room for it on a node? It asks for a tenth of a core and 64 MB.",
            )
        time.sleep(PAUSE)


def _pods(cluster: Cluster, mark: str, owner: str) -> Iterator[Mapping[str, Any]]:
    path = names.core_path(asking.namespace(cluster), "pods")
    for pod in asking.ask(cluster, f"GET {path}?labelSelector=clustrix%2Fdoor%3D{mark}")["items"]:
        owners = [one.get("uid") for one in pod["metadata"].get("ownerReferences") or ()]
        if owner in owners and not pod["metadata"].get("deletionTimestamp"):
            yield pod


def _insist(pod: Mapping[str, Any], cluster: Cluster, mark: str) -> str:
    """Return what a pod waits for. Raises ConfigError where it will never run."""
    made = JobHandle(mark, mark, mark, submitted=asking.created(pod))
    said = states.of_pod(pod, made, cluster.options.image_patience_seconds)
    if _NO_CLAIM.search(said.reason):
        _delete(cluster, mark)
        raise ConfigError(
            f"claim={cluster.options.claim!r}: {said.reason}",
            hint="`kubectl get pvc` lists those of the namespace. It must be one that all nodes can write to.",
        )
    if said.state is not JobState.FAILED or said.word == "Evicted":
        return ": ".join(filter(None, [said.word, said.reason]))
    _delete(cluster, mark)  # corrected meanwhile, it must be tried again
    words = ": ".join(dict.fromkeys([said.word, said.reason]))
    raise ConfigError(
        f"no pod of the image {cluster.options.image!r} runs with {cluster.python!r}: {words}",
        hint="Set image: to one that the cluster can pull and that holds Python, and python: to its name there.",
    )


def _create(cluster: Cluster, job: Mapping[str, Any]) -> None:
    path = names.jobs_path(asking.namespace(cluster))
    done = cluster.transport.run(f"POST {path}", [json.dumps(job).encode()])
    if not done.returncode or done.returncode == asking.CONFLICT:
        return
    if done.returncode in asking.BUSY or done.returncode < 400 or asking.begins(cluster, done):
        raise TransportError(f"the API server does not answer well: {asking.words(done)}")
    raise StagingError(
        f"the pod through which files are reached was refused: {asking.words(done)}",
        returncode=done.returncode,
        hint="`clustrix doctor` says which rights are missing.",
    )


def _delete(cluster: Cluster, mark: str, uid: str = "") -> None:
    """Remove a door; with a ``uid`` that one, and none that somebody has made since."""
    body = {"propagationPolicy": "Background", **({"preconditions": {"uid": uid}} if uid else {})}
    path = f"{names.jobs_path(asking.namespace(cluster))}/{mark}"
    done = cluster.transport.run(f"DELETE {path}", [json.dumps(body).encode()])
    if done.returncode not in (0, asking.GONE, asking.CONFLICT):
        raise asking.refusal("DELETE", done)
