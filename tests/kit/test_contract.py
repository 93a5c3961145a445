"""The contract finds what it promises to find: for each promise a plugin that breaks it, and a good one that passes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from clustrix_core.plugins import JOBS, MACHINES
from clustrix_core.testing import BackendContract
from tests.kit import toy
from tests.kit.bad import BAD

SIDE_BY_SIDE = 4
pytestmark = pytest.mark.timeout(300)  # the first test waits for all plugins

HEAD = """
from pathlib import Path

import pytest

from clustrix_core.config import ClusterConfig
from clustrix_core.plugins import JOBS, MACHINES
from clustrix_core.testing import BackendContract


class Here(BackendContract):
    golden = Path(__file__).parent / "golden"
    directives = ("--x=y",)
    refused = {"partition": "none"}
    programs = ("ps",)
    patience = 5

    @pytest.fixture
    def cluster(self, tmp_path):
        return ClusterConfig(backend=self.plugin.NAME, work_dir=str(tmp_path / "work"))

"""
PROMISES = sorted(name for name in dir(BackendContract) if name.startswith("test_"))


def run(house: Path, *arguments: str, name: str = "results") -> tuple[int, str, dict[str, str]]:
    """Run pytest in a process of its own; return its exit code, what it printed, and what went wrong by class."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("CLUSTRIX", "PYTEST"))}
    argv = [sys.executable, "-W", "error", "-m", "pytest", "-p", "no:cacheprovider", "-q", f"--junitxml={name}.xml"]
    done = subprocess.run(
        [*argv, *arguments],
        cwd=house,
        env={**environment, "PYTHONPATH": str(house), "CLUSTRIX_HOME": str(house / "home")},
        capture_output=True,
        text=True,
        timeout=110,
    )
    return done.returncode, done.stdout + done.stderr, _troubles(house / f"{name}.xml")


def _troubles(report: Path) -> dict[str, str]:
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        wrong = [child for child in case if child.tag in ("failure", "error")]
        name = str(case.get("classname")).rpartition(".")[2]
        found[name] = "\n".join(f"{child.get('message')}\n{child.text}" for child in wrong)
    return found


def write(house: Path, names: Mapping[str, str]) -> None:
    """Write plugins, by name with what makes them bad, and a test file that holds each to the contract."""
    (house / "pytest.ini").write_text("[pytest]\n")
    text = HEAD
    for name, more in names.items():
        (house / f"{name}.py").write_text(toy.source(name.replace("_", "-"), more), "utf-8")
        text += f"import {name}\n\n\nclass Test_{name}(Here):\n    plugin = {name}\n\n\n"
    (house / "test_them.py").write_text(text)


@dataclass(frozen=True)
class Said:
    """What the contract says of each bad plugin, by its name, and what pytest prints of the good one."""

    of_bad: Mapping[str, str]
    of_good: str


@pytest.fixture(scope="session")
def said(tmp_path_factory: pytest.TempPathFactory) -> Said:
    house = tmp_path_factory.mktemp("plugins")
    write(house, {"good": "", **{name: bad.more for name, bad in BAD.items()}})
    golden = "test_them.py::Test_good::test_scripts_are_as_they_were"
    code, without, _ = run(house, golden)
    assert code == 1 and "`pytest --clustrix-accept` (or CLUSTRIX_ACCEPT=1) writes" in without, without
    code, accepted, _ = run(house, golden, "--clustrix-accept")
    assert code == 0, accepted
    chosen = [f"test_them.py::Test_{name}::{bad.test}" for name, bad in BAD.items()]
    with ThreadPoolExecutor() as pool:  # most of the time they wait for jobs
        good = pool.submit(run, house, "test_them.py::Test_good", name="good")
        runs = [pool.submit(run, house, *chosen[n::SIDE_BY_SIDE], name=str(n)) for n in range(SIDE_BY_SIDE)]
    wrong = {name.removeprefix("Test_"): text for done in runs for name, text in done.result()[2].items()}
    assert wrong.keys() == BAD.keys(), [done.result()[1] for done in runs]
    return Said(wrong, good.result()[1])


def test_a_good_plugin_passes(said: Said) -> None:
    assert f"\n{len(PROMISES)} passed in " in said.of_good, said.of_good


@pytest.mark.parametrize("name", BAD)
def test_a_bad_plugin_is_found_out(name: str, said: Said) -> None:
    assert said.of_bad[name], f"{BAD[name].test} passes"
    assert BAD[name].said in said.of_bad[name]


def test_there_is_a_bad_plugin_for_every_promise() -> None:
    assert sorted({bad.test for bad in BAD.values()}) == PROMISES


@pytest.mark.parametrize("hook", sorted(JOBS | MACHINES | {"describe_backend"}))
def test_every_hook_is_held_to_something(hook: str) -> None:
    own = [bad for bad in BAD.values() if re.search(rf"\bdef {hook}\(", bad.more)]
    assert own, f"no bad plugin has a {hook} of its own"


@pytest.mark.parametrize("promise", PROMISES)
def test_every_promise_is_said_in_a_sentence(promise: str) -> None:
    said = (getattr(BackendContract, promise).__doc__ or "").strip()
    assert said.endswith(".") and "\n" not in said
