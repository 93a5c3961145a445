"""Large data and results by way of an object store: a real S3 server, from pods that have no credentials."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clustrix import cluster
from clustrix_core import config
from clustrix_core.api import cleaning, commands, session
from clustrix_core.config import ClusterConfig
from clustrix_core.errors import ClustrixError, ResultLost, StagingError
from clustrix_core.model import Cluster, JobHandle, JobState
from clustrix_core.testing.transports import FakeTransport
from clustrix_k8s import fetching, giving, names, parcels, store
from clustrix_k8s.options import K8sOptions
from tests.real.test_k8s import PATIENCE, _cleared, state, there
from tests.real.test_k8s_lost import LIGHT, MB, ended, in_a_process_of_its_own, left_alone, pods, until
from tests.testbeds.kubernetes import KubernetesBed
from tests.testbeds.s3 import LOGIN, S3, s3

__all__ = ["_cleared", "there"]  # fixtures


@pytest.fixture(scope="module")
def server(k8s_bed: KubernetesBed) -> Iterator[S3]:
    with s3(k8s_bed.services) as found:
        yield found


@pytest.fixture(autouse=True)
def _login(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def shop(server: S3, there: Callable[..., ClusterConfig], tmp_path: Path) -> str:
    """A folder of the store, and a cluster that uses it."""
    folder = tmp_path.name
    there(**server.options(folder), **LIGHT)
    return folder


@cluster(memory="64MB")
def late(size: int) -> tuple[str, bytes]:
    import os
    import time

    time.sleep(4)
    return os.uname().nodename, os.urandom(size)


@cluster(memory="128MB")
def digest(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


PEAK = """
import hashlib
import clustrix

def high():  # ru_maxrss begins with that of the process that has started this one
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

@clustrix.cluster(memory="290MB")
def takes(data):
    import hashlib
    return hashlib.sha256(data).hexdigest(), high()

@clustrix.cluster(memory="290MB")
def makes(count):
    import os
    return os.urandom(1 << 20) * (count >> 20), high()

if __name__ == "__main__":
    makes(1 << 20)
    data = bytes(range(256)) * (200 << 12)
    before = high()
    found, took = takes(data)
    assert found == hashlib.sha256(data).hexdigest()
    sent = high() - before
    del data
    value, made = makes(200 << 20)
    assert len(value) == 200 << 20
    print(sent >> 20, (high() - before) >> 20, took >> 20, made >> 20)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_200_megabytes_there_and_back_in_constant_memory(shop: str, server: S3, tmp_path: Path) -> None:
    sent, received, took, made = in_a_process_of_its_own(PEAK, tmp_path)
    assert sent <= 60 and received <= 100 and 200 <= took <= 260 and 200 <= made <= 240
    assert server.network.up > 400 * MB  # both have come this way


