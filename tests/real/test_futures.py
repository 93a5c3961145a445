"""A Job is a future: waiting, callbacks, asyncio, cancelling; the Executor does what concurrent.futures documents."""

from __future__ import annotations

import asyncio
import concurrent.futures
import multiprocessing
import os
import pwd
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import clustrix
from clustrix import CancelledByCaller, ClusterConfig, Executor, Job, JobCancelled, JobFailed, JobState, cluster
from tests.real.conftest import OTHER_WAYS
from tests.testbeds.bed import Bed


@cluster
def double(x: int) -> int:
    return 2 * x


@cluster
def fails(x: int) -> int:
    raise ValueError(x)


@cluster
def stops(x: int) -> int:
    return next(iter(range(x)))


@cluster
def waits(file: str, begun: str | None = None, value: Any = "released") -> Any:
    """Come back when a file appears."""
    if begun is not None:
        with open(begun + ".new", "w") as note:
            note.write(str(os.getpid()))
        os.rename(begun + ".new", begun)
    while not os.path.exists(file):
        time.sleep(0.02)
    return value


class Gate:
    """Jobs that run until they are let go."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.go = root / "go"
        self.count = 0

    def submit(self, value: Any = "released", **options: Any) -> Job[Any]:
        return waits.options(**options).submit(str(self.go), value=value)

    def running(self, **options: Any) -> tuple[Job[Any], int]:
        """Return a job that has begun, and the process that works on it."""
        self.count += 1
        begun = self.root / f"begun-{self.count}"
        job = waits.options(**options).submit(str(self.go), str(begun))
        wait_until(begun.exists)
        return job, int(begun.read_text())


def wait_until(true: Callable[[], Any], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """All clusters of these tests are this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


@pytest.fixture
def gate(there: ClusterConfig, shared: Path) -> Gate:
    return Gate(shared)


def test_it_is_a_future(there: ClusterConfig) -> None:
    job = double.submit(21)
    assert isinstance(job, concurrent.futures.Future) and isinstance(job, Job)
    assert job.result(timeout=60) == 42
    assert job.done() and not job.running() and not job.cancelled()
    assert job.exception() is None and job.result() == 42
    assert job.status().state is JobState.SUCCEEDED
    assert len(job.id) == 16 and job.name.startswith("double-")
    assert not job.cancel(), "it is over"
    failed = fails.submit(1)
    error = failed.exception(timeout=60)
    assert type(error) is ValueError and failed.done() and not failed.cancelled()
    with pytest.raises(ValueError) as raised:
        failed.result()
    assert raised.value is error
    wait_until(lambda: failed.status().state is JobState.FAILED)


def test_timeouts(gate: Gate) -> None:
    job = gate.submit()
    for ask in (job.result, job.exception):
        start = time.monotonic()
        with pytest.raises(concurrent.futures.TimeoutError):
            ask(timeout=0.2)
        assert time.monotonic() - start < 5
    assert not job.done()
    gate.go.touch()
    assert job.result(60) == "released"


def test_a_timeout_of_the_function_is_not_ours(there: ClusterConfig) -> None:
    @cluster
    def own() -> None:
        raise TimeoutError("the function's")

    with pytest.raises(TimeoutError, match="the function's"):
        own()


def test_wait_and_as_completed(gate: Gate) -> None:
    quick, bad, held = double.submit(1), fails.submit(2), gate.submit()
    done, pending = concurrent.futures.wait([quick, bad, held], 60, concurrent.futures.FIRST_EXCEPTION)
    assert bad in done and held in pending
    done, pending = concurrent.futures.wait([quick, held], 60, concurrent.futures.FIRST_COMPLETED)
    assert done == {quick} and pending == {held}
    arrived = []
    for job in concurrent.futures.as_completed([held, quick, bad], timeout=60):
        arrived.append(job)
        if len(arrived) == 2:
            gate.go.touch()
    assert arrived[-1] is held and set(arrived) == {quick, bad, held}


