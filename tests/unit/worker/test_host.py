"""A host without a scheduler: jobs start once, wait for cores, keep to their limits, can be asked about and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clustrix_core.worker import processes
from clustrix_core.worker.turnstile import Turnstile, give_back
from tests.unit.worker.jobdir import JobDir, by_value, each, interpreters

PYTHONS = interpreters()
every_python = pytest.mark.parametrize("python", PYTHONS.values(), ids=PYTHONS)

# What the client's job scripts do for the marker.
HEAD = """#!/bin/sh
status=status-0.$CLUSTRIX_TASK
trap : TERM
trap 'code=$?; printf "EXIT %s\\n" "$code" >$status.new && mv $status.new $status' EXIT
"""


class Host:
    """Asks the bundle what the ``local`` and ``ssh`` backends ask it."""

    def __init__(self, work_dir: Path, python: str = sys.executable) -> None:
        self.work_dir, self.python = work_dir, python
        self.jobs: list[JobDir] = []

    def job(self, script: str, head: str = HEAD, **spec: Any) -> JobDir:
        job = JobDir(self.work_dir, f"{len(self.jobs) + 1:08x}", **spec).command("true").script(head + script)
        self.jobs.append(job)
        return job

    def start(self, job: JobDir, slots: int = 2, round: int = 0, **options: Any) -> None:
        argv = job.argv("start", round, slots, python=self.python)
        said = subprocess.run(argv, cwd=job.path, capture_output=True, text=True, timeout=10, **options)
        assert (said.returncode, said.stdout, said.stderr) == (0, f"{job.id}.{round}\n", "")

    def launch(self, script: str, slots: int = 2, **spec: Any) -> JobDir:
        job = self.job(script, **spec)
        self.start(job, slots)
        return job

    def ask(self, word: str, *jobs: JobDir, round: int = 0) -> str:
        argv = jobs[0].argv(word, python=self.python)
        lines = "".join(f"{job.id} {round}\n" for job in jobs)
        said = subprocess.run(argv, cwd=self.work_dir, input=lines, capture_output=True, text=True, timeout=10)
        assert (said.returncode, said.stderr) == (0, "")
        return said.stdout

    def states(self, *jobs: JobDir) -> list[str]:
        return [line.split()[2] for line in self.ask("ps", *jobs).splitlines()]

    def kill(self, *jobs: JobDir) -> None:
        assert self.ask("kill", *jobs) == ""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    if made.jobs:
        made.kill(*made.jobs)


def until(condition: Callable[[], Any], seconds: float = 15) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
    return found


def marker(job: JobDir, task: int = 0, round: int = 0) -> str:
    path = job.path / f"status-{round}.{task}"
    return path.read_text() if path.exists() else ""


def log(job: JobDir, task: int = 0) -> str:
    path = job.path / f"log-0.{task}"
    return path.read_text() if path.exists() else ""


def gone(*pids: int) -> bool:
    return not any(processes.look(pid) for pid in pids)


def number(path: Path) -> int:
    return int(until(lambda: path.exists() and path.read_text().strip()))


# -- life


@every_python
def test_a_job_runs_to_its_end_on(python: str, tmp_path: Path) -> None:
    host = Host(tmp_path, python)
    job = host.launch("echo out $CLUSTRIX_TASK; echo err >&2; exit 4")
    until(lambda: marker(job))
    assert (marker(job), log(job)) == ("EXIT 4\n", "out 0\nerr\n")
    until(lambda: host.states(job) == ["GONE"])


@every_python
def test_a_job_can_be_seen_and_ended_on(python: str, tmp_path: Path) -> None:
    host = Host(tmp_path, python)
    one, two = host.launch("sleep 60", slots=1), host.launch("sleep 60", slots=1)
    until(lambda: host.states(one, two) == ["RUNNING", "PENDING"])
    host.kill(two, one)
    assert host.states(one, two) == ["GONE", "GONE"]
    assert (marker(one), marker(two)) == ("CANCELLED 143 cancelled\n", "CANCELLED 143 cancelled before it began\n")


@every_python
def test_limits_hold_on(python: str, tmp_path: Path) -> None:
    host = Host(tmp_path, python)
    slow = host.launch("sleep 60", walltime=1)
    eat = "import time; hold = b'x' * 300_000_000; time.sleep(60)"
    big = host.launch(f'{sys.executable} -c "{eat}"', memory=100 << 20)
    until(lambda: marker(slow) and marker(big))
    assert marker(slow) == "TIMEOUT 143 ran 1 s, asked for 1 s\n"
    word, code, reason = marker(big).strip().split(" ", 2)
    assert (word, code) == ("OUT_OF_MEMORY", "137")
    assert reason.startswith("used ") and reason.endswith(" MB, asked for 100 MB")


def test_a_pickled_function_runs_under_the_supervisor(host: Host, tmp_path: Path) -> None:
    job = JobDir(tmp_path, tasks=2).function(by_value("def f(x): return x + 1"), each(range(20)))
    run = f'{sys.executable} "{job.bundle}" run 0 "$CLUSTRIX_TASK"\n'
    job.script(HEAD + run)
    host.jobs.append(job)
    host.start(job)
    until(lambda: marker(job, 0) and marker(job, 1))
    assert (marker(job, 0), marker(job, 1)) == ("EXIT 0\n", "EXIT 0\n")
    assert job.values() == {x: x + 1 for x in range(20)}


def test_the_job_outlives_whoever_started_it_and_its_session(host: Host) -> None:
    job = host.job("sleep 0.5; echo done")
    argv = [sys.executable, str(job.bundle), "start", "0", "2"]
    with subprocess.Popen(argv, cwd=job.path, start_new_session=True, stdout=subprocess.PIPE) as starter:
        assert starter.communicate(timeout=10)[0]
        try:
            os.killpg(starter.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    until(lambda: marker(job))
    assert (marker(job), log(job)) == ("EXIT 0\n", "done\n")


def test_starting_again_does_not_run_it_again(host: Host) -> None:
    job = host.launch("echo once; sleep 0.3")
    host.start(job)
    until(lambda: marker(job))
    until(lambda: host.states(job) == ["GONE"])
    host.start(job)
    time.sleep(0.2)
    assert log(job) == "once\n" and host.states(job) == ["GONE"]


def test_many_who_start_it_at_once_start_it_once(host: Host) -> None:
    job = host.job("echo once; sleep 0.2")
    argv = job.argv("start", 0, 2)
    starters = [subprocess.Popen(argv, cwd=job.path, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    assert {starter.communicate(timeout=10)[0] for starter in starters} == {f"{job.id}.0\n"}
    until(lambda: marker(job))
    until(lambda: host.states(job) == ["GONE"])
    assert log(job) == "once\n"


def test_asking_at_every_moment_never_takes_the_lock_from_anybody(host: Host) -> None:
    job = host.job("sleep 0.3")
    asker = (
        "import fcntl, os, time\n"
        "end = time.time() + 1.0\n"
        "while time.time() < end:\n"
        "    try: fd = os.open('supervisor-0', os.O_RDWR)\n"
        "    except OSError: continue\n"
        "    try: fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)\n"
        "    except OSError: pass\n"
        "    os.close(fd)\n"
    )
    with subprocess.Popen([sys.executable, "-c", asker], cwd=job.path):
        time.sleep(0.1)
        host.start(job)
    until(lambda: marker(job))


def test_jobs_that_were_never_started_are_gone(host: Host) -> None:
    job = host.job("true")
    assert host.ask("ps", job) == f"{job.id} 0 GONE\n"


def test_rounds_are_jobs_of_their_own(host: Host) -> None:
    job = host.launch("true")
    until(lambda: marker(job))
    job.script(HEAD.replace("status-0", "status-1") + "echo second", round=1)
    host.start(job, round=1)
    until(lambda: marker(job, round=1))
    assert (job.path / "log-1.0").read_text() == "second\n"


def test_a_script_without_a_marker_gets_one(host: Host) -> None:
    jobs = [host.job("exit 7", head=""), host.job("kill -9 $$", head=""), host.job("", head="")]
    (jobs[2].path / "job-0.sh").unlink()
    for job in jobs:
        host.start(job)
    until(lambda: all(marker(job) for job in jobs))
    assert [marker(job) for job in jobs] == ["EXIT 7\n", "EXIT 137\n", "EXIT 127\n"] or marker(jobs[2]) == "EXIT 2\n"


def test_a_job_without_a_spec_is_an_error_that_says_so(host: Host) -> None:
    job = host.job("true")
    (job.path / "spec.json").unlink()
    said = subprocess.run(job.argv("start", 0, 1), cwd=job.path, capture_output=True, text=True)
    assert said.returncode != 0 and "has not started" in said.stderr
    assert "spec.json" in log(job)
    job.write_spec()


def test_what_a_script_leaves_behind_is_ended(host: Host, tmp_path: Path) -> None:
    job = host.launch(f"sleep 60 & echo $! >{tmp_path}/left; exit 0")
    until(lambda: marker(job) and host.states(job) == ["GONE"])
    assert marker(job) == "EXIT 0\n" and gone(number(tmp_path / "left"))


# -- sharing the host


def test_cores_are_shared_and_first_come_is_first_served(host: Host, tmp_path: Path) -> None:
    line = f"echo begin $CLUSTRIX_NUMBER >>{tmp_path}/order; sleep 0.3; echo end >>{tmp_path}/order"
    jobs = []
    for count, cores in enumerate((1, 2, 1, 1)):
        jobs.append(host.launch(line.replace("$CLUSTRIX_NUMBER", str(count)), cores=cores))
        time.sleep(0.1)
    until(lambda: all(marker(job) for job in jobs))
    words = (tmp_path / "order").read_text().split()
    # The last two begin side by side.
    assert [word for word in words if word.isdigit()][:2] == ["0", "1"]
    assert words[:4] == ["begin", "0", "end", "begin"]


def test_never_more_at_once_than_there_are_slots(host: Host, tmp_path: Path) -> None:
    line = f"echo + >>{tmp_path}/trace; sleep 0.1; echo - >>{tmp_path}/trace"
    jobs = [host.launch(line, slots=3, tasks=tasks) for tasks in (4, 1, 3, 1)]
    until(lambda: all(marker(job, task) for job in jobs for task in range(job.spec["tasks"])))
    busy, most = 0, 0
    for sign in (tmp_path / "trace").read_text().split():
        busy += 1 if sign == "+" else -1
        most = max(most, busy)
    assert (busy, most) == (0, 3)


def test_max_parallel_bounds_the_calls_at_once(host: Host, tmp_path: Path) -> None:
    line = f"echo + >>{tmp_path}/trace; sleep 0.15; echo - >>{tmp_path}/trace"
    job = host.launch(line, slots=8, tasks=4, width=2, max_parallel=2)
    until(lambda: all(marker(job, task) for task in range(4)))
    assert (tmp_path / "trace").read_text().split() == ["+", "-"] * 4


def test_a_task_that_wants_more_than_there_is_runs_alone(host: Host) -> None:
    job = host.launch("true", slots=2, cores=16)
    until(lambda: marker(job))
    assert marker(job) == "EXIT 0\n"


def test_waiting_costs_next_to_nothing(host: Host) -> None:
    first = host.launch("sleep 60", slots=1)
    waiting = [host.launch("true", slots=1) for _ in range(3)]
    until(lambda: host.states(first, *waiting) == ["RUNNING"] + ["PENDING"] * 3)
    pids = [int((job.path / "supervisor-0").read_text().split()[0]) for job in waiting]

    def spent() -> float:
        words = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
        return sum(int(w[11]) + int(w[12]) for w in words) / os.sysconf("SC_CLK_TCK")

    time.sleep(1)
    before = spent()
    time.sleep(2)
    assert spent() - before <= 0.1


def test_slots_are_free_again_when_a_supervisor_is_killed(host: Host) -> None:
    job = host.launch("sleep 60", slots=1)
    until(lambda: host.states(job) == ["RUNNING"])
    os.kill(int((job.path / "supervisor-0").read_text().split()[0]), signal.SIGKILL)
    until(lambda: host.states(job) == ["GONE"])
    other = host.launch("true", slots=1)
    until(lambda: marker(other))


def test_slots_are_taken_all_or_kept_for_later(tmp_path: Path) -> None:
    one, two = Turnstile(str(tmp_path), 3), Turnstile(str(tmp_path), 3)
    held = one.take(2)
    assert len(held) == 2
    assert two.take(2) == []
    assert one.take(1) == []
    give_back(held[:1])
    got = two.take(2)
    assert len(got) == 2
    give_back(held[1:] + got)
    assert len(one.take(3)) == 3


# -- limits


def test_memory_counts_all_processes_of_a_task(host: Host) -> None:
    eat = f"{sys.executable} -c \"import time; hold = b'x' * 80_000_000; time.sleep(60)\""
    job = host.launch(f"{eat} & setsid {eat} & wait", memory=120 << 20)
    until(lambda: marker(job))
    assert marker(job).startswith("OUT_OF_MEMORY 137 used ")


def test_pages_that_processes_share_count_once(host: Host) -> None:
    share = "import os, time; hold = b'x' * 80_000_000\n[os.fork() for _ in range(3)]\ntime.sleep(1.2)"
    job = host.launch(f"{sys.executable} -c '{share.replace(chr(39), chr(34))}'", memory=160 << 20)
    until(lambda: marker(job))
    assert marker(job) == "EXIT 0\n"


def test_memory_is_that_of_one_call_times_the_width(host: Host) -> None:
    eat = f"{sys.executable} -c \"import time; hold = b'x' * 80_000_000; time.sleep(0.5)\""
    job = host.launch(eat, memory=50 << 20, width=2)
    until(lambda: marker(job))
    assert marker(job) == "EXIT 0\n"


def test_walltime_counts_from_the_start_of_the_task_not_from_its_waiting(host: Host) -> None:
    first, second = host.launch("sleep 1.2", slots=1), host.launch("sleep 0.3", slots=1, walltime=1)
    until(lambda: marker(first) and marker(second))
    assert marker(second) == "EXIT 0\n"


def test_a_timeout_ends_the_whole_family_within_its_patience(host: Host, tmp_path: Path) -> None:
    stubborn = "import os, signal, sys, time; os.setsid(); signal.signal(15, lambda *_: None)\n"
    stubborn += "open(sys.argv[1], 'w').write(str(os.getpid()))\nwhile True: time.sleep(1)"
    (tmp_path / "stubborn.py").write_text(stubborn)
    orphan = f"{sys.executable} {tmp_path}/stubborn.py {tmp_path}/a"
    job = host.launch(f"({orphan} &) \n sleep 60 & echo $! >{tmp_path}/b; sleep 60; echo no", walltime=1)
    start = time.monotonic()
    pids = [number(tmp_path / "a"), number(tmp_path / "b")]
    until(lambda: marker(job))
    assert marker(job).startswith("TIMEOUT 143 ") and 1 <= time.monotonic() - start < 5
    assert gone(*pids) and log(job) == ""


def test_one_task_over_its_limit_leaves_the_others_alone(host: Host) -> None:
    job = host.launch('[ "$CLUSTRIX_TASK" = 1 ] && sleep 60; sleep 0.1', tasks=3, walltime=1, slots=3)
    until(lambda: all(marker(job, task) for task in range(3)))
    assert [marker(job, task).split()[0] for task in range(3)] == ["EXIT", "TIMEOUT", "EXIT"]


# -- ending


def test_killing_ends_everything_within_five_seconds(host: Host, tmp_path: Path) -> None:
    line = f"trap '' TERM; (setsid sleep 61 & echo $! >{tmp_path}/a); sleep 62 & echo $! >{tmp_path}/b; sleep 63"
    jobs = [host.launch(line, slots=1), host.launch("true", slots=1), host.job("true")]
    pids = [number(tmp_path / "a"), number(tmp_path / "b")]
    start = time.monotonic()
    host.kill(*jobs)
    assert time.monotonic() - start < 5.5
    assert [marker(job).split()[0] for job in jobs] == ["CANCELLED"] * 3
    assert gone(*pids)


def test_what_was_killed_before_it_started_never_runs(host: Host) -> None:
    job = host.job("echo no")
    host.kill(job)
    host.start(job)
    until(lambda: host.states(job) == ["GONE"])
    assert marker(job).startswith("CANCELLED 143") and log(job) == ""


def test_killing_a_job_that_is_over_changes_nothing(host: Host) -> None:
    job = host.launch("exit 3")
    until(lambda: marker(job))
    until(lambda: host.states(job) == ["GONE"])
    host.kill(job)
    assert marker(job) == "EXIT 3\n"


def test_killing_keeps_the_markers_of_tasks_that_are_over(host: Host) -> None:
    job = host.launch('[ "$CLUSTRIX_TASK" = 0 ] || sleep 60', tasks=3, slots=2)
    until(lambda: marker(job, 0))
    host.kill(job)
    assert [marker(job, task).split()[0] for task in range(3)] == ["EXIT", "CANCELLED", "CANCELLED"]


def test_killing_ends_what_a_dead_supervisor_has_left(host: Host, tmp_path: Path) -> None:
    job = host.launch(f"sleep 60 & echo $! >{tmp_path}/a; wait")
    pid = number(tmp_path / "a")
    os.kill(int((job.path / "supervisor-0").read_text().split()[0]), signal.SIGKILL)
    until(lambda: host.states(job) == ["GONE"])
    assert not gone(pid) and not marker(job)
    host.kill(job)
    assert gone(pid) and marker(job) == "CANCELLED 143 cancelled\n"


def test_killing_a_supervisor_that_does_not_listen_works_all_the_same(host: Host) -> None:
    job = host.launch("sleep 60")
    until(lambda: host.states(job) == ["RUNNING"])
    os.kill(int((job.path / "supervisor-0").read_text().split()[0]), signal.SIGSTOP)
    host.kill(job)
    assert marker(job) == "CANCELLED 143 cancelled\n" and host.states(job) == ["GONE"]


def test_a_job_of_the_same_name_in_another_work_dir_is_another_job(tmp_path: Path) -> None:
    # Its processes have left the session and lost their parent: their mark alone tells whose they are.
    hosts = [Host(tmp_path / name) for name in "ab"]
    jobs = [host.launch(f"(setsid sleep 60 & echo $! >{host.work_dir}/pid); sleep 60") for host in hosts]
    pids = [number(host.work_dir / "pid") for host in hosts]
    hosts[0].kill(jobs[0])
    assert gone(pids[0]) and not gone(pids[1]) and not marker(jobs[1])
    hosts[1].kill(jobs[1])
    assert gone(pids[1])


def test_killing_unknown_jobs_is_no_error(host: Host) -> None:
    job = host.job("true")
    stranger = JobDir(host.work_dir / "elsewhere", "ffffffff")
    assert host.ask("kill", stranger, job) == ""


def test_sigterm_to_the_supervisor_cancels(host: Host) -> None:
    running, waiting = host.launch("sleep 60", slots=1), host.launch("sleep 60", slots=1)
    until(lambda: host.states(running, waiting) == ["RUNNING", "PENDING"])
    for job in (waiting, running):
        os.kill(int((job.path / "supervisor-0").read_text().split()[0]), signal.SIGTERM)
    until(lambda: marker(running) and marker(waiting))
    assert marker(running).startswith("CANCELLED") and marker(waiting).startswith("CANCELLED")


def test_a_job_started_by_a_job_does_not_end_with_it(host: Host) -> None:
    inner = host.job("sleep 1; echo inner")
    start = " ".join(inner.argv("start", 0, 4))
    outer = host.launch(f"(cd {inner.path} && {start}); sleep 0.2", slots=4)
    until(lambda: marker(outer))
    until(lambda: marker(inner))
    assert log(inner) == "inner\n" and marker(inner) == "EXIT 0\n"


@every_python
def test_cores_and_memory_are_told_on(python: str, tmp_path: Path) -> None:
    job = JobDir(tmp_path)
    said = subprocess.run(job.argv("cores", python=python), capture_output=True, text=True, check=True)
    cores, memory = (int(word) for word in said.stdout.split())
    assert 1 <= cores <= (os.cpu_count() or 1) and memory > 100 << 20


def test_processes_are_found_with_ps_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as child:
        try:
            monkeypatch.setattr(processes, "_PROC", False)
            family = processes.Family(child.pid, "none")
            assert 0 < family.memory() < 50 << 20 and set(family.scan()) == {child.pid}
            assert processes.look(os.getpid()) is not None and processes.look(1 << 30) is None
            processes.end([family])
        finally:
            child.kill()
        assert child.wait() == -signal.SIGKILL
