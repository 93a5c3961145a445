"""A scheduler in bad shape, and jobs that users and administrators meddle with: values arrive, ends are typed."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clustrix import JobFailed, JobTimeout, cluster
from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.engine import flight
from clustrix_core.model import JobHandle
from tests.real.conftest import settings
from tests.real.onlooker import Onlooker, scontrol, until
from tests.testbeds.slurm import SlurmBed

FORGETS = """real "$@" | grep -vE "COMPLETED|FAILED"; exit 0"""  # what is over, at once


@pytest.fixture
def onlooker(home: Path, slurm_bed: SlurmBed) -> Onlooker:
    """Slurm over SSH is the default cluster, and somebody watches it."""
    there = settings("slurm", slurm_bed)
    config.configure(default=there)
    return Onlooker(there, slurm_bed)


Spoil = Callable[[str, str], None]


@pytest.fixture
def spoil(home: Path, slurm_bed: SlurmBed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spoil:
    """Put scripts in the way of Slurm's own programs, which they call as ``real``. The login node is this machine."""
    config.configure(default=settings("slurm-login", slurm_bed, work_dir=str(tmp_path / "work")))
    (tmp_path / "bin").mkdir()

    def put(name: str, script: str) -> None:
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/bash\nreal() {{ {shutil.which(name)} "$@"; }}\ncd {tmp_path}\n{script}\n')
        program.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return put


@cluster
def slow(seconds: float, value: Any = None) -> Any:
    print("slow begins", flush=True)
    time.sleep(seconds)
    return value


# ---------------------------------------------------------------- programs that do not answer as they should


def test_a_queue_that_takes_its_time(spoil: Spoil) -> None:
    spoil("squeue", '[ -e asked ] || { touch asked; sleep 20; }; real "$@"')
    arriving, failing = slow.submit(2, "arrived"), slow.options(setup=["exit 3"]).submit(0)
    assert arriving.result(60) == "arrived"
    error = failing.exception(60)
    assert type(error) is JobFailed and error.exit_code == 3


def test_a_queue_that_refuses_for_a_while(spoil: Spoil, tmp_path: Path) -> None:
    refusal = "slurm_load_jobs error: RPC limit exceeded for this user, try again later"
    spoil("squeue", f'echo >>asked; [ $(wc -l <asked) -gt 3 ] || {{ echo "{refusal}" >&2; exit 1; }}; real "$@"')
    arriving, failing = slow.submit(1, "arrived"), slow.options(setup=["exit 3"]).submit(0)
    assert arriving.result(60) == "arrived"
    error = failing.exception(60)
    assert type(error) is JobFailed and error.exit_code == 3
    assert len((tmp_path / "asked").read_text()) > 3


def test_accounting_that_is_not_installed(spoil: Spoil) -> None:
    spoil("sacct", "echo sh: 1: sacct: not found >&2; exit 127")
    spoil("squeue", FORGETS)
    assert slow.submit(0, "arrived").result(60) == "arrived"
    error = slow.options(setup=["exit 3"]).submit(0).exception(60)
    assert type(error) is JobFailed and error.exit_code == 3


def test_a_job_that_never_was_is_not_found_where_accounting_is_not_installed(spoil: Spoil) -> None:
    spoil("sacct", "echo sh: 1: sacct: not found >&2; exit 127")
    job = slow.submit(0, "arrived")
    assert job.result(60) == "arrived"
    flight = job._flight
    never = type(flight.spec)("f" * 16, "never", flight.spec.resources)
    assert session.engine().dispatch.find(never, flight.cluster) is None


def test_accounting_that_is_late(spoil: Spoil) -> None:
    """The queue has forgotten the job at once, and the job has left no marker."""
    spoil("squeue", FORGETS)
    spoil("sacct", '[ -e first ] || touch first; [ $(($(date +%s) - $(stat -c %Y first))) -lt 10 ] || real "$@"')
    error = slow.options(setup=["kill -9 $$"]).submit(0).exception(60)
    assert type(error) is JobFailed and error.exit_code == 137


def test_a_state_that_nobody_has_heard_of(spoil: Spoil) -> None:
    spoil("squeue", 'real "$@" | sed "s/|RUNNING|/|ABDUCTED|/; s/|FAILED|/|MOURNED|/"')
    arriving, failing = slow.submit(4, "arrived"), slow.options(setup=["exit 3"]).submit(0)
    assert arriving.result(60) == "arrived"
    error = failing.exception(60)
    assert type(error) is JobFailed and error.exit_code == 3


