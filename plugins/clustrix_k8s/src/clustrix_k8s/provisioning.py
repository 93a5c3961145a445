"""The first contact with a cluster: the worker put there, and a pod that says which Python the image has."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from clustrix_core import batch, bundle
from clustrix_core.errors import CommandError, ConfigError, StagingError, TransportError
from clustrix_core.model import Cluster, JobHandle, Node, Site
from clustrix_k8s import asking, door, manifest, names, states

PATIENCE = 300.0  # seconds for the image to be pulled, and a node to be found
PAUSE = 0.2
INDEXED = {"completionMode": "Indexed", "backoffLimitPerIndex": 0}


def provision(cluster: Cluster) -> Cluster:
    """Return the cluster with its ``site``. One question where a pod has answered already."""
    if cluster.options.claim:
        return _on_volume(cluster)
    mark = _mark(cluster)
    answer = _answer(_pods(cluster, mark), cluster)
    if answer is None:
        if _is_over(cluster, mark):
            forget(cluster)  # its pod went with a node, or somebody has removed it: it answers no more
        _create(cluster, mark)
        answer = _awaited(cluster, mark)
    found = Site(
        work_dir=manifest.work(cluster),
        python=(int(answer["python"][0]), int(answer["python"][1])),
        user=str(answer["user"])[:100],
        scheduler=manifest.INDEXED if answer["indexed"] else manifest.PLAIN,
        seen=time.time(),
        interpreter=str(answer["interpreter"])[:500],
    )
    return _with_room(cluster, found)


def _on_volume(cluster: Cluster) -> Cluster:
    """Put the worker onto the volume that pods share, and ask the door's Python: as on any cluster with a login."""
    found = batch.provision(manifest.SCRIPT, replace(cluster, work_dir=manifest.work(cluster), site=None)).site
    assert found is not None
    return _with_room(cluster, replace(found, scheduler=manifest.PLAIN))


def _with_room(cluster: Cluster, site: Site) -> Cluster:
    most = cluster.options.parallelism
    nodes = (Node(cluster.resources.cores),) * most
    return cluster.at(replace(site, nodes=nodes, max_array=most))


def release(cluster: Cluster) -> None:
    """Remove the worker and the pod that has answered, or the door."""
    if cluster.options.claim:
        return door.release(cluster)
    forget(cluster)
    worker = f"{names.core_path(asking.namespace(cluster), 'secrets')}/{manifest.worker_name(bundle.digest())}"
    asking.ask(cluster, f"DELETE {worker}", {}, missing=True)


def forget(cluster: Cluster) -> None:
    """Remove the pod that has answered, so that the next contact asks anew. The worker stays: pods of others, also of
    other images, wait for it or will."""
    path = f"{names.jobs_path(asking.namespace(cluster))}/{_mark(cluster)}"
    asking.ask(cluster, f"DELETE {path}", {"propagationPolicy": "Background"}, missing=True)


def _mark(cluster: Cluster) -> str:
    """Return the name of the Job that asks: another image, worker or Python is asked anew."""
    worker = manifest.worker_name(bundle.digest())
    asked = manifest.container("task", cluster, ["probe"])
    told = [worker, asked, manifest.bare(cluster.options), cluster.options.pod_template]
    return f"clustrix-probe-{hashlib.sha256(json.dumps(told, default=dict).encode()).hexdigest()[:16]}"


def _pods(cluster: Cluster, mark: str) -> Sequence[Mapping[str, Any]]:
    path = names.core_path(asking.namespace(cluster), "pods")
    answer = asking.ask(cluster, f"GET {path}?labelSelector=clustrix%2Fprobe%3D{mark}")
    return [pod for pod in answer["items"] if not pod["metadata"].get("deletionTimestamp")]


def _is_over(cluster: Cluster, mark: str) -> bool:
    """Return whether the Job that asks has ended; it has no pod then that could answer."""
    job = asking.ask(cluster, f"GET {names.jobs_path(asking.namespace(cluster))}/{mark}", missing=True)
    return job is not None and states.is_over(job)


