"""A job as the API server takes it: a Secret with the files, and a batch/v1 Job for each task. Pure."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

from clustrix_core import batch, bundle
from clustrix_core.errors import ConfigError
from clustrix_core.model import Cluster, JobSpec, JobState
from clustrix_k8s import LACKS, names
from clustrix_k8s.documents import merged, text
from clustrix_k8s.options import K8sOptions

MOUNT = "/clustrix"  # where the volume is that the containers of a pod share, unless work_dir names another place
IN = "/clustrix-in"
PROGRAM = ("pod.py", "giving.py", "keeper.py", "parcels.py")  # the first is run
SENT, SHARING = f"{IN}/worker/{PROGRAM[0]}", "sharing.py"  # with a claim that one is
KEEPER_CPU = 10  # thousandths of a core
KEEPER = {"requests": {"cpu": f"{KEEPER_CPU}m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}}
PLAIN, INDEXED = "Kubernetes", "Kubernetes with Indexed Jobs"  # what the first contact says that there is
# Seconds on top of walltime and pick-up before the server ends a pod that does not end by itself: to it the time in
# which the image is pulled counts too.
SLACK = 3600

TASK = "$(CLUSTRIX_POD_TASK)"  # in a command the server puts the variable's value there

SCRIPT = batch.Dialect(
    name="Kubernetes",
    directives=lambda job, cluster: (),
    submit=lambda job, cluster: (),
    read_job_id=str,
    queries=(),
    cancel=lambda handles, cluster: (),
    states={"RUNNING": JobState.RUNNING},
    task="${CLUSTRIX_POD_TASK:-0}",
    directory=".",
    native="$HOSTNAME",
    shell="/bin/sh",
)


@cache
def program() -> Mapping[str, bytes]:
    """Return the program that runs in a pod, by the names of its files."""
    return {name: resources.files("clustrix_k8s").joinpath(name).read_bytes() for name in PROGRAM}


def worker_name(digest: str) -> str:
    """Return the name of the Secret with the worker, which is the same for all jobs of one version."""
    return f"clustrix-worker-{digest}-{hashlib.sha256(b''.join(program().values())).hexdigest()[:8]}"


def render(job: JobSpec, cluster: Cluster) -> str:
    """Return the objects of a job as YAML that ``kubectl apply`` takes. The payload is not in it."""
    _refuse(job, cluster)
    # Where the files of a job outlive its pod, its log is one of them.
    script = batch.render(replace(SCRIPT, own_log=bool(cluster.options.claim)), job, cluster)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(names.base(job), names.labels(job), cluster.options),
        "stringData": {f"job-{job.round}.sh": script},
    }
    jobs = [_job(job, cluster, task) for task in ([None] if is_indexed(job, cluster) else range(job.tasks))]
    return text([*jobs, secret])


def is_indexed(job: JobSpec, cluster: Cluster) -> bool:
    """Return whether the tasks of a job are the indexes of one Job: where the first contact has seen that they can be,
    and that one which fails does not end the others."""
    return job.tasks > 1 and cluster.site is not None and cluster.site.scheduler == INDEXED


def _refuse(job: JobSpec, cluster: Cluster) -> None:
    asked = job.resources
    for name in LACKS:
        if getattr(asked, name):
            raise ConfigError(f"{name}={getattr(asked, name)!r}: Kubernetes has no such thing")
    if asked.directives:
        raise ConfigError(
            "directives: Kubernetes reads none", hint="What goes beyond resources goes into pod_template: in options:."
        )
    if isinstance(asked.gpus, str):
        raise ConfigError(
            f"gpus={asked.gpus!r}: pods ask for a number of GPUs",
            hint="The kind of GPU is a label of the node: node_selector: in options:.",
        )
    if job.after and not cluster.options.claim:
        raise ConfigError(
            "the value of another job cannot be an argument here: pods share no files",
            hint="Pass job.result() instead, or set claim: in options: to a volume that all pods can mount.",
        )
    if job.environment and not cluster.options.claim:
        raise ConfigError(
            "environment: nothing can be installed for a pod that comes and goes",
            hint="Set environment: none, and image: to one that holds what the function needs; or set claim: in"
            " options: to a volume that all pods can mount.",
        )
    mount(cluster)


def mount(cluster: Cluster) -> str:
    """Return where a pod's own volume is, or the one that all share."""
    if cluster.work_dir == Cluster.work_dir:
        return MOUNT
    if not cluster.work_dir.startswith("/") or ":" in cluster.work_dir or not cluster.work_dir.isprintable():
        raise ConfigError(
            f"work_dir={cluster.work_dir!r} is no absolute path in a pod",
            hint="Leave it out: each pod has a directory of its own, or all have that of claim:, mounted at /clustrix.",
        )
    return cluster.work_dir.rstrip("/")


