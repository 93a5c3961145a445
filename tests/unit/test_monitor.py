"""One thread for all jobs of a cluster: what one of them does wrong is not the others' trouble."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clustrix_core import keys
from clustrix_core.api.job import Job
from clustrix_core.config import ClusterConfig
from clustrix_core.engine import Engine, Flight, Request
from clustrix_core.errors import JobFailed, RemoteError
from clustrix_core.hookspecs import hookimpl
from clustrix_core.model import Cluster, Fetched, JobHandle, JobState, JobStatus
from clustrix_core.plugins import Plugins
from clustrix_core.worker import records
from tests.unit.test_engine import Toy, submit, until
from tests.unit.toys import pack_nothing


class Frail(Toy):
    """A backend whose hooks stumble over some jobs."""

    def __init__(self) -> None:
        super().__init__()
        self.ill: dict[str, set[str]] = {"fetch": set(), "status": set()}

        self.discarded: list[str] = []
        self.away: set[str] = set()
        self.failed: set[str] = set()

    def _examine(self, hook: str, handles: list[JobHandle]) -> None:
        self._called(hook)
        if self.ill[hook] & {handle.job for handle in handles}:
            raise OSError(f"{hook} stumbles")

    @hookimpl
    def fetch(self, handles: list[JobHandle], into: Path, cluster: Cluster) -> dict[str, Fetched]:
        self._examine("fetch", handles)
        self.discarded += [f"{handle.job} {cluster.work_dir}" for handle in handles if handle.discard]
        return {handle.job: Fetched(away="its node is away" * (handle.job in self.away)) for handle in handles}

    @hookimpl
    def status(self, handles: list[JobHandle], cluster: Cluster) -> dict[str, JobStatus]:
        self._examine("status", handles)
        states = {True: JobState.FAILED, False: JobState.RUNNING}
        return {handle.job: JobStatus(states[handle.job in self.failed]) for handle in handles}


@pytest.fixture
def frail() -> Frail:
    return Frail()


@pytest.fixture
def engine(tmp_path: Path, frail: Frail) -> Iterator[Engine]:
    plugins = Plugins()
    plugins.register(frail, "toy")
    made = Engine(tmp_path / "home", plugins)
    yield made
    made.close()


@pytest.fixture
def some(engine: Engine) -> list[tuple[Job[Any], Flight]]:
    """Five jobs that run; the one in the middle will be ill."""
    found = [submit(engine) for _ in range(5)]
    until(lambda: all(flight.handle is not None for _, flight in found))
    return found


def arrive(engine: Engine, flight: Flight) -> None:
    """A record as the worker signs it."""
    signer = records.Signer(bytes.fromhex(keys.job_key(engine.home, flight.spec.id)), flight.spec.id)
    header = {"call": 0, "run": "0.0.1.0", "kind": "error-text", "type": "Well", "message": "done", "traceback": ""}
    flight.mirror.mkdir(exist_ok=True)
    (flight.mirror / "results-0.0.1.0").write_bytes(b"".join(map(bytes, records.pack(signer, header))))


def check(engine: Engine, some: list[tuple[Job[Any], Flight]], kind: type[BaseException]) -> None:
    """The ill one has ended so, and no other has; these go on to their own ends."""
    ill, _ = some.pop(2)
    assert type(ill.exception(10)) is kind
    assert not any(job.done() for job, _ in some)
    for _, flight in some:
        arrive(engine, flight)
    assert [type(job.exception(10)) for job, _ in some] == [RemoteError] * 4


@pytest.mark.parametrize("hook", ["fetch", "status"])
def test_a_hook_that_stumbles_over_one_job(engine: Engine, frail: Frail, some: Any, hook: str) -> None:
    frail.ill[hook] = {some[2][1].spec.id}
    check(engine, some, OSError)


def test_what_cannot_be_asked_for_is_not_over(engine: Engine, frail: Frail, some: Any) -> None:
    """Of two that have failed one may have left something, where nobody can look now."""
    (first, _), (second, waits), *_ = some
    frail.away = {waits.spec.id}
    frail.failed = {flight.spec.id for _, flight in some[:2]}
    assert type(first.exception(10)) is JobFailed
    threading.Event().wait(3)
    assert not second.done()
    arrive(engine, waits)
    assert type(second.exception(10)) is RemoteError


def test_what_could_not_be_asked_for_and_is_gone_is_over(engine: Engine, frail: Frail, some: Any) -> None:
    job, flight = some[0]
    frail.away = frail.failed = {flight.spec.id}
    until(lambda: flight.over_since is not None)
    threading.Event().wait(3)
    assert not job.done()
    frail.away = set()
    assert type(job.exception(10)) is JobFailed


def test_a_damaged_mirror(engine: Engine, some: Any) -> None:
    mirror = some[2][1].mirror
    mirror.mkdir(exist_ok=True)
    (mirror / "results-0.0.1.0").mkdir()  # instead of a file
    check(engine, some, IsADirectoryError)


@pytest.mark.parametrize("step", ["landed", "heard", "read", "wants_to_ask"])
@pytest.mark.parametrize("kind", [ZeroDivisionError, SystemExit])
def test_a_bug(
    engine: Engine, some: Any, monkeypatch: pytest.MonkeyPatch, step: str, kind: type[BaseException]
) -> None:
    def bug(*_: object) -> None:
        raise kind

    monkeypatch.setattr(some[2][1], step, bug)
    check(engine, some, kind)


def test_a_callback_that_exits_ends_no_thread(engine: Engine, some: Any) -> None:
    first, *rest = some
    told = threading.Event()

    def leave(_: object) -> None:
        told.set()
        sys.exit(1)

    first[0].add_done_callback(leave)
    arrive(engine, first[1])
    assert told.wait(10)
    for _, flight in rest:
        arrive(engine, flight)
    assert [type(job.exception(10)) for job, _ in some] == [RemoteError] * 5


def test_an_end_that_cannot_be_journalled_is_delivered(engine: Engine, some: Any) -> None:
    job, flight = some[0]

    def full() -> None:
        raise OSError("No space left on device")

    flight.completed = full
    arrive(engine, flight)
    assert type(job.exception(10)) is RemoteError


def test_all_that_are_ill_are_given_up(engine: Engine, frail: Frail, some: Any) -> None:
    frail.ill["fetch"] = {flight.spec.id for _, flight in some}
    assert [type(job.exception(10)) for job, _ in some] == [OSError] * 5
    before = frail.calls.count("fetch")
    threading.Event().wait(1.5)  # longer than what is left over waits for another reason to call
    assert frail.calls.count("fetch") <= before + 1


def test_a_name_that_was_sent_elsewhere_does_not_lose_what_is_left_at_the_old_place(
    engine: Engine, frail: Frail
) -> None:
    def run(work_dir: str) -> tuple[str, Flight]:
        settings = ClusterConfig(name="there", backend="toy", work_dir=work_dir)
        flight = engine.submit(Request("f", "call", settings, settings.resources, 1, pack_nothing, {}), print)
        until(lambda: flight.handle is not None)
        return flight.spec.id, flight

    old, flight = run("/old")
    engine.monitor(flight.cluster).close()  # this client ends before it has tidied up
    engine.journal.discard(old)
    new, flight = run("/new")
    engine.journal.discard(new)
    engine.monitor(flight.cluster).drop(flight)
    until(lambda: frail.discarded)
    assert frail.discarded == [f"{new} /new"]
    assert [handle.job for handle in engine.journal.garbage(engine.journal.get(old).place)] == [old]
