"""Where the real tests run their functions: the same tests on every backend, each against the real thing."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.config import ClusterConfig
from tests.testbeds import slurm

PLACES = ("local", "ssh", "ssh-openssh", "slurm", "slurm-openssh", "slurm-login")


@pytest.fixture(scope="session", params=PLACES[:2] + PLACES[3:4])
def place(request: pytest.FixtureRequest) -> str:
    """The backends at par: local, a host over SSH, Slurm over SSH."""
    return str(request.param)


def settings(place: str, bed: slurm.SlurmBed | None, **more: Any) -> ClusterConfig:
    """Return the settings of one of PLACES; ``more`` are laid over them."""
    backend, _, way = place.partition("-")
    known: dict[str, Any] = {"name": place, "backend": backend}
    if backend != "local" and way != "login":
        assert bed is not None
        known |= {"host": bed.alias, "ssh_config": str(bed.ssh_config)}
    if way == "openssh":
        known["transport"] = "openssh"
    if backend == "ssh":
        known["options"] = {"slots": 8}
    return ClusterConfig(**(known | more))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A client's home of its own."""
    path = tmp_path / "home"
    monkeypatch.setenv("CLUSTRIX_HOME", str(path))
    monkeypatch.delenv("CLUSTRIX_CONFIG", raising=False)
    config.reset()
    yield path
    session.close()
    config.reset()
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def there(place: str, home: Path, request: pytest.FixtureRequest, tmp_path: Path) -> ClusterConfig:
    """The settings of a place, made the default cluster. Local jobs get a work_dir of their own."""
    bed = None if place == "local" else request.getfixturevalue("slurm_bed")
    more = {"work_dir": str(tmp_path / "work")} if place == "local" else {}
    found = settings(place, bed, **more)
    config.configure(default=found)
    return found


@pytest.fixture(scope="session")
def python() -> str:
    return sys.executable
