"""A map that does not fit into one walltime. It takes minutes, so it begins first and runs beside all the others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clustrix_core import config
from tests.real.conftest import settings
from tests.testbeds.slurm import SlurmBed

LONG = """
import os, sys, time
from clustrix import cluster

@cluster(time="00:01:00", partition="short", max_parallel=4)
def noted(x, file):
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(handle, f"{x}\\n".encode())
    os.close(handle)
    time.sleep(3)
    return x

if __name__ == "__main__":
    wide = noted.map(range(200), file=sys.argv[1])  # one task, four calls wide
    several = noted.options(max_parallel=5).map(range(200, 350), file=sys.argv[1])  # five tasks
    assert list(wide) == list(range(200))
    assert list(several) == list(range(200, 350))
    print(wide.status().state, several.status().state)
"""


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_calls_that_do_not_fit_into_one_walltime(slurm_bed: SlurmBed, shared: Path) -> None:
    """200 calls of 3 s on 4 slots take 150 s, 150 on 5 slots 90 s; a task has 60 s."""
    there = config.Config(default="slurm", clusters={"slurm": settings("slurm", slurm_bed)})
    (shared / "long.py").write_text(LONG)
    (shared / "clustrix.yml").write_text(config.dump(there))
    places = {"CLUSTRIX_HOME": str(shared / "home"), "CLUSTRIX_CONFIG": str(shared / "clustrix.yml")}
    argv = [sys.executable, str(shared / "long.py"), str(shared / "begun")]
    done = subprocess.run(argv, env={**os.environ, **places}, capture_output=True, text=True, timeout=300)
    assert done.stdout == "SUCCEEDED SUCCEEDED\n", f"a call has hit the walltime?\n{done.stdout}{done.stderr}"
    begun = [int(line) for line in (shared / "begun").read_text().split()]
    assert sorted(begun) == list(range(350)), "and none has run twice"
