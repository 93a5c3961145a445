"""``clustrix explain``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Shell

SIMULATION = """\
import json
from pathlib import Path
import yaml
import near
from clustrix import cluster

open("ran", "w")

@cluster(cores=1)
def simulate(x):
    table = open(Path(__file__).parent / "table.csv")
    near.scale(x)
    return yaml.safe_load(json.dumps(x)), __import__(x)

def other():
    pass
"""


@pytest.fixture
def file(shell: Shell) -> Path:
    shell.file("near.py", "import click\ndef scale(x):\n    return click.echo(x)\n")
    shell.file("table.csv", "1\n")
    return shell.file("sim.py", SIMULATION)


def test_for_people(shell: Shell, file: Path) -> None:
    said = shell("explain", "sim.py:simulate")
    assert said.stderr == ""
    lines = said.stdout.splitlines()
    assert lines[0] == "sim.simulate, sim.py:10"
    for title, first, why in (
        ("Travels", "function sim.simulate", "sim.simulate, sim.py:10"),
        ("Does not travel", "data file table.csv", "sim.simulate → table.csv, sim.py:11"),
        ("Must be installed", "click ", "sim.simulate → near.scale → click.echo, near.py:3"),
        ("Cannot be told", "sim.py:13: __import__(x): which module that is, only a run can tell", ""),
    ):
        at = lines.index(f"{title}:")
        assert lines[at + 1].startswith(f"  {first}"), said.stdout
        assert lines[at + 2].strip() == why, said.stdout
    assert "  module near" in lines and "    sim.simulate → near, sim.py:12" in [line[2:] for line in lines]
    assert "  json, pathlib" in lines
    assert "say environment: auto" in said.stdout and "on local (this machine) already" in said.stdout
    assert not (shell.cwd / "ran").exists()


def test_as_json(shell: Shell, file: Path) -> None:
    data = shell.json("explain", "sim.py")
    assert data["function"] == "sim.simulate" and data["line"] == 10
    assert [(one["kind"], Path(one["name"]).name, one["travels"]) for one in data["own"]] == [
        ("function", "sim.simulate", True),
        ("module", "near", True),
        ("file", "table.csv", False),
    ]
    assert {one["distribution"]: one["need"] for one in data["installed"]} == {"click": "certain", "PyYAML": "certain"}
    assert data["installed"][0]["why"][-1] == {"name": "click.echo", "file": str(shell.cwd / "near.py"), "line": 3}
    assert [one["module"] for one in data["standard"]] == ["pathlib", "json"]
    assert data["doubts"][0]["line"] == 13
    assert len(data["today"]) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sim.py:simulat"], "sim.py has no function 'simulat'\nDid you mean 'simulate'?"),
        (["nothing.py:f"], "there is no file 'nothing.py'."),
        (["sim.py:near"], "'near' of sim.py is not defined there as a function"),
        (["two.py"], "which function of two.py? One of two.py:f, two.py:g."),
        (["broken.py:f"], "broken.py is no Python"),
        (["empty.py"], "empty.py has no function 'main'\nIt defines no function at all."),
        ([], "Missing argument"),
        (["-c", "nowhere", "sim.py:simulate"], "nowhere"),
    ],
)
def test_what_is_wrong_is_said_with_the_next_step(words: list[str], said: str, shell: Shell, file: Path) -> None:
    shell.file("two.py", "from clustrix import cluster\n@cluster\ndef f(): pass\n@cluster()\ndef g(): pass\n")
    shell.file("broken.py", "def f(:\n")
    shell.file("empty.py", "")
    done = shell("explain", *words, code=2)
    assert said in done.stderr and done.stdout == ""


def test_the_cluster_is_named_and_not_contacted(shell: Shell, file: Path) -> None:
    hpc = "{backend: ssh, host: no-such-host.invalid, python: python3.11}"
    text = f"default: hpc\nclusters:\n  hpc: {hpc}\n  b: {{host: b}}\n"
    shell.file("clustrix.yml", text)
    assert "installed on hpc (no-such-host.invalid), for python3.11, already" in shell("explain", "sim.py").stdout
    assert "installed on b already" in shell("explain", "-c", "b", "sim.py").stdout


def test_a_configuration_that_is_broken_is_no_obstacle(shell: Shell, file: Path) -> None:
    shell.file("clustrix.yml", "clusters: {hpc: {hots: a}}\n")
    assert "the configuration does not tell" in shell("explain", "sim.py").stdout


def test_the_page_says_what_is_so(shell: Shell) -> None:
    page = (Path(__file__).parents[3] / "docs/explain.md").read_text("utf-8")
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for _, text in blocks:
        if name := re.match(r"# ([\w.]+)\n", text):
            shell.file(name[1], text)
    (shown,) = [text for language, text in blocks if language == "console"]
    command, _, expected = shown.partition("\n")
    found = shell(*command.split()[2:]).stdout
    assert re.fullmatch(re.escape(expected).replace("…", r"[\w.]+"), found), found
    (call,) = [text for _, text in blocks if "of_function" in text]
    code = f"from heat import simulate\n{call}print(reach.function, len(reach.installed))\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=shell.cwd, capture_output=True, text=True, check=True)
    assert done.stdout == "heat.simulate 3\n"


def test_nothing_to_install(shell: Shell) -> None:
    shell.file("plain.py", "def main():\n    return 1\n")
    said = shell("explain", "plain.py").stdout
    assert "Must be installed" not in said and "nothing of it needs to be there" in said


def test_in_a_process_of_its_own(process: Shell) -> None:
    process.file("plain.py", "import csv\ndef main():\n    return csv\n")
    assert "  csv" in process("explain", "plain.py:main").stdout.splitlines()