def test_callbacks(gate: Gate) -> None:
    told: list[Any] = []
    both = threading.Barrier(2)

    def tell(job: Any) -> None:
        told.append((job, job.done(), threading.current_thread() is threading.main_thread()))
        both.wait(10)

    job = gate.submit()
    job.add_done_callback(lambda _: 1 / 0)  # what a callback raises is logged and keeps nobody from hearing
    job.add_done_callback(tell)
    assert told == []
    gate.go.touch()
    both.wait(30)
    assert told == [(job, True, False)]
    job.add_done_callback(lambda job: told.append(job.result()))
    assert told[1] == "released", "at once, where it is over"


def test_a_callback_may_ask_the_cluster(there: ClusterConfig) -> None:
    seen: list[Any] = []
    over = threading.Event()

    def ask(job: Any) -> None:
        seen.extend([job.result(), job.logs(), job.status().state, double.submit(job.result())])
        over.set()

    @cluster
    def says(x: int) -> int:
        print("said")
        return x

    says.submit(4).add_done_callback(ask)
    assert over.wait(60)
    assert seen[:2] == [4, "said\n"]
    assert seen[3].result(60) == 8, "another job, sent off by the callback"


def test_a_callback_may_cancel_another(gate: Gate) -> None:
    held, _ = gate.running()
    cancelled: list[bool] = []
    over = threading.Event()

    def cancel(job: Any) -> None:
        cancelled.append(held.cancel())
        over.set()

    double.submit(1).add_done_callback(cancel)
    assert over.wait(30) and cancelled == [True]
    check_cancelled(held)


def test_many_threads_at_a_time(there: ClusterConfig) -> None:
    with concurrent.futures.ThreadPoolExecutor(12) as threads:
        assert list(threads.map(double, range(24))) == [2 * x for x in range(24)]


# -- forked children


