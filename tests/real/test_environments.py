"""Environments on the real thing: what a function imports is installed there once, and said why."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import clustrix
from clustrix import BuildFailed, ConfigError, cluster
from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.config import ClusterConfig
from tests.real.onlooker import Onlooker
from tests.unit.environments import houses

pytestmark = [pytest.mark.parametrize("place", ["local", "slurm"], indirect=True), pytest.mark.timeout(240)]
Client = Callable[..., str]

STONES = "import pebbles\ndef weigh(n):\n    return n * pebbles.WEIGHT\n"
PEBBLES = "WEIGHT = 3\n"
MOSS = "def grow(n):\n    return n + 1\n"


class Quarry:
    """Packages of the test: an index that both sides see, and where the client has them installed."""

    def __init__(self, root: Path, shared: Path) -> None:
        self.wheels = [
            houses.wheel(root / "wheels", "pebbles", PEBBLES, "2.5"),
            houses.wheel(root / "wheels", "stones", STONES, "1.4", ["pebbles>=2"]),
            houses.wheel(root / "wheels", "moss", MOSS, "0.1"),
        ]
        newer = houses.wheel(root / "newer", "pebbles", "WEIGHT = 1000\n", "3.0")
        self.index = houses.index(shared / "simple", [*self.wheels, newer])
        self.site = houses.installed(root / "client", self.wheels)
        self.folder = root / "wheels"


@pytest.fixture
def quarry(tmp_path: Path, shared: Path) -> Quarry:
    return Quarry(tmp_path, shared)


@pytest.fixture
def work(onlooker: Onlooker, there: ClusterConfig) -> Iterator[Path]:
    """The place's work_dir, without the environments of earlier tests."""
    yield onlooker.work_dir


@pytest.fixture
def there(place: str, home: Path, bed: Any, tmp_path: Path, quarry: Quarry) -> ClusterConfig:
    from tests.real.conftest import settings

    # A work_dir of its own: how often something is built must not depend on other tests.
    work_dir = str(tmp_path / "work") if place == "local" else f"~/clustrix-env-{time.time_ns()}"
    found = settings(place, bed, work_dir=work_dir, environment="auto", index=quarry.index, manager="pip")
    config.configure(default=found)
    return found


@pytest.fixture(autouse=True)
def _removed(onlooker: Onlooker) -> Iterator[None]:
    yield
    import shutil

    shutil.rmtree(onlooker.work_dir, ignore_errors=True)


def with_packages(client: Client, quarry: Quarry) -> Client:
    client.environment["PYTHONPATH"] = str(quarry.site)  # type: ignore[attr-defined]
    return client


def logs(work: Path) -> list[Path]:
    return sorted(work.glob("envs/*/log-*"))


SEED = """
import json, logging, sys, helpers
from clustrix import cluster
logging.basicConfig(stream=sys.stdout, format="%(message)s")
logging.getLogger("clustrix.environments").setLevel(logging.INFO)

{imports}
@cluster
def heavy(n):
    return {value}, sys.prefix

print(json.dumps(heavy(5)))
"""


def test_the_seed_case(client: Client, quarry: Quarry, work: Path, tmp_path: Path) -> None:
    client = with_packages(client, quarry)
    (tmp_path / "helpers.py").write_text("import stones\ndef twice(n):\n    return 2 * stones.weigh(n)\n")
    (tmp_path / "one.py").write_text(SEED.format(imports="", value="helpers.twice(n)"))
    first = client("one.py").splitlines()
    assert re.search(r"building the environment auto \([0-9a-f]{16}\): it is the first one there$", first[0])
    value, prefix = json.loads(first[-1])
    assert value == 30, "the version of pebbles that is here, not the latest"
    assert "/envs/" in prefix
    assert len(logs(work)) == 1
    second = client("one.py").splitlines()
    assert [json.loads(line) for line in second] == [[30, prefix]], "nothing is built, and nothing is said"
    assert len(logs(work)) == 1
    (tmp_path / "two.py").write_text(SEED.format(imports="import moss", value="moss.grow(helpers.twice(n))"))
    third = client("two.py").splitlines()
    assert third[0].endswith(": compared with the last one: + moss==0.1")
    assert json.loads(third[-1])[0] == 31
    assert len(logs(work)) == 2


def test_a_function_that_imports_nothing_needs_no_environment(work: Path) -> None:
    assert cluster(lambda n: n + 1)(1) == 2
    assert not (work / "envs").exists()


AT_ONCE = """
import sys
from clustrix import cluster
import stones

@cluster
def weigh(n):
    return stones.weigh(n)

jobs = [weigh.submit(n) for n in range(int(sys.argv[1]))]
print([job.result() for job in jobs] == [3 * n for n in range(len(jobs))])
"""


def test_fifty_jobs_at_once_and_one_build(client: Client, quarry: Quarry, work: Path, tmp_path: Path) -> None:
    client = with_packages(client, quarry)
    (tmp_path / "many.py").write_text(AT_ONCE)
    assert client("many.py", 50) == "True\n"
    (log,) = logs(work)
    assert log.read_text().count("Successfully installed") == 1


