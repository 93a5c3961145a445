"""Pods that share a volume: all that batch clusters do holds there too, by the same code."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import clustrix
from clustrix import ConfigError, DependencyFailed, checkpoint, cluster
from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.config import ClusterConfig
from clustrix_core.errors import TransportError
from clustrix_core.model import JobState
from clustrix_core.transport import Transport
from clustrix_k8s import door
from tests.real.test_k8s import state
from tests.testbeds.kubernetes import STATE, KubernetesBed
from tests.unit.environments import houses

pytestmark = pytest.mark.timeout(240)
MB = 1 << 20
PATIENCE = 90.0
HERE = f"tests-{uuid.uuid4().hex[:12]}"  # a directory of the volume for this run of the tests


@pytest.fixture
def there(k8s_bed: KubernetesBed, home: Path) -> Callable[..., ClusterConfig]:
    """Make the bed the default cluster, with the claim."""

    def use(**more: Any) -> ClusterConfig:
        mounts = [{"mountPath": "/clustrix", "subPath": HERE}]
        options = {
            "kubeconfig": str(k8s_bed.kubeconfig),
            "image": k8s_bed.login,
            "image_pull_policy": "Never",
            "claim": k8s_bed.claim,
            "parallelism": 2,
            "pod_template": {"spec": {"containers": [{"name": "task", "volumeMounts": mounts}]}},
        }
        found = ClusterConfig(**{"name": "k8s", "backend": "k8s", "options": options | more.pop("options", {}), **more})
        config.configure(default=found)
        return found

    return use


@pytest.fixture(autouse=True)
def _cleared(k8s_bed: KubernetesBed, home: Path) -> Iterator[None]:
    yield
    jobs = [entry.id for entry in session.engine().journal.entries()]
    for job in jobs:
        for one in k8s_bed.listed("jobs", f"clustrix%2Fjob%3D{job}"):
            delete(k8s_bed, "jobs", one["metadata"]["name"])


@pytest.fixture(scope="module", autouse=True)
def _closed(k8s_bed: KubernetesBed) -> Iterator[None]:
    """No door of this run stays open."""
    yield
    for job in k8s_bed.listed("jobs", "clustrix%2Fdoor"):
        if HERE in json.dumps(job):
            delete(k8s_bed, "jobs", job["metadata"]["name"])


def delete(bed: KubernetesBed, kind: str, name: str) -> None:
    group = "/apis/batch/v1" if kind == "jobs" else "/api/v1"
    body = {"propagationPolicy": "Background", **({"gracePeriodSeconds": 1} if kind == "pods" else {})}
    with contextlib.suppress(urllib.error.HTTPError):  # it may go by itself
        bed.admin("DELETE", f"{group}/namespaces/{bed.namespace}/{kind}/{name}", body)


def pods(bed: KubernetesBed, selector: str) -> list[str]:
    found = bed.listed("pods", selector)
    return [pod["metadata"]["name"] for pod in found if not pod["metadata"].get("deletionTimestamp")]


def doors(bed: KubernetesBed) -> list[str]:
    """Return the pods that are doors of this run and open."""
    return [
        pod["metadata"]["name"]
        for pod in bed.listed("pods", "clustrix%2Fdoor")
        if HERE in json.dumps(pod["spec"]) and pod["status"]["phase"] == "Running"
    ]


def way() -> Transport:
    settings = config.current().find(None)
    return session.engine().places.cluster(settings, settings.resources).transport


def until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_line_of_sh_has_all_its_streams(there: Callable[..., ClusterConfig]) -> None:
    there()
    data = os.urandom(3 * MB + 1)
    done = way().run("cat; echo aside >&2; exit 7", [data[:10], b"", data[10:]])
    assert (done.returncode, done.stdout, done.error) == (7, data, "aside")
    assert way().run("cat | wc -c").text.split() == ["0"], "its stdin ends"
    assert way().run("head -c 4", (b"x" * MB for _ in range(50))).text == "xxxx", "who has read enough ends"
    heard: list[bytes] = []
    assert way().run('printf "%s" "$1 \u2603 $CLUSTRIX_PORTER"', sink=heard.append).stdout == b""
    assert b"".join(heard).decode() == " \u2603 "
    with pytest.raises(TransportError):
        way().run("kill -9 $$; sleep 9")


def test_a_door_that_goes_is_made_again(there: Callable[..., ClusterConfig], k8s_bed: KubernetesBed) -> None:
    there()
    assert way().run("true").returncode == 0
    (first,) = doors(k8s_bed)
    assert way().run("echo $HOSTNAME $(uname -n)").text.split()[-1] == first, "it is used again"
    errors: list[BaseException] = []

    def long() -> None:
        try:
            way().run("echo here; sleep 60")
        except TransportError as error:
            errors.append(error)

    thread = threading.Thread(target=long)
    thread.start()
    time.sleep(2)
    delete(k8s_bed, "pods", first)
    thread.join(PATIENCE)
    assert errors, "a command that did not run to its end has an answer"
    until(lambda: first not in [pod["metadata"]["name"] for pod in k8s_bed.listed("pods", "clustrix%2Fdoor")])
    assert way().run("uname -n").text.strip() != first
    # Of another client, too.
    session.close()
    assert way().run("uname -n").text.strip() == doors(k8s_bed)[0]


def test_a_door_that_nobody_uses_ends_by_itself(
    there: Callable[..., ClusterConfig], k8s_bed: KubernetesBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "IDLE", 8)
    there()
    assert way().run("sleep 20 >/dev/null 2>&1 </dev/null &").returncode == 0
    mine = way().run("uname -n").text.strip()
    time.sleep(14)
    assert mine in doors(k8s_bed), "what was left running there still does"
    until(lambda: mine not in doors(k8s_bed))
    assert way().run("uname -n").text.strip() not in ("", mine)


def test_a_claim_that_is_not_there(there: Callable[..., ClusterConfig]) -> None:
    there(options={"claim": "none"})
    with pytest.raises(ConfigError, match='persistentvolumeclaim "none" not found'):
        cluster(os.getpid)()


def test_a_call_and_what_it_leaves(there: Callable[..., ClusterConfig], k8s_bed: KubernetesBed) -> None:
    there()

    @cluster
    def speak(word: str) -> str:
        print("said", word)
        return word.upper()

    job = speak.submit("stone")
    assert job.result(PATIENCE) == "STONE"
    assert "said stone" in job.logs()
    mine = f"clustrix%2Fjob%3D{job.id}"
    until(lambda: not any(k8s_bed.listed(kind, mine) for kind in ("jobs", "pods", "secrets")))
    until(lambda: not (STATE / "volume" / HERE / "work" / "jobs" / job.id[:2] / job.id).exists())


PEAK = """
import os, resource, sys
from clustrix import cluster