def in_child(function: Callable[[], str]) -> str:
    """Return what a forked child of this process says; it has some seconds."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        signal.alarm(20)  # a child that waits for ever says nothing
        try:
            os.write(theirs, function().encode())
        except BaseException as error:
            os.write(theirs, f"raised {error!r}".encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with open(ours) as said:
        answer = said.read()
    os.waitpid(pid, 0)
    return answer


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("place", ["local", "ssh"], indirect=True)
def test_a_forked_child_does_not_wait_for_its_parents_jobs(gate: Gate) -> None:
    done = double.submit(1)
    assert done.result(60) == 2
    held, _ = gate.running()
    some = waits.map([str(gate.go)] * 3)
    called: list[Any] = []
    held.add_done_callback(called.append)

    def child() -> str:
        assert done.result() == 2 and done.id and done.name
        assert concurrent.futures.wait([held]).done == {held} and called == [], "callbacks are the parent's"
        for ask in (held.result, held.cancel, held.status, held.logs, done.status, some.results, some.cancel):
            error = _raised(ask)
            assert isinstance(error, clustrix.CannotTravel) and "forked" in str(error), error
        assert [type(one.exception()) for one in some.as_completed()] == [clustrix.CannotTravel] * 3
        assert isinstance(_raised(lambda: asyncio.run(asyncio.wait_for(held, 5))), clustrix.CannotTravel)
        gate.go.touch()
        return str(clustrix.get_job(held.id).result(15))  # what the error advises

    assert in_child(child) == "released"
    assert held.result(60) == "released" and some.results() == ["released"] * 3
    wait_until(lambda: called == [held])


def _outcome(job: int) -> str:
    return repr(_raised(_inherited[job].result))


_inherited: list[Job[Any]] = []


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_workers_of_multiprocessing_do_not_wait_either(gate: Gate) -> None:
    done = double.submit(1)
    assert done.result(60) == 2
    _inherited[:] = [gate.submit(), done]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        said = pool.map_async(_outcome, range(2)).get(20)
    assert "CannotTravel" in said[0] and said[1] == "None"
    gate.go.touch()
    assert _inherited.pop(0).result(60) == "released"


# -- asyncio


def test_await(there: ClusterConfig) -> None:
    async def main() -> None:
        assert await double.submit(4) == 8
        assert await asyncio.gather(*(double.submit(x) for x in range(5))) == [0, 2, 4, 6, 8]
        with pytest.raises(ValueError):
            await fails.submit(1)
        assert await asyncio.wait_for(double.submit(2), 60) == 4
        job = double.submit(3)
        assert [await job, await job] == [6, 6]
        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.wait_for(stops.submit(0), 60)
        assert await asyncio.wrap_future(double.submit(5)) == 10

    asyncio.run(main())


def test_cancelling_who_awaits_cancels_the_job(gate: Gate) -> None:
    async def main() -> tuple[Job[Any], int]:
        job, pid = await asyncio.to_thread(gate.running)

        async def waiting() -> Any:
            return await job

        task = asyncio.create_task(waiting())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return job, pid

    job, pid = asyncio.run(main())
    wait_until(job.cancelled)
    wait_until(lambda: not is_alive(pid))


def test_a_shield_keeps_the_job(gate: Gate) -> None:
    async def main() -> Job[Any]:
        job, after = gate.submit(), gate.submit()

        async def waiting() -> Any:
            return await asyncio.shield(job)

        task = asyncio.create_task(waiting())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(job), 0.2)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(after)), 0.2)
        await asyncio.sleep(1)
        assert not job.done()
        return after

    after = asyncio.run(main())
    time.sleep(1)
    assert not after.done(), "it outlives the event loop"
    gate.go.touch()
    assert after.result(60) == "released"


def test_awaiting_a_cancelled_job(gate: Gate) -> None:
    async def main() -> None:
        job = gate.submit()
        task = asyncio.ensure_future(asyncio.gather(job, return_exceptions=True))
        await asyncio.sleep(0.1)
        assert await asyncio.to_thread(job.cancel)
        (found,) = await asyncio.wait_for(task, 30)
        assert isinstance(found, asyncio.CancelledError)
        with pytest.raises(asyncio.CancelledError):
            await job

    asyncio.run(main())


# -- cancelling


def check_cancelled(job: Job[Any]) -> None:
    assert job.cancelled() and job.done() and not job.running()
    for ask in (job.result, job.exception):
        with pytest.raises(CancelledByCaller) as raised:
            ask()
        error = raised.value
        assert isinstance(error, clustrix.ClustrixError) and isinstance(error, concurrent.futures.CancelledError)
        assert error.job == job.id
    assert job.cancel(), "twice is no harm"
    assert job.status().state is JobState.CANCELLED


def test_cancel_a_running_job(gate: Gate) -> None:
    job, pid = gate.running()
    heard: list[Any] = []
    job.add_done_callback(lambda job: heard.append(job.cancelled()))
    waiter = threading.Thread(target=lambda: heard.append(concurrent.futures.wait([job], 30).done))
    stubborn = threading.Thread(target=lambda: heard.append(type(_raised(job.result))))
    waiter.start()
    stubborn.start()
    assert is_alive(pid)
    assert job.cancel() is True
    check_cancelled(job)
    waiter.join(10)
    stubborn.join(10)
    assert len(heard) == 3 and {True, CancelledByCaller} <= {h for h in heard if not isinstance(h, set)}
    assert list(concurrent.futures.as_completed([job], timeout=1)) == [job]
    wait_until(lambda: not is_alive(pid))
    again = clustrix.get_job(job.id)
    assert isinstance(again, Job) and again.cancelled()
    with pytest.raises(CancelledByCaller):
        again.result(10)


def _raised(function: Callable[[], Any]) -> BaseException | None:
    try:
        function()
    except BaseException as error:
        return error
    return None


def test_cancel_reaches_what_a_job_has_started(gate: Gate, shared: Path) -> None:
    child = shared / "child"

    @cluster
    def starts(file: str) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # does not want to go
        process = subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
        with open(file + ".new", "w") as note:
            note.write(f"{os.getpid()} {process.pid}")
        os.rename(file + ".new", file)
        time.sleep(300)

    job = starts.submit(str(child))
    wait_until(child.exists)
    pids = [int(word) for word in child.read_text().split()]
    assert all(is_alive(pid) for pid in pids)
    assert job.cancel() and job.cancelled()
    wait_until(lambda: not any(is_alive(pid) for pid in pids), 60)


def test_cancel_at_once(gate: Gate) -> None:
    jobs = [gate.submit() for _ in range(4)]
    assert [job.cancel() for job in jobs] == [True] * 4
    for job in jobs:
        check_cancelled(job)
    assert double.submit(2).result(60) == 4
    # Nothing of them is left there.
    wait_until(lambda: not _pids_of({job.id for job in jobs}), 60)


def _pids_of(ids: set[str]) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            environment = (path / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word == f"CLUSTRIX_JOB={one}".encode() for one in ids for word in environment):
            found.append(int(path.name))
    return found


def narrow(place: str, bed: Bed | None) -> Mapping[str, Any]:
    """Return resources with which a second job waits for the first."""
    hosts = {"local": os.cpu_count() or 1, "ssh": 8}
    if place in hosts:
        return {"cores": hosts[place]}
    assert bed is not None
    return bed.narrow


def test_cancel_a_pending_job(gate: Gate, place: str, bed: Bed | None) -> None:
    first, _ = gate.running(**narrow(place, bed))
    second = gate.submit(**narrow(place, bed))
    time.sleep(1)
    assert second.status().state is JobState.PENDING
    assert not second.running()
    assert second.cancel() is True
    check_cancelled(second)
    gate.go.touch()
    assert first.result(60) == "released"
    assert not _pids_of({second.id})


def test_cancelled_by_somebody_else(gate: Gate, place: str, bed: Bed | None) -> None:
    job, pid = gate.running()
    if bed is not None and place != "ssh":
        bed.cancel(job._flight.handle.native)
    else:
        os.kill(_supervisor(pid), signal.SIGTERM)
    error = job.exception(60)
    assert type(error) is JobCancelled and error.state == "CANCELLED"
    assert "was cancelled" in str(error)
    assert not job.cancelled() and job.done()
    assert not job.cancel(), "it is over"
    wait_until(lambda: not is_alive(pid))


def _supervisor(pid: int) -> int:
    """Return the process that looks after a job on a host without a scheduler."""
    while b"\0start\0" not in Path(f"/proc/{pid}/cmdline").read_bytes():
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid


def test_somebody_kills_the_process_of_a_call(gate: Gate) -> None:
    job, pid = gate.running()
    os.kill(pid, signal.SIGTERM)
    error = job.exception(60)
    assert type(error) is JobFailed and "SIGTERM" in str(error)
    assert not job.cancelled()


def test_cancelled_by_another_process_of_ours(gate: Gate, client: Callable[..., str]) -> None:
    job, pid = gate.running()
    said = client("-c", f"import clustrix; job = clustrix.get_job({job.id!r}); print(job.cancel(), job.cancelled())")
    assert said.split() == ["True", "True"]
    wait_until(lambda: not is_alive(pid))
    error = _raised(lambda: job.result(60))
    assert isinstance(error, JobCancelled)


def test_a_value_that_came_first_wins(gate: Gate, shared: Path) -> None:
    job = double.submit(3)
    assert job.result(60) == 6
    assert job.cancel() is False and not job.cancelled() and job.result() == 6
    # Against the clock: whatever cancel() says must agree with what the job then is.
    for number in range(6):
        job = double.submit(number)
        time.sleep(0.1 * number)
        took = job.cancel()
        assert took == job.cancelled()
        if took:
            check_cancelled(job)
        else:
            assert job.result(60) == 2 * number


# -- Executor


def test_executor(there: ClusterConfig) -> None:
    with Executor(cores=1) as pool:
        assert isinstance(pool, concurrent.futures.Executor)
        job = pool.submit(pow, 2, 10)
        other = pool.submit(double, 4)
        keyword = pool.submit(lambda a, *, b: (a, b), 1, b=2)
        assert isinstance(job, Job)
        assert list(pool.map(pow, [1, 2, 3], [2, 2, 2])) == [1, 4, 9]
        assert list(pool.map(double, range(20), chunksize=4)) == [2 * x for x in range(20)]
        assert list(pool.map(pow, [], [])) == []
    assert job.done() and other.done() and keyword.done(), "with waits"
    assert (job.result(), other.result(), keyword.result()) == (1024, 8, (1, 2))
    for call in (lambda: pool.submit(pow, 1, 1), lambda: pool.map(pow, [1], [1])):
        with pytest.raises(RuntimeError, match="after shutdown"):
            call()
    pool.shutdown()


def test_executor_errors(there: ClusterConfig) -> None:
    with Executor() as pool:
        with pytest.raises(ValueError):
            pool.submit(fails, 1).result(60)
        results = pool.map(fails, [1, 2])
        with pytest.raises(ValueError):
            next(results)
        with pytest.raises(StopIteration):
            next(results)
        with pytest.raises(clustrix.ConfigError, match="coers"):
            Executor(coers=2)
        with pytest.raises(TypeError):
            pool.submit()  # type: ignore[call-arg]


def test_executor_map_times_out(gate: Gate) -> None:
    with Executor() as pool:
        start = time.monotonic()
        results = pool.map(waits.local, [str(gate.go)], timeout=0.5)
        with pytest.raises(concurrent.futures.TimeoutError):
            next(results)
        assert time.monotonic() - start < 10
        gate.go.touch()
    assert list(results) == [], "an iterator that has raised is at its end"


def test_executor_cancels_futures(gate: Gate, place: str, bed: Bed | None) -> None:
    pool = Executor(**narrow(place, bed))
    begun = gate.root / "begun"
    running = pool.submit(waits.local, str(gate.go), str(begun))
    wait_until(begun.exists)
    waiting = [pool.submit(waits.local, str(gate.go)) for _ in range(2)]
    queue = pool.map(waits.local, [str(gate.go)] * 2)
    time.sleep(1)
    pool.shutdown(wait=False, cancel_futures=True)
    assert all(job.cancelled() for job in waiting)
    assert not running.cancelled()
    gate.go.touch()
    assert running.result(60) == "released", "what has begun goes on"
    with pytest.raises((CancelledByCaller, concurrent.futures.CancelledError)):
        next(queue)
    pool.shutdown(wait=True)


def test_shutdown_waits(gate: Gate) -> None:
    pool = Executor()
    job = pool.submit(waits.local, str(gate.go))
    pool.shutdown(wait=False)
    assert not job.done()
    closing = threading.Thread(target=pool.shutdown)
    closing.start()
    time.sleep(0.3)
    assert closing.is_alive()
    gate.go.touch()
    closing.join(60)
    assert not closing.is_alive() and job.done()


def test_an_executor_for_a_cluster_by_name(there: ClusterConfig) -> None:
    with Executor(there.name, name="named") as pool:
        job = pool.submit(double, 1)
        assert job.result(60) == 2 and job.name.startswith("named-")
    with Executor(there) as pool:
        assert pool.submit(double, 2).result(60) == 4
    with pytest.raises(clustrix.ConfigError, match="nosuch"):
        Executor("nosuch").submit(double, 1)


@pytest.mark.parametrize("place", OTHER_WAYS, scope="session")
def test_other_ways(gate: Gate) -> None:
    job, pid = gate.running()
    assert pwd.getpwuid(os.stat(f"/proc/{pid}").st_uid).pw_name in ("hpc", "root")
    assert job.cancel()
    check_cancelled(job)
    wait_until(lambda: not is_alive(pid))
    with Executor() as pool:
        assert list(pool.map(double, range(5))) == [0, 2, 4, 6, 8]
