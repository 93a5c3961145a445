"""The test bed itself: what the other tests on it take for granted."""

from __future__ import annotations

import subprocess
import sys

import paramiko
import pytest

from tests.testbeds.slurm import SlurmBed


def ssh(bed: SlurmBed, alias: str, command: str) -> str:
    argv = ["ssh", "-F", str(bed.ssh_config), alias, command]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def test_a_job_runs_to_its_end(slurm_bed: SlurmBed) -> None:
    assert ssh(slurm_bed, slurm_bed.alias, "sbatch --parsable --wait -o /dev/null --wrap true").isdigit()


def test_the_cluster_finds_the_python_that_the_tests_run_on(slurm_bed: SlurmBed) -> None:
    minor = ssh(slurm_bed, slurm_bed.alias, "python3 -c 'import sys; print(*sys.version_info[:2])'")
    assert minor == f"{sys.version_info[0]} {sys.version_info[1]}"


@pytest.mark.parametrize("alias", ["second_alias", "jump_alias"])
def test_the_second_user_logs_in(slurm_bed: SlurmBed, alias: str) -> None:
    assert ssh(slurm_bed, getattr(slurm_bed, alias), "whoami") == slurm_bed.second_user


@pytest.mark.parametrize("way", ["password", "keyboard-interactive"])
def test_password_logins(slurm_bed: SlurmBed, way: str) -> None:
    transport = paramiko.Transport((slurm_bed.host, slurm_bed.password_port))
    try:
        transport.start_client(timeout=10)
        if way == "password":
            transport.auth_password(slurm_bed.password_user, slurm_bed.password, fallback=False)
        else:
            transport.auth_interactive(slurm_bed.password_user, lambda *asked: [slurm_bed.password for _ in asked[2]])
        assert transport.is_authenticated()
    finally:
        transport.close()


def test_up_twice_changes_nothing(slurm_bed: SlurmBed) -> None:
    said = slurm_bed.repair()
    assert "started" not in said and "stopped" not in said
