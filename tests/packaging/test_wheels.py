"""What users install: the distributions as published, in an environment that never saw this source tree."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, run

pytestmark = pytest.mark.timeout(400)


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
