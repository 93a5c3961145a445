"""The example of a long run, which loses its node twice: whoever submits it again, it goes on where it was."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clustrix import ClusterConfig
from clustrix_core import config
from tests.real.conftest import settings
from tests.real.onlooker import until
from tests.testbeds.slurm import SlurmBed

EXAMPLE = Path(__file__).resolve().parents[3] / "examples/checkpoints.py"


@pytest.fixture
def program(request: pytest.FixtureRequest, home: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The example on Slurm, which requeues the jobs of lost nodes by itself, or does not."""
    bed: SlurmBed = request.getfixturevalue("slurm_bed_alone")
    there = settings("slurm", bed)
    found = ClusterConfig(**{**there.settings(), "name": "hpc", "options": {"requeue": request.param}})
    config.configure(default=found)
    (tmp_path / "clustrix.yml").write_text(config.dump(config.current()), "utf-8")
    environment = {**os.environ, "CLUSTRIX_CONFIG": str(tmp_path / "clustrix.yml"), "PYTHONUTF8": "1"}
    argv = [sys.executable, str(EXAMPLE), "hpc", "40"]
    with subprocess.Popen(argv, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def lose_the_node(bed: SlurmBed, lost: list[str]) -> None:
    """Wait until the run has got somewhere on a node that is there, and take that away: slurmd and the whole job."""

    def running() -> list[list[str]]:
        rows = [row.split() for row in bed.run("squeue", "-h", "-t", "R", "-o", "%i %N %j").splitlines()]
        return [row for row in rows if re.match("pi-[0-9a-f]{16}", row[-1]) and row[1] not in lost]

    native, node, name = until(running, "the job runs", 150)[0]
    directory = bed.home / f".clustrix/jobs/{name[3:5]}/{name[3:19]}"
    state = directory / "checkpoints/0"

    def begun() -> int:
        return sum(path.read_text().count("begins at") for path in directory.glob("log-*.0"))

    until(lambda: begun() > len(lost), "the run began", 60)
    before = state.stat().st_mtime if state.exists() else 0
    until(lambda: state.exists() and state.stat().st_mtime > before, "it has saved something since", 60)
    bed.kill(node)
    for pid in processes_of(native):
        os.kill(pid, signal.SIGKILL)
    lost.append(node)


def processes_of(native: str) -> list[int]:
    """Return the processes of a job, its keeper first: that would tell Slurm how the others have ended."""
    keepers, others = [], []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes().startswith(f"slurmstepd: [{native}.".encode()):
                keepers.append(int(process.name))
            elif f"SLURM_JOB_ID={native}".encode() in (process / "environ").read_bytes().split(b"\0"):
                others.append(int(process.name))
        except OSError:  # it has ended meanwhile
            continue
    assert keepers and others
    return keepers + others


@pytest.mark.timeout(400)
@pytest.mark.parametrize("program", [False, True], indirect=True, ids=["retries", "requeue"])
def test_the_example_loses_its_node_twice(program: subprocess.Popen[str], slurm_bed_alone: SlurmBed) -> None:
    lost: list[str] = []
    lose_the_node(slurm_bed_alone, lost)
    lose_the_node(slurm_bed_alone, lost)
    said, _ = program.communicate(timeout=250)
    found = re.search(r"begun at 0, (\d+), (\d+) million throws", said)
    assert program.returncode == 0 and found, said
    assert 0 < int(found[1]) < int(found[2]) < 40
