"""A client with nothing in it, to see whether something was refused before anything happened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import clustrix
from clustrix_core import config
from clustrix_core.api import session

CONFIG = """\
default: hpc
clusters:
  hpc:
    backend: slurm
    host: nowhere.invalid
  here:
    backend: local
    work_dir: {work_dir}
"""


class World:
    """A client with nothing in it, and the only place where its jobs could leave anything."""

    def __init__(self, root: Path) -> None:
        self.home, self.work_dir, self.file = root / "home", root / "work", root / "clustrix.yml"
        self.write(CONFIG.format(work_dir=self.work_dir))

    def write(self, text: str) -> None:
        self.file.write_text(text, "utf-8")
        config.reset()

    def untouched(self) -> bool:
        """Whether nothing was journalled, packed or sent."""
        outbox = self.home / "outbox"
        packed = list(outbox.iterdir()) if outbox.exists() else []
        journalled = clustrix.jobs() if (self.home / "jobs.db").exists() else []
        return not packed and not journalled and not self.work_dir.exists()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(tmp_path)
    monkeypatch.setenv("CLUSTRIX_HOME", str(made.home))
    monkeypatch.setenv("CLUSTRIX_CONFIG", str(made.file))
    yield made
    session.close()
    config.reset()