def work(cluster: Cluster) -> str:
    """Return what is ours alone below the volume, whose root others can write to."""
    return f"{mount(cluster)}/work"


def _job(job: JobSpec, cluster: Cluster, task: int | None) -> dict[str, Any]:
    """Return the Job of a task; ``task`` None: that of all."""
    options: K8sOptions = cluster.options
    labels = dict(names.labels(job, task))
    # Kubernetes knows no order of jobs: one that comes after others has no pod until somebody sees that they are over.
    later = {names.AFTER: " ".join(sorted(job.after))} if any(job.after.values()) else {}
    name, count = names.objects(job, indexed=task is None)[task or 0], job.tasks if task is None else 1
    # Whether a call is tried again is decided by its retries.
    once = {"backoffLimit": 0} if task is not None else {"completionMode": "Indexed", "backoffLimitPerIndex": 0}
    spec: dict[str, Any] = {
        **once,
        "parallelism": 0 if later else count,
        "completions": count,
        "template": template(_pod(job, cluster, task), labels, options),
        **ttl(options),
    }
    if options.queue_name:
        spec["suspend"] = True  # until Kueue admits it
        labels = {**labels, "kueue.x-k8s.io/queue-name": options.queue_name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {**_metadata(name, labels, options), **({"annotations": later} if later else {})},
        "spec": spec,
    }


def ttl(options: K8sOptions) -> Mapping[str, int]:
    """Return after how long the server removes a Job that is over."""
    after = options.ttl_seconds_after_finished
    return {} if after is None else {"ttlSecondsAfterFinished": after}


def _pod(job: JobSpec, cluster: Cluster, task: int | None) -> dict[str, Any]:
    options: K8sOptions = cluster.options
    here = [job.id, job.round, TASK if task is None else task, job.tasks, job.width, bundle.digest(), job.walltime or 0]
    limits, cores = _limits(job, options), job.resources.cores * job.width
    asked = {
        "env": [{"name": "CLUSTRIX_POD_TASK", **_number(task)}],
        # Together with the keeper, or the door, it asks for what the job does: a node of so many cores can hold it.
        "resources": {"requests": {**limits, "cpu": f"{cores * 1000 - KEEPER_CPU}m"}, "limits": limits},
    }
    if options.claim:
        own, wait = _sharing(job, cluster, asked, here[2]), SLACK
    else:
        own, wait = _alone(job, cluster, asked, here), options.pick_up_seconds + SLACK
    deadline = {"activeDeadlineSeconds": job.walltime + wait} if job.walltime else {}
    return {**bare(options), **own, **deadline}


def _alone(job: JobSpec, cluster: Cluster, asked: Mapping[str, Any], here: Sequence[object]) -> dict[str, Any]:
    """A pod that shares no files: all comes in Secrets, and a second container keeps the results."""
    keep = ["keep", work(cluster), str(cluster.options.pick_up_seconds)]
    secrets = [names.base(job)] if not job.round else _rounds(job)
    return {
        "containers": [
            {**container("task", cluster, ["task", work(cluster), *map(str, here)]), **asked},
            {**container("keeper", cluster, keep), "resources": KEEPER},
        ],
        "volumes": volumes(worker_name(bundle.digest()), secrets),
    }


def _sharing(job: JobSpec, cluster: Cluster, asked: Mapping[str, Any], number: object) -> dict[str, Any]:
    """A pod of those that share a volume: the job's directory is there, and the results stay there."""
    place = f"{work(cluster)}/{job.dir}"
    words = [place, f"{IN}/job/job-{job.round}.sh", str(job.round), str(number), str(job.walltime or 0)]
    task = container("task", cluster, words, f"{place}/{SHARING}")
    task["volumeMounts"] = [one for one in task["volumeMounts"] if one["name"] != "worker"]
    script = {"name": "job", "secret": {"secretName": names.base(job)}}
    return {"containers": [{**task, **asked}], "volumes": [room(cluster.options), script]}


