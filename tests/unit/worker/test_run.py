"""Running tasks: every test starts real processes, as the job script does."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clustrix_core.errors import PayloadError
from clustrix_core.worker import pickling
from clustrix_core.worker.parts import Parts
from tests.unit.worker.jobdir import JobDir, by_value, each, interpreters

PYTHONS = interpreters()
every_python = pytest.mark.parametrize("python", PYTHONS.values(), ids=PYTHONS)
Make = Callable[..., JobDir]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a job of a function given as source."""

    def made(source: str, calls: Any = ((),), constants: Any = None, **spec: Any) -> JobDir:
        job = JobDir(tmp_path, f"{len(list(tmp_path.glob('jobs/*/*'))):08x}", **spec)
        return job.function(by_value(source), calls, constants)

    return made


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


# -- one call


@pytest.mark.parametrize(
    "value", [None, False, 0, "ü\0\n", b"\0" * 100_000, [[[[]]]], {1: (2, {3})}, 1 << 4000], ids=type
)
def test_a_value_comes_back_with_its_own_type(make: Make, value: Any) -> None:
    job = make("def f(x): return x", [(value,)])
    assert job.run() == (0, "", "")
    record = job.only()
    assert (record["kind"], record["body"], type(record["body"])) == ("value", value, type(value))
    assert record["peak"] > 1_000_000 and record["seconds"] >= 0 and record["host"]


def test_nan_comes_back(make: Make) -> None:
    job = make("def f(): return float('nan')")
    assert job.run()[0] == 0
    assert job.only()["body"] != job.only()["body"]
    assert "value" not in json.loads((job.path / "result.json").read_text())


def test_an_array_comes_back_beside_the_stream(make: Make) -> None:
    job = make("import numpy\ndef f(n): return {'array': numpy.arange(n), 'n': n}", [(100_000,)])
    assert job.run()[0] == 0
    record = job.only()
    assert len(record["parts"]) == 2 and record["body"]["array"].sum() == sum(range(100_000))


def test_a_100_mb_array_as_argument_or_result_costs_100_mb(make: Make) -> None:
    numpy = pytest.importorskip("numpy")
    base = make("import numpy\ndef f(): return numpy.ones(1)")
    base.run()
    used = base.only()["peak"]
    for source, args in (
        ("def f(x): return float(x.sum())", (numpy.ones(12_500_000),)),
        ("import numpy\ndef f(): return numpy.ones(12_500_000)", ()),
        ("import numpy\ndef f(): return b'x' * 100_000_000", ()),
    ):
        job = make(source, [args])
        assert job.run()[0] == 0
        assert job.only()["peak"] - used < 1.2 * 100_000_000


def test_a_function_raises_and_the_task_says_so(make: Make) -> None:
    job = make("def f(): raise KeyError('k')")
    assert job.run()[0] == 1
    record = job.only()
    assert (record["kind"], record["type"], repr(record["body"])) == ("error", "KeyError", "KeyError('k')")
    assert 'File "/home/ada/main.py", line 1, in f' in record["traceback"]


def test_the_traceback_shows_the_source_that_travelled_along(make: Make) -> None:
    source = "def f():\n    x = 1\n    raise ValueError(x)  # here\n"
    job = make(source, sources={"/home/ada/main.py": source})
    job.run()
    assert "raise ValueError(x)  # here" in job.only()["traceback"]


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("sys.exit(3)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
    ],
)
def test_what_would_end_a_process_ends_the_call_only(make: Make, statement: str, name: str) -> None:
    job = make(f"import sys\ndef f(x):\n    if x == 1: {statement}\n    return x", each(range(3)))
    assert job.run()[0] == 1
    assert [type(record["body"]).__name__ for record in job.ends()] == ["int", name, "int"]


def test_a_result_that_cannot_be_pickled_is_shown(make: Make) -> None:
    job = make("def f(): return (x for x in [1])")
    assert job.run()[0] == 1
    record = job.only()
    assert record["kind"] == "unreturnable" and "generator" in record["message"] and "<generator" in record["repr"]


