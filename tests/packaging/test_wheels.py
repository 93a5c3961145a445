"""What users install: the distributions as published, in an environment that never saw this source tree."""

from __future__ import annotations

import json
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

pytestmark = pytest.mark.timeout(400)


def run(*argv: str | Path, cwd: Path) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CLUSTRIX"))}
    env["CLUSTRIX_HOME"] = str(cwd / "state")
    env["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    done = subprocess.run([str(word) for word in argv], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Wheels made from the source distributions, so that those are complete too."""
    house = tmp_path_factory.mktemp("wheels")
    for project in PROJECTS:
        run(sys.executable, "-m", "build", "--outdir", house, project, cwd=house)
    return sorted(house.glob("*.whl"))


def metadata(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode()).get_all("Requires-Dist", [])


def others(wheel: Path) -> list[str]:
    """The requirements that are not ours, with those of the extra `ssh`."""
    found = [Requirement(text) for text in metadata(wheel)]
    wanted = [one for one in found if one.marker is None or one.marker.evaluate({"extra": "ssh"})]
    return [f"{one.name}{one.specifier}" for one in wanted if not one.name.startswith("clustrix")]


@pytest.fixture(scope="module")
def python(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a clean `clustrix[slurm]`. The index holds an unrelated clustrix: ours are installed without it."""
    home = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", home / "venv", cwd=home)
    python = home / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [python, "-m", "pip", "install", "--quiet"]
    run(*pip, *(text for wheel in wheels for text in others(wheel)), cwd=home)
    run(*pip, "--no-index", "--find-links", wheels[0].parent, "clustrix[slurm]>=1.0.0.dev0", cwd=home)
    return python


def test_wheels_hold_the_packages_their_types_and_the_licence(wheels: list[Path]) -> None:
    for wheel in wheels:
        names = zipfile.ZipFile(wheel).namelist()
        packages = {name.split("/")[0] for name in names if ".dist-info" not in name}
        assert packages in ({"clustrix", "clustrix_core"}, {wheel.name.split("-")[0]})
        assert packages == {name.split("/")[0] for name in names if name.endswith("/py.typed")}
        assert any(name.endswith("LICENSE") for name in names)


def test_backends_are_found_through_their_entry_points(python: Path, tmp_path: Path) -> None:
    code = """
import json, importlib.metadata
found = importlib.metadata.entry_points(group="clustrix")
print(json.dumps({one.name: one.load().__file__ for one in found}))
"""
    found = json.loads(run(python, "-W", "error", "-c", code, cwd=tmp_path))
    assert set(found) == {"local", "ssh", "slurm"}
    assert not [path for path in found.values() if Path(path).is_relative_to(ROOT)]


def test_the_command_lists_the_backends(python: Path, tmp_path: Path) -> None:
    said = run(python.with_name("clustrix"), "plugins", "--json", cwd=tmp_path)
    assert json.loads(said)
    assert [name for name in ("local", "ssh", "slurm") if f'"{name}"' not in said] == []


def test_a_call_runs_and_its_value_comes_back(python: Path, tmp_path: Path) -> None:
    script = tmp_path / "answer.py"
    script.write_text(
        "from clustrix import cluster\n\n@cluster\ndef double(x):\n    return 2 * x\n\n"
        "if __name__ == '__main__':\n    print(double(21))\n"
    )
    assert run(python, "-W", "error", script, cwd=tmp_path).split()[-1] == "42"
