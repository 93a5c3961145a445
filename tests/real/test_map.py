"""Maps: many calls as one native array, whatever their number, their length and their ends."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import clustrix
from clustrix import CancelledByCaller, ClusterConfig, JobFailed, JobState, cluster
from tests.real.conftest import OTHER_WAYS

MANY = 10_000


@cluster
def square(x: int) -> int:
    return x * x


class Unlucky(Exception):
    pass


@cluster
def picky(x: int) -> int:
    if x in (0, 4321, 9999):
        raise Unlucky(x)
    return -x


@cluster
def noted(x: int, seconds: float, file: str) -> int:
    """Leave a line for each time that a call begins."""
    note(file, f"{x}\n")
    time.sleep(seconds)
    return x


def note(file: str, line: str) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(handle, line.encode())  # one write of a short line is never torn
    os.close(handle)


def begun(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_ten_thousand_tiny_calls(there: ClusterConfig) -> None:
    start = time.monotonic()
    results = square.map(range(MANY))
    assert len(results) == MANY
    assert list(results) == [x * x for x in range(MANY)]
    assert results.done() and list(results) == [x * x for x in range(MANY)], "a second pass finds them all again"
    assert time.monotonic() - start < 60
    assert len(clustrix.jobs()) == 1, "one job, not ten thousand"


def test_three_of_ten_thousand_fail(there: ClusterConfig) -> None:
    results = picky.map(range(MANY))
    iterator = iter(results)
    arrived, failed = [], []
    while True:
        try:
            arrived.append(next(iterator))
        except StopIteration:
            break
        except Unlucky as error:
            failed.append(error.args[0])
            assert "in picky" in error.remote_traceback  # type: ignore[attr-defined]
    assert failed == [0, 4321, 9999]
    assert arrived == [-x for x in range(MANY) if x not in failed]
    with pytest.raises(Unlucky):
        results.results()
    again = clustrix.get_job(results.id)
    assert len(again) == MANY
    assert [done.index for done in again.as_completed() if done.exception()] != []


def test_a_call_that_raises_stop_iteration_stops_nobody(there: ClusterConfig) -> None:
    def careless(x: int) -> int:
        return x if x else next(iter(()))

    results = iter(cluster(careless).map([1, 0, 2]))
    assert next(results) == 1
    with pytest.raises(RuntimeError, match="StopIteration"):
        next(results)
    assert list(results) == [2]


def test_return_exceptions(there: ClusterConfig) -> None:
    found = list(picky.options(return_exceptions=True).map([1, 0, 2]))
    assert found[::2] == [-1, -2] and type(found[1]) is Unlucky and found[1].args == (0,)
    assert found[1].remote_traceback


def test_what_is_mapped_over(there: ClusterConfig) -> None:
    def generate() -> Iterator[int]:
        yield from (3, 1, 2)

    def power(base: int, exponent: int, *, modulus: int | None = None, shift: int = 0) -> int:
        return pow(base, exponent, modulus) + shift

    over_a_generator = square.map(generate())
    several = cluster(power).map([2, 3, 4, 5], (n for n in (10, 10, 10)), modulus=1000, shift=1)
    words = cluster(str.upper).map({"ß": 1, "é": 2})
    nothing, empty = square.map([]), square.map(iter(()), range(3))
    assert list(over_a_generator) == [9, 1, 4]
    assert list(several) == [25, 50, 577] and len(several) == 3
    assert list(words) == ["SS", "É"]
    for one in (nothing, empty):
        assert len(one) == 0 and list(one) == [] and one.done() and list(one.as_completed()) == []
        assert one.id == "" and not one.cancel() and one.results() == []
    assert list(square.map([7])) == [49]
    assert len(clustrix.jobs()) == 4, "no job for an empty map"


def test_as_completed(there: ClusterConfig, shared: Path) -> None:
    release = shared / "go"

    @cluster
    def waits(x: int, file: str) -> int:
        if x == 0:
            while not os.path.exists(file):
                time.sleep(0.02)
        if x == 3:
            raise Unlucky(x)
        return x

    results = waits.map(range(6), file=str(release))
    arrived = []
    for done in results.as_completed(timeout=60):
        arrived.append(done.index)
        if done.index == 3:
            assert isinstance(done.exception(), Unlucky)
            with pytest.raises(Unlucky):
                done.result()
        else:
            assert done.result() == done.index and done.exception() is None
        if len(arrived) == 5:
            release.touch()
    assert arrived[-1] == 0 and sorted(arrived) == list(range(6))
    with pytest.raises(Unlucky):
        results.results()

    slow = waits.map([0], file=str(shared / "never"))
    with pytest.raises(TimeoutError):
        next(slow.as_completed(timeout=0.3))
    assert slow.cancel()


def test_results_arrive_in_order_while_others_run(there: ClusterConfig, shared: Path) -> None:
    release = shared / "go"

    @cluster
    def waits(x: int, file: str) -> int:
        while x == 3 and not os.path.exists(file):
            time.sleep(0.02)
        return x

    results = iter(waits.map(range(4), file=str(release)))
    assert [next(results), next(results), next(results)] == [0, 1, 2]
    release.touch()
    assert list(results) == [3]


def test_cancel_in_the_middle(there: ClusterConfig, shared: Path, request: pytest.FixtureRequest) -> None:
    file = shared / "begun"
    results = noted.options(name="halfway").map(range(2000), seconds=0.2, file=str(file))
    first = next(iter(results))
    assert first == 0
    assert results.cancel()
    assert results.done() and results.cancelled()
    kinds = Counter(type(done.exception()).__name__ for done in results.as_completed())
    assert set(kinds) == {"NoneType", "CancelledByCaller"} and kinds.total() == 2000
    assert 1 <= kinds["NoneType"] < 1000
    with pytest.raises(CancelledByCaller):
        results.results()
    assert not results.cancel(), "it is over"
    # Gone on the cluster: nothing begins any more.
    time.sleep(2)
    count = len(begun(file))
    time.sleep(1.5)
    assert len(begun(file)) == count < 2000
    again = clustrix.get_job(results.id)
    found = Counter(type(done.exception()).__name__ for done in again.as_completed())
    assert set(found) == set(kinds) and found["NoneType"] >= kinds["NoneType"]


def test_very_uneven_calls(there: ClusterConfig, shared: Path) -> None:
    file, go = shared / "begun", shared / "go"

    @cluster
    def uneven(x: int, file: str, go: str) -> int:
        note(file, f"{x}\n")
        deadline = time.monotonic() + 60
        while x == 0 and not os.path.exists(go) and time.monotonic() < deadline:
            time.sleep(0.05)
        return x

    arrived = []
    for done in uneven.options(max_parallel=4).map(range(200), file=str(file), go=str(go)).as_completed():
        arrived.append(done.index)
        if len(arrived) == 199:
            go.touch()  # nothing waits behind the long one: all others are back while it runs
    assert arrived[-1] == 0 and sorted(arrived) == list(range(200))
    assert sorted(begun(file)) == list(range(200)), "each call once"


def test_chunk_and_max_parallel(there: ClusterConfig, shared: Path) -> None:
    @cluster
    def busy(x: int, directory: str) -> tuple[int, int]:
        path = os.path.join(directory, f"running-{x}")
        open(path, "w").close()
        time.sleep(0.05)
        together = sum(name.startswith("running-") for name in os.listdir(directory))
        os.unlink(path)
        return together, os.getpid()

    found = list(busy.options(max_parallel=2).map(range(24), directory=str(shared)))
    assert max(together for together, _ in found) <= 2
    assert len({pid for _, pid in found}) <= 2
    alone = list(busy.options(max_parallel=1, chunk=5).map(range(10), directory=str(shared)))
    assert [together for together, _ in alone] == [1] * 10 and len({pid for _, pid in alone}) == 1
    assert list(square.options(chunk=3).map(range(50))) == [x * x for x in range(50)]
    assert list(square.options(chunk=1000).map(range(50))) == [x * x for x in range(50)]


def test_calls_share_nothing_but_their_process(there: ClusterConfig) -> None:
    def appends(x: int, seen: list[int]) -> int:
        seen.append(x)
        return len(seen)

    assert list(cluster(appends).map([1, 2, 3, 4], [[], [], [], []])) == [1, 1, 1, 1]
    mine: list[int] = []
    assert list(cluster(appends).map([1, 2, 3, 4], seen=mine)) == [1, 1, 1, 1] and mine == []


def test_a_call_that_kills_its_process(there: ClusterConfig) -> None:
    @cluster
    def deadly(x: int) -> int:
        if x == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        if x == 30:
            os._exit(5)
        return x

    results = deadly.options(return_exceptions=True, max_parallel=3).map(range(60))
    found = list(results)
    lost = {x: found[x] for x in (7, 30)}
    assert [value for x, value in enumerate(found) if x not in lost] == [x for x in range(60) if x not in lost]
    assert all(type(error) is JobFailed for error in lost.values()), lost
    assert "SIGKILL" in str(lost[7]) or "signal 9" in str(lost[7])
    assert "exit code 5" in str(lost[30])
    assert results.status().state is JobState.FAILED


def test_output_of_a_map(there: ClusterConfig) -> None:
    @cluster
    def says(x: int) -> int:
        print(f"call {x}")
        return x

    results = says.options(max_parallel=2).map(range(10))
    assert results.results() == list(range(10))
    tasks = len(results.status().tasks) or 1
    lines = [line for task in range(max(tasks, 2)) for line in results.logs(task).splitlines()]
    assert sorted(lines) == sorted(f"call {x}" for x in range(10))


def test_two_maps_and_a_call_at_a_time(there: ClusterConfig) -> None:
    first, second, call = (
        square.map(range(100)),
        picky.options(return_exceptions=True).map(range(100)),
        square.submit(12),
    )
    assert call.result(60) == 144
    assert list(second)[1:] == [-x for x in range(1, 100)]
    assert list(first) == [x * x for x in range(100)]


def test_a_map_is_found_again_by_another_process(client: Callable[..., str], there: ClusterConfig) -> None:
    results = square.map(range(500))
    assert client("-c", f"import clustrix; print(sum(clustrix.get_job({results.id!r})))").strip() == str(
        sum(x * x for x in range(500))
    )
    assert sum(results) == sum(x * x for x in range(500))


@pytest.mark.parametrize("place", OTHER_WAYS, scope="session")
def test_other_ways(there: ClusterConfig) -> None:
    assert list(square.map(range(300))) == [x * x for x in range(300)]
    found = list(picky.options(return_exceptions=True).map(range(3)))
    assert type(found[0]) is Unlucky and found[1:] == [-1, -2]
