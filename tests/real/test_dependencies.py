"""Jobs as arguments of calls: the order is the scheduler's, the values go from job to job on the cluster."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

import clustrix
from clustrix import CannotTravel, ConfigError, DependencyFailed, JobCancelled, JobError, cluster
from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.config import ClusterConfig
from clustrix_core.engine.again import retry
from clustrix_core.transport.counting import Counting
from tests.real.onlooker import until

MB = 2**20


@cluster
def number(value: int, seconds: float = 0) -> int:
    time.sleep(seconds)
    return value


@cluster
def double(value: Any) -> int:
    return 2 * int(value)


@cluster
def total(values: Any, more: Any = ()) -> int:
    return sum(values) + sum(more["of"] if more else ())


@cluster
def boom(value: int) -> int:
    raise ValueError(f"no {value}")


@cluster
def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@cluster
def note(path: str, value: Any) -> Any:
    with open(path, "a") as file:
        file.write("ran\n")
    return value


@cluster(memory="700MB")
def large(size: int) -> bytearray:
    return bytearray(b"x") * size


@cluster(memory="700MB")
def ends(value: Any) -> tuple[int, int, int]:
    return len(value), value[0], value[-1]


def error_of(job: Any) -> DependencyFailed:
    error = job.exception(60)
    assert isinstance(error, DependencyFailed), error
    return error


def test_a_diamond_a_chain_and_a_map(there: ClusterConfig) -> None:
    first = number.submit(3, 1)
    left, right = double.submit(first), double.submit(value=first)
    both = total.submit([left, right, 1], {"of": [first, first]})
    many = total.map([[first], (left, both), [7]], more={"of": [right]})
    assert both.result(60) == 6 + 6 + 1 + 3 + 3
    assert [first.result(9), left.result(9), right.result(9)] == [3, 6, 6]
    assert many.results() == [3 + 6, 6 + 19 + 6, 7 + 6]
    assert double(first) == 6  # it is over: its value goes along


def test_a_failure_is_told_to_all_that_come_after(there: ClusterConfig, shared: Path) -> None:
    bad, dead = boom.submit(5), killed.submit()
    one = note.submit(str(shared / "ran"), bad)
    two = note.submit(str(shared / "ran"), [one])
    three = note.submit(str(shared / "ran"), dead)
    good = note.submit(str(shared / "ran"), 1)
    for job in (one, two):
        error = error_of(job)
        assert f"boom (job {bad.id})" in str(error)
        assert "ValueError: no 5" in str(error)
        assert error.producer == bad.id
        assert isinstance(error.__cause__, ValueError)
        assert error.__cause__.args == ("no 5",)
    assert f"killed (job {dead.id})" in str(error_of(three))
    assert "SIGKILL" in str(error_of(three))
    assert good.result(60) == 1
    assert (shared / "ran").read_text() == "ran\n"
    with pytest.raises(DependencyFailed, match=f"boom.*{bad.id}") as refused:
        note.submit(str(shared / "ran"), two)  # at once: it is known
    assert isinstance(refused.value.__cause__, ValueError)


def test_cancelling(there: ClusterConfig, shared: Path) -> None:
    slow, last = number.submit(1, 60), number.submit(4, 4)
    after_slow, after_last = note.submit(str(shared / "ran"), slow), note.submit(str(shared / "ran"), last)
    until(lambda: last.running(), "the producer runs", 30)
    said = until(lambda: after_last.status().reason, "the consumer waits")
    in_words = {
        "slurm": "waiting for other jobs (Dependency)",
        "sge": "held, or waiting for the jobs that it comes after",
        "pbs": "waiting for other jobs",
    }
    assert said == in_words.get(there.backend, f"waiting for number (job {last.id})")
    assert after_last.status().state.value == "PENDING"
    assert after_last.cancel()
    assert slow.cancel()
    error = error_of(after_slow)
    assert f"number (job {slow.id})" in str(error)
    assert error.producer == slow.id
    assert last.result(60) == 4
    assert not (shared / "ran").exists()
    with pytest.raises(DependencyFailed, match=slow.id) as refused:
        double.submit(slow)
    assert isinstance(refused.value.__cause__, JobCancelled)


@pytest.mark.parametrize("place", ["local", "ssh"], indirect=True)  # where time is not counted in minutes
def test_a_producer_that_runs_out_of_time(there: ClusterConfig) -> None:
    late = number.options(time="00:00:01").submit(1, 60)
    assert "asked for 1 s" in str(error_of(double.submit(late)))
    assert isinstance(late.exception(60), clustrix.JobTimeout)


def test_a_large_value_is_not_sent(wire: list[Counting]) -> None:
    first = large.submit(100 * MB)
    jobs = [ends.submit(first), ends.submit(first)]
    assert [job.result(60) for job in jobs] == [(100 * MB, 120, 120)] * 2
    assert 0 < sum(one.sent for one in wire) < MB


def test_what_is_over_may_go_when_all_that_come_after_are(there: ClusterConfig) -> None:
    first = number.submit(3)
    second = double.submit(number.submit(0, 3))
    third = total.submit([first, second])
    journal = session.engine().journal
    assert first.result(60) == 3
    place = journal.get(first.id).place
    assert first.id not in [handle.job for handle in journal.garbage(place)]
    assert third.result(60) == 3
    until(lambda: not journal.keeps(first.id) and not journal.garbage(place), "all is removed", 20)


SCRIPT = """
import os, signal, sys, time
from clustrix import cluster

