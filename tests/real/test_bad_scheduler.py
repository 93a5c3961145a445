"""A scheduler in bad shape, and jobs that users and administrators meddle with: values arrive, ends are typed."""

from __future__ import annotations

import time
from typing import Any

import pytest

from clustrix import cluster
from clustrix_core.api import session
from clustrix_core.config import ClusterConfig
from clustrix_core.model import JobHandle
from tests.real.onlooker import Onlooker, until
from tests.testbeds.slurm import SlurmBed

pytestmark = pytest.mark.parametrize("place", ["slurm"], indirect=True)


@pytest.fixture
def onlooker(there: ClusterConfig, slurm_bed: SlurmBed) -> Onlooker:
    return Onlooker(there, slurm_bed)


@cluster
def slow(seconds: float, value: Any = None) -> Any:
    print("slow begins", flush=True)
    time.sleep(seconds)
    return value


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
