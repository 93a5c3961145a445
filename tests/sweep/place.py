"""Where one scenario happens: a home, a work_dir and a note of each run, all of its own."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.sweep.client import BOUND

ROOT = Path(__file__).parents[2]
Configure = Callable[[Path], str]  # from a directory to the text of its clustrix.yml; work_dir is "work" in it


class Place:
    """The directory of one scenario, and the clients that live in it."""

    def __init__(self, directory: Path, configure: Configure) -> None:
        directory.mkdir()
        directory.chmod(0o777)  # jobs may be another user's
        self.directory, self._home = directory, directory / "home"
        config = directory / "clustrix.yml"
        config.write_text(configure(directory), "utf-8")
        own = {"CLUSTRIX_HOME": str(self._home), "CLUSTRIX_CONFIG": str(config), "PYTHONPATH": str(ROOT)}
        self._environment = os.environ | own

    def client(self, *arguments: str) -> tuple[int, Mapping[str, list[str]], str]:
        """Run a client to its end; returns its exit code, what it was told of each job, and its stderr."""
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.sweep.client", *arguments],
            stdout=pipe,
            stderr=pipe,
            text=True,
            env=self._environment,
            cwd=self.directory,
        )
        try:
            said, error = process.communicate(timeout=2 * BOUND)
        except subprocess.TimeoutExpired:
            process.kill()
            said, error = process.communicate()
            error += f"\nstill there after {2 * BOUND:.0f} s"
        return process.returncode, json.loads(said or "{}"), error

    def record(self) -> list[dict[str, Any]]:
        """Return the steps that were reached."""
        file = self.directory / "steps"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def runs(self) -> list[str]:
        """Return which calls have begun to run, once for each time."""
        file = self.directory / "runs"
        return sorted(file.read_text().split()) if file.exists() else []

    def jobs(self) -> list[dict[str, Any]]:
        """Return the rows of the journal, as they are in its file."""
        with closing(sqlite3.connect(self._home / "jobs.db")) as db:
            db.row_factory = sqlite3.Row
            return [{**dict(row), "spec": json.loads(row["spec"])} for row in db.execute("select * from jobs")]

    def directories(self) -> set[str]:
        """Return the jobs whose directories are on the cluster."""
        return {path.name for path in self.directory.glob("work/jobs/*/*")}

    def processes(self) -> list[str]:
        """Return the processes that belong to this scenario: all on this machine inherit its environment."""
        mark, found = f"CLUSTRIX_HOME={self._home}\0".encode(), []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (path / "environ").read_bytes():
                    found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:200])
            except OSError:  # it ended meanwhile
                pass
        return found
