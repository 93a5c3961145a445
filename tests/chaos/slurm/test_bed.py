"""The handles with which other tests break the bed."""

from __future__ import annotations

import subprocess

from tests.testbeds.slurm import SlurmBed


def test_a_killed_node_comes_back(slurm_bed_alone: SlurmBed) -> None:
    slurm_bed_alone.kill("n3")
    slurm_bed_alone.start("n3")
    assert slurm_bed_alone.run("sinfo", "-h", "-N", "-n", "n3", "-p", "debug", "-o", "%t").strip() == "idle"


def test_without_accounting_sacct_refuses(slurm_bed_alone: SlurmBed) -> None:
    with slurm_bed_alone.without_accounting():
        argv = ["ssh", "-F", str(slurm_bed_alone.ssh_config), slurm_bed_alone.alias, "sacct"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr.strip()) == (1, "Slurm accounting storage is disabled")
        assert slurm_bed_alone.run("sbatch", "--parsable", "--wait", "-D", "/tmp", "-o", "/dev/null", "--wrap", "true")
    assert "State" in slurm_bed_alone.run("sacct", "--starttime", "now-1hour")
