"""Results that wait in a pod: of any size, in constant memory, and what is said of those that are lost there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from clustrix import cluster
from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.api.job import Job
from clustrix_core.config import ClusterConfig
from clustrix_core.errors import ResultLost, TransportError
from clustrix_core.model import JobState, Resources
from clustrix_core.transport import DEADLINE, Completed, Transport
from clustrix_k8s import querying
from tests.real.test_k8s import PATIENCE, _cleared, state, there
from tests.testbeds.kubernetes import KubernetesBed

__all__ = ["_cleared", "there"]  # fixtures
MB = 1 << 20
# They sleep most of the time, so a node holds more of them than it has cores.
_TASK = {"name": "task", "resources": {"requests": {"cpu": "50m"}}}
LIGHT: dict[str, Any] = {"pod_template": {"spec": {"containers": [_TASK]}}}


@cluster(memory="64MB")
def noise(size: int) -> tuple[str, bytes]:
    """Something that does not fit into a container's last words."""
    import os

    return os.uname().nodename, os.urandom(size)


def pods(bed: KubernetesBed, job: str) -> list[Any]:
    return list(bed.listed("pods", f"clustrix%2Fjob%3D{job}"))


def ended(pod: Any, container: str) -> bool:
    found = (pod.get("status") or {}).get("containerStatuses") or ()
    return any(one["name"] == container and "terminated" in one["state"] for one in found)


