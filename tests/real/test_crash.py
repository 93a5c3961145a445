"""Clients that die: what they had promised is kept by the next one, and nothing runs twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import clustrix
from clustrix import JobFailed, SubmitRejected, cluster
from clustrix_core.config import ClusterConfig
from tests.real.onlooker import until

SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from clustrix import cluster

def note(directory, text):
    with open(f"{directory}/ran", "a") as file:
        file.write(f"{text}\\n")

@cluster
def once(directory, seconds=0):
    note(directory, "once")
    time.sleep(seconds)
    return ["once", directory]

@cluster
def each(directory, number):
    from clustrix import current_job
    note(directory, number)
    time.sleep(0.3)
    return number, current_job().task

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def die_at(place, when):
    # At a step of the real thing: just before it, or when it is done and before anything else.
    import importlib
    module, owner, name = place.split(":")
    owner = getattr(importlib.import_module(module), owner)
    step = getattr(owner, name)
    def last(*args, **keywords):
        if when == "before":
            die()
        step(*args, **keywords)
        die()
    setattr(owner, name, last)

directory = sys.argv[1]
"""
WRAPPER = """
import os, signal
from clustrix_core.hookspecs import hookimpl

@hookimpl(wrapper=True, trylast=True)
def submit(job, script, cluster):
    if os.environ.get("DIE") == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    handle = yield
    if os.environ.get("DIE") == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    return handle
"""


class Client:
    """Another process of the same user, with the same journal and clusters."""

    def __init__(self, environment: dict[str, str], directory: Path, shared: Path) -> None:
        self._environment, self._directory, self.shared = environment, directory, shared

    def start(self, code: str, **environment: str) -> subprocess.Popen[str]:
        file = self._directory / "script.py"
        file.write_text(SCRIPT + code, "utf-8")
        return subprocess.Popen(
            [sys.executable, str(file), str(self.shared)],
            stdout=subprocess.PIPE,
            text=True,
            env={**self._environment, **environment},
            cwd=self._directory,
        )

    def run(self, code: str, ends: int = -signal.SIGKILL, **environment: str) -> str:
        """Run to the end, which is a violent one unless said; returns what it printed."""
        process = self.start(code, **environment)
        printed, _ = process.communicate(timeout=60)
        assert process.returncode == ends, printed
        return printed.strip()

    def ran(self) -> list[str]:
        """Return what the function has noted where it ran."""
        file = self.shared / "ran"
        return sorted(file.read_text().split()) if file.exists() else []


@pytest.fixture
def other(client: Callable[..., str], tmp_path: Path, shared: Path) -> Client:
    return Client(client.environment, tmp_path, shared)  # type: ignore[attr-defined]


def adopt(id: str) -> Any:
    """What people do in the morning."""
    assert id in [info.id for info in clustrix.jobs()]
    return clustrix.get_job(id).result(60)


def test_killed_at_once_after_submit(other: Client) -> None:
    id = other.run("job = once.submit(directory); print(job.id, flush=True); die()")
    assert adopt(id) == ["once", str(other.shared)]
    assert other.ran() == ["once"]


def test_killed_while_the_job_runs(other: Client) -> None:
    process = other.start("job = once.submit(directory, 3); print(job.id, flush=True); job.result()")
    assert process.stdout
    id = process.stdout.readline().strip()
    until(other.ran, "the job runs")
    process.kill()
    process.communicate()
    assert adopt(id) == ["once", str(other.shared)]
    assert other.ran() == ["once"]
    # Once more, from what is on this disk: the job's directory is gone by now.
    assert clustrix.get_job(id[:10]).result(10) == ["once", str(other.shared)]


STEPS = [
    ("clustrix_core.journal:Journal:add", "after"),
    ("clustrix_core.journal:Journal:remember", "before"),
    ("clustrix_core.journal:Journal:shaped", "after"),
    ("clustrix_core.dispatch:Dispatch:submit", "before"),
    ("clustrix_core.journal:Journal:submitted", "before"),  # the scheduler has it, and nobody here knows
    ("clustrix_core.journal:Journal:submitted", "after"),
    ("clustrix_core.dispatch:Dispatch:fetch", "before"),
    ("clustrix_core.dispatch:Dispatch:fetch", "after"),
    ("clustrix_core.journal:Journal:end", "before"),
    ("clustrix_core.journal:Journal:end", "after"),
]


# All of them on Slurm; the one at which the backend matters on the others too.
AT = [("slurm", *step) for step in STEPS] + [(place, *STEPS[n]) for place in ("local", "ssh") for n in (4,)]


@pytest.mark.parametrize(
    ("place", "step", "when"),
    AT,
    ids=[f"{place}-{when}-{step.rpartition(':')[2]}" for place, step, when in AT],
    indirect=["place"],
)
def test_killed_at_any_step(other: Client, step: str, when: str) -> None:
    other.run(f"die_at({step!r}, {when!r}); once.submit(directory); time.sleep(50)")
    (info,) = clustrix.jobs()
    assert adopt(info.id) == ["once", str(other.shared)]
    assert other.ran() == ["once"]
    assert [(info.state, info.name) for info in clustrix.jobs()] == [("SUCCEEDED", "once")]


@pytest.mark.parametrize("place", ["slurm"], indirect=True)
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_by_a_third_party_plugin(other: Client, tmp_path: Path, when: str) -> None:
    site = tmp_path / "site"
    (site / "murderer-1.dist-info").mkdir(parents=True)
    (site / "murderer.py").write_text(WRAPPER)
    (site / "murderer-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: murderer\nVersion: 1\n")
    (site / "murderer-1.dist-info/entry_points.txt").write_text("[clustrix]\nmurderer = murderer\n")
    other.run("once.submit(directory); time.sleep(50)", DIE=when, PYTHONPATH=str(site))
    (info,) = clustrix.jobs()
    assert adopt(info.id) == ["once", str(other.shared)]
    assert other.ran() == ["once"]


