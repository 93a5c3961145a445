"""Checkpoints: what a call saves comes back, whole; and a call is told ahead of its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

import clustrix
from clustrix import checkpoint
from tests.unit.worker.jobdir import JobDir, by_value, interpreters
from tests.unit.worker.test_run import until

PYTHONS = interpreters()
every_python = pytest.mark.parametrize("python", PYTHONS.values(), ids=PYTHONS)


def job(tmp_path: Path, source: str, calls: Any = ((),), **spec: Any) -> JobDir:
    return JobDir(tmp_path, **spec).function(by_value(f"from clustrix_core.worker import checkpoint\n{source}"), calls)


def again(job: JobDir, round: int, **spec: Any) -> None:
    """Stage a follow-up round of all calls."""
    job.spec.update(spec)
    job.write_spec()
    (job.path / f"todo-{round}").write_text(json.dumps(list(range(job.spec["calls"]))))
    (job.path / f"claims-{round}").mkdir()


# ---------------------------------------------------------------- a file


def test_what_was_saved_last_comes_back(tmp_path: Path) -> None:
    with checkpoint.at(tmp_path / "deep" / "state"):
        assert checkpoint.load() is None and checkpoint.load((0, "")) == (0, "")
        for state in ({"step": 1}, {"step": 2, "more": [1.5, None]}):
            checkpoint.save(state)
            assert checkpoint.load() == state
    with checkpoint.at(tmp_path / "deep" / "state"):
        assert checkpoint.load()["step"] == 2
    (file,) = (tmp_path / "deep").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_arrays_come_back_and_can_be_changed(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    with checkpoint.at(tmp_path / "state"):
        checkpoint.save([numpy.arange(100_000), numpy.ones(3)])
        large, small = checkpoint.load()
        large += 1
        assert large.sum() == sum(range(1, 100_001)) and small.tolist() == [1, 1, 1]


def test_what_cannot_be_saved_leaves_what_was(tmp_path: Path) -> None:
    with checkpoint.at(tmp_path / "state"):
        checkpoint.save(1)
        with pytest.raises(Exception, match="pickle"):
            checkpoint.save((signal.getsignal, open.__self__, iter(lambda: 1, 2), (n for n in ())))
        assert checkpoint.load() == 1
    assert os.listdir(tmp_path) == ["state"]


def test_a_full_disk_leaves_what_was(tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with checkpoint.at(tmp_path / "state"):
        checkpoint.save("small")
        old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        try:
            with pytest.raises(OSError):
                checkpoint.save(b"x" * 100_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, old)
        assert checkpoint.load() == "small"
    assert os.listdir(tmp_path) == ["state"]


def test_outside_a_job_nothing_is_kept_and_no_end_is_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint.save(1)
    assert checkpoint.load("nothing") == "nothing" and not checkpoint.due()
    assert os.listdir(tmp_path) == []
    assert clustrix.checkpoint is checkpoint and not issubclass(checkpoint.Again, Exception)


# ---------------------------------------------------------------- in a job


ROUND_TRIP = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from clustrix_core.worker import checkpoint
checkpoint.listen()
with checkpoint.at(sys.argv[2]):
    assert checkpoint.load("nothing") == "nothing"
    checkpoint.save({"step": 1, "large": bytearray(100000)})
    assert checkpoint.load()["step"] == 1 and len(checkpoint.load()["large"]) == 100000
    assert not checkpoint.due()
    os.kill(os.getpid(), signal.SIGUSR1)
    assert checkpoint.due()
"""


@every_python
def test_checkpoints_work_on(python: str, tmp_path: Path) -> None:
    argv = [python, "-W", "error", "-c", ROUND_TRIP, str(JobDir(tmp_path).bundle), str(tmp_path / "state")]
    said = subprocess.run(argv, capture_output=True, text=True)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_a_call_goes_on_in_the_next_round(tmp_path: Path) -> None:
    made = job(
        tmp_path,
        "def f(x):\n"
        "    n = checkpoint.load(0)\n"
        "    checkpoint.save(n + x)\n"
        "    if n < 2 * x: raise checkpoint.Again\n"
        "    return n",
        [(1,), (10,)],
        resources={"retries": 3},
    )
    assert made.run()[0] == 0
    assert [record["kind"] for record in made.ends()] == ["again", "again"]
    again(made, 1, tries={"0": 1})
    code, _, error = made.run(round=1)
    assert (code, error) == (0, "clustrix: call 0: try 2 of 4\n")
    again(made, 2)
    assert made.run(round=2)[0] == 0
    assert {r["call"]: r["body"] for r in made.ends() if r["kind"] == "value"} == {0: 2, 1: 20}
    assert sorted(os.listdir(made.path / "checkpoints")) == ["0", "1"]