def _create(cluster: Cluster, mark: str) -> None:
    namespace, worker = asking.namespace(cluster), manifest.worker_name(bundle.digest())
    labels = {**names.MANAGED, names.PROBE: mark}
    asked = manifest.container("task", cluster, ["probe"])
    asked["volumeMounts"] = [one for one in asked["volumeMounts"] if one["name"] == "worker"]
    pod = {
        **manifest.bare(cluster.options),
        "containers": [{**asked, "resources": manifest.KEEPER}],
        "volumes": [one for one in manifest.volumes(worker, []) if one["name"] == "worker"],
    }
    template = manifest.template(pod, labels, cluster.options)
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": mark, "labels": labels},
        "spec": {"backoffLimit": 0, "template": template, "completions": 1, **INDEXED, **manifest.ttl(cluster.options)},
    }
    files = {**manifest.program(), "worker.tar.gz": bundle.archive()}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": worker, "labels": labels},
        "data": {name: base64.b64encode(data).decode() for name, data in files.items()},
    }
    wanted = [
        {"path": names.jobs_path(namespace), "body": job, "owned": False},
        {"path": names.core_path(namespace, "secrets"), "body": secret, "owned": False},
    ]
    done = cluster.transport.run("CREATE", (json.dumps(wanted).encode(),))
    if done.returncode in asking.BUSY or 0 < done.returncode < 400 or asking.begins(cluster, done):
        raise TransportError(f"the API server does not answer well: {asking.words(done)}")
    if done.returncode:
        raise StagingError(
            f"the worker could not be put into the namespace {namespace}: {asking.words(done)}",
            returncode=done.returncode,
            hint=asking.hint(done),
        )


def _awaited(cluster: Cluster, mark: str) -> Mapping[str, Any]:
    late = time.monotonic() + PATIENCE
    while True:
        pods = _pods(cluster, mark)
        if (answer := _answer(pods, cluster)) is not None:
            return answer
        if time.monotonic() > late:
            said = states.of_pod(pods[0], _handle(mark), 0).reason if pods else asking.why_none(cluster, mark)
            forget(cluster)
            raise StagingError(
                f"no pod has come up within {PATIENCE:.0f} s: {said}", transient=True, hint=asking.advice(said)
            )
        time.sleep(PAUSE)


def _handle(mark: str) -> JobHandle:
    return JobHandle(mark, mark, mark, submitted=time.time())


def _answer(pods: Sequence[Mapping[str, Any]], cluster: Cluster) -> Mapping[str, Any] | None:
    for pod in pods:
        ended = (states.container(pod, "task").get("state") or {}).get("terminated") or {}
        try:
            if ended and ended.get("exitCode") == 0:
                answer = json.loads(ended["message"])
                if {"python", "user", "interpreter"} <= answer.keys():
                    # A server that does not know a field drops it in silence; what its pod is like tells.
                    return {**answer, "indexed": names.ALONE in (pod["metadata"].get("annotations") or {})}
        except (ValueError, KeyError, AttributeError):
            raise CommandError("the first contact failed: a pod's answer is damaged", transient=True) from None
        _insist(states.of_pod(pod, _handle(""), cluster.options.image_patience_seconds), pod, cluster)
    return None


def _insist(said: Any, pod: Mapping[str, Any], cluster: Cluster) -> None:
    """Raise ConfigError where this pod will never answer."""
    age = time.time() - asking.created(pod)
    perhaps = said.reason.startswith(states.PERHAPS) and age > cluster.options.image_patience_seconds
    if not (said.state.over or perhaps):
        return
    forget(cluster)  # corrected meanwhile, it must be tried again
    image, words = (
        cluster.options.image,
        ": ".join(dict.fromkeys([said.word, said.reason])) if not perhaps else said.reason,
    )
    raise ConfigError(
        f"no pod of the image {image!r} answers with {cluster.python!r}: {words}",
        hint="Set image: to one that the cluster can pull and that holds Python, and python: to its name there.",
    )
