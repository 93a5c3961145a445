"""What calls report of themselves: how it is written, how it comes home, and what of it is believed."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from clustrix import report_progress
from clustrix_core import batch
from clustrix_core.errors import CommandError, ConfigError
from clustrix_core.transport.counting import Counting
from clustrix_core.worker import progress, records
from clustrix_core.worker.parts import Parts
from clustrix_core.worker.progress import Progress
from tests.unit.schedulers import JOB, cluster, handle, put
from tests.unit.worker.jobdir import KEY, JobDir, by_value, each, interpreters

PYTHONS = interpreters()
every_python = pytest.mark.parametrize("python", PYTHONS.values(), ids=PYTHONS)
SIGNER = records.Signer(bytes.fromhex(KEY), JOB)


def reported(job: JobDir) -> dict[int, tuple[Any, ...]]:
    """Return what the calls of a job have reported, without the time."""
    signer = records.Signer(bytes.fromhex(KEY), job.id)
    found = progress.read(job.path, signer)
    assert all(said.call == call and abs(time.time() - said.at) < 100 for call, said in found.items())
    return {call: said[:3] for call, said in found.items()}


def ran(job: JobDir, **options: Any) -> str:
    """Run a job that must end well, and return what it printed."""
    code, out, err = job.run(**options)
    assert (code, err) == (0, ""), [end.get("traceback") for end in job.ends()]
    return out


# -- written in a job


def script(tmp_path: Path, source: str) -> JobDir:
    """A job that runs statements: any Python may load it."""
    call = Parts([pickle.dumps(((source, {"__name__": "__main__"}), {}), 4)])
    return JobDir(tmp_path).pack(Parts([pickle.dumps((exec, {}), 4)]), [call])


@every_python
def test_the_last_report_is_written_and_few_others_on(python: str, tmp_path: Path) -> None:
    source = (
        "from clustrix import report_progress\n"
        "import os, time\n"
        "path = os.environ['CLUSTRIX_PROGRESS'].split(' ', 1)[1]\n"
        "seen, n, end = set(), 0, time.time() + 1.5\n"
        "while time.time() < end:\n"
        "    report_progress(n, None, 'step')\n"
        "    n += 1\n"
        "    with open(path) as file: seen.add(file.read())\n"
        "report_progress(n, n, u'd\\xf6ne')\n"
        "print(n, len(seen))\n"
    )
    made = script(tmp_path, source)
    calls, written = map(int, ran(made, python=python).split())
    assert calls > 1000 and written == 2
    assert reported(made) == {0: (calls, calls, "döne")}
    assert [path.name for path in made.path.glob("progress*")] == ["progress-0.0.0.1"]
    assert (made.path / "progress-0.0.0.1").stat().st_mode & 0o777 == 0o600


@every_python
def test_a_report_that_no_other_follows_is_written_while_the_call_goes_on_on(python: str, tmp_path: Path) -> None:
    source = (
        "from clustrix import report_progress\n"
        "import os, time\n"
        "report_progress(0, 3)\n"
        "report_progress(1, 3, 'this takes long')\n"
        "while not os.path.exists('gate'): time.sleep(0.05)\n"
    )
    made = script(tmp_path, source)
    process = made.start(python=python)
    try:
        began = time.monotonic()
        while reported(made) != {0: (1, 3, "this takes long")}:
            assert time.monotonic() - began < 20
            time.sleep(0.05)
    finally:
        (tmp_path / "gate").touch()
        process.communicate()


STEP = """
def step(n):
    from clustrix import report_progress
    report_progress(0, 9, "quickly followed")
    report_progress(n, 9)
"""
FORK = """
import os
pid = os.fork()
if not pid:
    step(3)
    from clustrix_core.worker import reporter
    reporter.flush()
    os._exit(0)
