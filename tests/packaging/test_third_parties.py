"""Plugins by somebody else, installed beside Clustrix as wheels: jobs run through both of them at once."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, environment, run

pytestmark = pytest.mark.timeout(600)
DISTRIBUTIONS = ("clustrix-ts", "clustrix-audit")
PLUGIN_API = ("hookspecs", "batch", "model", "transport", "errors")
CALLS = """
import getpass
from clustrix import SubmitRejected, cluster

@cluster
def double(number):
    return 2 * number

@cluster(cores=64)
def large():
    pass

if __name__ == "__main__":
    print(double(21), *double.map(range(4)))
    try:
        large()
    except SubmitRejected as error:
        print(error.plugin, error.args[0])
"""


@pytest.fixture(scope="module")
def python(wheels: list[Path], examples: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a clean environment with both, and with what their own tests need."""
    home = tmp_path_factory.mktemp("third-parties")
    return environment(home, [*wheels, *examples], "test", "clustrix>=1.0.0.dev0", *DISTRIBUTIONS)


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Path]:
    """The socket of a queue of three slots; whoever asks first starts it."""
    program = shutil.which("tsp")
    if program is None:
        assert os.getuid() == 0 and shutil.which("apt-get"), "task-spooler is needed: apt-get install task-spooler"
        for order in (["update"], ["install", "-y", "--no-install-recommends", "task-spooler"]):
            subprocess.run(["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=600", *order], check=True, capture_output=True)
    socket = tmp_path / "socket"
    yield socket
    subprocess.run(["tsp", "-K"], env={**os.environ, "TS_SOCKET": str(socket)}, capture_output=True)


def test_a_backend_and_a_wrapper_that_know_nothing_of_each_other(python: Path, queue: Path, tmp_path: Path) -> None:
    (tmp_path / "clustrix.yml").write_text(
        f"clusters: {{desk: {{backend: ts, work_dir: {tmp_path}/work, options: {{socket: {queue}, slots: 3}}}}}}\n"
    )
    (tmp_path / "calls.py").write_text(CALLS)
    said = run(python, "-W", "error", "calls.py", cwd=tmp_path).splitlines()
    assert said[0] == "42 0 2 4 6"
    assert said[1].startswith("ts ") and "it needs 64 slots at a time, and the queue has 3" in said[1]

    entries = json.loads(run(python.with_name("clustrix"), "audit", "--json", cwd=tmp_path))
    submitted = [entry for entry in entries if entry["event"] == "submitted"]
    assert [(entry["cluster"], entry["backend"], entry["calls"]) for entry in submitted] == [
        ("desk", "ts", 1),
        ("desk", "ts", 4),
    ]
    assert [entry["resources"] for entry in entries if entry["event"] == "refused"] == [{"cores": 64}]
    over = {entry["job"] for entry in entries if entry.get("after") == "SUCCEEDED"}
    assert {entry["job"] for entry in submitted} == over
    assert len(run(python.with_name("clustrix"), "audit", cwd=tmp_path).splitlines()) == len(entries)


def test_they_are_listed(python: Path, tmp_path: Path) -> None:
    clustrix = python.with_name("clustrix")
    found = {one["name"]: one for one in json.loads(run(clustrix, "plugins", "--json", cwd=tmp_path))}
    assert {name: found[name]["distribution"] for name in ("ts", "audit")} == {
        "ts": "clustrix-ts",
        "audit": "clustrix-audit",
    }
    assert (found["ts"]["backend"], found["audit"]["backend"]) == ("ts", None)
    assert {one["status"] for one in found.values()} == {"ok"}
    assert "\n  audit " in run(clustrix, "--help", cwd=tmp_path)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_they_import_the_plugin_api_and_nothing_else_of_ours(name: str) -> None:
    sources = list((ROOT / "examples" / "plugins" / name / "src").rglob("*.py"))
    assert sources
    found = {module for source in sources for module in imported(ast.parse(source.read_text("utf-8")))}
    ours = {module for module in found if module.partition(".")[0] in ("clustrix", "clustrix_core")}
    assert "clustrix_core.hookspecs" in ours
    assert {".".join(module.split(".")[:2]) for module in ours} <= {f"clustrix_core.{room}" for room in PLUGIN_API}


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "clustrix_core":
            yield from (f"clustrix_core.{name.name}" for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_their_own_tests_pass(name: str, python: Path, tmp_path: Path) -> None:
    """As their author runs them, from a copy that has no source of ours above it."""
    project = tmp_path / name
    shutil.copytree(ROOT / "examples" / "plugins" / name, project, ignore=shutil.ignore_patterns("src", "__pycache__"))
    # No accept: the golden scripts are part of it.
    said = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=project)
    assert " passed" in said and " skipped" not in said, said
