"""``run`` and ``render``: words, flags, and mistakes that are found before anything is submitted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Shell

SIM = """\
from clustrix import cluster

@cluster(cores=2, name="mine")
def simulate(x, y=2):
    return x

def plain(*args):
    return args
"""
CONFIG = """\
default: local
clusters:
  hpc: {backend: slurm, host: login.example, resources: {partition: short}, options: {requeue: true}}
"""


@pytest.fixture
def sim(shell: Shell) -> Shell:
    shell.file("sim.py", SIM)
    shell.file("clustrix.yml", CONFIG)
    return shell


def test_rendering_contacts_nobody_and_submits_nothing(sim: Shell) -> None:
    script = sim("render", "-c", "hpc", "sim.py", "1").stdout
    assert script.startswith("#!/bin/bash\n#SBATCH --job-name=mine-0000000000000000\n")
    assert "#SBATCH --cpus-per-task=2\n" in script and "#SBATCH --partition=short\n" in script
    assert "#SBATCH --requeue\n" in script
    assert sim.json("jobs") == []
    assert sim("render", "-c", "hpc", "sim.py").stdout == script


def test_flags_win(sim: Shell) -> None:
    words = ["--cores", "3", "--memory=2GB", "--time", "1h", "--queue", "long", "--name", "other", "--exclusive"]
    more = ["--no-slurm-requeue", "--slurm-reservation", "r1", "--directives", "--mail-type=END", "--env", "A=1,2"]
    script = sim("render", "-c", "hpc", *words, *more, "sim.py:plain").stdout
    wanted = ["job-name=other-", "cpus-per-task=3", "mem=2048M", "time=01:00:00", "partition=long", "exclusive"]
    wanted += ["no-requeue", "reservation=r1", "mail-type=END"]
    assert [word for word in wanted if f"#SBATCH --{word}" not in script] == []
    assert "export A=1,2\n" in script


def test_render_as_json_and_as_an_array(sim: Shell) -> None:
    found = sim.json("render", "-c", "hpc", "--calls", "100", "sim.py")
    assert (found["cluster"], found["backend"]) == ("hpc", "slurm") and "--array=0-" in found["script"]


def test_render_a_command(sim: Shell) -> None:
    assert "--job-name=train.sh-0" in sim("render", "-c", "hpc", "--", "./bin/train.sh", "--json", "x").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "say what to run"),
        (["run", "--"], "say what to run"),
        (["run", "sim.py", "--core", "3"], "Did you mean --cores?"),
        (["run", "-q", "sim.py"], "there is no option -q"),
        (["run", "echo", "hi"], "A shell command goes behind --"),
        (["run", "absent.py"], "there is no file 'absent.py'"),
        (["run", "sim.py:simulat"], "Did you mean 'simulate'"),
        (["run", "sim.py"], "missing a required argument: 'x'"),
        (["run", "sim.py", "1", "z=3"], "unexpected keyword argument 'z'"),
        (["run", "--memory", "8 potatoes", "sim.py", "1"], "memory='8 potatoes' is not an amount of memory"),
        (["run", "--time", "-1", "sim.py", "1"], "time='-1' is not a walltime"),
        (["run", "--cores", "0", "sim.py", "1"], "cores=0"),
        (["run", "--cores", "two", "sim.py", "1"], "cores='two'"),
        (["run", "--env", "novalue", "sim.py", "1"], "--env"),
        (["run", "-c", "hpcc", "sim.py", "1"], "Did you mean 'hpc'?"),
        (["run", "--slurm-reservation", "r", "sim.py", "1"], "the cluster 'local' has the backend local"),
        (["run", "--partition", "short", "sim.py", "1"], "partition='short'"),
    ],
)
def test_mistakes(words: list[str], said: str, sim: Shell) -> None:
    done = sim(*words, code=2)
    assert said in done.stderr and "Traceback" not in done.stderr and not done.stdout
    at = words.index("--") if "--" in words else len(words)
    error = json.loads(sim(*words[:at], "--json", *words[at:], code=2).stdout)["error"]
    assert said in f"{error['message']} {error['hint']}"
    assert not [*Path(sim.environment["CLUSTRIX_HOME"], "outbox").glob("*")]


def test_a_file_that_raises_shows_its_own_traceback(sim: Shell) -> None:
    sim.file("bad.py", "def f(): return 1 / 0\nf()\n")
    done = sim("run", "bad.py", code=2)
    assert "bad.py cannot be loaded: ZeroDivisionError" in done.stderr
    assert 'bad.py", line 2' in done.stderr and "target.py" not in done.stderr
    assert "ZeroDivisionError" in sim.json("run", "bad.py", code=2)["error"]["traceback"]


def test_what_cannot_travel_is_named(sim: Shell) -> None:
    sim.file("held.py", "import threading\nlock = threading.Lock()\ndef main(): return lock\n")
    done = sim("run", "held.py", code=2)
    assert "'lock'" in done.stderr and sim.json("jobs") == []


def test_help_lists_the_flags_of_backends(sim: Shell) -> None:
    said = sim("run", "--help").stdout
    assert "--slurm-reservation" in said and "--ssh-slots" in said and "--password" not in said
