"""Another Python over there: each Python found that runs Clustrix, against each from 3.6 on, on this machine.

With CLUSTRIX_PYTHONS=FILE what has become of each combination is left there, as JSON lines:
`python tools/pythons_page.py` makes docs/python-versions.md of it.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clustrix_core.config import ClusterConfig
from tests.testbeds.slurm import SlurmBed

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).parent / "pythons" / "journey.py"
CASES = 7

sys.path.insert(0, str(ROOT / "tools"))

import interpreters  # noqa: E402
import pythons  # noqa: E402

CLIENTS = ["{}.{}".format(*minor) for minor in interpreters.find(interpreters.OLDEST_CLIENT)]
environments = functools.cache(pythons.environments)


def ran(client: Path, home: Path, arguments: list[str], **environment: str) -> list[dict[str, str]]:
    """Run the script; return what it says of each combination."""
    known = {**os.environ, "CLUSTRIX_HOME": str(home), "PYTHONUTF8": "1", **environment}
    known.pop("CLUSTRIX_CONFIG", None)
    argv = [str(client), "-W", "error", SCRIPT.name, *arguments]
    done = subprocess.run(argv, cwd=SCRIPT.parent, env=known, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.timeout(600)  # the first time environments are made
@pytest.mark.parametrize("here", CLIENTS)
def test_each_python_against_each(here: str, tmp_path: Path) -> None:
    found = {"{}.{}".format(*minor): python for minor, python in environments().items()}
    others = [f"{there}={python}{'+numpy' * pythons.has_numpy(python)}" for there, python in found.items()]
    said = ran(found[here], tmp_path / "home", [str(tmp_path / "work"), *others])
    if page := os.environ.get("CLUSTRIX_PYTHONS"):
        with open(page, "a", encoding="utf-8") as file:
            file.writelines(json.dumps({"here": here, **one}) + "\n" for one in said)
    wrong = [one for one in said if one["outcome"] != "ok"]
    # Python 3.6 has no dataclasses: a refusal that says so, before anything is submitted.
    refused = [one for one in wrong if (one["there"], one["case"]) == ("3.6", "dataclass argument")]
    assert all("has no dataclasses.dataclass" in one["outcome"] for one in refused)
    assert [one for one in wrong if one not in refused] == []
    assert len(refused) == ("3.6" in found)
    numpy = sum(pythons.has_numpy(python) for python in found.values()) if pythons.has_numpy(found[here]) else 0
    assert len(said) == (CASES - 1) * len(found) + numpy


@pytest.mark.timeout(300)
@pytest.mark.parametrize("place", ["slurm"], indirect=True)
def test_another_python_on_slurm(place: str, slurm_bed: SlurmBed, there: ClusterConfig, tmp_path: Path) -> None:
    """Over SSH, on nodes, as a user who has nothing but another Python."""
    minor, python = next((m, p) for m, p in interpreters.find().items() if m != sys.version_info[:2])
    root = Path(subprocess.check_output([python, "-c", "import sys; print(sys.base_prefix)"], text=True).strip())
    copied = Path("/opt") / f"clustrix-test-python-{minor[0]}.{minor[1]}-{os.getpid()}"
    unneeded = shutil.ignore_patterns("test", "tests", "site-packages", "__pycache__", "idlelib", "*.a", "lib2to3")
    try:
        shutil.copytree(root, copied, symlinks=True, ignore=unneeded)
        version = "{}.{}".format(*minor)
        said = ran(
            Path(sys.executable),
            tmp_path / "home2",
            # One that was built with a shared library looks for it where it was installed.
            ["", f"{version}=env LD_LIBRARY_PATH={copied}/lib {copied}/bin/python{version}"],
            CLUSTRIX_TEST_PLACE=json.dumps({"backend": "slurm", "host": slurm_bed.alias, **_way(slurm_bed)}),
        )
    finally:
        shutil.rmtree(copied, ignore_errors=True)
    wrong = [one for one in said if one["outcome"] != "ok"]
    assert [one["case"] for one in wrong] == ["dataclass argument"] * (minor == (3, 6)), wrong
    assert len(said) == CASES - 1


def _way(bed: SlurmBed) -> dict[str, Any]:
    return {"ssh_config": str(bed.ssh_config)}
