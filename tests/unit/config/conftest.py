"""An empty home, an empty working directory and no variables of ours; and a way to write a file there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clustrix_core.config import (
    ClusterConfig,
    reset,
)

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty home and working directory, and no variables of ours."""
    for name in os.environ:
        if name.startswith("CLUSTRIX_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    reset()
    yield
    reset()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "clustrix.yml", mode: int = 0o644) -> Path:
        path = tmp_path / "cwd" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


@pytest.fixture
def full() -> ClusterConfig:
    return ClusterConfig(
        name="hpc",
        backend="slurm",
        host="h",
        password="hunter2",
        environment=["numpy"],
        memory="8GB",
        time="01:00:00",
        env={"A_TOKEN": "hunter2"},
        options={"api_key": "hunter2", "a": [1, {"secret": "hunter2"}]},
    )
