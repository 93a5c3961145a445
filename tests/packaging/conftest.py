"""The distributions as published, and environments that never saw this source tree."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]


def run(*argv: str | Path, cwd: Path, **more: str) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CLUSTRIX"))}
    env["CLUSTRIX_HOME"] = str(cwd / "state")
    env["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    done = subprocess.run([str(word) for word in argv], cwd=cwd, env=env | more, capture_output=True, text=True)
    assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
    return done.stdout


def built(projects: list[Path], house: Path) -> list[Path]:
    """Return wheels made from the source distributions, so that those are complete too."""
    for project in projects:
        run(sys.executable, "-m", "build", "--outdir", house, project, cwd=house)
    return sorted(house.glob("*.whl"))


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Those of Clustrix and of its own plugins."""
    return built(PROJECTS, tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Those of the plugins by somebody else."""
    return built(sorted(ROOT.glob("examples/plugins/*")), tmp_path_factory.mktemp("examples"))


def metadata(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode()).get_all("Requires-Dist", [])


def others(wheel: Path, extra: str) -> list[str]:
    """The requirements that are not ours, with those of an extra."""
    found = [Requirement(text) for text in metadata(wheel)]
    wanted = [one for one in found if one.marker is None or one.marker.evaluate({"extra": extra})]
    return [f"{one.name}{one.specifier}" for one in wanted if not one.name.startswith("clustrix")]


def environment(home: Path, wheels: list[Path], extra: str, *wanted: str) -> Path:
    """Return the Python of a clean environment. The index holds an unrelated clustrix: ours come without it."""
    run(sys.executable, "-m", "venv", home / "venv", cwd=home)
    python = home / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [python, "-m", "pip", "install", "--quiet"]
    run(*pip, *(text for wheel in wheels for text in others(wheel, extra)), cwd=home)
    houses = [word for house in sorted({wheel.parent for wheel in wheels}) for word in ("--find-links", house)]
    run(*pip, "--no-index", *houses, *wanted, cwd=home)
    return python


@pytest.fixture(scope="session")
def python(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a clean `clustrix[slurm]`."""
    return environment(tmp_path_factory.mktemp("clean"), wheels, "ssh", "clustrix[slurm]>=1.0.0.dev0")
