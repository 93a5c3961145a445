"""What a client does while an environment is being built, by a uv on PATH that takes as long as it is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import clustrix
from clustrix import CancelledByCaller, cluster
from clustrix_core import config
from clustrix_core.config import ClusterConfig
from tests.real.onlooker import until

pytestmark = pytest.mark.parametrize("place", ["local"], indirect=True)
UV = """#!/bin/sh
case $1 in
venv) for target; do :; done; exec {python} -m venv --without-pip "$target";;
pip) echo once >>{root}/begun; while [ -e {root}/hold ]; do sleep 0.1; done;;
esac
"""


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: ClusterConfig) -> Iterator[Path]:
    """A directory: while ``hold`` is in it nothing gets installed; ``begun`` has a line for each installation."""
    uv = tmp_path / "bin/uv"
    uv.parent.mkdir()
    uv.write_text(UV.format(python=sys.executable, root=tmp_path))
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", f"{uv.parent}{os.pathsep}{os.environ['PATH']}")
    config.configure(default=ClusterConfig(**{**there.settings(), "manager": "uv"}))
    (tmp_path / "hold").touch()
    yield tmp_path
    (tmp_path / "hold").unlink(missing_ok=True)  # the client waits for the build when it is closed


def begun(held: Path) -> int:
    return len((held / "begun").read_text().split()) if (held / "begun").exists() else 0


@cluster
def where() -> str:
    return sys.prefix


def test_jobs_that_need_no_environment_do_not_wait(held: Path) -> None:
    waiting = [where.options(environment=["stones"]).submit() for _ in range(8)]
    until(lambda: begun(held), "the build has begun")
    assert where() == sys.prefix
    assert not any(job.done() for job in waiting)
    (held / "hold").unlink()
    assert {"/envs/" in job.result(60) for job in waiting} == {True} and begun(held) == 1


def test_a_job_is_cancelled_while_its_environment_is_built(held: Path) -> None:
    job = where.options(environment=["stones"]).submit()
    other = where.options(environment=["stones"]).submit()
    until(lambda: begun(held), "the build has begun")
    assert job.cancel()
    with pytest.raises(CancelledByCaller):
        job.result(10)
    (held / "hold").unlink()
    assert "/envs/" in other.result(60)
    assert not list((held / "work/jobs").glob(f"*/{job.id}")), "it was never submitted"


CLIENT = """
import sys
from clustrix import cluster
job = cluster(lambda: sys.prefix).options(environment=["stones"]).submit()
print(job.id, flush=True)
"""


def test_a_client_is_killed_and_the_next_one_gets_the_value(held: Path, client: Callable[..., str]) -> None:
    environment = client.environment  # type: ignore[attr-defined]
    environment["PATH"] = os.environ["PATH"]
    with subprocess.Popen(
        [sys.executable, "-c", CLIENT], cwd=held, env=environment, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout
        job = first.stdout.readline().strip()
        until(lambda: begun(held), "the build has begun")
        os.kill(first.pid, signal.SIGKILL)
    again = clustrix.get_job(job)
    time.sleep(1)
    (held / "hold").unlink()
    assert "/envs/" in again.result(60) and begun(held) == 1


def test_a_script_that_ends_after_submit_still_submits(held: Path, client: Callable[..., str]) -> None:
    environment = client.environment  # type: ignore[attr-defined]
    environment["PATH"] = os.environ["PATH"]
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", CLIENT], cwd=held, env=environment, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout
        job = first.stdout.readline().strip()
        until(lambda: begun(held), "the build has begun")
        (held / "hold").unlink()
        assert first.wait(60) == 0
    (info,) = [info for info in clustrix.jobs() if info.id == job]
    assert info.state != "FAILED"
    assert (held / "work/jobs" / job[:2] / job).is_dir() or info.state == "SUCCEEDED"
    assert "/envs/" in clustrix.get_job(job).result(60)
