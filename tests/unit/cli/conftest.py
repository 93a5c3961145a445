"""The command line as people run it, with a home of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from clustrix_core import config
from clustrix_core.cli import main


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


class Inside(Shell):
    """The same within this process, which takes a tenth of the time. Only what a user's files import stays behind."""

    def __call__(self, *words: str | Path, code: int | None = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        modules = set(sys.modules)
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("CLUSTRIX")]:
                patch.delenv(name)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            patch.chdir(self.cwd)
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            patch.setattr(sys, "path", [*sys.path])
            config.reset()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                ended = main([*map(str, words)])
            config.reset()
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", None)).startswith(str(self.cwd)):
                del sys.modules[name]
        said = f"exit {ended}\n--- stdout\n{out.getvalue()}\n--- stderr\n{err.getvalue()}"
        assert code is None or ended == code, said
        return subprocess.CompletedProcess(["clustrix", *map(str, words)], ended, out.getvalue(), err.getvalue())


def _places(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    home, cwd = tmp_path / "home", tmp_path / "cwd"
    home.mkdir()
    cwd.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CLUSTRIX")}
    return cwd, {**kept, "HOME": str(home), "CLUSTRIX_HOME": str(home / "state"), "PYTHONUTF8": "1"}


@pytest.fixture
def process(tmp_path: Path) -> Shell:
    """The command line in processes of its own."""
    return Shell(*_places(tmp_path))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """The command line within this process."""
    return Inside(*_places(tmp_path))
