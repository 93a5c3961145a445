"""Claims: tasks share calls out among themselves, each call to one, and nobody idles while others have a queue."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clustrix_core.worker import claims
from clustrix_core.worker.claims import Own, Shared, blocks
from tests.unit.worker.jobdir import JobDir, by_value, each


@given(st.integers(0, 3000), st.integers(1, 200), st.none() | st.integers(1, 100))
def test_blocks_cover_all_calls_and_shrink(count: int, slots: int, chunk: int | None) -> None:
    starts = blocks(count, slots, chunk)
    sizes = [end - start for start, end in itertools.pairwise(starts)]
    assert (starts[0], starts[-1]) == (0, count) and all(size > 0 for size in sizes)
    assert sizes == sorted(sizes, reverse=True) and max(sizes, default=0) <= (chunk or claims.LARGEST)
    if chunk:
        assert set(sizes[:-1]) <= {chunk}
    elif sizes:
        assert sizes[-1] == 1 and (sizes[0] <= max(1, count // slots))


def shared(
    place: Path, calls: Any, task: int = 0, tasks: int = 3, width: int = 1, attempt: int = 0, chunk: int | None = None
) -> tuple[Shared, list[tuple[int, int]]]:
    told: list[tuple[int, int]] = []
    return Shared(str(place), calls, (tasks, width), lambda *claim: told.append(claim), task, attempt, chunk), told


def drain(queue: Shared | Own) -> list[int]:
    found = []
    while (call := queue.take()) is not None:
        found.append(call)
    return found


@given(st.lists(st.integers(0, 10_000), unique=True, max_size=60), st.integers(1, 5), st.integers(1, 4), st.randoms())
@settings(max_examples=40)
def test_any_order_of_taking_gives_every_call_once(
    tmp_path_factory: pytest.TempPathFactory, calls: list[int], tasks: int, width: int, order: random.Random
) -> None:
    place = tmp_path_factory.mktemp("claims")
    queues = [shared(place, calls, task, tasks, width)[0] for task in range(tasks)]
    found = []
    for _ in range(30 * (len(calls) + tasks)):
        queue = order.choice(queues)
        if order.random() < 0.1:
            queue._look_again = 0.0
            queue.tend(0.0)
        elif order.random() < 0.02:
            queue.leave()
        call = queue.take()
        found += [] if call is None else [call]
        queue._look_again = 0.0
    if all(queue.over for queue in queues):
        stranger, _ = shared(place, calls, tasks, tasks, width)
        found += drain(stranger)
    assert len(found) == len(set(found)) and set(found) <= set(calls)


def test_a_task_that_is_alone_creates_no_files_and_skips_what_is_done() -> None:
    queue = Own(range(6), done={2: "value"})
    assert drain(queue) == [0, 1, 3, 4, 5] and queue.over


def test_what_is_claimed_is_told_before_it_is_taken(tmp_path: Path) -> None:
    queue, told = shared(tmp_path, range(100), tasks=2, width=4)
    assert queue.take() == 0
    assert told == [(0, 3)]


def test_a_held_block_is_opened_for_the_hungry_and_for_them_alone(tmp_path: Path) -> None:
    holder, _ = shared(tmp_path, range(4), 0, 2, chunk=4)
    assert holder.take() == 0
    holder._look_again = 0.0
    holder.tend(0.0)
    assert not list(tmp_path.glob("o*"))
    hungry, told = shared(tmp_path, range(4), 1, 2, chunk=4)
    assert hungry.take() is None and not hungry.over
    holder._look_again = 0.0
    holder.tend(0.0)
    assert [path.name for path in tmp_path.glob("o*")] == ["o0.1"]
    hungry._look_again = 0.0
    assert hungry.take() == 3 and told == [(3, 1)]
    assert drain(holder) == [1, 2]
    hungry._look_again = 0.0
    assert hungry.take() is None and hungry.over


def test_the_hungry_wait_for_those_who_may_still_share(tmp_path: Path) -> None:
    holder, _ = shared(tmp_path, range(2), 0, 2, chunk=2)
    holder.take()
    hungry, _ = shared(tmp_path, range(2), 1, 2, chunk=2)
    for _ in range(3):
        hungry._look_again = 0.0
        assert hungry.take() is None and not hungry.over


def test_a_holder_that_is_silent_for_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder, _ = shared(tmp_path, range(2), 0, 2, chunk=2)
    holder.take()
    hungry, _ = shared(tmp_path, range(2), 1, 2, chunk=2)
    assert hungry.take() is None
    monkeypatch.setattr(claims, "_PATIENCE", -1.0)
    hungry._look_again = 0.0
    assert hungry.take() is None and hungry.over


def test_who_leaves_gives_back_what_it_holds(tmp_path: Path) -> None:
    leaver, _ = shared(tmp_path, range(5), 0, 2, chunk=5)
    assert leaver.take() == 0
    leaver.leave()
    assert leaver.take() is None
    other, _ = shared(tmp_path, range(5), 1, 2, chunk=5)
    assert sorted(drain(other)) == [1, 2, 3, 4] and other.over


def test_a_later_attempt_takes_up_what_the_earlier_had_claimed(tmp_path: Path) -> None:
    first, _ = shared(tmp_path, range(10, 20), 0, 2, chunk=5)
    assert [first.take() for _ in range(3)] == [10, 11, 12]
    other, _ = shared(tmp_path, range(10, 20), 1, 2, chunk=5)
    assert other.take() == 15
    again, told = shared(tmp_path, range(10, 20), 0, 2, attempt=1, chunk=5)
    again.take_over({10: "value", 11: "error"})
    assert [again.take() for _ in range(3)] == [12, 13, 14]
    assert told == [(2, 1), (3, 1), (4, 1)]


def test_a_later_attempt_takes_up_open_calls_too_but_not_those_of_others(tmp_path: Path) -> None:
    first, _ = shared(tmp_path, range(6), 0, 2, chunk=6)
    first.take()
    thief, _ = shared(tmp_path, range(6), 1, 2, chunk=6)
    thief.take()
    first._look_again = thief._look_again = 0.0
    first.tend(0.0)
    assert (thief.take(), first.take()) == (5, 1)
    again, _ = shared(tmp_path, range(6), 0, 2, attempt=1, chunk=6)
    again.take_over({0: "value"})
    assert sorted(drain(again)) == [1, 2, 3, 4]


COMPETITOR = (
    "import sys, time, json\n"
    "sys.path.insert(0, sys.argv[1])\n"
    "from clustrix_core.worker.claims import Shared\n"
    "task, tasks, calls, slow = map(int, sys.argv[3:7])\n"
    "while time.time() < float(sys.argv[7]): pass\n"
    "queue = Shared(sys.argv[2], range(calls), (tasks, 1), lambda *claim: None, task)\n"
    "made = []\n"
    "while not queue.over:\n"
    "    call = queue.take()\n"
    "    if call is None:\n"
    "        time.sleep(max(0, (queue.due or 0) - time.monotonic()))\n"
    "        continue\n"
    "    made.append(call)\n"
    "    if call < slow: time.sleep(0.02)\n"
    "    queue.tend(0.0)\n"
    "print(json.dumps(made))\n"
)


@pytest.mark.parametrize(("calls", "slow"), [(2000, 0), (50, 50), (300, 40), (5, 0), (0, 0)])
def test_eight_processes_make_every_call_once(tmp_path: Path, calls: int, slow: int) -> None:
    job = JobDir(tmp_path)
    begin = str(time.time() + 0.5)
    argv = [sys.executable, "-c", COMPETITOR, str(job.bundle), str(job.path / "claims-0")]
    words = [[str(task), "8", str(calls), str(slow), begin] for task in range(8)]
    running = [subprocess.Popen([*argv, *word], stdout=subprocess.PIPE) for word in words]
    made = [json.loads(process.communicate(timeout=60)[0]) for process in running]
    assert sorted(call for calls in made for call in calls) == list(range(calls))


def test_tasks_share_very_uneven_calls(tmp_path: Path) -> None:
    # The first eight calls lie in one block of one task.
    source = "import time\ndef f(x):\n    time.sleep(0.4 if x < 8 else 0)\n    return x"
    job = JobDir(tmp_path, tasks=4, chunk=16).function(by_value(source), each(range(200)))
    running = [job.start(task) for task in range(4)]
    assert [process.communicate(timeout=60)[1] for process in running] == [""] * 4
    assert job.values() == {x: x for x in range(200)}
    ends = {record["call"]: record["run"].split(".")[1] for record in job.ends()}
    assert len({ends[call] for call in range(8)}) > 2


def test_a_call_that_never_lets_go_of_the_interpreter_does_not_keep_its_block(tmp_path: Path) -> None:
    source = (
        "import ctypes\n"
        "def f(x):\n"
        "    if x == 0: ctypes.PyDLL(None).usleep(999_000)\n"  # PyDLL keeps the lock of the interpreter
        "    return x\n"
    )
    job = JobDir(tmp_path, tasks=2, chunk=10).function(by_value(source), each(range(20)))
    running = [job.start(task) for task in range(2)]
    for process in running:
        process.communicate(timeout=60)
    assert job.values() == {x: x for x in range(20)}
    by_task = [{r["call"] for r in job.ends() if r["run"].split(".")[1] == str(task)} for task in range(2)]
    slow = by_task[0] if 0 in by_task[0] else by_task[1]
    assert not set(range(1, 10)) & slow


def test_calls_of_a_task_that_was_killed_are_made_when_it_runs_again(tmp_path: Path) -> None:
    source = (
        "import os, time\n"
        "def f(x, place):\n"
        "    if x == 2 and not os.path.exists(place):\n"
        "        open(place, 'w').close()\n"
        "        os.kill(os.getppid(), 9)\n"
        "    return x\n"
    )
    job = JobDir(tmp_path, tasks=2, chunk=5)
    job.function(by_value(source), [(x, str(tmp_path / "been")) for x in range(20)])
    assert job.run(0)[0] == -9
    assert job.run(1)[0] == 0
    assert job.run(0)[0] == 0
    ends = job.ends()
    assert {record["call"] for record in ends} == set(range(20)) and len(ends) <= 21


@pytest.mark.parametrize("seed", [1, 2])
def test_no_call_is_lost_whatever_is_killed(tmp_path: Path, seed: int) -> None:
    source = "import time\ndef f(x):\n    time.sleep(0.03 + 0.1 * (x % 17 == 0))\n    return x"
    job = JobDir(tmp_path, tasks=3, width=3).function(by_value(source), each(range(400)))
    luck = random.Random(seed)
    running = {task: job.start(task) for task in range(3)}
    for _ in range(12):
        time.sleep(0.1)
        task = luck.randrange(3)
        victim = running[task].pid
        if luck.random() < 0.6:
            children = Path(f"/proc/{victim}/task/{victim}/children")
            slots = children.read_text().split()[1:] if children.exists() else []
            victim = int(luck.choice(slots)) if slots else victim
        try:
            os.kill(victim, luck.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
        except ProcessLookupError:
            pass
        if victim == running[task].pid:
            running[task].communicate(timeout=40)
            running[task] = job.start(task)
    for process in running.values():
        process.communicate(timeout=60)
    ends = job.ends()
    assert {record["call"] for record in ends} == set(range(400))
    assert all(record["body"] == record["call"] for record in ends if record["kind"] == "value")
    # Killed and recorded as such, or interrupted with their task and made once more: no others.
    assert sum(record["kind"] != "value" for record in ends) <= 12
    assert len(ends) <= 400 + 12 * 3


def test_a_late_task_finds_nothing_to_do_and_ends_at_once(tmp_path: Path) -> None:
    job = JobDir(tmp_path, tasks=3).function(by_value("def f(x): return x"), each(range(30)))
    assert job.run(0)[0] == 0
    start = time.monotonic()
    assert (job.run(2)[0], job.run(1)[0]) == (0, 0)
    assert time.monotonic() - start < 10
    assert len(job.values()) == 30


def test_calls_that_are_alike_cost_few_files(tmp_path: Path) -> None:
    queue, _ = shared(tmp_path, range(10_000), 0, 1, 24)
    assert len(drain(queue)) == 10_000
    assert len(os.listdir(tmp_path)) < 700
