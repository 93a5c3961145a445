"""Submissions whose answer nobody hears: there is one job all the same, and its result arrives."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import clustrix
from clustrix import cluster
from clustrix_core.batch.find import UNSURE
from tests.real.onlooker import until
from tests.real.test_crash import Client, adopt, other

__all__ = ["other"]
pytestmark = pytest.mark.parametrize("place", ["slurm-login"], indirect=True)
Sbatch = Callable[[str], Path]


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sbatch:
    """Put a script in the way of sbatch, which it calls as ``real``; it works in the directory that is returned."""
    program = tmp_path / "bin" / "sbatch"
    program.parent.mkdir()

    def put(script: str) -> Path:
        real = f'real() {{ {shutil.which("sbatch")} "$@"; }}'
        program.write_text(f"#!/bin/bash\n{real}\necho >>{tmp_path}/asked\n{script.replace('HERE', str(tmp_path))}\n")
        program.chmod(0o755)
        return tmp_path

    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return put


def asked(directory: Path) -> int:
    return len((directory / "asked").read_text())


@pytest.mark.parametrize("script", ['touch HERE/began; sleep 4; real "$@"', 'real "$@"; touch HERE/began; sleep 4'])
def test_the_client_dies_while_sbatch_runs(other: Client, sbatch: Sbatch, script: str) -> None:
    directory = sbatch(script)
    process = other.start("once.submit(directory).result()", PATH=os.environ["PATH"])
    until((directory / "began").exists, "sbatch runs")
    process.kill()
    process.communicate()
    (info,) = clustrix.jobs()
    assert adopt(info.id) == ["once", str(other.shared)]
    assert (other.ran(), asked(directory)) == (["once"], 1)


def note(directory: str) -> str:
    with open(f"{directory}/ran", "a") as file:
        file.write("once\n")
    return "noted"


def test_a_controller_that_accepts_and_says_that_it_has_not(other: Client, sbatch: Sbatch) -> None:
    error = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
    directory = sbatch(f'real "$@" >/dev/null; echo "{error}" >&2; exit 1')
    assert cluster(note)(str(other.shared)) == "noted"
    assert (other.ran(), asked(directory)) == (["once"], 1)


def test_a_controller_that_does_not_answer_at_first(
    other: Client, sbatch: Sbatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert UNSURE == 60
    monkeypatch.setattr(sys.modules["clustrix_core.batch.find"], "UNSURE", 3)
    error = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"
    directory = sbatch(f'[ $(wc -l <HERE/asked) -gt 2 ] || {{ echo "{error}" >&2; exit 1; }}; real "$@"')
    begun = time.monotonic()
    assert cluster(note)(str(other.shared)) == "noted"
    assert (other.ran(), asked(directory)) == (["once"], 3)
    assert time.monotonic() - begun > 2 * 3 - 2


def test_a_submission_that_arrives_after_it_was_given_up(other: Client, sbatch: Sbatch) -> None:
    """The connection of a dead client may deliver late."""
    directory = sbatch('real "$@"')
    late = """
from clustrix_core.transport import local
run = local.Local.run
def delay(self, command, *more, **keywords):
    if "sbatch" in command:
        (open(f"{directory}/began", "w")).close()
        while not os.path.exists(f"{directory}/go"):
            time.sleep(0.05)
    return run(self, command, *more, **keywords)
local.Local.run = delay
from clustrix_core import alive
once.submit(directory)
while not os.path.exists(f"{directory}/began"):
    time.sleep(0.05)
# For all others this client is dead.
from clustrix_core.api import session
session.engine()._alive.close()
print("dead", flush=True)
"""
    process = other.start(late, PATH=os.environ["PATH"])
    assert process.stdout and process.stdout.readline().strip() == "dead"
    (info,) = clustrix.jobs()
    assert adopt(info.id) == ["once", str(other.shared)]
    (other.shared / "go").touch()
    process.communicate(timeout=60)
    assert (other.ran(), asked(directory)) == (["once"], 1)