def test_a_missing_module_is_named_with_the_way_out(make: Make, tmp_path: Path) -> None:
    (tmp_path / "only_here.py").write_text("def g(): pass")
    sys.path.insert(0, str(tmp_path))
    try:
        import only_here  # type: ignore[import-not-found]

        job = make("def f(x): pass", [(only_here.g,), (1,)])
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("only_here")
    assert job.run()[0] == 1
    bad, good = job.ends()
    assert good["kind"] == "value"
    assert isinstance(bad["body"], PayloadError) and isinstance(bad["body"].__cause__, ModuleNotFoundError)
    assert "'only_here'" in bad["message"] and "Python 3" in bad["message"] and "beside your script" in bad["message"]


def test_a_function_that_cannot_be_loaded_fails_every_call(tmp_path: Path) -> None:
    stream = pickle.dumps((len, {}), 4).replace(b"builtins", b"builtinz")
    job = JobDir(tmp_path, width=2).pack(Parts([stream]), [pickling.dump(((), {}))] * 3)
    assert job.run()[0] == 1
    assert [record["kind"] for record in job.ends()] == ["error"] * 3
    assert "builtinz" in job.ends()[0]["message"]


def test_a_function_of_another_python_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    job = JobDir(tmp_path).function(by_value("def f(): pass"), python=[3, 5])
    assert job.run()[0] == 1
    assert "packed by Python 3.5" in job.only()["message"] and "Set `python:`" in job.only()["message"]