def _number(task: int | None) -> dict[str, Any]:
    field = {"fieldPath": f"metadata.annotations['{names.INDEX}']"}
    return {"valueFrom": {"fieldRef": field}} if task is None else {"value": str(task)}


def _rounds(job: JobSpec) -> Sequence[str]:
    """A later round needs the payload of the first, and what is its own."""
    return [first_secret(job), names.base(job)]


def first_secret(job: JobSpec) -> str:
    """Return the name of the Secret of a job's first round."""
    return names.base(job).removesuffix(f"-r{job.round}")


def _limits(job: JobSpec, options: K8sOptions) -> dict[str, str]:
    asked = job.resources
    found = {"cpu": str(asked.cores * job.width)}
    if asked.memory:
        found["memory"] = str(asked.memory * job.width)
    if asked.gpus:
        found[options.gpu_resource] = str(int(asked.gpus) * job.width)
    return found


def bare(options: K8sOptions) -> dict[str, Any]:
    """Return what all pods have."""
    said = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "serviceAccountName": options.service_account,
        "imagePullSecrets": [{"name": name} for name in options.image_pull_secrets],
        "nodeSelector": dict(options.node_selector),
        "tolerations": [dict(one) for one in options.tolerations],
        "priorityClassName": options.priority_class_name,
    }
    return {name: value for name, value in said.items() if value or value is False}


def template(pod: Mapping[str, Any], labels: Mapping[str, str], options: K8sOptions) -> dict[str, Any]:
    """Return the template of a Job's pods, with ``pod_template`` laid over it.

    A pod of ours that has no container of some name has no use for what is said of that one. What may run in a
    namespace is mostly the same for all containers, so the keeper may be what the task is, unless it says otherwise.
    """
    found: dict[str, Any] = merged({"metadata": {"labels": dict(labels)}, "spec": pod}, options.pod_template)
    containers = [one for one in found["spec"]["containers"] if "image" in one]
    (context,) = [one.get("securityContext") for one in containers if one["name"] == "task"]
    for one in containers:
        if one["name"] == "keeper" and context is not None:
            one.setdefault("securityContext", context)
    found["spec"]["containers"] = containers
    return found


def container(name: str, cluster: Cluster, words: Sequence[str], place: str = SENT) -> dict[str, Any]:
    """Return a container that runs the pod's program, which lies in ``place``."""
    try:
        python = shlex.split(cluster.python)
    except ValueError as error:
        raise ConfigError(f"python={cluster.python!r}: {error}") from None
    mounts = [("work", mount(cluster), False), ("job", f"{IN}/job", True), ("worker", f"{IN}/worker", True)]
    found = {
        "name": name,
        "image": cluster.options.image,
        # The server expands $(NAME) in a command.
        "command": [word if word == TASK else word.replace("$", "$$") for word in [*python, place, *words]],
        "volumeMounts": [
            {"name": volume, "mountPath": path, **({"readOnly": True} if fixed else {})}
            for volume, path, fixed in mounts
        ],
    }
    policy = cluster.options.image_pull_policy
    return {**found, "imagePullPolicy": policy} if policy else found


def volumes(worker: str, secrets: Sequence[str]) -> list[dict[str, Any]]:
    """Return a pod's volumes: a directory that its containers share, and what the client has sent."""
    sources = [{"secret": {"name": name}} for name in secrets]
    return [
        {"name": "work", "emptyDir": {}},
        {"name": "job", "projected": {"sources": sources}},
        {"name": "worker", "secret": {"secretName": worker}},
    ]


def room(options: K8sOptions) -> dict[str, Any]:
    """Return the volume that all pods share."""
    return {"name": "work", "persistentVolumeClaim": {"claimName": options.claim}}


def _metadata(name: str, labels: Mapping[str, str], options: K8sOptions) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "labels": dict(labels)}
    return {**found, "namespace": options.namespace} if options.namespace else found
