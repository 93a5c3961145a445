"""Scripts as scientists write them, run as they run them: what they print is what they print without Clustrix.

Each is a file of ``snippets/``. On the cluster most of those that need published packages are modules of one of them,
``survey.py``, so that one environment is built for all: the python3 there has no such package.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clustrix_core import config
from clustrix_core.config import ClusterConfig
from tests.real.onlooker import Onlooker

Client = Callable[..., str]
HERE = Path(__file__).parent / "snippets"
PACKAGE = "lab/rain.py"  # it is run as a module of its package
SCRIPTS = [PACKAGE, *sorted(path.name for path in HERE.glob("*.py") if path.name != "survey.py")]
# Of those that need nothing but Python the ones to which another machine may make a difference.
THERE_TOO = [PACKAGE, "gather.py", "logs.py", "notebook.py", "orbits.py", "particles.py", "scratch.py", "shell.py",
             "spread.py", "words.py"]  # fmt: skip
pytestmark = pytest.mark.timeout(300)

# Runs scripts in one process, so that what they import is imported once; prints what each has printed.
RUNNER = """
import contextlib, io, json, runpy, sys
printed = {}
sys.path.insert(0, "")
for script in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        if "/" in script:
            runpy.run_module(script[:-3].replace("/", "."), run_name="__main__")
        else:
            runpy.run_path(script, run_name="__main__")
    printed[script] = said.getvalue()
print(json.dumps(printed))
"""


def without_clustrix(folder: Path, scripts: list[str]) -> dict[str, str]:
    """Return what scripts print where their lines of Clustrix are taken out."""
    shutil.copytree(HERE, folder)
    for path in folder.rglob("*.py"):
        text = re.sub(r"^ *(@cluster\b.*|from clustrix import cluster)\n", "", path.read_text("utf-8"), flags=re.M)
        assert not re.search(r"^\s*@cluster|^(from|import) clustrix", text, re.MULTILINE), path
        path.write_text(text, "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, *scripts], cwd=folder, stdout=subprocess.PIPE, encoding="utf-8", timeout=200
    )
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert all(found.values())
    return dict(found)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return without_clustrix(tmp_path_factory.mktemp("plain") / "scripts", SCRIPTS)


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    shutil.copytree(HERE, tmp_path / "scripts")
    return tmp_path / "scripts"


def run(client: Client, scripts: Path, script: str) -> str:
    """Return what a script prints; heavy imports, or the first build, may take minutes on a busy machine."""
    words = ["-m", "lab.rain"] if script == PACKAGE else [script]
    done = subprocess.run(
        [sys.executable, "-W", "error", *words],
        cwd=scripts,
        env=client.environment,  # type: ignore[attr-defined]
        capture_output=True,
        encoding="utf-8",
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("place", ["local"], indirect=True)
@pytest.mark.parametrize("script", SCRIPTS)
def test_on_this_machine(script: str, client: Client, scripts: Path, expected: dict[str, str]) -> None:
    assert run(client, scripts, script) == expected[script]


@pytest.mark.parametrize("place", ["slurm"], indirect=True)
class TestOnACluster:
    @pytest.fixture
    def there(self, there: ClusterConfig) -> Iterator[ClusterConfig]:
        # A work_dir of its own: nobody has built its environment before.
        work_dir = f"~/clustrix-scripts-{time.time_ns()}"
        found = ClusterConfig(**{**there.settings(), "work_dir": work_dir, "environment": "auto"})
        config.configure(default=found)
        yield found

    @pytest.fixture(autouse=True)
    def _removed(self, onlooker: Onlooker) -> Iterator[None]:
        yield
        shutil.rmtree(onlooker.work_dir, ignore_errors=True)

    def test_those_that_need_python_alone(
        self, client: Client, scripts: Path, tmp_path: Path, onlooker: Onlooker
    ) -> None:
        expected = without_clustrix(tmp_path / "plain", THERE_TOO)
        assert {script: run(client, scripts, script) for script in THERE_TOO} == expected
        assert not (onlooker.work_dir / "envs").exists()

    def test_those_that_need_published_packages(
        self, client: Client, scripts: Path, tmp_path: Path, onlooker: Onlooker
    ) -> None:
        """The seed case, with packages as they are: nothing is configured but ``environment: auto``."""
        expected = without_clustrix(tmp_path / "plain", ["survey.py"])
        assert run(client, scripts, "survey.py") == expected["survey.py"]
        (log,) = onlooker.work_dir.glob("envs/*/log-*")
        assert "Successfully installed" in log.read_text()