os.waitpid(pid, 0)
"""
CHILD = """
import multiprocessing
process = multiprocessing.get_context("fork").Process(target=step, args=(3,))
process.start()
process.join()
assert process.exitcode == 0
"""
PROGRAM = """
import subprocess, sys
code = "import sys; sys.path[:0] = %r; from clustrix import report_progress as r; r(0); r(3, 9)"
subprocess.check_call([sys.executable, "-W", "error", "-c", code % (sys.path,)])
"""


@every_python
@pytest.mark.parametrize("way", [FORK, CHILD, PROGRAM], ids=["fork", "child", "program"])
def test_any_process_of_a_call_may_report_on(python: str, way: str, tmp_path: Path) -> None:
    made = script(tmp_path, STEP + way)
    assert ran(made, python=python) == ""
    assert reported(made) == {0: (3, 9, "")}


@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver"])
def test_a_pool_reports_however_it_begins(how: str, tmp_path: Path) -> None:
    source = (
        "import concurrent.futures, multiprocessing\n"
        "def f():\n"
        "    from clustrix import report_progress\n"
        "    context = multiprocessing.get_context(%r)\n"
        "    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:\n"
        "        pool.submit(report_progress, 0, 9).result()\n"
        "        pool.submit(report_progress, 3, 9).result()\n"
    )
    made = JobDir(tmp_path).function(by_value(source % how))
    ran(made)
    assert reported(made) == {0: (3, 9, "")}


@every_python
def test_a_fork_beside_a_report_that_waits_warns_of_nothing(python: str, tmp_path: Path) -> None:
    source = (
        "from clustrix import report_progress\n"
        "import os, threading\n"
        "report_progress(0)\n"
        "report_progress(1)\n"
        "before = threading.active_count()\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    os._exit(threading.active_count())\n"
        "alone = os.waitpid(pid, 0)[1] >> 8\n"
        "print(before, alone, threading.active_count())\n"
    )
    made = script(tmp_path, source)
    assert ran(made, python=python) == "2 1 2\n"
    assert reported(made) == {0: (1, None, "")}


def test_of_a_map_each_call_reports_for_itself(tmp_path: Path) -> None:
    source = (
        "def f(x):\n"
        "    from clustrix import report_progress\n"
        "    import time\n"
        "    report_progress(x, 10, 'call %d' % x)\n"
        "    time.sleep(0.5)\n"
    )
    made = JobDir(tmp_path, width=2).function(by_value(source), each(range(4)))
    ran(made)
    found = reported(made)
    # A slot has one file, and its next call takes it over.
    assert len(found) >= 2 and found == {call: (call, 10, f"call {call}") for call in found} and max(found) == 3
    assert len(list(made.path.glob("progress-*"))) == 2


def test_a_report_that_cannot_be_written_fails_no_call(tmp_path: Path) -> None:
    source = (
        "def f():\n"
        "    from clustrix import report_progress\n"
        "    import os\n"
        "    call, path = os.environ['CLUSTRIX_PROGRESS'].split(' ', 1)\n"
        "    os.mkdir(path)\n"
        "    report_progress(1)\n"
        "    report_progress(2)\n"
        "    return 'well'\n"
    )
    made = JobDir(tmp_path).function(by_value(source))
    code, _, err = made.run()
    assert (code, made.only()["body"]) == (0, "well")
    assert err.count("progress cannot be written") == 1


def test_a_job_that_was_started_by_a_job_does_not_speak_for_it(tmp_path: Path) -> None:
    made = JobDir(tmp_path)
    path = made.path / "progress-0.0.0.1"
    code = "from clustrix import report_progress as r; r(1)"
    for job, there in (("another", False), (made.id, True)):
        env = {**os.environ, "CLUSTRIX_PROGRESS": f"0 {path}", "CLUSTRIX_JOB": job}
        made.work_dir.chmod(0o700)
        subprocess.run([sys.executable, "-c", code], env=env, check=True, umask=0o077)
        assert path.exists() == there


# -- outside of a job


def test_outside_of_a_job_it_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report_progress(3)
    report_progress(0.5, total=1, text="half")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        (-1,),
        (float("nan"),),
        (float("inf"), 1),
        ("3",),
        (None,),
        (1, -2),
        (1, "many"),
        (1, 2, None),
        (1, 2, b"x"),
        (1j,),
    ],
)
def test_but_it_looks_at_its_arguments(arguments: Any) -> None:
    with pytest.raises(ConfigError, match="report_progress: ") as raised:
        report_progress(*arguments)
    assert isinstance(raised.value, ValueError)


def test_numbers_of_any_kind_are_numbers() -> None:
    class Own:
        def __float__(self) -> float:
            return 2.5

    assert progress.checked(True, Own(), "x" * 500) == {"done": 1, "total": 2.5, "text": "x" * 120}
    assert progress.checked(10**30, None, "") == {"done": 1e30, "total": None, "text": ""}
    longest = progress.pack(
        SIGNER, "progress-0.0.0.1", {**progress.checked(1e300, 1e300, "\U0001f600" * 200), "call": 1}
    )
    assert len(longest) < progress.LONGEST


def test_how_it_is_told() -> None:
    assert str(Progress(3, 10, "", 0.0, 0)) == "3 of 10"
    assert str(Progress(0.12345678, None, "a\x1b[31m\n b", 0.0, 0)) == "0.123457: a [31m b"


# -- brought home


def line(name: str = "progress-0.0.0.1", key: str = KEY, **said: Any) -> bytes:
    said = {"done": 1, "total": 2, "text": "x", "call": 0, "at": 100.0, **said}
    return progress.pack(records.Signer(bytes.fromhex(key), JOB), name, said)


def mirrored(mirror: Path) -> dict[int, Progress]:
    return progress.read(mirror / JOB, SIGNER)


def test_reports_ride_in_the_fetch_and_only_new_ones(tmp_path: Path) -> None:
    work_dir, mirror = tmp_path / "it's a ☃ $(id)", tmp_path / "mirror"
    place = put(work_dir, handle(), {"progress-0.0.0.1": line(), "results-0.0.0.1": b"abc", "status-0.0": b"EXIT 0\n"})
    here = cluster(work_dir)
    counting = here.transport
    assert isinstance(counting, Counting)
    new = batch.fetch([handle()], mirror, here)[JOB].new
    assert sorted(new) == ["progress-0.0.0.1", "results-0.0.0.1", "status-0.0"]
    assert mirrored(mirror) == {0: Progress(1, 2, "x", 100.0, 0)}
    before = counting.received
    assert batch.fetch([handle()], mirror, here)[JOB].new == ()
    assert counting.received - before < 100
    (place / "progress-0.0.0.1").write_bytes(line(done=2))  # of the same size
    assert batch.fetch([handle()], mirror, here)[JOB].new == ("progress-0.0.0.1",)
    assert mirrored(mirror)[0].done == 2
    assert counting.runs == 3


def test_whatever_lies_there_under_that_name_costs_little(tmp_path: Path) -> None:
    work_dir, mirror = tmp_path / "work", tmp_path / "mirror"
    odd = {
        "progress-0.0.0.2": b"no end",
        "progress-0.0.0.3": b"\n",
        "progress-0.0.0.4": b"a \0 nul \\c $(id) `id` \xff\n",
        "progress-0.0.0.5": b"x" * 5000 + b"\n",
        "progress-0.0.0.6": b"two\nlines\n",
        "progress-0.0.0.7": b"E\n",
        "progress-$(id)": b"x\n",
        "progress-0.0.0.8.new": b"x\n",
    }
    place = put(work_dir, handle(), {**odd, "progress-0.0.0.1": line(), "results-0.0.0.1": b"abc"})
    (place / "progress-0.0.0.9").symlink_to("/etc/hostname")
    here = cluster(work_dir)
    for _ in range(2):
        batch.fetch([handle()], mirror, here)
        assert mirrored(mirror) == {0: Progress(1, 2, "x", 100.0, 0)}
    assert not (mirror / JOB / "progress-0.0.0.5").exists() and not (mirror / JOB / "progress-0.0.0.9").exists()
    assert (mirror / JOB / "results-0.0.0.1").read_bytes() == b"abc"


def test_a_report_that_was_not_asked_for_is_refused(tmp_path: Path) -> None:
    work_dir, mirror = tmp_path / "work", tmp_path / "mirror"
    put(work_dir, handle(), {})
    here = cluster(work_dir)
    for forged in ("fe/fedcba9876543210/progress-0.0.0.1 x", f"01/{JOB}/key x", f"01/{JOB}/../x x"):
        lie = _Lie(here.transport, f"P jobs/{forged}".encode())
        with pytest.raises(CommandError, match="was not asked for"):
            batch.fetch([handle()], mirror, cluster(work_dir, site=False, transport=lie))
    assert not mirror.exists()


class _Lie:
    """A transport whose far end adds a line of its own."""

    here = True

    def __init__(self, transport: Any, line: bytes) -> None:
        self.transport, self.line = transport, line

    def run(self, command: str, stdin: Any = (), sink: Any = None, idle: float = 60) -> Any:
        done = self.transport.run(command, stdin, None, idle)
        sink(done.stdout.replace(b"\nE\n", b"\n" + self.line + b"\nE\n"))
        return done


@pytest.mark.parametrize(
    "content",
    [
        line(key="cd" * 32),
        line(name="progress-0.0.0.2"),
        line().replace(b'"done":1', b'"done":2'),
        line()[10:],
        line()[:-9],
        b"",
        line(at=float("nan")),
        line(done="many"),
        line(done=-1),
        line(call="0"),
        line(call=None),
        line(text=3),
        line(more=1),
        line(text="x" * 3000),
        progress.pack(SIGNER, "progress-0.0.0.1", [1, 2]),  # type: ignore[arg-type]
        progress.pack(SIGNER, "progress-0.0.0.1", {}),
    ],
)
def test_what_is_forged_or_damaged_is_ignored(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "progress-0.0.0.1").write_bytes(content)
    (tmp_path / "progress-0.1.0.1").write_bytes(line(name="progress-0.1.0.1", call=1))
    assert progress.read(tmp_path, SIGNER) == {1: Progress(1, 2, "x", 100.0, 1)}
    assert progress.read(tmp_path / "nowhere", SIGNER) == {}


def test_a_later_attempt_and_a_later_round_go_before_what_is_older(tmp_path: Path) -> None:
    reports = (("0.0.0.1", 300.0), ("0.0.1.1", 200.0), ("0.0.1.2", 250.0), ("1.3.0.1", 100.0))
    for done, (run, at) in enumerate(reports):
        name = f"progress-{run}"
        (tmp_path / name).write_bytes(line(name=name, done=done, at=at))
        assert progress.read(tmp_path, SIGNER)[0].done == done


def test_a_report_is_cheap(tmp_path: Path) -> None:
    source = (
        "def f():\n"
        "    from clustrix import report_progress\n"
        "    import time\n"
        "    report_progress(0)\n"
        "    began = time.perf_counter()\n"
        "    for n in range(20000): report_progress(n, 20000, 'working')\n"
        "    return (time.perf_counter() - began) / 20000\n"
    )
    made = JobDir(tmp_path).function(by_value(source))
    ran(made)
    assert made.only()["body"] < 200e-6, "a report must not be felt in a loop"