@cluster(memory="1GB")
def turn(data):
    return data[::-1]

def high():
    return int([line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1]) << 10

if __name__ == "__main__":
    assert turn(b"first") == b"tsrif"
    data = os.urandom(200 << 20)
    before = high()
    back = turn.submit(data).result(200)
    assert back == data[::-1]
    print((high() - before) >> 20)
"""


def test_200_megabytes_there_and_back(
    there: Callable[..., ClusterConfig], client: Callable[..., str], tmp_path: Path
) -> None:
    there()
    (tmp_path / "clustrix.yml").write_text(config.dump(config.current()), "utf-8")
    client.environment["CLUSTRIX_CONFIG"] = str(tmp_path / "clustrix.yml")  # type: ignore[attr-defined]
    (tmp_path / "peak.py").write_text(PEAK)
    began = time.monotonic()
    grown = int(client("peak.py"))
    print(f"200 MB there and back: {time.monotonic() - began:.1f} s, {grown} MB more")
    # The result, and what it is compared with, are 400 MB.
    assert grown < 480


@pytest.fixture
def wheels(tmp_path: Path) -> list[Path]:
    stones = "import pebbles\ndef weigh(n):\n    return n * pebbles.WEIGHT\n"
    return [
        houses.wheel(tmp_path / "wheels", "pebbles", "WEIGHT = 3\n", "2.5"),
        houses.wheel(tmp_path / "wheels", "stones", stones, "1.4", ["pebbles"]),
    ]


@cluster
def heavy(n: int) -> tuple[int, str]:
    import sys

    import stones  # type: ignore[import-not-found]

    return stones.weigh(n), sys.prefix


def built() -> set[Path]:
    return set((STATE / "volume" / HERE / "work" / "envs").glob("*/log-*"))


@pytest.mark.parametrize(("build", "packages"), [("login", ["stones"]), ("job", ["stones", "pebbles"])])
def test_packages_are_installed_once(
    there: Callable[..., ClusterConfig], wheels: list[Path], build: str, packages: list[str]
) -> None:
    """In the door, or in a pod of its own."""
    there(environment=packages, wheels=str(wheels[0].parent), manager="pip", build=build)
    before = built()
    value, prefix = heavy(5)
    assert value == 15 and "/envs/" in prefix
    assert list(heavy.map([1, 2])) == [(3, prefix), (6, prefix)]
    assert len(built() - before) == 1
    names = [info.name for info in clustrix.jobs()]
    assert len([name for name in names if name.startswith("environment-")]) == (build == "job")


def test_what_is_installed_here_is_installed_there(
    there: Callable[..., ClusterConfig], wheels: list[Path], client: Callable[..., str], tmp_path: Path
) -> None:
    there(environment="auto", wheels=str(wheels[0].parent), manager="pip")
    (tmp_path / "clustrix.yml").write_text(config.dump(config.current()), "utf-8")
    (tmp_path / "one.py").write_text(AUTO)
    client.environment["CLUSTRIX_CONFIG"] = str(tmp_path / "clustrix.yml")  # type: ignore[attr-defined]
    client.environment["PYTHONPATH"] = str(houses.installed(tmp_path / "client", wheels))  # type: ignore[attr-defined]
    assert client("one.py").split() == ["15", "True"]


AUTO = """
import sys
import stones
from clustrix import cluster

