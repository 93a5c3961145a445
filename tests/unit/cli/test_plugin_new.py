"""``clustrix plugin new``: distributions whose tests pass as they are written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clustrix_core import skeleton
from tests.unit.cli.conftest import Shell

GOLDEN = Path(skeleton.__file__).parent / "backend" / "tests" / "golden"
NAMES = {"backend": "my-anvil", "wrapper": "onlooker2"}


def install(project: Path, house: Path) -> dict[str, str]:
    """Put a distribution on the path as an editable install does; return the environment that finds it."""
    module = next((project / "src").iterdir()).name
    name = project.name.removeprefix("clustrix-")
    info = house / f"{module}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: clustrix-{name}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[clustrix]\n{name} = {module}\n")
    path = os.pathsep.join([str(house), str(project / "src"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path.strip(os.pathsep)}


def pytest_in(project: Path, house: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    environment = install(project, house)
    return subprocess.run(argv, cwd=project, env=environment, capture_output=True, text=True, timeout=110)


def test_the_tests_of_a_wrapper_pass(shell: Shell, tmp_path: Path) -> None:
    shell("plugin", "new", NAMES["wrapper"], "--kind", "wrapper")
    done = pytest_in(shell.cwd / "clustrix-onlooker2", tmp_path / "site")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_tests_of_a_backend_pass(shell: Shell, tmp_path: Path) -> None:
    """The whole contract, its golden scripts too: CLUSTRIX_ACCEPT=1 writes the skeleton's own anew."""
    shell("plugin", "new", "acme")
    project = shell.cwd / "clustrix-acme"
    done = pytest_in(project, tmp_path / "site")
    assert done.returncode == 0, done.stdout + done.stderr
    if os.environ.get("CLUSTRIX_ACCEPT") == "1":
        for script in (project / "tests" / "golden").iterdir():
            (GOLDEN / f"{script.name}.txt").write_text(script.read_text())
    written = {f"{script.name}.txt": script.read_text() for script in (project / "tests" / "golden").iterdir()}
    assert written == {path.name: path.read_text() for path in GOLDEN.iterdir()}


@pytest.mark.parametrize("kind", skeleton.KINDS)
def test_what_is_written(kind: str, shell: Shell, tmp_path: Path) -> None:
    name, there = NAMES[kind], tmp_path / "deep" / "house"
    said = shell.json("plugin", "new", name, "--kind", kind, "--directory", there)
    assert (said["name"], said["kind"], said["directory"]) == (name, kind, str(there))
    assert said["distribution"] == f"clustrix-{name}"
    files = {str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()}
    assert files == set(said["files"])
    assert {"README.md", "pyproject.toml", f"src/clustrix_{name.replace('-', '_')}/py.typed"} <= files
    text = "".join((there / file).read_text() for file in files) + "".join(files)
    assert "acme" not in text.lower() and "REPLACE" in text
    assert f'{name} = "clustrix_{name.replace("-", "_")}"' in (there / "pyproject.toml").read_text()


def test_the_toy_scheduler_can_be_run(shell: Shell) -> None:
    shell("plugin", "new", "my-anvil")
    program = shell.cwd / "clustrix-my-anvil" / "tests" / "bin" / "my-anvil"
    assert os.access(program, os.X_OK)
    assert subprocess.run(["sh", "-n", program]).returncode == 0


@pytest.mark.parametrize(
    ("name", "words", "why"),
    [
        ("Acme", (), "is not a name for a plugin"),
        ("../acme", (), "is not a name for a plugin"),
        ("acme_two", (), "is not a name for a plugin"),
        ("2nd", (), "is not a name for a plugin"),
        ("acme-", (), "is not a name for a plugin"),
        ("", (), "is not a name for a plugin"),
        ("a" * 41, (), "is not a name for a plugin"),
        ("acme\n", (), "is not a name for a plugin"),
        ("clustrix-acme", (), "would become clustrix-clustrix-acme"),
        ("local", (), "is taken by clustrix"),
        ("pbs", (), "'pbs' is"),
        ("jobs", ("--kind", "wrapper"), "is a command of clustrix"),
    ],
)
def test_bad_names_are_refused(name: str, words: tuple[str, ...], why: str, shell: Shell) -> None:
    said = shell.json("plugin", "new", *words, "--", name, code=2)
    error = said["error"]
    assert error["type"] == "ConfigError"
    assert why in error["message"] or (name == "pbs" and "taken by clustrix-pbs" in error["message"])
    assert list(shell.cwd.iterdir()) == []


def test_a_name_that_is_taken_is_refused(process: Shell, tmp_path: Path) -> None:
    process("plugin", "new", "my-anvil")
    process.environment |= install(process.cwd / "clustrix-my-anvil", tmp_path / "site")
    said = process("plugin", "new", "my-anvil", "--directory", tmp_path / "other", code=2)
    assert "the name 'my-anvil' is taken by clustrix-my-anvil" in said.stderr
    assert not (tmp_path / "other").exists()


def test_what_is_there_is_left_alone(shell: Shell) -> None:
    shell("plugin", "new", "my-anvil")
    before = {path: path.stat().st_mtime_ns for path in shell.cwd.rglob("*")}
    assert "is there already" in shell("plugin", "new", "my-anvil", code=2).stderr
    shell.file("note", "mine")
    assert "is there already" in shell("plugin", "new", "other", "--directory", "note", code=2).stderr
    assert "cannot be made" in shell("plugin", "new", "other", "--directory", "note/deeper", code=2).stderr
    assert before == {path: path.stat().st_mtime_ns for path in shell.cwd.rglob("*") if path.name != "note"}


def test_the_next_step_is_told(shell: Shell) -> None:
    done = shell("plugin", "new", "my-anvil", "--directory", "a b")
    assert "pip install -e 'a b[test]' && pytest 'a b'" in done.stderr
    assert "a b/pyproject.toml" in done.stdout
