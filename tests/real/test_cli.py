"""The command line end to end, on this machine and on Slurm over SSH: what a person types, and what comes back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from clustrix_core import config
from clustrix_core.config import Config
from tests.real.conftest import EVERYWHERE, settings
from tests.testbeds.bed import Bed
from tests.unit.cli.conftest import Shell

pytestmark = pytest.mark.parametrize(
    "place", [place for place in EVERYWHERE if place != "ssh"], indirect=True, scope="session"
)

SIM = """\
import sys, time
from clustrix import cluster
import near

class Own(Exception):
    def __init__(self, word, *, number):
        super().__init__(word)
        self.number = number

@cluster(cores=1)
def simulate(x, y=2, *, scale=1.0):
    print("in the log", x, flush=True)
    return {"x": x, "y": y, "scale": scale, "near": near.WORD}

def fall(word):
    print("before the fall", flush=True)
    raise Own(word, number=3)

def slow(seconds):
    for tick in range(int(seconds * 5)):
        print("tick", tick, flush=True)
        time.sleep(0.2)
    return seconds

def flaky(path):
    import os
    if not os.path.exists(path):
        open(path, "w").close()
        raise OSError("not yet")
    return "at last"

def thing():
    return {1, 2}
"""


@pytest.fixture
def shell(place: str, bed: Bed | None, tmp_path: Path) -> Shell:
    """A client of its own whose default cluster is the place, with a file to run."""
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    more = {"work_dir": str(tmp_path / "work")} if place == "local" else {}
    cluster = settings(place, bed, **more)
    found = Shell(cwd, {**os.environ, "CLUSTRIX_HOME": str(tmp_path / "home"), "PYTHONUTF8": "1"})
    found.file("clustrix.yml", config.dump(Config(place, {place: cluster})))
    found.file("sim.py", SIM)
    found.file("near.py", "WORD = 'near'\n")
    return found


def until(condition: Any, patience: float = 30.0) -> Any:
    end = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.2)
    return found


def test_run_a_function(shell: Shell) -> None:
    wanted = {"x": 3, "y": "word", "scale": 1000.0, "near": "near"}
    done = shell("run", "sim.py", "3", "y=word", "scale=1e3")
    assert done.stdout == f"{wanted!r}\n"
    assert shell.json("run", "sim.py:simulate", "-1") == {"x": -1, "y": 2, "scale": 1.0, "near": "near"}
    assert shell.json("run", "sim.py:thing") == {"repr": "{1, 2}"}
    assert [job["state"] for job in shell.json("jobs", "--offline")] == ["SUCCEEDED"] * 3


def test_a_function_that_raises(shell: Shell) -> None:
    done = shell("run", "sim.py:fall", "over", code=1)
    assert not done.stdout and done.stderr.rstrip().endswith("sim.Own: over")
    assert 'sim.py", line 17, in fall' in done.stderr and "clustrix_core" not in done.stderr
    error = shell.json("run", "sim.py:fall", "over", code=1)["error"]
    assert (error["type"], error["message"]) == ("Own", "over") and "line 17, in fall" in error["traceback"]


def test_run_a_command(shell: Shell) -> None:
    done = shell("run", "--", "echo out; echo err >&2; exit 7", code=7)
    assert sorted(done.stdout.split()) == ["err", "out"]
    assert shell("run", "--", "printf", "%s|", "a b", "$HOME", "*").stdout == "a b|$HOME|*|"
    found = shell.json("run", "--name", "mine", "--", "false", code=1)
    assert found["exit_code"] == 1 and found["name"].startswith("mine-")
    shell("run", "--", "kill -9 $$", code=137)


def test_a_long_log_of_a_short_command_is_whole(shell: Shell) -> None:
    assert shell("run", "--", "seq", "500000").stdout == "".join(f"{number}\n" for number in range(1, 500_001))


def test_a_command_is_heard_while_it_runs(shell: Shell) -> None:
    argv = [sys.executable, "-m", "clustrix_core.cli", "run", "--", "echo first; sleep 5; echo last"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=shell.cwd, env=shell.environment) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "first\n"
        first = time.monotonic()
        assert running.stdout.read() == "last\n" and time.monotonic() - first > 3
    assert running.returncode == 0


def test_detached(shell: Shell) -> None:
    job = shell("run", "-d", "sim.py:slow", "25").stdout.strip()
    assert len(job) == 16
    listed = shell.json("jobs")
    assert [one["id"] for one in listed] == [job] and listed[0]["state"] in ("PENDING", "RUNNING")
    assert {"id", "name", "cluster", "state"} <= set(listed[0])
    assert "has not finished" in shell.json("result", job[:8], "--no-wait", code=4)["error"]["message"]
    assert shell("result", job[:8], "--timeout", "0.3", code=4).stderr
    followed = shell("logs", "-f", job[:8]).stdout
    assert followed == "".join(f"tick {tick}\n" for tick in range(125))
    assert shell("result", job[:8]).stdout == "25\n"
    status = until(lambda: (found := shell.json("status", job))["finished"] and found)
    assert (status["state"], status["id"]) == ("SUCCEEDED", job)
    assert shell.json("result", job, "--no-wait") == 25


def test_the_log_while_it_runs(shell: Shell) -> None:
    job = shell("run", "--detach", "sim.py:slow", "60").stdout.strip()
    until(lambda: "tick 2" in shell("logs", job).stdout)
    assert shell.json("status", job)["state"] == "RUNNING"
    assert [one["cancelled"] for one in shell.json("cancel", job)] == [True]
    assert shell.json("result", job, code=1)["error"]["type"] == "CancelledByCaller"
    assert shell.json("jobs")[0]["state"] == "CANCELLED"
    assert [one["cancelled"] for one in shell.json("cancel", job)] == [False]


def test_a_job_whose_client_is_gone_is_listed_as_it_is(shell: Shell) -> None:
    good, bad = (shell("run", "-d", *words).stdout.strip() for words in (("sim.py:slow", "1"), ("sim.py:fall", "x")))

    def states() -> Any:
        found = {one["id"]: one["state"] for one in shell.json("jobs")}
        return found if set(found.values()) <= {"SUCCEEDED", "FAILED"} else None

    assert until(states) == {good: "SUCCEEDED", bad: "FAILED"}
    assert shell.json("result", good, "--no-wait") == 1
    assert shell.json("result", bad, "--no-wait", code=1)["error"]["type"] == "Own"


def test_retry(shell: Shell, shared: Path) -> None:
    flag = shared / "flag"
    job = shell("run", "-d", "sim.py:flaky", str(flag)).stdout.strip()
    assert shell.json("result", job, code=1)["error"]["type"] == "OSError"
    found = shell.json("retry", job, "--memory", "200MB")
    assert found["id"] != job and shell("result", found["id"]).stdout == "'at last'\n"
    assert "no longer on this machine" in shell.json("retry", found["id"], code=2)["error"]["message"]
    command = shell.json("run", "-d", "--", "exit 5")["id"]
    shell("result", command, code=1)
    assert shell("retry", command, "--wait", code=1)


def test_clean(shell: Shell, bed: Bed | None, tmp_path: Path) -> None:
    shell("run", "sim.py:fall", "x", code=1)
    ended = shell.json("jobs")[0]["id"]
    running = shell("run", "-d", "sim.py:slow", "30").stdout.strip()
    work = bed.home / ".clustrix" if bed else tmp_path / "work"
    assert (work / "jobs" / ended[:2] / ended).is_dir()
    assert shell.json("clean", "--dry-run")["removed"] == [ended]
    assert shell.json("clean", "--older-than", "1h")["removed"] == []
    assert shell.json("clean", "-y") == {"removed": [ended], "dry_run": False, "not_cleaned": []}
    assert [one["id"] for one in shell.json("jobs")] == [running]
    assert not (work / "jobs" / ended[:2] / ended).exists()
    assert not (tmp_path / "home" / "results" / ended).exists()
    shell("cancel", running)


def test_a_map_is_a_list(shell: Shell) -> None:
    script = "from sim import simulate\nfrom clustrix import cluster\n"
    script += "if __name__ == '__main__':\n    print(cluster(lambda x: 10 // x).map([5, 0, 2]).id)\n"
    shell.file("many.py", script)
    done = subprocess.run(
        [sys.executable, "many.py"], capture_output=True, text=True, cwd=shell.cwd, env=shell.environment, check=True
    )
    job = done.stdout.strip()
    values = shell.json("result", job, code=1)
    assert (values[0], values[2], values[1]["error"]["type"]) == (2, 5, "ZeroDivisionError")
    told = shell("result", job, code=1)
    assert told.stdout.startswith("[2, ZeroDivisionError(") and told.stdout.endswith(", 5]\n")
    assert "ZeroDivisionError" in told.stderr
    assert shell.json("status", job)["kind"] == "map"


def test_interrupted(shell: Shell) -> None:
    argv = [sys.executable, "-m", "clustrix_core.cli", "run", "--", "echo begun; sleep 60"]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=shell.cwd, env=shell.environment
    ) as running:
        assert running.stdout is not None and running.stderr is not None
        assert running.stdout.readline() == "begun\n"
        running.send_signal(signal.SIGINT)
        said = running.stderr.read()
    assert running.returncode == 130 and "goes on without you" in said and "Traceback" not in said
    job = shell.json("jobs")[0]
    assert job["state"] == "RUNNING" and f"clustrix cancel {job['id']}" in said
    shell("cancel", job["id"])


def test_render_and_doctor(shell: Shell, place: str) -> None:
    script = shell("render", "--time", "00:05:00", "sim.py", "3").stdout
    time = {"slurm": "#SBATCH --time=00:05:00\n", "sge": "h_rt=", "pbs": "walltime=00:05:00"}
    assert script.startswith("#!/bin/") and time.get(place, "#") in script
    assert shell.json("doctor")["ok"]
    if place != "local":
        text = (shell.cwd / "clustrix.yml").read_text()
        shell.file("clustrix.yml", text + "    resources: {partition: shrot}\n")
        done = shell("doctor", code=1)
        assert "'shrot'" in done.stdout


def test_debug_shows_the_ssh_trace(shell: Shell, place: str) -> None:
    done = shell("-v", "run", "--", "true")
    assert ("clustrix.ssh" in done.stderr) is (place != "local")


def test_init_on_the_cluster(shell: Shell, place: str) -> None:
    if place == "local":
        return
    known = json.loads(shell("config", "show", "--json").stdout)["clusters"][place]
    words = ["--backend", place, "--host", known["host"], "--ssh-config", known["ssh_config"], "--file", "new.yml"]
    assert shell.json("init", "--yes", *words)["problems"] == []
    assert [*config.load(shell.cwd / "new.yml").clusters] == [known["host"]]


def test_a_cluster_that_is_out_of_reach(shell: Shell) -> None:
    shell.file("clustrix.yml", "clusters: {far: {backend: ssh, host: 127.0.0.1, port: 1}}\n")
    assert shell.json("run", "sim.py", "1", code=3)["error"]["type"] == "TransportError"
