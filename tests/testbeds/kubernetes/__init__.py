"""The Kubernetes test bed from Python: `kubernetes.up()`, `kubernetes.down()`, and what a test needs to know of it.

Sessions share it as they share the Slurm bed; see tests/testbeds/holding.py. It has no login node: it is reached by its
API, with a kubeconfig.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import ssl
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.testbeds import holding

HERE = Path(__file__).parent
STATE = Path(os.environ.get("CLUSTRIX_KUBERNETES_BED", "/var/lib/clustrix-testbeds/kubernetes"))
NODES = ("127.0.0.2", "127.0.0.3")


@dataclass(frozen=True)
class KubernetesBed:
    """Where the bed listens, who may what, and handles to break it with."""

    state: Path = STATE
    server: str = "https://127.0.0.1:16443"
    namespace: str = "clustrix"
    # The first may what the documentation asks for, in the namespace; the second may nothing.
    user: str = "ada"
    stranger: str = "eve"
    image: str = "testbed.local/python:1"
    # With what a shell has on every machine; the other one has Python and a shell alone.
    login: str = "testbed.local/login:1"
    claim: str = "shared"
    nodes: tuple[str, ...] = NODES
    services: str = "10.88.0.1"  # an address of this machine that pods reach

    @property
    def kubeconfig(self) -> Path:
        return self.kubeconfig_of(self.user)

    def kubeconfig_of(self, user: str) -> Path:
        return self.state / f"run/kubeconfig-{user}"

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the API server as its administrator; what it answered. Raises HTTPError."""
        keys = self.state / "run/pki"
        context = ssl.create_default_context(cafile=str(keys / "ca.crt"))
        context.load_cert_chain(keys / "admin.crt", keys / "admin.key")
        data = None if body is None else json.dumps(body).encode()
        kind = "merge-patch+json" if method == "PATCH" else "json"
        headers = {"Content-Type": f"application/{kind}"}
        request = urllib.request.Request(self.server + path, data, headers, method=method)
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            text = answer.read().decode("utf-8", "replace")
        return json.loads(text) if text.startswith("{") else text

    def listed(self, kind: str, selector: str = "") -> Sequence[Any]:
        """Return the jobs, pods or secrets of the namespace."""
        group = "/apis/batch/v1" if kind == "jobs" else "/api/v1"
        found = self.admin("GET", f"{group}/namespaces/{self.namespace}/{kind}?labelSelector={selector}")
        items: list[Any] = found["items"]
        return items

    def start(self, service: str) -> None:
        """One of etcd, kube-apiserver, kube-controller-manager, kube-scheduler, containerd1, kubelet1, …"""
        holding.script([str(HERE / "ctl.sh"), "start", service], 120)

    def stop(self, service: str) -> None:
        holding.script([str(HERE / "ctl.sh"), "stop", service], 60)

    def kill(self, service: str) -> None:
        holding.script([str(HERE / "ctl.sh"), "kill", service], 60)

    def repair(self) -> str:
        """Everything runs again, as up.sh has it; what had to be done for that."""
        return holding.script([str(HERE / "up.sh")], 300)


@functools.cache
def why_not() -> str:
    """Why this machine cannot have the bed; empty when it can."""
    if reason := holding.why_not("Kubernetes"):
        return reason
    if "VERSION_CODENAME=bookworm" not in Path("/etc/os-release").read_text():
        return "the Kubernetes test bed is built from a source package of Debian 12"
    if not Path("/sys/fs/cgroup/cpuset").is_dir():
        return "the Kubernetes test bed needs control groups of version 1: its Kubernetes knows no other"
    missing = [name for name in ("curl", "openssl", "ip", "nsenter", "unshare") if not shutil.which(name)]
    return f"the Kubernetes test bed needs {', '.join(missing)}" if missing else ""


def down(purge: bool = False) -> None:
    holding.script([str(HERE / "down.sh"), *(["--purge"] if purge else [])], 120)


_holding = holding.Holding(STATE, down)
leave = _holding.leave


def up(*, alone: bool = False) -> KubernetesBed:
    """Bring the bed up, or repair it, and hold it until `leave` or the end of this process."""
    if reason := why_not():
        raise RuntimeError(reason)
    _holding.hold(alone)
    # The first time it is compiled, which takes minutes.
    holding.script([str(HERE / "up.sh")], 1800)
    return KubernetesBed()


__all__ = ["KubernetesBed", "down", "leave", "up", "why_not"]
