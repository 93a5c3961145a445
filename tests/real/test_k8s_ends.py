"""How jobs end on Kubernetes, each end provoked in a namespace of its own, so that nobody else meets it."""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import threading
import time
import urllib.error
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from clustrix import cluster
from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.config import ClusterConfig
from clustrix_core.errors import ClustrixError, ConfigError, JobFailed, JobTimeout, StagingError, SubmitRejected
from clustrix_core.model import JobState
from clustrix_core.resources import Resources
from tests.testbeds.kubernetes import HERE, KubernetesBed

PATIENCE = 100.0
pytestmark = pytest.mark.timeout(300)
Use = Callable[..., ClusterConfig]


@pytest.fixture
def bed(k8s_bed: KubernetesBed) -> Iterator[KubernetesBed]:
    """The bed, with a namespace of its own that is removed afterwards with all that is in it."""
    name = f"clustrix-{uuid.uuid4().hex[:8]}"
    own = replace(k8s_bed, namespace=name)
    own.admin("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": {"own": name}}})
    try:
        role = json.loads((HERE / "role.json").read_text())
        role["rules"].append({"apiGroups": [""], "resources": ["events", "resourcequotas"], "verbs": ["list"]})
        grant(own, role, own.user)
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        eventually(lambda: not raises(lambda: own.admin("GET", account)))
        yield own
    finally:
        own.admin("DELETE", f"/api/v1/namespaces/{name}")


def grant(bed: KubernetesBed, role: dict[str, Any], user: str) -> None:
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{bed.namespace}"
    bed.admin("POST", f"{path}/roles", role)
    named = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role["metadata"]["name"]}
    subject = {"kind": "User", "name": user}
    bed.admin("POST", f"{path}/rolebindings", {"metadata": role["metadata"], "roleRef": named, "subjects": [subject]})


def raises(ask: Callable[[], Any]) -> bool:
    try:
        ask()
    except urllib.error.HTTPError as error:
        error.close()
        return True
    return False


