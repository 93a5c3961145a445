"""What only Kubernetes does: how pods end, what a namespace user may, what is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from clustrix import cluster
from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.api.job import Job
from clustrix_core.config import ClusterConfig
from clustrix_core.errors import CommandError, ConfigError, JobCancelled, JobFailed, JobOutOfMemory, JobTimeout
from clustrix_core.model import JobState
from clustrix_k8s import states
from tests.real.test_docs import ROOT, Newcomer, blocks
from tests.testbeds.kubernetes import KubernetesBed

PATIENCE = 60.0


@pytest.fixture
def there(k8s_bed: KubernetesBed, home: Path) -> Callable[..., ClusterConfig]:
    """Make the bed the default cluster, with options."""

    def use(user: str = "", **options: Any) -> ClusterConfig:
        kubeconfig = str(k8s_bed.kubeconfig_of(user or k8s_bed.user))
        plain = {"kubeconfig": kubeconfig, "image": k8s_bed.image, "image_pull_policy": "Never"}
        found = ClusterConfig(name="k8s", backend="k8s", options=plain | options)
        config.configure(default=found)
        return found

    return use


@pytest.fixture(autouse=True)
def _cleared(k8s_bed: KubernetesBed, home: Path) -> Iterator[None]:
    """The next test finds the nodes free."""
    yield
    jobs = [entry.id for entry in session.engine().journal.entries()]
    for job in jobs:
        for one in k8s_bed.listed("jobs", f"clustrix%2Fjob%3D{job}"):
            path = f"/apis/batch/v1/namespaces/{k8s_bed.namespace}/jobs/{one['metadata']['name']}"
            with contextlib.suppress(urllib.error.HTTPError):  # it may go by itself
                k8s_bed.admin("DELETE", path, {"propagationPolicy": "Background"})


def state(job: Job[Any], *wanted: JobState) -> Any:
    deadline = time.monotonic() + PATIENCE
    while (found := job.status()).state not in wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found


def test_a_pod_over_its_memory(there: Callable[..., ClusterConfig]) -> None:
    there()

    @cluster(memory="64MB")
    def eat() -> int:
        return len(bytearray(400 << 20))

    with pytest.raises(JobOutOfMemory, match="OOMKilled"):
        eat()


def test_a_call_over_its_walltime(there: Callable[..., ClusterConfig]) -> None:
    there()

    @cluster(time="00:00:03")
    def sleep() -> None:
        import time

        print("asleep")
        time.sleep(60)

    with pytest.raises(JobTimeout, match="walltime of 00:00:03") as error:
        sleep()
    assert "asleep" in str(error.value.log)


def test_what_fits_on_no_node_says_so(there: Callable[..., ClusterConfig]) -> None:
    there()
    job = cluster(os.getpid, cores=500).submit()
    deadline = time.monotonic() + PATIENCE
    while "Unschedulable" not in job.status().reason:
        assert time.monotonic() < deadline, job.status()
        time.sleep(0.2)
    assert "Insufficient cpu" in job.status().reason
    assert job.cancel()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"image": "testbed.local/none:1"}, "ErrImageNeverPull"),
        (
            {"image": "testbed.local/none:1", "image_pull_policy": "Always", "image_patience_seconds": 2},
            "ErrImagePull|BackOff",
        ),
    ],
)
def test_an_image_that_never_comes(there: Callable[..., ClusterConfig], options: dict[str, Any], word: str) -> None:
    there(**options)
    with pytest.raises(ConfigError, match=word):
        cluster(os.getpid)()


def test_a_python_that_is_not_in_the_image(there: Callable[..., ClusterConfig], k8s_bed: KubernetesBed) -> None:
    settings = there()
    config.configure(default=ClusterConfig(**{**settings.settings(), "name": "k8s", "python": "python9"}))
    with pytest.raises(ConfigError, match="python9"):
        cluster(os.getpid)()


def test_a_first_contact_whose_pod_is_gone_is_made_again(
    there: Callable[..., ClusterConfig], k8s_bed: KubernetesBed
) -> None:
    there(pod_template={"metadata": {"annotations": {"asked": uuid.uuid4().hex}}})  # by nobody before
    before = {pod["metadata"]["name"] for pod in k8s_bed.listed("pods", "clustrix%2Fprobe")}
    assert cluster(len)([1]) == 1
    asked = {pod["metadata"]["name"] for pod in k8s_bed.listed("pods", "clustrix%2Fprobe")} - before
    assert asked
    for name in asked:
        k8s_bed.admin("DELETE", f"/api/v1/namespaces/{k8s_bed.namespace}/pods/{name}", {"gracePeriodSeconds": 0})
    session.close()
    (Path(os.environ["CLUSTRIX_HOME"]) / "jobs.db").unlink()
    assert cluster(len)([1, 2]) == 2


def test_a_stranger_hears_which_right_is_missing(
    there: Callable[..., ClusterConfig], k8s_bed: KubernetesBed, client: Callable[..., str]
) -> None:
    there(k8s_bed.stranger)
    with pytest.raises(CommandError, match='"eve" cannot list resource "pods"'):
        cluster(os.getpid)()


def test_a_container_that_cannot_begin_after_the_first_contact(
    there: Callable[..., ClusterConfig], k8s_bed: KubernetesBed
) -> None:
    """It is an end, not a job that waits for ever for the pod that was taken away."""
    name, path = f"word-{uuid.uuid4().hex[:8]}", f"/api/v1/namespaces/{k8s_bed.namespace}/secrets"
    k8s_bed.admin("POST", path, {"metadata": {"name": name}, "stringData": {"word": "x"}})
    env = {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": name, "key": "word"}}}
    there(pod_template={"spec": {"containers": [{"name": "task", "env": [env]}]}})
    assert cluster(os.environ.get)("WORD") == "x"
    k8s_bed.admin("DELETE", f"{path}/{name}")
    with pytest.raises(JobFailed, match=f'CreateContainerConfigError.*secret "{name}" not found'):
        cluster(os.environ.get)("WORD")


def test_cancelling_ends_the_pod(there: Callable[..., ClusterConfig], k8s_bed: KubernetesBed) -> None:
    there()

    @cluster
    def sleep() -> None:
        import time

        time.sleep(600)

    job = sleep.submit()
    state(job, JobState.RUNNING)
    assert job.cancel()
    deadline = time.monotonic() + PATIENCE
    while k8s_bed.listed("pods", f"clustrix%2Fjob%3D{job.id}"):
        assert time.monotonic() < deadline, "the pod goes on"
        time.sleep(0.2)
    # It is over, so that the server removes it in the end, where it has not yet been.
    while not all(states.is_over(one) for one in k8s_bed.listed("jobs", f"clustrix%2Fjob%3D{job.id}")):
        assert time.monotonic() < deadline, "its Job never ends"
        time.sleep(0.2)


def _pods(bed: KubernetesBed, job: Job[Any]) -> list[str]:
    return [pod["metadata"]["name"] for pod in bed.listed("pods", f"clustrix%2Fjob%3D{job.id}")]


def test_a_pod_that_is_evicted_is_made_again(there: Callable[..., ClusterConfig], k8s_bed: KubernetesBed) -> None:
    there()

    @cluster
    def where() -> str:
        import os
        import time

        time.sleep(8)
        return os.uname().nodename

    job = where.submit()
    state(job, JobState.RUNNING)
    (first,) = _pods(k8s_bed, job)
    path = f"/api/v1/namespaces/{k8s_bed.namespace}/pods/{first}/eviction"
    k8s_bed.admin("POST", path, {"metadata": {"name": first}})
    assert job.result(PATIENCE) not in ("", first)


def test_a_job_that_somebody_deletes(there: Callable[..., ClusterConfig], k8s_bed: KubernetesBed) -> None:
    there()

    @cluster
    def sleep() -> None:
        import time

        time.sleep(600)

    job = sleep.submit()
    state(job, JobState.RUNNING)
    (one,) = k8s_bed.listed("jobs", f"clustrix%2Fjob%3D{job.id}")
    path = f"/apis/batch/v1/namespaces/{k8s_bed.namespace}/jobs/{one['metadata']['name']}"
    k8s_bed.admin("DELETE", path, {"propagationPolicy": "Background"})
    with pytest.raises(JobCancelled, match="its Job was deleted"):
        job.result(PATIENCE)


def test_arguments_and_results_of_some_megabytes(there: Callable[..., ClusterConfig]) -> None:
    there()

    @cluster(memory="256MB")
    def turn(data: bytes) -> bytes:
        return data[::-1]

    data = os.urandom(3_000_000)
    assert turn(data) == data[::-1]


def test_what_is_too_large_says_what_to_do(there: Callable[..., ClusterConfig]) -> None:
    there()
    with pytest.raises(Exception, match="fit into Secrets") as error:
        cluster(len)(bytes(40_000_000))
    assert "object store" in str(error.value)


def test_a_map_is_shared_by_pods(there: Callable[..., ClusterConfig]) -> None:
    there(parallelism=2)

    @cluster
    def host(number: int) -> tuple[int, str]:
        import os

        return number, os.uname().nodename

    found = list(host.map(range(40)))
    assert [number for number, _ in found] == [*range(40)]
    assert len({name for _, name in found}) == 2


def test_a_failed_call_has_its_exit_code(there: Callable[..., ClusterConfig]) -> None:
    there()

    @cluster
    def die() -> None:
        import os

        os._exit(7)

    with pytest.raises(JobFailed) as error:
        die()
    assert error.value.exit_code == 7


def test_another_client_goes_on(
    there: Callable[..., ClusterConfig], client: Callable[..., Any], tmp_path: Path
) -> None:
    """A client that is killed leaves a job that the next one finds, once."""
    there()
    script = tmp_path / "first.py"
    script.write_text(
        "import time\n"
        "from clustrix import cluster\n\n\n"
        "@cluster\n"
        "def late():\n"
        "    import time\n"
        "    time.sleep(6)\n"
        "    return 'here'\n\n\n"
        "if __name__ == '__main__':\n"
        "    job = late.submit()\n"
        "    while job.status().state != 'RUNNING':\n"
        "        time.sleep(0.2)\n"
        "    print(job.id, flush=True)\n"
        "    time.sleep(600)\n"
    )
    file = tmp_path / "clustrix.yml"
    file.write_text(config.dump(config.current()), "utf-8")
    environment = {**client.environment, "CLUSTRIX_CONFIG": str(file)}  # type: ignore[attr-defined]
    argv = [sys.executable, str(script)]
    first = subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment, cwd=tmp_path, text=True)
    assert first.stdout is not None
    with first.stdout:
        job = first.stdout.readline().strip()
    first.kill()
    first.wait()
    assert job, "it ended before its job ran"
    assert session.get_job(job).result(PATIENCE) == "here"


def test_output_is_followed_while_it_comes(
    there: Callable[..., ClusterConfig], client: Callable[..., Any], tmp_path: Path
) -> None:
    there()

    @cluster
    def speak() -> None:
        for number in range(4):
            print("line", number, flush=True)
            time.sleep(2)

    job = speak.submit()
    state(job, JobState.RUNNING)
    file = tmp_path / "clustrix.yml"
    file.write_text(config.dump(config.current()), "utf-8")
    argv = [sys.executable, "-m", "clustrix_core.cli", "logs", "-f", job.id]
    environment = {**client.environment, "CLUSTRIX_CONFIG": str(file)}  # type: ignore[attr-defined]
    heard = []
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment, cwd=tmp_path, text=True) as following:
        assert following.stdout is not None
        for line in following.stdout:
            heard.append((line, job.done()))
    assert [line for line, _ in heard] == [f"line {number}\n" for number in range(4)]
    assert not heard[0][1], "it came when all was over"


def test_the_tutorial(k8s_bed: KubernetesBed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(k8s_bed.kubeconfig))
    newcomer = tmp_path / "newcomer"
    newcomer.mkdir()
    Newcomer(newcomer).follow("docs/tutorials/kubernetes.md")


def test_the_tutorial_asks_for_the_rights_of_the_bed() -> None:
    page = "docs/tutorials/kubernetes.md"
    (shown,) = [block.text for block in blocks(page) if block.why_not and "kind: Role" in block.text]
    given = json.loads((ROOT / "tests/testbeds/kubernetes/role.json").read_text())
    assert next(iter(yaml.safe_load_all(shown)))["rules"] == given["rules"]
