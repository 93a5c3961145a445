"""The command line as people run it: a process of its own, with a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Shell:
    """Runs ``clustrix`` in ``cwd``; what it is told lies in ``environment``."""

    cwd: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *words: str | Path, code: int | None = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "clustrix_core.cli", *map(str, words)],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=self.cwd,
            env=self.environment,
            timeout=90,
        )
        said = f"exit {done.returncode}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
        assert code is None or done.returncode == code, said
        return done

    def json(self, *words: str | Path, code: int | None = 0) -> Any:
        """Run a command with --json; return its one document."""
        at = words.index("--") if "--" in words else len(words)
        return json.loads(self(*words[:at], "--json", *words[at:], code=code).stdout)

    def file(self, name: str, text: str) -> Path:
        path = self.cwd / name
        path.write_text(text, encoding="utf-8")
        return path


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    home = tmp_path / "home"
    cwd = tmp_path / "cwd"
    home.mkdir()
    cwd.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CLUSTRIX")}
    return Shell(cwd, {**kept, "HOME": str(home), "CLUSTRIX_HOME": str(home / "state"), "PYTHONUTF8": "1"})
