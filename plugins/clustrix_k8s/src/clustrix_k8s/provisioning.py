"""The first contact with a cluster: the worker put there, and a pod that says which Python the image has."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clustrix_core import bundle
from clustrix_core.errors import ClustrixError, CommandError, ConfigError, StagingError, TransportError
from clustrix_core.model import Cluster, JobHandle, Node, Problem, Site
from clustrix_k8s import asking, manifest, names, states

PATIENCE = 300.0  # seconds for the image to be pulled, and a node to be found
PAUSE = 0.2
RIGHTS = (
    ("create", "batch", "jobs", ""), ("get", "batch", "jobs", ""), ("list", "batch", "jobs", ""),
    ("patch", "batch", "jobs", ""), ("delete", "batch", "jobs", ""), ("get", "", "pods", ""), ("list", "", "pods", ""),
    ("delete", "", "pods", ""), ("get", "", "pods", "log"), ("create", "", "pods", "exec"), ("get", "", "pods", "exec"),
    ("create", "", "secrets", ""), ("get", "", "secrets", ""), ("delete", "", "secrets", ""),
)  # fmt: skip


def provision(cluster: Cluster) -> Cluster:
    """Return the cluster with its ``site``. One question where a pod has answered already."""
    mark = _mark(cluster)
    answer = _answer(_pods(cluster, mark), cluster)
    if answer is None:
        if _is_over(cluster, mark):
            release(cluster)  # its pod went with a node, or somebody has removed it: it answers no more
        _create(cluster, mark)
        answer = _awaited(cluster, mark)
    options = cluster.options
    node = Node(cluster.resources.cores)
    return cluster.at(
        Site(
            work_dir=manifest.work(cluster),
            python=(int(answer["python"][0]), int(answer["python"][1])),
            user=str(answer["user"])[:100],
            nodes=(node,) * options.parallelism,
            max_array=options.parallelism,
            scheduler="Kubernetes",
            seen=time.time(),
            interpreter=str(answer["interpreter"])[:500],
        )
    )


def release(cluster: Cluster) -> None:
    """Remove the worker and the pod that has answered."""
    namespace, policy = asking.namespace(cluster), {"propagationPolicy": "Background"}
    # Not by the server's collector, which comes by later and would take the next one for this.
    worker = f"{names.core_path(namespace, 'secrets')}/{manifest.worker_name(bundle.digest())}"
    asking.ask(cluster, f"DELETE {worker}", policy, missing=True)
    asking.ask(cluster, f"DELETE {names.jobs_path(namespace)}/{_mark(cluster)}", policy, missing=True)


def check(cluster: Cluster) -> Sequence[Problem]:
    """Return which rights are missing, and why no pod runs."""
    missing = list(_missing(cluster))
    if missing:
        return [
            Problem(
                "error",
                f"you may not {', '.join(missing)} in the namespace {asking.namespace(cluster)}",
                "Ask the cluster's administrator for a Role as docs/tutorials/kubernetes.md shows it.",
            )
        ]
    try:
        provision(cluster)
    except TransportError:
        raise
    except ClustrixError as error:
        return [Problem("error", str(error.args[0]), error.hint or "")]
    return []


def _missing(cluster: Cluster) -> Iterator[str]:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    for verb, group, resource, part in RIGHTS:
        asked = {"namespace": asking.namespace(cluster), "verb": verb, "group": group, "resource": resource}
        review = {"spec": {"resourceAttributes": {**asked, "subresource": part}}}
        if not asking.ask(cluster, f"POST {path}", review)["status"].get("allowed"):
            yield f"{verb} {resource}" + (f"/{part}" if part else "")


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
    return job is not None and any(
        one.get("type") in ("Complete", "Failed") and one.get("status") == "True"
        for one in (job.get("status") or {}).get("conditions") or ()
    )


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
    template = manifest.merged({"metadata": {"labels": labels}, "spec": pod}, cluster.options.pod_template)
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": mark, "labels": labels},
        "spec": {"backoffLimit": 0, "template": template},
    }
    files = {**manifest.program(), "worker.tar.gz": bundle.archive()}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": worker, "labels": labels},
        "data": {name: base64.b64encode(data).decode() for name, data in files.items()},
    }
    wanted = [
        {"path": names.jobs_path(namespace), "body": job},
        {"path": names.core_path(namespace, "secrets"), "body": secret},
    ]
    done = cluster.transport.run("CREATE", (json.dumps(wanted).encode(),))
    if done.returncode in asking.BUSY or 0 < done.returncode < 400 or asking.begins(cluster, done):
        raise TransportError(f"the API server does not answer well: {asking.words(done)}")
    if done.returncode:
        raise StagingError(
            f"the worker could not be put into the namespace {namespace}: {asking.words(done)}",
            returncode=done.returncode,
            hint="`clustrix doctor` says which rights are missing.",
        )


def _awaited(cluster: Cluster, mark: str) -> Mapping[str, Any]:
    late = time.monotonic() + PATIENCE
    while True:
        pods = _pods(cluster, mark)
        if (answer := _answer(pods, cluster)) is not None:
            return answer
        if time.monotonic() > late:
            said = states.of_pod(pods[0], _handle(mark), 0).reason if pods else "no pod was made"
            release(cluster)
            raise StagingError(f"no pod has come up within {PATIENCE:.0f} s: {said}", transient=True)
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
                    return dict(answer)
        except (ValueError, KeyError, AttributeError):
            raise CommandError("the first contact failed: a pod's answer is damaged", transient=True) from None
        _insist(states.of_pod(pod, _handle(""), cluster.options.image_patience_seconds), pod, cluster)
    return None


def _insist(said: Any, pod: Mapping[str, Any], cluster: Cluster) -> None:
    """Raise ConfigError where this pod will never answer."""
    created = _age(pod)
    perhaps = said.reason.startswith(states.PERHAPS) and created > cluster.options.image_patience_seconds
    if not (said.state.over or perhaps):
        return
    release(cluster)  # corrected meanwhile, it must be tried again
    image, words = (
        cluster.options.image,
        ": ".join(dict.fromkeys([said.word, said.reason])) if not perhaps else said.reason,
    )
    raise ConfigError(
        f"no pod of the image {image!r} answers with {cluster.python!r}: {words}",
        hint="Set image: to one that the cluster can pull and that holds Python, and python: to its name there.",
    )


def _age(pod: Mapping[str, Any]) -> float:
    from datetime import datetime, timezone

    try:
        made = datetime.fromisoformat(str(pod["metadata"]["creationTimestamp"]).replace("Z", "+00:00"))
    except (KeyError, ValueError):
        return 0.0
    return (datetime.now(timezone.utc) - made).total_seconds()
