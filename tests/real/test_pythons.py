"""Another Python over there: each Python found that runs Clustrix, against each from 3.6 on, on this machine.

With CLUSTRIX_PYTHONS=FILE what has become of each combination is left there, as JSON lines:
`python tools/pythons_page.py` makes docs/python-versions.md of it.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clustrix import PayloadError, cluster
from clustrix_core.config import ClusterConfig
from tests.testbeds.slurm import SlurmBed
from tests.unit.environments import houses

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).parent / "pythons" / "journey.py"
CASES = 8

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


@pytest.mark.timeout(300)  # the first time environments are made
@pytest.mark.parametrize("here", CLIENTS)
def test_each_python_against_each(here: str, tmp_path: Path) -> None:
    found = {"{}.{}".format(*minor): python for minor, python in environments().items()}
    numpy = {"{}.{}".format(*minor) for minor in pythons.numpy()}
    others = [f"{there}={python}{'+numpy' * (there in numpy)}" for there, python in found.items()]
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
    assert len(said) == (CASES - 1) * len(found) + (len(numpy) if here in numpy else 0)


OTHER_MINOR, OTHER = next((m, p) for m, p in interpreters.find().items() if m != sys.version_info[:2])


def walrus(x: int) -> int:
    # A comment, so that lines count.
    return (y := x) + y


def parted(x: int) -> int:
    from math import no_such_function

    return int(no_such_function(x))


def elsewhere(root: Path, **settings: Any) -> ClusterConfig:
    """Return this machine, with another Python."""
    known = {"name": "elsewhere", "backend": "local", "python": str(OTHER), "work_dir": str(root / "work")}
    return ClusterConfig(**known, **settings)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (walrus, ["SyntaxError: ", f'File "{__file__}", line {inspect.getsourcelines(walrus)[1] + 2}', "(y := x) + y"]),
        (parted, ["has no math.no_such_function"]),
    ],
)
def test_a_refusal_comes_before_there_is_a_job(function: Any, said: list[str], tmp_path: Path, home: Path) -> None:
    if function is walrus and OTHER_MINOR >= (3, 8):
        pytest.skip("no Python here is older than this syntax")
    with pytest.raises(PayloadError) as caught:
        cluster(function).options(cluster=elsewhere(tmp_path))(1)
    assert all(words in str(caught.value) for words in said), caught.value
    assert "python:" in str(caught.value.hint)
    assert list((tmp_path / "work").glob("jobs/*/*")) == [], "nothing was submitted, nothing is left"


def test_an_environment_for_another_python(tmp_path: Path, home: Path) -> None:
    """It is made of the Python over there, which need not know the pip that is brought along; backports count."""
    wheels = [
        houses.wheel(tmp_path / "wheels", "moss", "def grow(n):\n    return n + 1\n"),
        houses.wheel(tmp_path / "wheels", "dataclasses", "def dataclass(cls):\n    return cls\n"),
    ]

    def grown(n: int) -> Any:
        import sys
        from dataclasses import dataclass

        import moss

        assert dataclass

        return moss.grow(n), list(sys.version_info[:2]), sys.prefix

    index = houses.index(tmp_path / "simple", wheels)
    place = elsewhere(tmp_path, environment=("moss", "dataclasses"), manager="pip", index=index)
    value, version, prefix = cluster(grown).options(cluster=place)(1)
    assert (value, tuple(version)) == (2, OTHER_MINOR) and "/envs/" in prefix
    (facts,) = [json.loads(path.read_text("utf-8")) for path in (tmp_path / "work").glob("envs/*/complete")]
    assert facts["python"] == "{}.{}".format(*OTHER_MINOR)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("place", ["slurm"], indirect=True)
def test_another_python_on_slurm(place: str, slurm_bed: SlurmBed, there: ClusterConfig, tmp_path: Path) -> None:
    """Over SSH, on nodes, as a user who has nothing but another Python."""
    minor, python = OTHER_MINOR, OTHER
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
