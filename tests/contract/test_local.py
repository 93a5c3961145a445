"""This machine keeps the contract."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from clustrix_core.config import ClusterConfig
from clustrix_core.testing import BackendContract


class TestLocal(BackendContract):
    plugin = "local"
    golden = Path(__file__).parent / "golden" / "local"
    refused: ClassVar = {"partition": "no-such-partition"}

    @pytest.fixture
    def cluster(self, tmp_path: Path) -> ClusterConfig:
        return ClusterConfig(backend="local", work_dir=str(tmp_path / "work"))