def test_the_working_directory_is_the_one_asked_for(make: Make, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    job = make("import os\ndef f(): return os.getcwd()", cwd=str(tmp_path / "there"))
    job.run()
    assert job.only()["body"] == str(tmp_path / "there")


def test_the_home_directory_is_the_working_directory_otherwise(make: Make, tmp_path: Path) -> None:
    job = make("import os\ndef f(): return os.getcwd()", cwd=None)
    job.run(env={"HOME": str(tmp_path)})
    assert job.only()["body"] == str(tmp_path)


def test_a_working_directory_that_is_not_there_is_an_error(make: Make) -> None:
    job = make("def f(): return 1", cwd="/nosuch/place")
    assert job.run()[0] == 1
    assert "/nosuch/place" in job.only()["message"]


def test_what_lies_in_the_job_directory_cannot_be_imported(make: Make) -> None:
    job = make("import sys, importlib.util\ndef f(): return sys.argv, importlib.util.find_spec('intruder')", cwd=None)
    (job.path / "intruder.py").write_text("")
    job.run()
    assert job.only()["body"] == (["clustrix"], None)


def test_reading_stdin_ends_at_once(make: Make) -> None:
    job = make("import sys\ndef f(): return sys.stdin.read()")
    job.run(stdin=subprocess.PIPE)
    assert job.only()["body"] == ""


def test_output_arrives_while_the_call_runs_whatever_the_locale(make: Make) -> None:
    job = make("import sys, time\ndef f():\n    print('é', 1)\n    print('ü', file=sys.stderr)\n    time.sleep(30)")
    process = job.start(env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "é 1\n" and process.stderr.readline() == "ü\n"
    process.terminate()
    assert process.wait(10) == 143
    process.communicate()


def test_lines_of_calls_side_by_side_stay_whole(make: Make) -> None:
    job = make("def f(x):\n    for _ in range(300): print(x * 9, x)", each("abcd"), width=4)
    lines = job.run(env={"PYTHONUNBUFFERED": "1"})[1].splitlines()
    assert len(lines) == 1200 and set(lines) == {f"{x * 9} {x}" for x in "abcd"}


def test_the_functions_own_main_is_main_so_that_pools_work(make: Make) -> None:
    source = (
        "import multiprocessing\n"
        "def g(x): return x * x\n"
        "def f():\n"
        "    with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "        return pool.map(g, range(5))\n"
    )
    job = make(source)
    assert job.run()[0] == 0
    assert job.only()["body"] == [0, 1, 4, 9, 16]


def test_a_child_that_the_function_forks_does_not_go_on_in_our_place(make: Make) -> None:
    job = make(
        "import os\ndef f(x):\n    pid = os.fork()\n    if pid: os.waitpid(pid, 0)\n    return x", each(range(3))
    )
    assert job.run()[0] == 0
    assert job.values() == {0: 0, 1: 1, 2: 2}


def test_what_is_registered_for_the_end_is_called(make: Make) -> None:
    job = make("import atexit\ndef f(): atexit.register(print, 'bye')")
    assert job.run()[1] == "bye\n"


def test_the_function_may_close_its_streams(make: Make) -> None:
    job = make("import sys\ndef f(x):\n    sys.stdout.close()\n    sys.stderr = None\n    return x", each(range(2)))
    job.run()
    assert job.values() == {0: 0, 1: 1}


def test_a_summary_for_people_is_left(make: Make) -> None:
    job = make("def f(): return {'a': [1, 2.5, None]}")
    job.run()
    said = json.loads((job.path / "result.json").read_text())
    assert (said["status"], said["value"], said["scheduler_id"]) == ("succeeded", {"a": [1, 2.5, None]}, "77")
    assert said["function"] == "tests.function" and said["peak_memory"] > 1_000_000 and said["seconds"] >= 0
    assert {"host", "python", "started", "ended", "exit_code", "job", "name"} <= set(said)
    assert not list(job.path.glob("*.new"))


@pytest.mark.parametrize("value", ["{1, 2}", "'x' * 100_000", "object()", "float('inf')"])
def test_a_value_that_json_cannot_hold_or_that_is_long_is_left_out_of_the_summary(make: Make, value: str) -> None:
    job = make(f"def f(): return {value}")
    job.run()
    assert "value" not in json.loads((job.path / "result.json").read_text())


def test_the_summary_shows_the_error(make: Make) -> None:
    job = make("def f(): raise KeyError('k')")
    job.run()
    said = json.loads((job.path / "result.json").read_text())
    assert (said["status"], said["error"]) == ("failed", "KeyError: 'k'")


def test_a_result_that_cannot_be_written_ends_the_task_and_is_in_the_log(make: Make) -> None:
    job = make(
        "import resource\ndef f():\n    resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n    return 'x' * 1000"
    )
    code, _, log = job.run()
    assert code == 1 and "cannot be written" in log
    assert job.only()["kind"] == "died"


# -- many calls


def test_every_call_of_a_map_is_made_once(make: Make) -> None:
    job = make("def f(x): return x * x", each(range(200)), width=4)
    assert job.run()[0] == 0
    assert job.values() == {x: x * x for x in range(200)}
    (claim,) = [record for record in job.records() if record["kind"] == "claimed"]
    assert (claim["first"], claim["count"], claim["run"]) == (0, 200, "0.0.0.0")


def test_calls_run_side_by_side(make: Make) -> None:
    job = make("import time\ndef f(): time.sleep(1.5)", [()] * 8, width=8)
    start = time.monotonic()
    assert job.run()[0] == 0
    assert time.monotonic() - start < 8


def test_failing_calls_leave_the_others_alone(make: Make) -> None:
    job = make("def f(x):\n    if x % 50 == 7: raise ValueError(x)\n    return x", each(range(150)), width=2)
    assert job.run()[0] == 1
    assert len(job.values()) == 147
    assert [record["call"] for record in job.ends() if record["kind"] == "error"] == [7, 57, 107]


def test_no_call_sees_what_another_did_to_the_constants(tmp_path: Path) -> None:
    job = JobDir(tmp_path)
    function, constants = by_value("def f(x, seen): seen.append(x); return list(seen)"), {"seen": [0]}
    job.function(function, each([1, 2, 3]), constants)
    job.run()
    assert job.values() == {0: [0, 1], 1: [0, 2], 2: [0, 3]}


def test_large_constants_are_shared_until_a_call_writes_to_them(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    source = (
        "def f(x, big):\n    s = float(big[0, 0])\n    big[:] = x\n    return s, float(big.sum()), big.flags.aligned"
    )
    big = numpy.ones((1000, 1000))
    job = JobDir(tmp_path, width=2).function(by_value(source), each([2.0, 3.0, 4.0]), {"big": big})
    job.run()
    assert job.values() == {n: (1.0, x * 1e6, True) for n, x in enumerate([2.0, 3.0, 4.0])}


def test_a_call_that_kills_its_process_is_recorded_and_the_others_go_on(make: Make) -> None:
    source = "import os\ndef f(x):\n    if x == 3: os._exit(5)\n    if x == 6: os.kill(os.getpid(), 11)\n    return x\n"
    job = make(source, each(range(30)), width=2)
    assert job.run()[0] == 1
    died = {record["call"]: record for record in job.ends() if record["kind"] == "died"}
    assert (died[3]["exit"], died[6]["signal"]) == (5, 11) and "SIGSEGV" in died[6]["message"]
    assert len(job.values()) == 28
    assert json.loads((job.path / "result.json").read_text())["failed"] == 2


def test_processes_that_die_one_after_the_other_are_given_up(make: Make) -> None:
    job = make("import os\ndef f(x): os._exit(1)", each(range(1000)))
    code, _, log = job.run()
    assert code == 1 and "giving up" in log
    assert 5 <= len(job.ends()) <= 20


def test_a_record_that_was_begun_by_a_process_that_died_harms_no_other(make: Make) -> None:
    source = (
        "import os, glob\n"
        "def f(x, place):\n"
        "    if x == 4:\n"
        "        for path in glob.glob(place + '/results-0.0.0.1'):\n"
        "            open(path, 'ab').write(b'CLXR\\x00\\x01\\x00\\x00{')\n"
        "        os._exit(9)\n"
        "    return x\n"
    )
    job = make(source)
    job.function(by_value(source), [(x, str(job.path)) for x in range(10)])
    assert job.run()[0] == 1
    assert len(job.values()) == 9


def test_sigterm_ends_the_task_and_starts_no_further_call(make: Make) -> None:
    job = make("import time\ndef f(x):\n    print('begun', x)\n    time.sleep(30)", each(range(10)), width=2)
    process = job.start()
    assert process.stdout is not None
    process.stdout.readline(), process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 143
    process.communicate()
    assert job.ends() == []


def test_the_function_may_handle_sigterm(make: Make) -> None:
    source = (
        "import signal, sys, time\n"
        "def f():\n"
        "    signal.signal(signal.SIGTERM, lambda *_: sys.exit('checkpoint written'))\n"
        "    print('ready')\n"
        "    time.sleep(30)\n"
    )
    job = make(source)
    process = job.start()
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    assert process.wait(10) == 143
    process.communicate()
    assert repr(job.only()["body"]) == "SystemExit('checkpoint written')"


@pytest.mark.parametrize("to_all", [True, False])
def test_the_function_hears_a_signal_once_whoever_it_was_sent_to(make: Make, to_all: bool) -> None:
    source = (
        "import signal, time\n"
        "def f():\n"
        "    heard = []\n"
        "    signal.signal(signal.SIGTERM, lambda n, _: heard.append(n))\n"
        "    print('ready')\n"
        "    end = time.time() + 1.5\n"
        "    while time.time() < end: time.sleep(0.01)\n"
        "    return len(heard)\n"
    )
    job = make(source)
    process = job.start(start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()
    (os.killpg if to_all else os.kill)(process.pid, signal.SIGTERM)
    assert process.wait(10) == 143
    process.communicate()
    assert job.only()["body"] == 1


def test_every_call_begins_in_the_same_directory(make: Make) -> None:
    job = make("import os\ndef f():\n    before = os.getcwd()\n    os.chdir('/')\n    return before", [()] * 2)
    job.run()
    assert job.values() == {0: job.spec["cwd"], 1: job.spec["cwd"]}


def test_a_package_of_another_version_is_told_from_a_missing_one(make: Make, tmp_path: Path) -> None:
    (tmp_path / "here" / "shifting").mkdir(parents=True)
    (tmp_path / "there" / "shifting").mkdir(parents=True)
    (tmp_path / "here" / "shifting" / "__init__.py").write_text("")
    (tmp_path / "here" / "shifting" / "newer.py").write_text("def g(): pass")
    (tmp_path / "there" / "shifting" / "__init__.py").write_text("__version__ = '0.9'")
    sys.path.insert(0, str(tmp_path / "here"))
    try:
        import shifting.newer  # type: ignore[import-not-found]

        job = make("def f(x): pass", [(shifting.newer.g,)])
    finally:
        sys.path.remove(str(tmp_path / "here"))
        del sys.modules["shifting"], sys.modules["shifting.newer"]
    job.run(env={"PYTHONPATH": str(tmp_path / "there")})
    assert "'shifting.newer'" in job.only()["message"] and "is there (0.9), but" in job.only()["message"]


def test_other_signals_reach_the_function(make: Make) -> None:
    source = (
        "import signal, time\n"
        "def f():\n"
        "    heard = []\n"
        "    signal.signal(signal.SIGUSR1, lambda n, _: heard.append(n))\n"
        "    print('ready')\n"
        "    while not heard: time.sleep(0.01)\n"
        "    return heard\n"
    )
    job = make(source)
    process = job.start()
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGUSR1)
    assert process.wait(10) == 0
    process.communicate()
    assert job.only()["body"] == [signal.SIGUSR1]


def test_slots_end_when_their_parent_is_killed(make: Make) -> None:
    job = make(
        "import time, os\ndef f(x):\n    print(os.getpid())\n    time.sleep(0.3)\n    return x", each(range(9)), width=2
    )
    process = job.start()
    assert process.stdout is not None
    slots = [int(process.stdout.readline()) for _ in range(2)]
    process.kill()
    process.communicate()
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in slots))
    assert job.values() == {0: 0, 1: 1}


# -- attempts, rounds, walltime


def test_a_later_attempt_makes_only_the_calls_that_are_missing(make: Make) -> None:
    source = "import os\ndef f(x, n):\n    if x == 5 and n == 0: os.kill(os.getppid(), 9)\n    return x"
    job = make(source)
    for attempt in range(2):
        job.function(by_value(source), [(x, attempt) for x in range(10)])
        job.run()
    assert job.values() == {x: x for x in range(10)}
    assert {record["run"] for record in job.ends()} == {"0.0.0.1", "0.0.1.1"}


def test_a_later_attempt_of_a_finished_task_does_nothing_and_keeps_its_exit_code(make: Make) -> None:
    job = make("def f(): raise ValueError")
    assert (job.run()[0], job.run()[0]) == (1, 1)
    assert len(job.ends()) == 1


@pytest.mark.parametrize("command", [False, True])
def test_an_attempt_may_be_told_its_number(make: Make, tmp_path: Path, command: bool) -> None:
    """One that sees nothing of those before must not write to files of the same names."""
    job = JobDir(tmp_path).command("true") if command else make("def f(): return 1")
    told = {"CLUSTRIX_ATTEMPT": "1795345900"}
    assert (job.run(env=told)[0], job.run(env=told)[0]) == (0, 0)
    assert job.only()["run"] == f"0.0.1795345900.{0 if command else 1}"


def test_a_round_makes_the_calls_of_its_list(make: Make) -> None:
    job = make("def f(x): return x", each(range(10)), width=2)
    (job.path / "todo-1").write_text("[3, 8]")
    assert job.run(round=1)[0] == 0
    assert job.values() == {3: 3, 8: 8}


def test_no_call_begins_that_might_run_into_the_walltime(make: Make) -> None:
    job = make("import time\ndef f(x): time.sleep(0.5); return x", each(range(50)), time=60, walltime=6)
    start = time.monotonic()
    assert job.run()[0] == 0
    assert time.monotonic() - start < 5.5
    assert 3 <= len(job.values()) <= 10
    assert [(r["first"], r["count"]) for r in job.records() if r["kind"] == "claimed"] == [(0, 50), (0, 0)]


def test_each_slot_begins_one_call_however_short_the_time(make: Make) -> None:
    job = make("import time\ndef f(x): time.sleep(0.3); return x", each(range(50)), time=60, walltime=2, width=3)
    job.run()
    assert len(job.values()) == 3


def test_walltime_counts_from_where_the_script_says_the_task_began(make: Make) -> None:
    job = make("import time\ndef f(x): time.sleep(0.3); return x", each(range(50)), time=1, walltime=60)
    job.run(env={"CLUSTRIX_STARTED": str(int(time.time()) - 58)})
    assert len(job.values()) == 1


# -- every Python


@every_python
def test_a_command_runs_on(python: str, tmp_path: Path) -> None:
    job = JobDir(tmp_path).command("cat; pwd; echo err >&2; exit 3")
    assert job.run(python=python) == (3, f"{tmp_path}\n", "err\n")
    record = job.only()
    assert (record["kind"], record["call"], record["body"], record["run"]) == ("json", 0, 3, "0.0.0.0")
    assert json.loads((job.path / "result.json").read_text())["exit_code"] == 3


def old_job(tmp_path: Path, function: Any, calls: Any, **spec: Any) -> JobDir:
    """A job that any Python may load: protocol 4, by reference."""
    job = JobDir(tmp_path, **spec)
    packed = [Parts([pickle.dumps((args, {}), 4)]) for args in calls]
    return job.pack(Parts([pickle.dumps((function, {}), 4)]), packed)


@every_python
def test_a_builtin_function_runs_on(python: str, tmp_path: Path) -> None:
    job = old_job(tmp_path, divmod, [(7, 2), (1, 0), (bytes(10), 1)], width=2)
    code, _, log = job.run(python=python)
    assert (code, log) == (1, "")
    value, error, other = job.ends()
    assert value["body"] == (3, 1) and isinstance(error["body"], ZeroDivisionError) and error["traceback"]
    assert isinstance(other["body"], TypeError)


@every_python
def test_a_big_value_comes_back_from(python: str, tmp_path: Path) -> None:
    job = old_job(tmp_path, bytes.join, [(b"x" * 1_000_000, [b"", b"", b""])])
    assert job.run(python=python)[0] == 0
    assert job.only()["body"] == b"x" * 2_000_000


@every_python
def test_a_task_ends_on_sigterm_on(python: str, tmp_path: Path) -> None:
    job = JobDir(tmp_path).command("trap 'echo heard; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    process = job.start(python=python)
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    assert (process.wait(10), process.stdout.read()) == (143, "heard\n")
    process.communicate()
    assert job.ends() == []


@every_python
def test_every_module_of_the_worker_imports_alone_on(python: str, tmp_path: Path) -> None:
    job = JobDir(tmp_path)
    names = sorted(
        str(path.relative_to(job.bundle).with_suffix("")).replace("/", ".").replace(".__init__", "")
        for path in job.bundle.glob("clustrix_core/**/*.py")
        if path.stem != "__main__"
    )
    script = (
        "import os, sys, importlib\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "for name in sys.argv[2:]:\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        importlib.import_module(name)\n"
        "        sys.exit()\n"
        "    if os.waitpid(pid, 0)[1]: sys.exit(name)\n"
    )
    argv = [python, "-W", "error", "-c", script, str(job.bundle), *names]
    said = subprocess.run(argv, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr


def test_a_command_gets_the_signals_that_python_ignores(tmp_path: Path) -> None:
    job = JobDir(tmp_path).command("yes | head -n 1; exit 7")
    assert job.run() == (7, "y\n", "")


def test_a_command_that_was_recorded_is_not_run_again(tmp_path: Path) -> None:
    job = JobDir(tmp_path).command("echo once; exit 3")
    assert [job.run()[:2], job.run()[:2]] == [(3, "once\n"), (3, "")]


def test_a_small_job_imports_little(make: Make) -> None:
    job = make("import sys\ndef f(): return sorted(sys.modules)")
    job.run()
    heavy = {"asyncio", "concurrent.futures", "multiprocessing", "ssl", "socket", "email", "http", "urllib"}
    assert not heavy & set(job.only()["body"])