def test_a_script_that_ends_right_after_submit(other: Client) -> None:
    other.run("once.submit(directory)", ends=0)
    # Nobody looks after it, and it runs all the same.
    until(lambda: other.ran() == ["once"], "the job ran")
    (info,) = clustrix.jobs()
    assert adopt(info.id) == ["once", str(other.shared)]


@pytest.mark.parametrize("place", ["slurm"], indirect=True)
def test_a_script_that_raises_right_after_submit(other: Client) -> None:
    other.run("once.submit(directory); raise SystemExit(7)", ends=7)
    until(lambda: other.ran() == ["once"], "the job ran")


@pytest.mark.parametrize("place", ["local", "slurm"], indirect=True)
def test_a_map_whose_client_died_before_its_shape_was_known(other: Client) -> None:
    step = STEPS[0]
    other.run(f"die_at{step!r}; each.map([directory] * 12, range(12)); time.sleep(50)")
    (info,) = clustrix.jobs()
    said = list(clustrix.get_job(info.id))
    assert [number for number, _ in said] == list(range(12))
    assert len({task for _, task in said}) > 1, "it was packed as any other map"
    assert other.ran() == sorted(str(number) for number in range(12))


@pytest.mark.parametrize("place", ["slurm"], indirect=True)
def test_a_map_whose_client_died_in_the_middle(other: Client) -> None:
    process = other.start(
        "results = each.map([directory] * 40, range(40)); next(iter(results))\n"
        "print(results.id, flush=True); list(results)"
    )
    assert process.stdout
    id = process.stdout.readline().strip()
    process.kill()
    process.communicate()
    assert [number for number, _ in clustrix.get_job(id)] == list(range(40))
    assert other.ran() == sorted(str(number) for number in range(40))


@pytest.mark.parametrize("place", ["local", "slurm"], indirect=True)
def test_two_clients_find_the_same_orphan(other: Client) -> None:
    other.run(f"die_at{STEPS[3]!r}; once.submit(directory); time.sleep(50)")
    # Both at once; the one is a process, the other this one.
    process = other.start("import clustrix; print(clustrix.get_job(clustrix.jobs()[0].id).result())")
    (info,) = clustrix.jobs()
    assert clustrix.get_job(info.id).result(60) == ["once", str(other.shared)]
    printed, _ = process.communicate(timeout=60)
    assert printed.strip() == str(["once", str(other.shared)])
    assert other.ran() == ["once"]


@pytest.mark.parametrize("place", ["ssh", "slurm"], indirect=True)
def test_what_a_dead_client_asked_for_is_refused(there: ClusterConfig, other: Client) -> None:
    bad = {"partition": "nosuch"} if there.backend == "slurm" else {"setup": ["exit 9"]}
    other.run(f"die_at{STEPS[0]!r}; once.options(**{bad!r}).submit(directory); time.sleep(50)")
    (info,) = clustrix.jobs()
    error = clustrix.get_job(info.id).exception(60)
    assert type(error) is (SubmitRejected if there.backend == "slurm" else JobFailed)
    assert clustrix.jobs()[0].state == "FAILED"
    assert other.ran() == []


# ---------------------------------------------------------------- several readers of one job


@pytest.mark.parametrize("place", ["local", "slurm"], indirect=True)
def test_one_job_has_several_readers(there: ClusterConfig, other: Client) -> None:
    @cluster
    def wait(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    job = wait.submit(2)
    process = other.start(f"import clustrix; print(clustrix.get_job({job.id!r}).result())")
    readers = [job, clustrix.get_job(job.id), clustrix.get_job(job.id)]
    assert [reader.result(60) for reader in readers] == [2, 2, 2]
    printed, _ = process.communicate(timeout=60)
    assert printed.strip() == "2"


@pytest.mark.parametrize("place", ["local", "slurm"], indirect=True)
def test_the_next_round_of_a_map_is_submitted_by_one_of_its_readers(other: Client, shared: Path) -> None:
    @cluster(return_exceptions=True, max_parallel=2)
    def some(number: int, directory: str) -> int:
        with open(f"{directory}/ran", "a") as file:
            file.write(f"{number}\n")
        if number == 1:  # takes its task along; what that had not begun is left for another round
            time.sleep(1)
            with open(f"/proc/{os.getppid()}/stat") as file:
                script = int(file.read().rpartition(")")[2].split()[1])
            os.kill(script, signal.SIGKILL)
            os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(0.4)
        return number

    results = some.options(chunk=8).map(range(16), directory=str(shared))
    process = other.start(
        f"import clustrix\nfor done in clustrix.get_job({results.id!r}).as_completed():\n"
        "    print(done.index, type(done.exception()).__name__)"
    )
    again = clustrix.get_job(results.id)
    mine = list(results)
    assert type(mine[1]) is JobFailed
    whole = {number: type(value).__name__ if value != number else "NoneType" for number, value in enumerate(mine)}
    assert {done.index: type(done.exception()).__name__ for done in again.as_completed(60)} == whole
    printed, _ = process.communicate(timeout=60)
    assert dict(line.split() for line in printed.splitlines()) == {str(n): name for n, name in whole.items()}
    assert other.ran() == sorted(str(number) for number in range(16)), "each call has begun once"