@cluster
def first(path):
    time.sleep(2)
    with open(path, "a") as file:
        file.write("first\\n")
    return 20

@cluster
def second(path, value):
    with open(path, "a") as file:
        file.write("second\\n")
    return value + 1

path = sys.argv[1]
job = first.submit(path)
print(second.submit(path, job).id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_client_that_is_killed_at_once(client: Callable[..., str], tmp_path: Path, shared: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, "utf-8")
    environment = client.environment  # type: ignore[attr-defined]
    argv = [sys.executable, str(script), str(shared / "ran")]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, env=environment, timeout=60)
    assert done.returncode == -signal.SIGKILL
    job: Any = clustrix.get_job(done.stdout.strip())
    assert job.result(60) == 21
    assert (shared / "ran").read_text().split() == ["first", "second"]


@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_where_a_job_cannot_be_an_argument(there: ClusterConfig, home: Path, tmp_path: Path) -> None:
    job = number.submit(1, 20)
    settings = {"name": "other", "backend": "local", "work_dir": str(tmp_path / "elsewhere")}
    for consumer, argument, words in (
        (double.options(cluster=ClusterConfig(**settings)), job, "runs on 'local', where its value stays"),
        (double, clustrix.Job(), "job of this process"),
        (double, double.map([1]), "belongs to this process"),
    ):
        with pytest.raises(CannotTravel, match=words) as refused:
            consumer.submit(argument)
        assert "argument 'value'" in str(refused.value)
    with pytest.raises(CannotTravel, match=r"'job' that .* uses"):
        cluster(lambda: job.result()).submit()
    with pytest.raises(CannotTravel, match=r"argument 'value'.*'job', which .*lambda.* uses, is a job"):
        double.submit([lambda: job.result()])
    again = number.options(retries=1).submit(1, 20)
    with pytest.raises(CannotTravel, match="may be run again in another job"):
        double.submit(again)
    assert again.cancel()
    assert double.submit(number.options(retries=1, retry_on="ERROR").submit(2)).result(60) == 4
    waiting = double.submit(job)
    assert job.cancel()
    error_of(waiting)


@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_a_retry_finds_the_value_while_it_is_there(there: ClusterConfig) -> None:
    config.configure(default=dataclasses.replace(there, cleanup="never"))
    kept = killed.options(setup=["sleep 1"]).submit()
    after = double.submit(kept)
    error_of(after)
    running = session.engine()
    told: Future[Any] = Future()
    retry(running, after.id, lambda call, value, error: told.set_exception(error))
    assert isinstance(told.exception(60), DependencyFailed)  # it was looked for anew
    assert isinstance(kept.exception(60), JobError)
    running.journal.discard(kept.id)
    with pytest.raises(ConfigError, match=f"takes the value of job {kept.id}, which is no longer on the cluster"):
        retry(running, after.id, print)


@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_a_producer_that_ends_between_packing_and_journalling(
    there: ClusterConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = number.submit(5, 1)
    engine = session.engine()
    add = engine.journal.add

    def late(entry: Any) -> bool:
        job.result(60)
        return add(entry)

    monkeypatch.setattr(engine.journal, "add", late)
    assert double.submit(job).result(60) == 10