@cluster
def heavy(n):
    return stones.weigh(n), "/envs/" in sys.prefix

print(*heavy(5))
"""


def test_files_folders_and_values_that_stay(there: Callable[..., ClusterConfig], tmp_path: Path) -> None:
    there()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "one.txt").write_text("one")
    (tmp_path / "whole.bin").write_bytes(os.urandom(2 * MB))

    @cluster
    def sizes(folder: Any, file: Any) -> tuple[str, int]:
        return (Path(folder) / "one.txt").read_text(), Path(file).stat().st_size

    @cluster
    def make() -> bytes:
        return bytes(3 * MB)

    @cluster
    def length(data: bytes) -> int:
        return len(data)

    assert sizes(clustrix.Folder(tmp_path / "data"), clustrix.File(tmp_path / "whole.bin")) == ("one", 2 * MB)
    kept = make.submit().result(PATIENCE, keep=True)
    assert length(kept) == 3 * MB


def test_a_value_goes_from_job_to_job(there: Callable[..., ClusterConfig]) -> None:
    there()

    @cluster
    def number(value: int) -> int:
        import time

        time.sleep(2)
        if value < 0:
            raise ValueError("less than nothing")
        return value

    @cluster
    def double(value: Any) -> int:
        return 2 * int(value)

    second = double.submit(number.submit(21))
    third = double.submit(second)
    lost = double.submit(number.submit(-1))
    assert third.result(PATIENCE) == 84 and second.result(1) == 42
    with pytest.raises(DependencyFailed, match="less than nothing"):
        lost.result(PATIENCE)


def test_who_waits_for_another_can_be_cancelled(there: Callable[..., ClusterConfig], k8s_bed: KubernetesBed) -> None:
    there()

    @cluster
    def sleep(seconds: Any) -> float:
        import time

        time.sleep(float(seconds))
        return 0

    first = sleep.submit(600)
    second = sleep.submit(first)
    state(first, JobState.RUNNING)
    assert second.cancel() and first.cancel()
    until(lambda: not pods(k8s_bed, f"clustrix%2Fjob%3D{first.id}"))
    assert not pods(k8s_bed, f"clustrix%2Fjob%3D{second.id}")


def test_a_map_shares_out_calls_that_differ(there: Callable[..., ClusterConfig]) -> None:
    there()

    @cluster
    def wait(number: int) -> tuple[int, str]:
        import os
        import time
        from pathlib import Path

        met, late = Path("/clustrix/met"), time.monotonic() + 120
        met.mkdir(exist_ok=True)
        (met / os.uname().nodename).touch()
        while number == 0 and len(list(met.iterdir())) < 2 and time.monotonic() < late:
            time.sleep(0.2)  # until the other pod is there: nodes may be full
        time.sleep(3 if number < 4 else 0.05)
        return number, os.uname().nodename

    found = list(wait.map(range(40)))
    assert [number for number, _ in found] == [*range(40)]
    slow = {where for number, where in found if number < 4}
    assert len(slow) == 2, "the pod that was done took none of the other's calls"


def test_a_pod_that_is_deleted_goes_on_where_it_was(
    there: Callable[..., ClusterConfig], k8s_bed: KubernetesBed
) -> None:
    there()

    @cluster
    def count(last: int) -> list[tuple[int, str]]:
        import os
        import time

        steps = checkpoint.load([])
        while len(steps) < last:
            time.sleep(0.5)
            steps.append((len(steps), os.uname().nodename))
            checkpoint.save(steps)
        return steps

    job = count.submit(24)
    state(job, JobState.RUNNING)
    time.sleep(4)
    (first,) = pods(k8s_bed, f"clustrix%2Fjob%3D{job.id}")
    delete(k8s_bed, "pods", first)
    steps = job.result(PATIENCE)
    assert [number for number, _ in steps] == [*range(24)]
    assert len({where for _, where in steps}) == 2


LATE = """
import time
from clustrix import cluster

