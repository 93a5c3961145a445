"""What every backend of Clustrix promises, and what is special about task-spooler, on a real queue."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from conftest import Queue

from clustrix import (
    ClusterConfig,
    ConfigError,
    JobCancelled,
    JobFailed,
    JobTimeout,
    SubmitRejected,
    cluster,
)
from clustrix_core.model import BackendInfo, Cluster, JobSpec, JobState, Resources
from clustrix_core.testing import BackendContract, Bench

GB = 2**30


@pytest.fixture
def settings_of_queue(queue: Queue, tmp_path: Path) -> ClusterConfig:
    options = {"socket": str(queue.socket), "slots": 3}
    return ClusterConfig(name="queue", backend="ts", work_dir=str(tmp_path / "work"), options=options)


class TestContract(BackendContract):
    plugin = "ts"
    programs = ("tsp",)
    refused: ClassVar = {"cores": 64}

    @pytest.fixture
    def cluster(self, settings_of_queue: ClusterConfig) -> ClusterConfig:
        return settings_of_queue

    def scripts(self, info: BackendInfo) -> Mapping[str, tuple[JobSpec, Cluster]]:
        wide = self.job(Resources(cores=2), calls=24, tasks=3, width=8, walltime=90061)
        return {**super().scripts(info), "wide-array": (wide, self.place(info))}

    # -- what only this backend has

    @pytest.mark.usefixtures("client")
    def test_an_array_is_a_job_a_task(self, queue: Queue) -> None:
        def where(number: int) -> tuple[int, str]:
            import os
            import time

            time.sleep(0.3)
            return number, os.environ["CLUSTRIX_TASK"]

        found = list(cluster(where).map(range(9)))
        assert [number for number, _ in found] == list(range(9))
        assert {task for _, task in found} == {"0", "1", "2"}
        assert len(queue.jobs()) == 3

    @pytest.mark.usefixtures("client")
    def test_cores_are_slots(self, queue: Queue) -> None:
        def pause() -> int:
            import time

            time.sleep(3)
            return 1

        first, second = cluster(cores=2)(pause).submit(), cluster(cores=2)(pause).submit()
        until(lambda: "running" in words(queue) and "queued" in words(queue))
        assert sorted(words(queue)) == ["queued", "running"], "three slots hold one job of two"
        assert [first.result(30), second.result(30)] == [1, 1]

    @pytest.mark.usefixtures("client")
    def test_a_job_over_its_time_is_told(self) -> None:
        error = cluster(time="00:00:02")(nap).submit(60).exception(30)
        assert isinstance(error, JobTimeout) and "E-Level 124" in str(error)

    def test_who_heeds_no_signal_is_killed_and_still_timed_out(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("clustrix_ts.commands.GRACE", 2)
        job = bench.job("trap '' TERM; while :; do sleep 1; done")
        handle = bench.submit(dataclasses.replace(job, walltime=1))
        status = bench.until(handle)
        assert (status.state, status.reason) == (JobState.TIMEOUT, "E-Level -1 after 3 s")

    @pytest.mark.usefixtures("client")
    def test_a_job_killed_by_its_owner_was_cancelled(self, queue: Queue) -> None:
        job = cluster(nap).submit(60)
        until(lambda: words(queue) == ["running"])
        until(lambda: "begun" in job.logs())  # before that its script knows of no signal
        queue("-k", queue.jobs()[0][0])
        assert isinstance(job.exception(30), JobCancelled)

    def test_a_job_that_was_killed_has_failed(self, bench: Bench, queue: Queue) -> None:
        handle = bench.send("sleep 100")
        bench.until(handle, JobState.RUNNING)
        os.killpg(int(queue("-p", handle.native)), signal.SIGKILL)
        status = bench.until(handle)
        assert (status.state, status.reason) == (JobState.FAILED, "E-Level -1: killed by a signal")

    def test_waiting_jobs_are_cancelled_also_the_first_of_the_list(self, bench: Bench, queue: Queue) -> None:
        before, large = bench.send("sleep 1"), bench.send("echo never", cores=3)
        # The first of the list cannot be removed by tsp itself; jobs that have ended are shown behind the others.
        after = bench.send("sleep 100")
        bench.until(before)
        assert queue.jobs()[0][:2] == [large.native, "queued"], queue("-l")
        assert "cannot be removed" in queue("-r", large.native), "then cancel may use `tsp -r`"
        bench.dispatch.cancel([large], bench.cluster)
        assert bench.until(large).state is JobState.CANCELLED
        assert bench.status(after).state is JobState.RUNNING

    def test_a_queue_that_was_restarted(self, bench: Bench, queue: Queue) -> None:
        """Its ids begin at 0 again. What ran runs on and is seen; what waited is gone, and nobody says it has ended."""
        running = bench.send("sleep 4; echo survived")
        waiting = bench.send("echo never", cores=3)
        bench.until(running, JobState.RUNNING)
        queue("-K")
        until(lambda: not queue.socket.exists())
        other = bench.send("sleep 100")
        assert other.native == running.native == "0"
        assert bench.until(other, JobState.RUNNING).reason == ""
        assert bench.status(running).reason == "the queue was restarted"
        assert bench.status(waiting).state is JobState.UNKNOWN
        assert bench.until(running).state is JobState.SUCCEEDED
        assert "survived" in bench.log(running)
        bench.dispatch.cancel([running, waiting], bench.cluster)
        assert bench.status(other).state is JobState.RUNNING, "an id that is used again was taken for the old job"

    def test_a_job_of_an_earlier_queue_is_cancelled(self, bench: Bench, queue: Queue) -> None:
        handle = bench.send("echo begun; sleep 100")
        until(lambda: "begun" in bench.log(handle))  # from then on its script leaves a marker, however it ends
        queue("-K")
        until(lambda: not queue.socket.exists())
        bench.dispatch.cancel([handle], bench.cluster)
        assert bench.until(handle).state is JobState.FAILED, "its marker is all that is known: exit code 143"

    def test_what_does_not_fit_is_refused_and_leaves_nothing(self, bench: Bench, queue: Queue) -> None:
        with pytest.raises(SubmitRejected, match="it needs 4 slots at a time, and the queue has 3"):
            bench.send("true", cores=4)
        assert queue.jobs() == []

    def test_a_queue_that_is_full_takes_all_of_an_array_or_nothing(self, bench: Bench, queue: Queue) -> None:
        queue("-K")
        until(lambda: not queue.socket.exists())
        full = dataclasses.replace(
            bench.cluster, options=dataclasses.replace(bench.cluster.options, program=limited(queue))
        )
        job = dataclasses.replace(bench.job("sleep 100"), calls=9, tasks=9)
        with pytest.raises(SubmitRejected, match="queue full"):
            bench.submit(job, full)
        until(lambda: not {"queued", "running"} & set(words(queue)))

    @pytest.mark.parametrize("asked", [{"memory": "1GB"}, {"gpus": 1}, {"partition": "short"}, {"directives": ("-m",)}])
    @pytest.mark.usefixtures("client")
    def test_what_it_does_not_know_is_refused(self, asked: dict[str, object], queue: Queue) -> None:
        with pytest.raises(ConfigError, match=f"{next(iter(asked))}=.*task-spooler has no such thing"):
            cluster(**asked)(nap).submit(1).result(30)  # type: ignore[call-overload]
        assert queue.jobs() == []

    def test_nothing_but_a_socket_of_ours_is_touched(self, bench: Bench, queue: Queue) -> None:
        """tsp removes whatever has the name of its socket and does not answer."""
        queue("-K")
        until(lambda: not queue.socket.exists())
        queue.socket.write_text("precious")
        with pytest.raises(SubmitRejected, match="is no socket of yours"):
            bench.send("true")
        problems = bench.dispatch.check(bench.cluster)
        assert [problem.severity for problem in problems] == ["error"] and "is no socket" in problems[0].message
        assert queue.socket.read_text() == "precious"
        queue.socket.unlink()

    @pytest.mark.usefixtures("client")
    def test_a_job_waits_for_the_one_before_it(self, queue: Queue) -> None:
        producer = cluster(nap).submit(1)
        assert cluster(double).submit(producer).result(30) == 2
        assert "[0]&&" in queue("-l")

    @pytest.mark.usefixtures("client")
    def test_a_job_after_one_that_failed_is_skipped(self) -> None:
        producer = cluster(fail).submit()
        error = cluster(double).submit(producer).exception(60)
        assert isinstance(error, JobFailed)
        assert "skipped, the job that it had to wait for did not end well" in str(error)

    @pytest.mark.usefixtures("client")
    def test_a_job_waits_for_one_other_at_most(self) -> None:
        one, two = cluster(nap).submit(3), cluster(nap).submit(3)
        with pytest.raises(SubmitRejected, match="must wait for 2 jobs, and tsp lets a job wait for one"):
            cluster(add).submit(one, two).result(30)


def nap(seconds: float) -> float:
    import time

    print("begun", flush=True)
    time.sleep(seconds)
    return seconds


def double(number: int) -> int:
    return 2 * number


def add(one: int, two: int) -> int:
    return one + two


def fail() -> None:
    import time

    time.sleep(1)
    raise LookupError("nothing there")


def words(queue: Queue) -> list[str]:
    return [line[1] for line in queue.jobs()]


def until(happened: object, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    assert callable(happened)
    while not happened():
        assert time.monotonic() < deadline, "it has not happened"
        time.sleep(0.05)


def limited(queue: Queue) -> str:
    """tsp with room for a few jobs only: it counts connections, and each waiting job is one."""
    program = queue.socket.parent / "tsp"
    program.write_text(f'#!/bin/sh\nTS_MAXCONN=6 exec {queue.program} "$@"\n')
    program.chmod(0o755)
    return str(program)