def test_a_later_attempt_takes_up_a_call_that_has_asked_for_it(tmp_path: Path) -> None:
    made = job(
        tmp_path,
        "def f():\n"
        "    n = checkpoint.load(0)\n"
        "    checkpoint.save(n + 1)\n"
        "    if not n: raise checkpoint.Again\n"
        "    return n",
    )
    assert [made.run()[0] for _ in range(3)] == [0, 0, 0]  # the third has nothing to do
    assert [record["kind"] for record in made.ends()] == ["again", "value"]


SLOW = """
import os, time
def f(where):
    open(where + "/begun", "w").close()
    while not checkpoint.due(): time.sleep(0.01)
    checkpoint.save("saved")
    raise checkpoint.Again
"""


def test_a_call_is_told_ahead_of_its_walltime(tmp_path: Path) -> None:
    made = job(tmp_path, SLOW, [(str(tmp_path),)] * 3, walltime=100, time=100, resources={"warn": 98})
    assert made.run()[0] == 0
    # The others are not begun any more.
    assert [(record["call"], record["kind"]) for record in made.ends()] == [(0, "again")]


def test_a_call_is_told_of_a_preemption(tmp_path: Path) -> None:
    made = job(tmp_path, SLOW, [(str(tmp_path),)], resources={"warn": 60})
    process = made.start()
    until((tmp_path / "begun").exists)
    process.terminate()
    assert process.communicate(timeout=20) == ("", "") and process.returncode == 143
    assert made.only()["kind"] == "again"


def test_without_warn_a_call_ends_at_the_signal(tmp_path: Path) -> None:
    made = job(tmp_path, SLOW, [(str(tmp_path),)], walltime=100)
    process = made.start()
    until((tmp_path / "begun").exists)
    process.terminate()
    assert process.communicate(timeout=20) == ("", "") and process.returncode == 143
    assert made.ends() == []


def test_processes_of_a_call_that_is_warned_can_be_ended(tmp_path: Path) -> None:
    source = (
        "import multiprocessing, time\n"
        "def f():\n"
        "    child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))\n"
        "    child.start()\n"
        "    child.terminate()\n"
        "    child.join(20)\n"
        "    return child.exitcode, checkpoint.due()\n"
    )
    made = job(tmp_path, source, resources={"warn": 60})
    assert made.run()[0] == 0 and made.only()["body"] == (-15, False)


def test_a_command_is_told_ahead_of_its_walltime(tmp_path: Path) -> None:
    line = "trap 'exit 7' USR1; while :; do sleep 0.05; done"
    made = JobDir(tmp_path, walltime=100, resources={"warn": 98}).command(line)
    assert made.run()[0] == 7 and made.only()["body"] == 7


# ---------------------------------------------------------------- exceptions of the function


FLAKY = """
def f(good):
    n = checkpoint.load(0) + 1
    checkpoint.save(n)
    if n < good: raise ValueError(n)
    return n
"""


@pytest.mark.parametrize(("retries", "kind", "body"), [(2, "value", 3), (1, "error", None)])
def test_exceptions_are_tried_again_where_that_is_asked_for(tmp_path: Path, retries: int, kind: str, body: Any) -> None:
    made = job(tmp_path, FLAKY, [(3,)], resources={"retries": retries, "retry_on": ["ERROR"]})
    _, _, error = made.run()
    record = made.only()
    assert record["kind"] == kind and (body is None or record["body"] == body)
    assert error.count("is tried again") == retries and "ValueError: 1" in error


def test_exceptions_are_not_tried_again_by_themselves(tmp_path: Path) -> None:
    made = job(tmp_path, FLAKY, [(3,)], resources={"retries": 2, "retry_on": ["FAILED"]})
    made.run()
    assert made.only()["message"] == "1"
