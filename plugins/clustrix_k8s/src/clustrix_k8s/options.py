"""What only Kubernetes knows: `options:` of a cluster in clustrix.yml, named after the API."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clustrix_core.errors import ConfigError


def _help(text: str, default: Any = None, **more: Any) -> Any:
    return field(default=default, metadata={"help": text, **more})


@dataclass(frozen=True)
class K8sOptions:
    """Where the cluster is, and what its pods are like. Raises ConfigError for what no API server would take."""

    kubeconfig: str | None = _help("kubeconfig file; absent: $KUBECONFIG, ~/.kube/config, or the pod that this is")
    context: str | None = _help("context of the kubeconfig; absent: its current one")
    namespace: str | None = _help("namespace of the jobs; absent: that of the context")
    image: str = _help("image with Python and a shell", "python:3.11-slim")
    image_pull_policy: str | None = _help("when the image is pulled", choices=("Always", "IfNotPresent", "Never"))
    image_pull_secrets: tuple[str, ...] = _help("secrets with the registry's passwords", ())
    service_account: str | None = _help("service account of the pods; they get no token of it")
    node_selector: Mapping[str, str] = field(
        default_factory=dict, hash=False, metadata={"help": "labels that a node must have"}
    )
    tolerations: Sequence[Mapping[str, Any]] = field(
        default=(), hash=False, metadata={"help": "taints of nodes that the pods bear, as in the API"}
    )
    priority_class_name: str | None = _help("priority class of the pods")
    queue_name: str | None = _help("local queue of Kueue, which then admits the jobs")
    gpu_resource: str = _help("name of a GPU among the resources of a node", "nvidia.com/gpu")
    claim: str | None = _help("PersistentVolumeClaim with room that all pods share, mounted where work_dir says")
    parallelism: int = _help("at most so many pods of one map", 8)
    pick_up_seconds: int = _help("how long a pod keeps a result that nobody has fetched", 3600)
    store: str | None = _help("object store for large data and results, like s3://bucket/folder; see the tutorial")
    store_options: Mapping[str, Any] = field(
        default_factory=dict, hash=False, metadata={"help": "what fsspec needs to find the store; no passwords"}
    )
    ttl_seconds_after_finished: int | None = _help("after how long the server removes jobs that are over", 604800)
    image_patience_seconds: int = _help("how long an image may fail to be pulled", 60)
    pod_template: Mapping[str, Any] = field(
        default_factory=dict, hash=False, metadata={"help": "laid over the pod template, as a strategic merge patch"}
    )

    def __post_init__(self) -> None:
        for name, pattern in _FORMS.items():
            value = getattr(self, name)
            for one in value if isinstance(value, tuple) else (value,):
                if one is not None and not re.fullmatch(pattern, one):
                    raise ConfigError(f"{name}: {one!r} is no name that Kubernetes takes", field=name)
        for name, least in (("parallelism", 1), ("pick_up_seconds", 10), ("image_patience_seconds", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}={getattr(self, name)} is less than {least}", field=name)
        if self.claim and self.store:
            raise ConfigError(
                "claim and store are two places for the same data",
                hint="Leave one out: with claim: pods share a volume, with store: all goes by way of an object store.",
                field="store",
            )
        for name in _names(self.store_options):
            if _SECRET.search(name):
                raise ConfigError(
                    f"store_options: {name} is a password, and no file of ours holds one",
                    hint="Leave it where the store's own programs find it: the environment, or a file like ~/.aws.",
                    field="store_options",
                )


def _names(given: Any) -> Iterator[str]:
    """Yield the names of settings, and of those within them."""
    for name, value in given.items() if isinstance(given, Mapping) else ():
        yield str(name)
        yield from _names(value)


_SECRET = re.compile("secret|token|passw|_key|^key$|credential")
_NAME = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
_FORMS = {
    "namespace": r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
    "image": r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,511}",
    "image_pull_secrets": _NAME,
    "service_account": _NAME,
    "priority_class_name": _NAME,
    "queue_name": _NAME,
    "claim": _NAME,
    "store": r"[a-z][a-z0-9+.-]*://[^?#\s]+",
    "gpu_resource": r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
}