def test_data_is_sent_once_and_goes_when_no_job_needs_it(
    shop: str, server: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.urandom(3 * MB)
    before = server.network.up
    assert digest(data) == digest(data) == hashlib.sha256(data).hexdigest()
    assert 3 * MB < server.network.up - before < 4 * MB
    job = digest.submit(data)
    assert job.result(PATIENCE)
    assert [*server.objects(f"{shop}/blobs").values()] != []
    monkeypatch.setattr(store, "YOUNG", 0.0)
    journal = session.engine().journal
    until(lambda: len(cleaning.finished(journal)) == 3)
    assert cleaning.clean(cleaning.finished(journal)) == {}
    assert server.objects(shop) == {}


def test_small_jobs_leave_the_store_alone(shop: str, server: S3) -> None:
    before = server.network.up
    assert cluster(len)([1]) == 1
    assert server.network.up - before < 20_000 and server.objects(shop) == {}


def test_a_result_outlives_its_pod(shop: str, server: S3, k8s_bed: KubernetesBed) -> None:
    """No client comes; the pod does not wait, and goes."""
    job = left_alone(late.submit(20_000))
    (pod,) = until(lambda: [one for one in pods(k8s_bed, job) if ended(one, "keeper")])
    assert pod["status"]["phase"] == "Succeeded"
    first = pod["metadata"]["name"]
    path = f"/api/v1/namespaces/{k8s_bed.namespace}/pods/{first}"
    until(lambda: (k8s_bed.listed("jobs", f"clustrix%2Fjob%3D{job}")[0].get("status") or {}).get("succeeded"))
    k8s_bed.admin("DELETE", path, {"gracePeriodSeconds": 0})
    until(lambda: not pods(k8s_bed, job))
    host, data = session.get_job(job).result(PATIENCE)
    assert host == first and len(data) == 20_000


def test_an_object_that_somebody_removes(shop: str, server: S3, k8s_bed: KubernetesBed) -> None:
    job = left_alone(late.submit(20_000))
    until(lambda: [one for one in pods(k8s_bed, job) if ended(one, "keeper")])
    (name,) = server.objects(shop)
    server.remove(name)
    with pytest.raises(ResultLost, match="no longer in the object store s3://clustrix/"):
        session.get_job(job).result(PATIENCE)


def test_a_store_that_is_away_for_a_while(shop: str, server: S3, k8s_bed: KubernetesBed) -> None:
    job = late.submit(20_000)
    state(job, JobState.RUNNING)
    server.network.shut()
    server.network.reset()
    path = (
        f"/api/v1/namespaces/{k8s_bed.namespace}/pods/{pods(k8s_bed, job.id)[0]['metadata']['name']}/log?container=task"
    )
    until(lambda: "the object store does not answer, trying again: the result" in k8s_bed.admin("GET", path))
    assert not job.done()
    server.network.open()
    assert len(job.result(PATIENCE)[1]) == 20_000
    assert digest(os.urandom(2 * MB))


def test_an_upload_that_breaks_is_made_again(shop: str, server: S3) -> None:
    data = os.urandom(9 * MB)
    job = digest.submit(data)
    server.network.reset_after(up=4 * MB)
    assert job.result(PATIENCE) == hashlib.sha256(data).hexdigest()
    assert server.network.broke


def test_a_later_round_gets_its_data_again(shop: str, server: S3) -> None:
    @cluster(memory="128MB", retries=1, retry_on="FAILED")
    def second(data: bytes) -> tuple[int, str]:
        import os

        if "-r1-" not in os.uname().nodename:
            os._exit(7)
        return len(data), os.uname().nodename

    size, host = second(os.urandom(2 * MB))
    assert size == 2 * MB and "-r1-" in host


def test_values_that_nobody_asks_for_stay_there(shop: str, server: S3) -> None:
    kept = late.submit(4 * MB).result(keep=True, timeout=PATIENCE)
    before = server.network.down
    assert len(kept.result()[1]) == 4 * MB
    assert server.network.down - before > 4 * MB


def test_a_bucket_that_is_not_there(server: S3, there: Callable[..., ClusterConfig]) -> None:
    there(**{**server.options(), "store": "s3://no-such-bucket/bed"}, **LIGHT)
    with pytest.raises(ClustrixError, match=r"no-such-bucket.*refuses") as error:
        digest(os.urandom(2 * MB))
    assert "store_options" in str(error.value)
    (problem,), _ = commands.check(config.current().clusters["k8s"])
    assert problem.severity == "error" and "no-such-bucket" in problem.message and "store_options" in problem.hint


def test_a_login_that_the_store_does_not_know(k8s_bed: KubernetesBed, there: Callable[..., ClusterConfig]) -> None:
    with s3(k8s_bed.services, strict=True) as stranger:
        there(**stranger.options(), **LIGHT)
        with pytest.raises(ClustrixError, match=r"refuses|no login") as error:
            digest(os.urandom(2 * MB))
        assert "store_options" in str(error.value)


def test_a_store_that_is_not_there(
    server: S3, there: Callable[..., ClusterConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick: dict[str, Any] = {"config_kwargs": {"connect_timeout": 1, "retries": {"max_attempts": 0}}}
    there(store="s3://clustrix/bed", store_options={"endpoint_url": "http://127.0.0.1:9", **quick}, **LIGHT)
    with pytest.raises(StagingError, match="cannot be reached"):
        digest(os.urandom(2 * MB))


# ---------------------------------------------------------------- both ends of a transfer, without a pod


def reached(server: S3, **more: Any) -> Cluster:
    options = K8sOptions(**server.options("transfers"), **more)
    return Cluster("k8s", "k8s", options, FakeTransport())


def test_a_transfer_that_breaks_goes_on_where_it_was(server: S3, tmp_path: Path) -> None:
    data, there = tmp_path / "data", reached(server)
    data.write_bytes(os.urandom(20 * MB))
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    arrived: list[str] = []
    store.send({digest: data}, there, arrived.append, lambda: None)
    assert arrived == [digest]
    url = store.Store(there.options).sign(f"blobs/{digest}")
    before = server.network.down
    server.network.reset_after(down=8 * MB)
    parcels.get(url, str(tmp_path / "got"), digest, 20 * MB)
    assert (tmp_path / "got").read_bytes() == data.read_bytes()
    # From the beginning it would be 28. What was under way when it broke is sent twice, and counts.
    assert server.network.broke and server.network.down - before < 27 * MB
    with pytest.raises(parcels.Refused, match="does not hold what was sent"):
        parcels.get(url, str(tmp_path / "other"), "0" * 64, 20 * MB)
    with pytest.raises(parcels.Refused, match="404 NoSuchKey"):
        parcels.get(store.Store(there.options).sign("blobs/none"), str(tmp_path / "none"), digest, 20 * MB)


def test_a_result_that_breaks_on_its_way_is_sent_again(server: S3) -> None:
    there = store.Store(reached(server).options)
    url = there.sign("result", upload=True)
    server.network.reset_after(up=5 * MB)
    parcels.put(url, lambda: (b"x" * MB for _ in range(20)), 20 * MB)
    assert server.network.broke and server.objects("transfers/result") == {"transfers/result": 20 * MB}
    no_bucket = store.Store(K8sOptions(**{**server.options(), "store": "s3://no-such-bucket"}))
    with pytest.raises(parcels.Refused, match="404 NoSuchBucket"):
        parcels.put(no_bucket.sign("result", upload=True), lambda: iter([b"x"]), 1)


def test_a_damaged_object_ends_its_own_job_alone(server: S3, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    there, jobs = reached(server, namespace="lab"), ["0" * 16, "f" * 16]
    (tmp_path / "pod").mkdir()
    (tmp_path / "pod" / "results-0.0.0.0").write_text("records")
    whole = b"".join(giving.Plan(str(tmp_path / "pod"), f"jobs/ff/{jobs[1]}").pieces())
    shelf = store.Store(there.options)
    for job, data in zip(jobs, (b"clustrix: files\nrubbish\n", whole), strict=True):
        shelf.fs.pipe_file(shelf.path(f"jobs/{job}/result-0.0"), data)
    ended = {"terminated": {"exitCode": 0, "message": "EXIT 0\nstore 100"}}
    status = {"phase": "Succeeded", "containerStatuses": [{"name": "task", "state": ended}]}
    labels = [{names.JOB: job, names.NAME: f"late-{job}", names.TASK: "0"} for job in jobs]
    items = [{"metadata": {"name": "late", "labels": one}, "status": status} for one in labels]
    assert isinstance(there.transport, FakeTransport)
    there.transport.answer("^LOOK .*/pods", json.dumps({"items": items}))
    handles = [JobHandle(job, f"late-{job}", f"late-{job}") for job in jobs]
    first, later = (fetching.fetch(handles, tmp_path / "mirrors", there) for _ in range(2))
    assert first[jobs[1]].new == ("results-0.0.0.0",) and not first[jobs[0]].new and not later[jobs[0]].new
    assert [record.name for record in caplog.records] == ["clustrix.k8s"]


def test_what_has_changed_or_was_withdrawn_gets_no_name(server: S3, tmp_path: Path) -> None:
    data, there = tmp_path / "data", reached(server)
    data.write_bytes(os.urandom(20 * MB))
    before = server.objects("transfers")
    with pytest.raises(StagingError, match="has changed since the call"):
        store.send({"0" * 64: data}, there, print, lambda: None)
    with pytest.raises(Withdrawn):
        store.send({"1" * 64: data}, there, print, _withdrawn)
    with pytest.raises(StagingError, match="has changed since the call"):
        store.send({"2" * 64: tmp_path / "none"}, there, print, lambda: None)
    assert server.objects("transfers") == before


class Withdrawn(Exception):
    """Its caller has cancelled the job."""


def _withdrawn() -> None:
    raise Withdrawn