def until(true: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := true()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def left_alone(job: Job[Any]) -> str:
    """The client goes before the result is there."""
    state(job, JobState.RUNNING)
    session.close()
    return job.id


def said(job: str) -> Any:
    """What the cluster says of a job to somebody who brings nothing."""
    engine = session.engine()
    settings = config.current().clusters[next(iter(config.current().clusters))]
    handle = engine.journal.get(job).handle
    assert handle is not None
    return querying.status([handle], engine.places.cluster(settings, Resources()))[job]


@pytest.mark.parametrize("retries", [0, 1])
def test_a_result_that_nobody_fetches_in_time(
    there: Callable[..., ClusterConfig], k8s_bed: KubernetesBed, retries: int
) -> None:
    there(pick_up_seconds=10, **LIGHT)

    @cluster(memory="64MB", retries=retries)
    def late(size: int) -> bytes:
        import os
        import time

        time.sleep(4)
        return os.urandom(size)

    job = left_alone(late.submit(20_000))
    until(lambda: ended(pods(k8s_bed, job)[0], "task"))
    waits = said(job)
    assert waits.state is JobState.SUCCEEDED and waits.reason.startswith("its result waits in the pod until ")
    until(lambda: ended(pods(k8s_bed, job)[0], "keeper"))
    if retries:
        assert len(session.get_job(job).result(PATIENCE)) == 20_000
        of_both_rounds = f"clustrix%2Fjob%3D{job}"
        until(lambda: not any(k8s_bed.listed(kind, of_both_rounds) for kind in ("jobs", "pods", "secrets")))
        return
    with pytest.raises(ResultLost, match=r"it has waited for 10 s \(pick_up_seconds\); nobody had fetched it") as error:
        session.get_job(job).result(PATIENCE)
    assert error.value.state == "RESULT_LOST" and "clustrix retry" in str(error.value)


def test_a_pod_that_is_evicted_with_its_result_is_made_again(
    there: Callable[..., ClusterConfig], k8s_bed: KubernetesBed
) -> None:
    """Its Job makes another one at once: nobody can keep it from that."""
    there(**LIGHT)

    @cluster(memory="64MB")
    def late(size: int) -> tuple[str, bytes]:
        import os
        import time

        time.sleep(4)
        return os.uname().nodename, os.urandom(size)

    job = left_alone(late.submit(20_000))
    (pod,) = until(lambda: [one for one in pods(k8s_bed, job) if ended(one, "task")])
    first = pod["metadata"]["name"]
    path = f"/api/v1/namespaces/{k8s_bed.namespace}/pods/{first}/eviction"
    k8s_bed.admin("POST", path, {"metadata": {"name": first}})
    host, data = session.get_job(job).result(PATIENCE)
    assert host != first and len(data) == 20_000


PEAK = """
import clustrix

def high():  # ru_maxrss begins with that of the process that has started this one
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

@clustrix.cluster(memory="290MB")
def makes(count):
    import os
    return os.urandom(1 << 20) * (count >> 20), high()

if __name__ == "__main__":
    makes(1 << 20)
    before = high()
    value, over_there = makes(200 << 20)
    assert len(value) == 200 << 20
    print((high() - before) >> 20, over_there >> 20)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_result_of_200_megabytes_in_constant_memory(there: Callable[..., ClusterConfig], tmp_path: Path) -> None:
    there(**LIGHT)
    here, over_there = in_a_process_of_its_own(PEAK, tmp_path)
    # Its own container is killed at 290 MB, and that which streams it at 128.
    assert 200 <= over_there <= 240
    assert 200 <= here <= 240


def in_a_process_of_its_own(text: str, tmp_path: Path) -> list[int]:
    script, file = tmp_path / "peak.py", tmp_path / "clustrix.yml"
    script.write_text(text)
    file.write_text(config.dump(config.current()), "utf-8")
    argv = [sys.executable, str(script)]
    done = subprocess.run(
        argv,
        env={**os.environ, "CLUSTRIX_CONFIG": str(file)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


def test_who_has_seen_all_of_a_task_that_still_runs_lets_its_pod_end(
    there: Callable[..., ClusterConfig], k8s_bed: KubernetesBed
) -> None:
    """It may have no reason to look again: a program ends with its last value."""
    place = there(**LIGHT)

    @cluster(memory="64MB")
    def lingers(size: int) -> bytes:
        import os
        import subprocess

        subprocess.Popen(["sleep", "10"])  # it holds the output open, so the container goes on for two seconds
        return os.urandom(size)

    job = left_alone(lingers.submit(20_000))
    engine = session.engine()
    handle = engine.journal.get(job).handle
    assert handle is not None
    mirror = engine.mirrors / job

    def seen() -> bool:
        for note in mirror.glob(".looked-*"):
            os.utime(note, (0, 0))  # it is time to look again
        engine.dispatch.fetch([handle], engine.mirrors, engine.places.cluster(place, Resources()))
        return any(mirror.glob("status-*"))

    until(seen)
    (pod,) = pods(k8s_bed, job)
    assert not ended(pod, "task"), "it was seen too late for this test"
    until(lambda: all(ended(pod, "keeper") for pod in pods(k8s_bed, job)))


class Breaking:
    """A way to the cluster that breaks once in the middle of a stream; ``heard`` counts what came through it."""

    here = False

    def __init__(self, way: Transport, after: int) -> None:
        self.way, self.after, self.heard, self.breaks = way, after, 0, 0

    def run(
        self,
        command: str,
        stdin: Iterable[bytes] = (),
        sink: Callable[[bytes], None] | None = None,
        idle: float = DEADLINE,
    ) -> Completed:
        def listen(data: bytes) -> None:
            assert sink is not None
            self.heard += len(data)
            sink(data)
            if self.heard > self.after and not self.breaks:
                self.breaks += 1
                raise TransportError("the cable was pulled")

        return self.way.run(command, stdin, listen if sink is not None else None, idle)

    def close(self) -> None:
        self.way.close()


def test_a_stream_that_breaks_goes_on_where_it_broke(there: Callable[..., ClusterConfig]) -> None:
    there(**LIGHT)
    assert len(noise(10)[1]) == 10
    places = session.engine().places
    ((key, way),) = places._transports.items()
    breaking = places._transports[key] = Breaking(way, 10 * MB)
    _, data = noise(20 * MB)
    assert len(data) == 20 * MB and breaking.breaks == 1
    assert 20 * MB < breaking.heard < 23 * MB
