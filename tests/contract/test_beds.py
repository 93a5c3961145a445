"""The backends of the test beds keep the contract, each on the real thing."""

from __future__ import annotations

import contextlib
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
# The cores of a host are shared by all jobs of a work_dir: each session of tests has them for itself.
WORK_DIR = f"~/clustrix-contract-{os.getpid()}"


@pytest.fixture(scope="session", autouse=True)
def _no_remains() -> Iterator[None]:
    yield
    with contextlib.suppress(RuntimeError):  # there is no bed, so there is no such user
        shutil.rmtree(Path(WORK_DIR.replace("~", "~hpc")).expanduser(), ignore_errors=True)


def over_ssh(bed: Bed, backend: str, **more: Any) -> ClusterConfig:
    """Return the settings of a bed, as seen from a laptop."""
    known = {"backend": backend, "host": bed.alias, "ssh_config": str(bed.ssh_config), "work_dir": WORK_DIR}
    return ClusterConfig(**(known | more))


@pytest.mark.usefixtures("slurm_bed")
class TestSSH(BackendContract):
    plugin = "ssh"
    golden = GOLDEN / "ssh"
    refused: ClassVar = {"partition": "no-such-partition"}

    @pytest.fixture
    def cluster(self, slurm_bed: Bed) -> ClusterConfig:
        return over_ssh(slurm_bed, "ssh", options={"slots": 8})


@pytest.mark.usefixtures("slurm_bed")
class TestSlurm(BackendContract):
    plugin = "slurm"
    golden = GOLDEN / "slurm"
    directives = ("--mail-type=END", '--comment="two words"')
    refused: ClassVar = {"partition": "no-such-partition"}
    programs = ("squeue", "sacct")

    @pytest.fixture
    def cluster(self, slurm_bed: Bed) -> ClusterConfig:
        return over_ssh(slurm_bed, "slurm")
