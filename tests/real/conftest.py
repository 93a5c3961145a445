"""Where the real tests run their functions: the same tests on every backend, each against the real thing."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.config import ClusterConfig
from clustrix_core.engine import places
from clustrix_core.transport.connect import connect
from clustrix_core.transport.counting import Counting
from tests.conftest import bed_of
from tests.real.onlooker import Onlooker
from tests.testbeds.bed import Bed

# The backends at par, and those on which the main job runs too.
AT_PAR = ("local", "ssh", "slurm")
EVERYWHERE = (*AT_PAR, "sge", "pbs")
MAIN_JOB = {
    "test_values",
    "test_exceptions",
    "test_futures",
    "test_map",
    "test_logs",
    "test_ends",
    "test_crash",
    "test_dependencies",
    "test_data",
}
OTHER_WAYS = ("ssh-openssh", "slurm-openssh", "slurm-login")
# The cores of a host are shared by all jobs of a work_dir: each session of tests has them for itself.
HOST_WORK_DIR = f"~/clustrix-{os.getpid()}"


@pytest.fixture(scope="session", autouse=True)
def _no_remains() -> Iterator[None]:
    yield
    with contextlib.suppress(RuntimeError):  # there is no bed, so there is no such user
        shutil.rmtree(Path(HOST_WORK_DIR.replace("~", "~hpc")).expanduser(), ignore_errors=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on the backends at par, one of the main job on all of them, unless it says where."""
    said = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "place" in metafunc.fixturenames and not any("place" in names for names in said):
        main_job = metafunc.module.__name__.rpartition(".")[2] in MAIN_JOB
        metafunc.parametrize("place", EVERYWHERE if main_job else AT_PAR, indirect=True, scope="session")


@pytest.fixture(scope="session")
def place(request: pytest.FixtureRequest) -> str:
    """A backend, or that and a way to get there."""
    return str(request.param)


@pytest.fixture
def bed(place: str, request: pytest.FixtureRequest) -> Any:
    """The cluster on which the place is; None on this machine."""
    return None if place == "local" else request.getfixturevalue(f"{bed_of(place)}_bed")


def settings(place: str, bed: Bed | None, **more: Any) -> ClusterConfig:
    """Return the settings of a place; ``more`` are laid over them."""
    backend, _, way = place.partition("-")
    known: dict[str, Any] = {"name": place, "backend": backend}
    if backend != "local" and way != "login":
        assert bed is not None
        known |= {"host": bed.alias, "ssh_config": str(bed.ssh_config)}
    if way == "openssh":
        known["transport"] = "openssh"
    if backend == "ssh":
        known |= {"options": {"slots": 8}, "work_dir": HOST_WORK_DIR}
    return ClusterConfig(**(known | more))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A client's home of its own."""
    path = tmp_path / "home"
    monkeypatch.setenv("CLUSTRIX_HOME", str(path))
    monkeypatch.delenv("CLUSTRIX_CONFIG", raising=False)
    config.reset()
    yield path
    session.close()
    config.reset()
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def there(place: str, home: Path, bed: Bed | None, tmp_path: Path) -> ClusterConfig:
    """The settings of a place, made the default cluster. Local jobs get a work_dir of their own."""
    more = {"work_dir": str(tmp_path / "work")} if place == "local" else {}
    found = settings(place, bed, **more)
    config.configure(default=found)
    return found


@pytest.fixture
def onlooker(there: ClusterConfig, bed: Bed | None) -> Onlooker:
    return Onlooker(there, bed)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that the test and its jobs see, whoever they run as."""
    path = Path(tempfile.mkdtemp(prefix="clustrix-shared-"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def client(there: ClusterConfig, home: Path, tmp_path: Path) -> Callable[..., str]:
    """Run Python in a process of its own, with the same clusters and journal; returns what it printed."""
    file = tmp_path / "clustrix.yml"
    file.write_text(config.dump(config.current()), "utf-8")
    environment = {**os.environ, "CLUSTRIX_CONFIG": str(file), "CLUSTRIX_HOME": str(home), "PYTHONUTF8": "1"}

    def run(*arguments: str | Path, stdin: str = "", cwd: Path = tmp_path, check: bool = True) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=cwd,
            env=environment,
            timeout=90,
        )
        assert not check or done.returncode == 0, f"exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout if check else done.stdout + done.stderr

    run.environment = environment  # type: ignore[attr-defined]
    return run


@pytest.fixture(scope="session")
def numpy_for_all() -> Iterator[Path]:
    """The numpy of the tests where every user of this machine can read it."""
    root, copy = Path(numpy.__file__).parent.parent, Path(tempfile.mkdtemp(prefix="clustrix-numpy-"))
    copy.chmod(0o755)
    for name in ("numpy", "numpy.libs"):
        if (root / name).exists():
            shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("tests"))
    yield copy
    shutil.rmtree(copy)


@pytest.fixture
def with_numpy(there: ClusterConfig, numpy_for_all: Path) -> None:
    """Let the cluster's Python find numpy, as a site's module would."""
    config.configure(resources={"memory": "1GB", "env": {"PYTHONPATH": str(numpy_for_all)}})


@pytest.fixture
def wire(there: ClusterConfig, monkeypatch: pytest.MonkeyPatch) -> list[Counting]:
    """The connections of one test, each counting what goes over it."""
    made: list[Counting] = []

    def counted(*arguments: Any) -> Counting:
        made.append(Counting(connect(*arguments)))
        return made[-1]

    monkeypatch.setattr(places, "connect", counted)
    return made


@pytest.fixture(scope="session")
def python() -> str:
    return sys.executable
