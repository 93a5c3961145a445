"""The backends of the test beds keep the contract, each on the real thing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from clustrix_core.config import ClusterConfig
from clustrix_core.testing import BackendContract
from tests.testbeds.bed import Bed

GOLDEN = Path(__file__).parent / "golden"
# Each session of tests has a work_dir for itself; the cores of a host are shared by all jobs of one.
WORK_DIR = f"clustrix-contract-{os.getpid()}"


@pytest.fixture(scope="session")
def left() -> Iterator[set[Path]]:
    """Directories that go when all is over."""
    directories: set[Path] = set()
    yield directories
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


def over_ssh(bed: Bed, backend: str, left: set[Path], **more: Any) -> ClusterConfig:
    """Return the settings of a bed, as seen from a laptop."""
    left.add(bed.home / WORK_DIR)
    known = {"backend": backend, "host": bed.alias, "ssh_config": str(bed.ssh_config), "work_dir": f"~/{WORK_DIR}"}
    return ClusterConfig(**(known | more))


@pytest.mark.usefixtures("slurm_bed")
class TestSSH(BackendContract):
    plugin = "ssh"
    golden = GOLDEN / "ssh"
    refused: ClassVar = {"partition": "no-such-partition"}

    @pytest.fixture
    def cluster(self, slurm_bed: Bed, left: set[Path]) -> ClusterConfig:
        return over_ssh(slurm_bed, "ssh", left, options={"slots": 8})


@pytest.mark.usefixtures("slurm_bed")
class TestSlurm(BackendContract):
    plugin = "slurm"
    golden = GOLDEN / "slurm"
    directives = ("--mail-type=END", '--comment="two words"')
    refused: ClassVar = {"partition": "no-such-partition"}
    programs = ("squeue", "sacct")

    @pytest.fixture
    def cluster(self, slurm_bed: Bed, left: set[Path]) -> ClusterConfig:
        return over_ssh(slurm_bed, "slurm", left)


@pytest.mark.usefixtures("sge_bed")
class TestGridEngine(BackendContract):
    plugin = "sge"
    golden = GOLDEN / "sge"
    directives = ("-m e",)
    refused: ClassVar = {"partition": "no-such-queue"}
    programs = ("qstat", "qacct")

    @pytest.fixture
    def cluster(self, sge_bed: Bed, left: set[Path]) -> ClusterConfig:
        return over_ssh(sge_bed, "sge", left)


@pytest.mark.usefixtures("pbs_bed")
class TestPBS(BackendContract):
    plugin = "pbs"
    golden = GOLDEN / "pbs"
    full: ClassVar = {"constraint": "gpu_type=a100"}
    directives = ("-m e",)
    refused: ClassVar = {"partition": "no-such-queue"}
    programs = ("qstat",)

    @pytest.fixture
    def cluster(self, pbs_bed: Bed, left: set[Path]) -> ClusterConfig:
        return over_ssh(pbs_bed, "pbs", left)