MEDDLING = {
    "SBATCH_JOB_NAME": "mine",
    "SBATCH_ARRAY_INX": "0-3",
    "SBATCH_OUTPUT": "/dev/null",
    "SQUEUE_PARTITION": "short",
    "SQUEUE_NAMES": "mine",
    "SQUEUE_STATES": "SUSPENDED",
    "SQUEUE_FORMAT": "%i",
    "SCANCEL_STATE": "SUSPENDED",
    "SCANCEL_INTERACTIVE": "1",
}


def test_what_the_users_shell_says_to_slurms_programs(spoil: Spoil, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in MEDDLING.items():
        monkeypatch.setenv(name, value)
    job = slow.options(directives=["--hold"]).submit(0)
    until(lambda: "JobHeldUser" in job.status().reason, "it is seen", 20)
    assert f"JobName={job._flight.handle.name}" in scontrol(job._flight.handle.native)
    assert job.cancel()
    until(lambda: "JobState=CANCELLED" in scontrol(job._flight.handle.native), "it is cancelled", 20)
    error = slow.options(setup=["echo preparing", "exit 3"]).submit(0).exception(60)
    assert type(error) is JobFailed and error.exit_code == 3 and "preparing" in error.log


# ---------------------------------------------------------------- jobs that people meddle with


def test_suspended_and_resumed(onlooker: Onlooker, slurm_bed: SlurmBed) -> None:
    job = slow.submit(3, "arrived")
    onlooker.wait_until_running(job)
    native = onlooker.handle(job).native
    slurm_bed.root("scontrol", "suspend", native)
    until(lambda: "JobState=SUSPENDED" in scontrol(native), "it is suspended")
    time.sleep(4)
    assert not job.done()
    slurm_bed.root("scontrol", "resume", native)
    assert job.result(60) == "arrived"


def test_held_and_released(onlooker: Onlooker, slurm_bed: SlurmBed) -> None:
    job = slow.options(directives=["--hold"]).submit(0, "arrived")
    native = onlooker.handle(job).native
    until(lambda: job.status().reason, "its reason is seen", 30)
    assert job.status().reason == f"held by the user (JobHeldUser): scontrol release {native}"
    slurm_bed.run("scontrol", "release", native)
    assert job.result(60) == "arrived"


def test_a_deadline_that_cannot_be_met(onlooker: Onlooker) -> None:
    first = slow.options(cores=8, constraint="n3").submit(300)
    onlooker.wait_until_running(first)
    late = slow.options(cores=8, constraint="n3", time=60, directives=["--deadline=now+63seconds"]).submit(0)
    error = onlooker.ending(late).error()
    assert type(error) is JobTimeout and "DEADLINE" in error.reason
    assert first.cancel()


# ---------------------------------------------------------------- whose job it is


def test_an_id_that_was_used_again_cancels_nobody_elses_job(onlooker: Onlooker, slurm_bed: SlurmBed) -> None:
    sbatch = ["sbatch", "--parsable", "--hold", "-D", "/tmp", "-o", "/dev/null", "-J", "foreign"]
    foreign = [slurm_bed.run(*sbatch, *more, "--wrap", "true").strip() for more in ([], ["--array=0-3"])]
    job = slow.options(directives=["--hold"]).submit(0)
    try:
        handle = onlooker.handle(job)
        ours = [JobHandle("0" * 16, "ours-" + "0" * 16, native) for native in foreign]
        session.engine().dispatch.cancel([*ours, handle], job._flight.cluster)
        assert job.exception(30)
        assert [onlooker.bed.run("squeue", "-h", "-j", native, "-o", "%F").strip() for native in foreign] == foreign
    finally:
        slurm_bed.run("scancel", *foreign)


def test_a_job_in_a_hidden_partition_is_seen_and_cancelled(onlooker: Onlooker, slurm_bed: SlurmBed) -> None:
    name = f"hidden{time.time_ns()}"
    slurm_bed.root("scontrol", "create", f"partitionname={name}", "nodes=ALL", "hidden=yes", "state=up")
    try:
        job = slow.options(partition=name, directives=["--hold"]).submit(0)
        native = onlooker.handle(job).native
        until(lambda: job.status().reason, "its reason is seen", 30)
        assert "JobHeldUser" in job.status().reason
        assert job.cancel()
        until(lambda: not slurm_bed.run("squeue", "-a", "-h", "-j", native, check=False), "it is gone", 30)
    finally:
        slurm_bed.root("scontrol", "delete", f"partitionname={name}")


def test_a_state_word_that_stays_unknown(spoil: Spoil, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight, "UNKNOWN_FOR", 3.0)
    spoil("squeue", 'real "$@" | sed "s/|RUNNING|/|ABDUCTED|/"')
    assert slow.submit(12, "arrived").result(60) == "arrived"
