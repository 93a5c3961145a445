"""``environment: auto`` on every backend: the files of the cluster, a helper, and a package that the cluster lacks."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clustrix_core import config
from clustrix_core.config import ClusterConfig
from tests.real.conftest import EVERYWHERE, settings
from tests.real.onlooker import Onlooker
from tests.testbeds.bed import Bed
from tests.unit.environments import houses

pytestmark = [pytest.mark.parametrize("place", EVERYWHERE, indirect=True), pytest.mark.timeout(240)]
HELPERS = """
import marbles

def twice(n):
    return 2 * marbles.roll(n)
"""
SCRIPT = """
import json, logging, os, sys
import marbles
from clustrix import cluster, cluster_ls
from helpers import twice
{imports}
logging.basicConfig(stream=sys.stdout, format="said: %(message)s")
logging.getLogger("clustrix.environments").setLevel(logging.INFO)

@cluster
def look(n):
    open("left-behind", "w").close()
    found = cluster_ls(".")
    os.remove("left-behind")
    return twice(n), "left-behind" in found, sys.prefix, {value}

print(json.dumps(look(5)))
"""


@pytest.fixture
def marbles(tmp_path: Path) -> list[Path]:
    return [
        houses.wheel(tmp_path / "wheels", "marbles", "def roll(n):\n    return n + 1\n", "1.2"),
        houses.wheel(tmp_path / "wheels", "beads", "SIZE = 4\n", "0.3"),
    ]


@pytest.fixture
def there(place: str, home: Path, bed: Bed | None, tmp_path: Path, shared: Path, marbles: list[Path]) -> ClusterConfig:
    work_dir = str(tmp_path / "work") if place == "local" else f"~/clustrix-auto-{time.time_ns()}"
    index = houses.index(shared / "simple", marbles)
    found = settings(place, bed, work_dir=work_dir, environment="auto", index=index)
    config.configure(default=found)
    return found


@pytest.fixture(autouse=True)
def _removed(onlooker: Onlooker) -> Iterator[None]:
    yield
    shutil.rmtree(onlooker.work_dir, ignore_errors=True)


def test_files_a_helper_and_a_package_that_is_not_there(
    client: Callable[..., str], onlooker: Onlooker, tmp_path: Path, marbles: list[Path]
) -> None:
    client.environment["PYTHONPATH"] = str(houses.installed(tmp_path / "here", marbles))  # type: ignore[attr-defined]
    (tmp_path / "helpers.py").write_text(HELPERS)
    (tmp_path / "one.py").write_text(SCRIPT.format(imports="", value=0))
    (tmp_path / "two.py").write_text(SCRIPT.format(imports="import beads", value="beads.SIZE"))
    said, *_, value = client("one.py").splitlines()
    assert said.startswith("said: ") and said.endswith(": it is the first one there")
    twice, looked, prefix, _ = json.loads(value)
    assert (twice, looked) == (12, True)
    assert os.path.realpath(prefix).startswith(os.path.realpath(onlooker.work_dir / "envs") + os.sep)
    (log,) = logs(onlooker)
    again = client("one.py").splitlines()
    assert json.loads(again[-1])[:3] == [12, True, prefix]
    assert len(again) == 1 and logs(onlooker) == [log], "nothing is built, and nothing is said"
    said, *_, value = client("two.py").splitlines()
    assert said.endswith(": compared with the last one: + beads==0.3")
    assert json.loads(value)[3] == 4 and len(logs(onlooker)) == 2


def logs(onlooker: Onlooker) -> list[Path]:
    return sorted(onlooker.work_dir.glob("envs/*/log-*"))