def eventually(true: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := true()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


@pytest.fixture
def use(bed: KubernetesBed, home: Path) -> Use:
    """Make the namespace the default cluster, with options."""

    def configured(user: str = "", **options: Any) -> ClusterConfig:
        plain = {"kubeconfig": str(bed.kubeconfig_of(user or bed.user)), "namespace": bed.namespace}
        found = ClusterConfig(
            name="k8s",
            backend="k8s",
            options={**plain, "image": bed.image, "image_pull_policy": "Never", **options},
        )
        config.configure(default=found)
        return found

    return configured


@cluster
def sleep(seconds: float) -> str:
    import os
    import time

    time.sleep(seconds)
    return os.uname().nodename


def running(job: Any) -> Any:
    return eventually(lambda: job.status().state is JobState.RUNNING and job)


def pods(bed: KubernetesBed, job: Any) -> list[Any]:
    return [*bed.listed("pods", f"clustrix%2Fjob%3D{job.id}")]


def test_a_deadline_of_the_server(use: Use) -> None:
    use(pod_template={"spec": {"activeDeadlineSeconds": 8}})
    with pytest.raises(JobTimeout, match=r"DeadlineExceeded|active on the node longer"):
        sleep(300)


def test_a_program_that_is_not_in_the_image(use: Use) -> None:
    settings = use()
    config.configure(default=ClusterConfig(**{**settings.settings(), "name": "k8s", "python": "/opt/none/python9"}))
    begun = time.monotonic()
    with pytest.raises(ConfigError, match=r"StartError.*python9"):
        sleep(0)
    assert time.monotonic() - begun < PATIENCE


def test_a_name_that_no_image_has(use: Use) -> None:
    use(image="testbed.local/NoSuch/IMAGE:1")
    begun = time.monotonic()
    with pytest.raises(ConfigError, match="InvalidImageName"):
        sleep(0)
    assert time.monotonic() - begun < PATIENCE


def quota(bed: KubernetesBed, **hard: str) -> None:
    path = f"/api/v1/namespaces/{bed.namespace}/resourcequotas"
    hard = {name.replace("_", "/", 1).replace("_", "."): value for name, value in hard.items()}
    bed.admin("POST", path, {"metadata": {"name": "tight"}, "spec": {"hard": hard}})
    eventually(lambda: (bed.admin("GET", f"{path}/tight").get("status") or {}).get("hard"))


def test_a_quota_of_jobs(use: Use, bed: KubernetesBed) -> None:
    use()
    assert sleep(0)
    quota(bed, count_jobs_batch="1")  # the first contact is one
    with pytest.raises(SubmitRejected, match=r"exceeded quota.*count/jobs.batch=1") as error:
        sleep(0)
    assert "quota" in str(error.value.hint) and "right" not in str(error.value.hint)


def test_a_quota_of_jobs_in_the_middle_of_a_map(use: Use, bed: KubernetesBed) -> None:
    """Nothing of what was refused runs, or is left."""
    use(parallelism=3)
    assert sleep(0)
    eventually(lambda: len(bed.listed("jobs")) == 1)  # the first contact
    quota(bed, count_jobs_batch="3")
    with pytest.raises(SubmitRejected, match=r"exceeded quota.*count/jobs.batch=3"):
        list(sleep.map([5.0] * 9))
    eventually(lambda: not [one for one in left(bed) if "clustrix/job" in one["metadata"]["labels"]])


def test_a_quota_of_pods_says_what_is_missing(use: Use, bed: KubernetesBed) -> None:
    """The job is there, its pod is not: it may come when another one ends. Until then the reason is told."""
    use()
    assert sleep(0)
    quota(bed, **{"requests.cpu": "500m"})
    job = sleep.submit(0)
    reason = eventually(lambda: "quota" in job.status().reason and job.status().reason)
    assert "exceeded quota: tight" in reason and job.status().state is JobState.PENDING
    bed.admin("DELETE", f"/api/v1/namespaces/{bed.namespace}/resourcequotas/tight")
    assert job.result(PATIENCE)


def test_a_volume_that_is_filled(use: Use) -> None:
    use(pod_template={"spec": {"volumes": [{"name": "work", "emptyDir": {"sizeLimit": "1Mi"}}]}})

    @cluster
    def fill() -> None:
        import time

        with open("/clustrix/work/junk", "wb") as file:
            file.write(bytes(8 << 20))
        time.sleep(300)

    with pytest.raises(JobFailed, match=r"Evicted|EmptyDir"):
        fill()


@pytest.fixture
def refused(bed: KubernetesBed) -> Iterator[Callable[[str], None]]:
    """An admission webhook of the namespace; it refuses Jobs with this label."""
    server = Webhook(bed.state / "run/pki")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"

    def refuse(label: str) -> None:
        server.label = label
        authority = base64_of(bed.state / "run/pki/ca.crt")
        rule = {"apiGroups": ["batch"], "apiVersions": ["v1"], "resources": ["jobs"], "operations": ["CREATE"]}
        hook = {
            "name": "policy.clustrix.example",
            "clientConfig": {"url": f"https://127.0.0.1:{server.server_port}/", "caBundle": authority},
            "rules": [rule],
            "namespaceSelector": {"matchLabels": {"own": bed.namespace}},
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        bed.admin("POST", path, {"metadata": {"name": bed.namespace}, "webhooks": [hook]})
        time.sleep(2)  # until the server has heard of it

    yield refuse
    with contextlib.suppress(urllib.error.HTTPError):
        bed.admin("DELETE", f"{path}/{bed.namespace}")
    server.shutdown()
    thread.join()
    server.server_close()


def base64_of(path: Path) -> str:
    import base64

    return base64.b64encode(path.read_bytes()).decode()


class Webhook(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, keys: Path) -> None:
        super().__init__(("127.0.0.1", 0), Reviewer)
        self.label = ""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(keys / "apiserver.crt", keys / "apiserver.key")
        self.socket = context.wrap_socket(self.socket, server_side=True)


class Reviewer(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
        fine = self.server.label not in request["object"]["metadata"]["labels"]
        answer = {"uid": request["uid"], "allowed": fine, "status": {"message": "cost centre is missing", "code": 403}}
        data = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words: Any) -> None:
        """Nobody reads it."""


@pytest.mark.parametrize(("label", "kind"), [("clustrix/job", SubmitRejected), ("clustrix/probe", StagingError)])
def test_a_policy_that_refuses(use: Use, refused: Callable[[str], None], label: str, kind: type[ClustrixError]) -> None:
    use()
    refused(label)
    with pytest.raises(kind, match=r'webhook "policy.clustrix.example" denied.*cost centre is missing') as error:
        sleep(0)
    assert "rights" not in str(error.value.hint), "it is no missing right"


def test_a_missing_right_is_named(use: Use, bed: KubernetesBed) -> None:
    """Who may look but create nothing hears which right is missing, from a call and from `clustrix doctor`."""
    rules = [{"apiGroups": ["", "batch"], "resources": ["pods", "jobs", "secrets"], "verbs": ["get", "list"]}]
    grant(bed, {"metadata": {"name": "looking"}, "rules": rules}, bed.stranger)
    use(bed.stranger)
    with pytest.raises(StagingError, match=r'"eve" cannot create resource "jobs" in API group "batch"') as error:
        sleep(0)
    assert "clustrix doctor" in str(error.value.hint)


@cluster(memory="64MB")
def noise(size: int) -> bytes:
    """Something that cannot be compressed."""
    import os

    return os.urandom(size)


def test_who_may_run_no_command_in_a_pod_hears_it_and_loses_nothing(
    use: Use, bed: KubernetesBed, caplog: pytest.LogCaptureFixture
) -> None:
    role = json.loads((HERE / "role.json").read_text())
    (execution,) = [rule for rule in role["rules"] if rule["resources"] == ["pods/exec"]]
    role["rules"].remove(execution)
    grant(bed, {**role, "metadata": {"name": "without-exec"}}, bed.stranger)
    use(bed.stranger)
    assert len(noise(10)) == 10, "a small result needs no command"
    job = noise.submit(20_000)
    eventually(lambda: re.search(r'cannot (create|get) resource "pods/exec"', caplog.text))
    assert "The right to create and get pods/exec is missing" in caplog.text and not job.done()
    grant(bed, {"metadata": {"name": "exec"}, "rules": [execution]}, bed.stranger)
    assert len(job.result(PATIENCE)) == 20_000


@pytest.mark.parametrize("size", [10, 1700])
def test_results_beside_containers_of_others(use: Use, bed: KubernetesBed, size: int) -> None:
    """Of four containers each may leave 3 KiB of last words: these results take more than that, or less by far."""
    beside = {"image": bed.image, "imagePullPolicy": "Never", "command": ["/bin/sh", "-c", ":"]}
    use(pod_template={"spec": {"containers": [{**beside, "name": "proxy"}, {**beside, "name": "metrics"}]}})
    assert len(noise(size)) == size


def test_a_job_that_is_preempted_runs_again(use: Use, bed: KubernetesBed) -> None:
    """Only it can be: of all pods on the bed it alone is of a lower priority than the one that wants its place."""
    low = bed.namespace
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    bed.admin("POST", classes, {"metadata": {"name": low}, "value": -10})
    try:
        use(priority_class_name=low)
        job = running(sleep.submit(15))
        (victim,) = pods(bed, job)
        node = victim["spec"]["nodeName"]
        free = left_on(bed, node)
        container = {
            "name": "it",
            "image": bed.image,
            "imagePullPolicy": "Never",
            "command": ["sleep", "5"],
            "resources": {"requests": {"cpu": f"{free + 500}m"}},
        }
        spec = {"restartPolicy": "Never", "nodeSelector": {"kubernetes.io/hostname": node}, "containers": [container]}
        bed.admin("POST", f"/api/v1/namespaces/{bed.namespace}/pods", {"metadata": {"name": "it"}, "spec": spec})
        where = job.result(PATIENCE)
        assert where != victim["metadata"]["name"], "it was never preempted"
    finally:
        bed.admin("DELETE", f"{classes}/{low}")


def left_on(bed: KubernetesBed, node: str) -> int:
    """Return how many thousandths of a core of a node nobody has asked for."""
    room = bed.admin("GET", f"/api/v1/nodes/{node}")["status"]["allocatable"]["cpu"]
    asked = bed.admin("GET", f"/api/v1/pods?fieldSelector=spec.nodeName%3D{node}")["items"]
    going = [one["spec"]["containers"] for one in asked if one["status"]["phase"] in ("Pending", "Running")]
    requests = [one["resources"].get("requests", {}).get("cpu", "0") for pod in going for one in pod]
    return thousandths(room) - sum(thousandths(one) for one in requests)


def thousandths(text: str) -> int:
    return int(text[:-1]) if text.endswith("m") else int(text) * 1000


@pytest.fixture
def there(use: Use) -> ClusterConfig:
    return use()


def test_nothing_is_left_in_the_namespace(there: ClusterConfig, bed: KubernetesBed, client: Callable[..., str]) -> None:
    """After `clustrix clean` and release there is nothing of ours: no pod, no Job, no Secret."""

    @cluster
    def die() -> None:
        raise ValueError("on purpose")

    assert len([*sleep.map([0] * 8)]) == 8 and sleep(0)
    with pytest.raises(ValueError, match="on purpose"):
        die()
    session.close()
    assert left(bed), "what failed stays for a look at it, and the worker for the next call"
    client("-m", "clustrix_core.cli", "clean", "--yes")
    eventually(lambda: not [one for one in left(bed) if "clustrix/job" in one["metadata"]["labels"]])
    engine = session.engine()
    engine.dispatch.release(engine.places.cluster(there, Resources()))
    eventually(lambda: not left(bed))


def left(bed: KubernetesBed) -> list[Any]:
    ours = "app.kubernetes.io%2Fmanaged-by%3Dclustrix"
    return [one for kind in ("jobs", "pods", "secrets") for one in bed.listed(kind, ours)]