@cluster
def late():
    import time
    time.sleep(5)
    return bytes(5000000)

if __name__ == "__main__":
    job = late.submit()
    while job.status().state != "RUNNING":
        time.sleep(0.2)
    print(job.id, flush=True)
    time.sleep(600)
"""


def test_a_result_outlives_its_pod_and_its_job(
    there: Callable[..., ClusterConfig], k8s_bed: KubernetesBed, client: Callable[..., Any], tmp_path: Path
) -> None:
    there()
    script = tmp_path / "first.py"
    script.write_text(LATE)
    file = tmp_path / "clustrix.yml"
    file.write_text(config.dump(config.current()), "utf-8")
    environment = {**client.environment, "CLUSTRIX_CONFIG": str(file)}  # type: ignore[attr-defined]
    first = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, env=environment, cwd=tmp_path, text=True
    )
    assert first.stdout is not None
    with first.stdout:
        job = first.stdout.readline().strip()
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert job, "it ended before its job ran"
    mine = f"clustrix%2Fjob%3D{job}"
    until(lambda: any(pod["status"]["phase"] == "Succeeded" for pod in k8s_bed.listed("pods", mine)))
    for one in k8s_bed.listed("jobs", mine):
        delete(k8s_bed, "jobs", one["metadata"]["name"])
    until(lambda: not k8s_bed.listed("pods", mine))
    assert session.get_job(job).result(PATIENCE) == bytes(5000000)


def test_files_of_the_volume_are_at_hand(there: Callable[..., ClusterConfig]) -> None:
    there()

    @cluster
    def write(name: str) -> list[str]:
        from pathlib import Path

        from clustrix import cluster_ls

        Path("/clustrix/out").mkdir(exist_ok=True)
        Path("/clustrix/out", name).write_text("1,2\n")
        return cluster_ls("/clustrix/out")

    assert write("a.csv") == ["a.csv"]
    assert clustrix.cluster_ls("/clustrix/out") == ["a.csv"]
    assert clustrix.cluster_find("*.csv", "/clustrix") == ["out/a.csv"]
    assert clustrix.cluster_stat("/clustrix/out/a.csv").size == 4
    with pytest.raises(FileNotFoundError):
        clustrix.cluster_ls("/clustrix/none")


def test_without_a_claim_there_are_no_files(there: Callable[..., ClusterConfig]) -> None:
    there(options={"claim": None, "pod_template": {}})
    assert cluster(len)([1]) == 1
    with pytest.raises(ConfigError, match="claim:"):
        clustrix.cluster_ls("/clustrix")