def test_two_clients_at_once_and_one_build(client: Client, quarry: Quarry, work: Path, tmp_path: Path) -> None:
    client = with_packages(client, quarry)
    (tmp_path / "many.py").write_text(AT_ONCE)
    both = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "many.py", "2"],
            cwd=tmp_path,
            env={**client.environment, "CLUSTRIX_HOME": str(tmp_path / f"home-{name}")},  # type: ignore[attr-defined]
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "ab"
    ]
    assert [one.communicate(timeout=120)[0] for one in both] == ["True\n", "True\n"]
    (log,) = logs(work)
    assert log.read_text().count("Successfully installed") == 1


def test_what_cannot_be_installed_is_an_error_and_no_job(work: Path, there: ClusterConfig) -> None:
    function = cluster(lambda n: n).options(environment=["stones==99.0"])
    jobs = [function.submit(n) for n in range(6)]
    for job in jobs:
        error = job.exception(120)
        assert type(error) is BuildFailed
        assert "No matching distribution found for stones==99.0" in error.reason
        assert "stones==99.0" in error.log and error.log.rstrip() in str(error)
        assert error.cluster == there.name and error.environment and f"env show {error.environment} --log" in error.hint
        assert clustrix.get_job(job.id).exception(10).args == error.args
    assert len({job.exception() for job in jobs}) == 6, "each job has an error of its own"
    assert {info.state for info in clustrix.jobs()} == {"FAILED"}
    assert not list(work.glob("jobs/*/*")), "nothing was submitted"
    (log,) = logs(work)
    assert "No matching distribution found" in log.read_text()
    # Whoever asks later gets another try.
    assert type(function.submit(1).exception(60)) is BuildFailed
    assert len(logs(work)) == 2


def test_a_wheelhouse_needs_no_index(there: ClusterConfig, quarry: Quarry, work: Path) -> None:
    offline = {name: value for name, value in there.settings().items() if name != "index"}
    config.configure(default=ClusterConfig(**{**offline, "wheels": str(quarry.folder), "environment": ["stones"]}))

    @cluster
    def weigh(n: int) -> int:
        import stones

        return int(stones.weigh(n))

    assert weigh(2) == 6
    (log,) = logs(work)
    text = log.read_text()
    assert "--no-index" in text and "Looking in indexes" not in text
    assert sorted(path.name for path in work.glob("envs/files/*/*.whl") if path.name.startswith(("stones", "peb"))) == [
        "pebbles-2.5-py3-none-any.whl",
        "stones-1.4-py3-none-any.whl",
    ]


def test_it_is_built_in_a_job_where_login_nodes_forbid_it(there: ClusterConfig, work: Path) -> None:
    config.configure(default=ClusterConfig(**{**there.settings(), "build": "job", "resources": {"memory": "500MB"}}))

    @cluster(environment=["stones"])
    def weigh(n: int) -> int:
        import stones

        return int(stones.weigh(n))

    assert weigh(2) == 2000, "nothing holds pebbles back here"
    labels = [info.name for info in clustrix.jobs()]
    assert len(labels) == 2 and labels[0].startswith("environment-")
    error = weigh.options(environment=["stones==99.0"]).submit(1).exception(120)
    assert type(error) is BuildFailed and "No matching distribution" in error.reason


def test_a_command_runs_in_its_environment(
    client: Client, quarry: Quarry, tmp_path: Path, there: ClusterConfig
) -> None:
    (tmp_path / "requirements.txt").write_text("moss  # grows\n")
    words = ["-m", "clustrix_core.cli", "run", "-e", "requirements.txt", "--"]
    assert client(*words, "python -c 'import moss; print(moss.grow(1))'") == "2\n"


def test_the_environments_of_a_cluster(client: Client, work: Path) -> None:
    def env(*words: str, check: bool = True) -> Any:
        said = client("-m", "clustrix_core.cli", "env", *words, "--json", check=check)
        return json.loads(said)

    assert env("ls") == []
    key = env("build", "-e", "moss", "-e", "pebbles==2.5")["key"]
    (found,) = env("ls")
    assert (found["key"], found["state"], found["requirements"]) == (key, "complete", ["moss", "pebbles==2.5"])
    assert found["bytes"] > 1000 and found["python"] == "{}.{}".format(*sys.version_info[:2])
    assert "Successfully installed" in env("show", key[:6], "--log")["log"]
    assert env("prune", "--older-than", "1h")["removed"] == []
    assert env("prune", "--older-than", "0", "--dry-run")["removed"] == [key]
    assert "there is no environment" in env("rm", "ffff", check=False)["error"]["message"]
    assert env("rm", key)["removed"] == [key]
    assert env("ls") == [] and not (work / "envs" / key).exists()


def test_an_environment_that_somebody_removed_is_built_again(work: Path) -> None:
    function = cluster(lambda: __import__("moss").grow(1)).options(environment=["moss"])
    assert function() == 2
    engine = session.engine()
    (complete,) = work.glob("envs/*/complete")
    import shutil

    shutil.rmtree(complete.parent)
    assert function() == 2
    assert engine is session.engine() and len(logs(work)) == 1


def test_bad_input_is_refused_before_anything_happens(work: Path, tmp_path: Path) -> None:
    for asked, said in [
        ("requirements-missing.txt", "there is no requirements file"),
        ("auot", "Did you mean 'auto'?"),
        (["-e ."], "is not to be had on the cluster"),
        (["x @ https://me:secret@host/x.whl"], "holds a user name or password"),
    ]:
        with pytest.raises(ConfigError, match=re.escape(said)):
            cluster(lambda: 1).options(environment=asked).submit()
    assert not work.exists() or not list(work.iterdir())
