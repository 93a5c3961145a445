"""What would keep jobs from running in a namespace: rights that are missing, a quota that is used up, an image."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from clustrix_core import batch
from clustrix_core.errors import ClustrixError, TransportError
from clustrix_core.model import Cluster, Problem
from clustrix_k8s import asking, names, provisioning

RIGHTS = (
    ("create", "batch", "jobs", ""), ("get", "batch", "jobs", ""), ("list", "batch", "jobs", ""),
    ("patch", "batch", "jobs", ""), ("delete", "batch", "jobs", ""), ("list", "", "pods", ""),
    ("delete", "", "pods", ""), ("get", "", "pods", "log"), ("create", "", "pods", "exec"), ("get", "", "pods", "exec"),
    ("create", "", "secrets", ""), ("get", "", "secrets", ""), ("delete", "", "secrets", ""),
)  # fmt: skip
OF_USE = (("watch", "", "pods", ""), ("patch", "", "secrets", ""))
# What one call needs of a quota's resources, whatever it asks for; a quota may name each in several ways.
ONE = ("pods", "count/pods", "count/jobs.batch", "secrets", "count/secrets")
CPU, MEMORY = ("cpu", "requests.cpu", "limits.cpu"), ("memory", "requests.memory", "limits.memory")
_QUANTITY = re.compile(r"([0-9.]+(?:[eE][0-9]+)?)(m|[kMGTPE]i?|Ki)?")
_UNITS = {"m": 1e-3, "k": 1e3} | {
    f"{letter}{'i' * binary}": float(1024 if binary else 1000) ** power
    for power, letter in enumerate("KMGTPE", 1)
    for binary in (False, True)
}


def check(cluster: Cluster) -> Sequence[Problem]:
    """Return which rights are missing, what of a quota is used up, and why no pod runs."""
    missing = list(_missing(cluster, RIGHTS))
    if missing:
        return [
            Problem(
                "error",
                f"you may not {', '.join(missing)} in the namespace {asking.namespace(cluster)}",
                "Ask the cluster's administrator for a Role as docs/tutorials/kubernetes.md shows it.",
            )
        ]
    found = [
        Problem(
            "warning", f"you may not {right}, which is of use", "Ask for a Role as in docs/tutorials/kubernetes.md."
        )
        for right in _missing(cluster, OF_USE)
    ]
    found += _used_up(cluster)
    try:
        site = provisioning.provision(cluster).site
        assert site is not None
        found += batch.other_python(site)
    except TransportError:
        raise
    except ClustrixError as error:
        found.append(Problem("error", str(error.args[0]), error.hint or ""))
    return found


def _missing(cluster: Cluster, rights: Sequence[tuple[str, str, str, str]]) -> Iterator[str]:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    for verb, group, resource, part in rights:
        asked = {"namespace": asking.namespace(cluster), "verb": verb, "group": group, "resource": resource}
        review = {"spec": {"resourceAttributes": {**asked, "subresource": part}}}
        if not asking.ask(cluster, f"POST {path}", review)["status"].get("allowed"):
            yield f"{verb} {resource}" + (f"/{part}" if part else "")


def _used_up(cluster: Cluster) -> Iterator[Problem]:
    """Yield what one more call does not get of a quota. Who may not look at quotas is told nothing."""
    path = names.core_path(asking.namespace(cluster), "resourcequotas")
    for quota in asking.perhaps(cluster, f"GET {path}"):
        status = quota.get("status") or {}
        used = status.get("used") or {}
        for name, hard in (status.get("hard") or {}).items():
            has, had = quantity(hard), quantity(used.get(name) or "0")
            need = _need(cluster).get(name)
            if need is not None and has is not None and had is not None and had + need > has:
                yield Problem(
                    "warning",
                    f"the quota {quota['metadata'].get('name')!r} leaves no room for one more call: of {name} "
                    f"{used.get(name)} are used, and it allows {hard}",
                    "Wait for other jobs, ask for less, or ask the cluster's administrator for more.",
                )


def _need(cluster: Cluster) -> Mapping[str, float]:
    asked = cluster.resources
    memory = asked.memory or 0
    return {**dict.fromkeys(ONE, 1.0), **dict.fromkeys(CPU, float(asked.cores)), **dict.fromkeys(MEMORY, float(memory))}


def quantity(text: object) -> float | None:
    """Return an amount as the API writes it, such as 500m or 2Gi; None for what is none."""
    found = _QUANTITY.fullmatch(str(text))
    if found is None:
        return None
    try:
        return float(found[1]) * _UNITS.get(found[2] or "", 1.0)
    except ValueError:
        return None
