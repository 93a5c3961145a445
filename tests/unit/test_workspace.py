"""The repository's own rules."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [ROOT / "clustrix", ROOT / "clustrix_core", *ROOT.glob("plugins/*/src")]
NAMES_WITHOUT_A_NOUN = {"utils", "helpers", "common", "base", "manager"}


def modules() -> list[Path]:
    return [path for source in SOURCES for path in source.rglob("*.py")]


def test_no_module_is_named_after_nothing() -> None:
    assert [path for path in modules() if NAMES_WITHOUT_A_NOUN & {path.stem, path.parent.name}] == []


def test_all_distributions_have_one_version() -> None:
    texts = [(path.read_text(), path) for path in [ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")]]
    assert len({re.findall(r'^version = "(.*)"', text, re.M)[0] for text, _ in texts}) == 1


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "tests/testbeds/slurm").glob("*.sh")))
def test_bed_scripts_are_valid_shell(script: str) -> None:
    subprocess.run(["bash", "-n", str(ROOT / "tests/testbeds/slurm" / script)], check=True)


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_a_skip_fails_in_ci_alone(tmp_path: Path, ci: str, code: int) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_it.py").write_text("import pytest\ndef test_it(): pytest.skip('no reason')\n")
    argv = [sys.executable, "-m", "pytest", "--rootdir", str(tmp_path), "-c", os.devnull, str(tmp_path)]
    env = {**os.environ, "CI": ci, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
