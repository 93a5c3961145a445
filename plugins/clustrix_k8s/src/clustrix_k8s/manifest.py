"""A job as the API server takes it: a Secret with the files, and a batch/v1 Job for each task. Pure."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from clustrix_core import batch, bundle
from clustrix_core.errors import ConfigError
from clustrix_core.model import Cluster, JobSpec, JobState
from clustrix_k8s import names
from clustrix_k8s.options import K8sOptions

MOUNT = "/clustrix"  # where the volume is that the containers of a pod share, unless work_dir names another place
IN = "/clustrix-in"
PROGRAM = ("pod.py", "giving.py", "keeper.py", "parcels.py")  # the first is run
LACKS = ("nodes", "partition", "account", "qos", "constraint", "exclusive")
KEEPER_CPU = 10  # thousandths of a core
KEEPER = {"requests": {"cpu": f"{KEEPER_CPU}m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}}
SLACK = 60  # seconds on top of walltime and pick-up before the server ends a pod that does not end by itself
# So that whoever has saved it can run it.
HEAD = "#!/usr/bin/env -S kubectl apply -f\n"

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
    script = batch.render(SCRIPT, job, cluster)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(names.base(job), names.labels(job), cluster.options),
        "stringData": {f"job-{job.round}.sh": script},
    }
    jobs = [_job(job, cluster, task, name) for task, name in enumerate(names.objects(job))]
    return HEAD + _yaml([*jobs, secret])


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
    if job.after:
        raise ConfigError(
            "the value of another job cannot be an argument here: pods share no files",
            hint="Pass job.result() instead.",
        )
    if job.environment:
        raise ConfigError(
            "environment: nothing can be installed for a pod that comes and goes",
            hint="Set environment: none, and image: to one that holds what the function needs.",
        )
    mount(cluster)


def mount(cluster: Cluster) -> str:
    """Return where a pod's own volume is."""
    if cluster.work_dir == Cluster.work_dir:
        return MOUNT
    if not cluster.work_dir.startswith("/") or ":" in cluster.work_dir or not cluster.work_dir.isprintable():
        raise ConfigError(
            f"work_dir={cluster.work_dir!r} is no absolute path in a pod",
            hint="Leave it out: each pod has a directory of its own, and nothing stays there.",
        )
    return cluster.work_dir.rstrip("/")


def work(cluster: Cluster) -> str:
    """Return what is ours alone below the volume, whose root others can write to."""
    return f"{mount(cluster)}/work"


def _job(job: JobSpec, cluster: Cluster, task: int, name: str) -> dict[str, Any]:
    options: K8sOptions = cluster.options
    labels = dict(names.labels(job, task))
    spec: dict[str, Any] = {
        "backoffLimit": 0,  # whether a call is tried again is decided by its retries
        "parallelism": 1,
        "completions": 1,
        "template": merged({"metadata": {"labels": labels}, "spec": _pod(job, cluster, task)}, options.pod_template),
    }
    if options.ttl_seconds_after_finished is not None:
        spec["ttlSecondsAfterFinished"] = options.ttl_seconds_after_finished
    if options.queue_name:
        spec["suspend"] = True  # until Kueue admits it
        labels = {**labels, "kueue.x-k8s.io/queue-name": options.queue_name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(name, labels, options),
        "spec": spec,
    }


def _pod(job: JobSpec, cluster: Cluster, task: int) -> dict[str, Any]:
    options: K8sOptions = cluster.options
    here = [job.id, job.round, task, job.tasks, job.width, bundle.digest(), job.walltime or 0]
    limits, cores = _limits(job, options), job.resources.cores * job.width
    pod = {
        **bare(options),
        "containers": [
            {
                **container("task", cluster, ["task", work(cluster), *map(str, here)]),
                "env": [{"name": "CLUSTRIX_POD_TASK", "value": str(task)}],
                # Both containers together ask for what the job does: a node of so many cores can hold it.
                "resources": {"requests": {**limits, "cpu": f"{cores * 1000 - KEEPER_CPU}m"}, "limits": limits},
            },
            {
                **container("keeper", cluster, ["keep", work(cluster), str(options.pick_up_seconds)]),
                "resources": KEEPER,
            },
        ],
        "volumes": volumes(worker_name(bundle.digest()), [f"{names.base(job)}"] if not job.round else _rounds(job)),
    }
    if job.walltime:
        pod["activeDeadlineSeconds"] = job.walltime + options.pick_up_seconds + SLACK
    return pod


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


def container(name: str, cluster: Cluster, words: Sequence[str]) -> dict[str, Any]:
    """Return a container that runs the pod's program."""
    try:
        python = shlex.split(cluster.python)
    except ValueError as error:
        raise ConfigError(f"python={cluster.python!r}: {error}") from None
    mounts = [("work", mount(cluster), False), ("job", f"{IN}/job", True), ("worker", f"{IN}/worker", True)]
    found = {
        "name": name,
        "image": cluster.options.image,
        # The server expands $(NAME) in a command.
        "command": [word.replace("$", "$$") for word in [*python, f"{IN}/worker/pod.py", *words]],
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


def _metadata(name: str, labels: Mapping[str, str], options: K8sOptions) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "labels": dict(labels)}
    return {**found, "namespace": options.namespace} if options.namespace else found


def merged(under: Any, over: Any) -> Any:
    """Lay a patch over an object as the API server does: lists of named things are joined by name."""
    if isinstance(under, Mapping) and isinstance(over, Mapping):
        found = {name: merged(under.get(name), value) for name, value in over.items() if value is not None}
        return {**{name: value for name, value in under.items() if over.get(name, value) is not None}, **found}
    if isinstance(under, list) and isinstance(over, (list, tuple)):
        for key in ("name", "mountPath"):
            if all(isinstance(one, Mapping) and key in one for one in [*under, *over]):
                patches = {one[key]: one for one in over}
                joined = [merged(one, patches.pop(one[key], {})) for one in under]
                return [*joined, *(dict(one) for one in patches.values())]
    return over


def _yaml(documents: Sequence[Mapping[str, Any]]) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
        # What other readers take for a number, such as 1e5, which a job's id may look like, is quoted.
        style = "|" if "\n" in data else "'" if re.fullmatch(r"[0-9.eE+_-]+", data) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    Dumper.add_representer(str, text)
    return "---\n".join(
        yaml.dump(document, Dumper=Dumper, sort_keys=False, width=1 << 30, default_flow_style=False)
        for document in documents
    )


def read(script: str) -> Sequence[dict[str, Any]]:
    """Return the objects of a script that ``render`` has written."""
    import yaml

    return [document for document in yaml.safe_load_all(script) if document]
