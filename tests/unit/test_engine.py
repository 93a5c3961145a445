"""What becomes of jobs whose cluster, or whose other client, fails at a bad moment: nobody waits for ever."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clustrix_core import alive
from clustrix_core.api.job import Job
from clustrix_core.config import ClusterConfig
from clustrix_core.engine import Engine, Flight, Request, places, reading, submission
from clustrix_core.engine.again import retry
from clustrix_core.engine.landing import land, over
from clustrix_core.entry import INTENT, REFUSED, SUBMITTED, Entry, error_data
from clustrix_core.environments import Recipe
from clustrix_core.errors import (
    AuthenticationError,
    CancelledByCaller,
    ClustrixError,
    ConfigError,
    SubmitRejected,
    TransportError,
)
from clustrix_core.hookspecs import hookimpl
from clustrix_core.model import BackendInfo, Cluster, Fetched, JobHandle, JobSpec, JobState, JobStatus, LogChunk, Site
from clustrix_core.plugins import Plugins
from tests.unit.toys import pack_nothing


@dataclass(frozen=True)
class Options:
    """There are none."""


class Toy:
    """A backend that does what its attributes say; ``calls`` notes the hooks that were called."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails: dict[str, list[Exception]] = {}
        self.found: JobHandle | None = None
        self.submissions: list[int] = []

    def _called(self, hook: str) -> None:
        self.calls.append(hook)
        if self.fails.get(hook):
            raise self.fails[hook].pop(0)

    @hookimpl
    def describe_backend(self) -> BackendInfo:
        return BackendInfo("toy", Options)

    @hookimpl
    def check(self, cluster: Cluster) -> list[Any]:
        return []

    @hookimpl
    def provision(self, cluster: Cluster) -> Cluster:
        self._called("provision")
        return cluster.at(Site("/nowhere", sys.version_info[:2], "me", seen=time.time()))

    @hookimpl
    def render_script(self, job: JobSpec, cluster: Cluster) -> str:
        return "#!/bin/sh\n"

    @hookimpl
    def submit(self, job: JobSpec, script: str, cluster: Cluster) -> JobHandle:
        self.submissions.append(job.submission)
        self._called("submit")
        return JobHandle(job.id, job.name, "1", job.tasks, job.round)

    @hookimpl
    def find(self, job: JobSpec, cluster: Cluster) -> JobHandle | None:
        self._called("find")
        return JobHandle(job.id, job.name, "1", job.tasks, job.round) if self.found else None

    @hookimpl
    def status(self, handles: list[JobHandle], cluster: Cluster) -> dict[str, JobStatus]:
        return {handle.job: JobStatus(JobState.RUNNING) for handle in handles}

    @hookimpl
    def fetch(self, handles: list[JobHandle], into: Path, cluster: Cluster) -> dict[str, Fetched]:
        self._called("fetch")
        return {handle.job: Fetched() for handle in handles}

    @hookimpl
    def logs(self, handle: JobHandle, cluster: Cluster, since: int) -> LogChunk:
        return LogChunk("", 0)

    @hookimpl
    def cancel(self, handles: list[JobHandle], cluster: Cluster) -> None:
        self._called("cancel")


SETTINGS = ClusterConfig(name="there", backend="toy")
LOST = TransportError("the connection broke")


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture
def make(tmp_path: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Engine]]:
    made: list[Engine] = []
    monkeypatch.setattr(time, "sleep", lambda seconds, sleep=time.sleep: sleep(min(seconds, 0.01)))
    monkeypatch.setattr(submission, "_PAUSE_LAST", 0.01)
    monkeypatch.setattr(submission, "_PAUSE_FIRST", 0.01)

    def new() -> Engine:
        plugins = Plugins()
        plugins.register(toy, "toy")
        made.append(Engine(tmp_path / "home", plugins))
        return made[-1]

    yield new
    for engine in made:
        engine.close()


def submit(engine: Engine, calls: int = 1) -> tuple[Job[Any], Flight]:
    job: Job[Any] = Job()
    request = Request("f", "call", SETTINGS, SETTINGS.resources, calls, pack_nothing, {})
    flight = engine.submit(request, job._deliver)
    job._bind(engine, flight)
    return job, flight


def orphan(engine: Engine) -> str:
    """A job whose client has died before it knew whether the scheduler had it."""
    _, flight = submit(engine)
    engine.submissions._running[flight.spec.id].result(10)
    engine.monitor(flight.cluster).drop(flight)
    engine.submissions.forget(flight.spec.id)
    with engine.journal._db.writing() as db:
        db.execute("update jobs set phase = 'intent', handle = null, owner = 'dead' where id = ?", (flight.spec.id,))
    return flight.spec.id


def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_cluster_that_refuses_us_is_not_asked_again_and_again(make: Callable[[], Engine], toy: Toy) -> None:
    engine = make()
    job, _ = submit(engine)
    toy.fails["fetch"] = [AuthenticationError("no") for _ in range(10000)]
    assert isinstance(job.exception(10), AuthenticationError)
    threading.Event().wait(1.5)  # longer than what is left over waits for another reason to call
    assert 10000 - len(toy.fails["fetch"]) <= 2


def test_a_cancellation_that_did_not_get_through_leaves_the_job_going(make: Callable[[], Engine], toy: Toy) -> None:
    engine = make()
    job, flight = submit(engine)
    engine.submissions._running[flight.spec.id].result(10)
    toy.fails["cancel"] = [LOST]
    with pytest.raises(TransportError):
        job.cancel()
    assert not flight.withdrawn and not job.done()
    assert job.cancel() and job.cancelled()


def test_calls_that_no_task_had_begun_end_with_a_cancellation(
    make: Callable[[], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make()
    job, flight = submit(engine)
    engine.submissions._running[flight.spec.id].result(10)
    monkeypatch.setattr(flight, "sort_out", lambda: ({}, [0]))
    flight.withdrawn = True  # somebody is about to cancel
    land(engine, flight)
    with pytest.raises(CancelledByCaller):
        job.result(5)
    assert engine.journal.get(job.id).state == "CANCELLED"


def test_a_job_whose_reply_was_lost_is_looked_for_when_it_is_cancelled(make: Callable[[], Engine], toy: Toy) -> None:
    engine = make()
    entered, go_on = threading.Event(), threading.Event()

    def lose(hook: str) -> None:
        toy.calls.append(hook)
        if hook == "submit":
            entered.set()
            go_on.wait(10)
            toy.found = JobHandle("", "", "")
            raise LOST

    toy._called = lose  # type: ignore[method-assign]
    job, flight = submit(engine)
    entered.wait(10)
    flight.withdrawn = True
    go_on.set()
    assert job.cancel()
    assert toy.calls.count("submit") == 1 and "cancel" in toy.calls


def test_an_orphan_that_cannot_be_asked_for_stays_one(
    make: Callable[[], Engine], toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = orphan(make())
    monkeypatch.setattr(submission, "PATIENCE", 0)
    toy.fails["find"] = [LOST]
    engine = make()
    until(lambda: not toy.fails["find"] and not engine.submissions._running)
    entry = engine.journal.get(lost)
    assert (entry.phase, alive.is_alive(engine.home, entry.owner)) == (INTENT, False)
    toy.found = JobHandle("", "", "")
    job: Job[Any] = Job()
    engine.attach(lost, job._deliver)
    until(lambda: engine.journal.get(lost).phase == SUBMITTED)
    assert toy.calls.count("submit") == 1


def test_a_lost_reply_is_looked_for_as_long_as_it_takes(make: Callable[[], Engine], toy: Toy) -> None:
    toy.fails = {"submit": [LOST], "find": [LOST] * 20}
    engine = make()
    job, _ = submit(engine)
    until(lambda: engine.journal.get(job.id).phase == SUBMITTED)
    assert (toy.calls.count("find"), toy.calls.count("submit"), toy.submissions) == (21, 2, [0, 1])


def test_a_job_that_may_exist_is_not_journalled_as_refused(
    make: Callable[[], Engine], toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "PATIENCE", 0)
    toy.fails = {"submit": [LOST], "find": [AuthenticationError("the agent has gone")]}
    engine = make()
    job, _ = submit(engine)
    assert isinstance(job.exception(10), AuthenticationError)
    until(lambda: not engine.submissions._running)
    assert engine.journal.get(job.id).phase == INTENT
    with pytest.raises(ConfigError, match="is still pending"):
        retry(engine, job.id, print)
    toy.found = JobHandle("", "", "")
    engine.attach(job.id, lambda call, value, error: None)
    until(lambda: engine.journal.get(job.id).phase == SUBMITTED)
    assert toy.calls.count("submit") == 1


def test_a_job_that_cannot_be_asked_for_is_not_cancelled(
    make: Callable[[], Engine], toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "IMPATIENCE", 0)
    toy.fails = {"submit": [LOST], "find": [LOST] * 10000}
    engine = make()
    job, _ = submit(engine)
    until(lambda: "find" in toy.calls)
    with pytest.raises(TransportError, match="may have been accepted"):
        job.cancel()
    assert engine.journal.get(job.id).phase == INTENT
    toy.fails = {}


def test_replies_that_are_lost_again_and_again_end_in_a_refusal(make: Callable[[], Engine], toy: Toy) -> None:
    toy.fails = {"submit": [LOST] * 100}
    engine = make()
    job, _ = submit(engine)
    assert job.exception(10) is LOST  # it is certain that there is no job
    assert toy.submissions == list(range(submission.SUBMISSIONS)) and engine.journal.get(job.id).phase == REFUSED


def test_an_orphan_is_submitted_under_a_number_of_its_own(make: Callable[[], Engine], toy: Toy) -> None:
    lost = orphan(make())
    engine = make()
    until(lambda: engine.journal.get(lost).phase == SUBMITTED)
    assert toy.submissions == [0, 1] and engine.journal.get(lost).spec["submission"] == 1


def test_who_comes_second_to_an_orphan_waits_for_the_first(
    make: Callable[[], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make()
    lost = orphan(engine)
    adopt = engine.journal.adopt
    monkeypatch.setattr(engine.journal, "adopt", lambda job, before, owner: adopt(job, before, "other") and False)
    flight = engine.attach(lost, lambda call, value, error: None)
    monkeypatch.setattr(engine.journal, "adopt", adopt)
    until(lambda: flight.handle is not None)  # the other died as well


def test_whoever_waits_for_another_client_hears_of_a_failure(
    make: Callable[[], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make()
    lost = orphan(engine)
    job: Job[Any] = Job()
    monkeypatch.setattr(alive, "is_alive", lambda home, name: True)
    engine.attach(lost, job._deliver)
    engine.journal.forget(lost)  # `clustrix clean`
    assert isinstance(job.exception(10), ClustrixError)


def test_a_process_that_is_ending_leaves_the_rest_to_the_next(make: Callable[[], Engine], toy: Toy) -> None:
    engine = make()
    engine.submissions.close()  # as the interpreter does on its way out
    job, flight = submit(engine)
    with pytest.raises(ClustrixError, match="goes on with the next"):
        job.result(10)
    entry = engine.journal.get(flight.spec.id)
    assert (entry.phase, alive.is_alive(engine.home, entry.owner)) == (INTENT, False)
    later = make()
    until(lambda: later.journal.get(flight.spec.id).phase == SUBMITTED)
    assert toy.calls.count("submit") == 1


def test_a_job_that_somebody_else_has_brought_there_is_cancelled_there(
    make: Callable[[], Engine], toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = orphan(make())
    toy.calls.clear()
    go_on = threading.Event()
    called = toy._called
    toy._called = lambda hook: (hook == "submit" and go_on.wait(10), called(hook))  # type: ignore[method-assign, assignment, func-returns-value]
    monkeypatch.setattr(reading, "wait_for_owner", lambda engine, flight: None)  # it looks a moment too late
    engine = make()  # submits it in the background
    job: Job[Any] = Job()
    job._bind(engine, engine.attach(lost, job._deliver))
    threading.Timer(0.1, go_on.set).start()
    assert job.cancel()
    assert "cancel" in toy.calls
    assert engine.journal.get(lost).state == "CANCELLED"


def test_a_job_that_has_ended_meanwhile_is_not_cancelled(
    make: Callable[[], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make(), make()
    done, _ = submit(first)
    first.submissions._running[done.id].result(10)
    monkeypatch.setattr(reading, "wait_for_owner", lambda engine, flight: None)
    entry = first.journal.get(done.id)
    with first.journal._db.writing() as db:
        db.execute("update jobs set phase = 'intent' where id = ?", (done.id,))
    job: Job[Any] = Job()
    job._bind(second, second.attach(done.id, job._deliver))
    entry.phase, entry.state = REFUSED, "FAILED"
    entry.ends = {"*": error_data(SubmitRejected("no such partition"))}
    first.journal.end(entry, discard=False)
    assert not job.cancel()
    assert isinstance(job.exception(10), SubmitRejected)


def test_a_job_that_is_accepted_while_it_is_being_cancelled_is_ended(
    make: Callable[[], Engine], toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make(), make()
    done, _ = submit(first)
    first.submissions._running[done.id].result(10)
    handle = first.journal.get(done.id).handle
    assert handle is not None
    with first.journal._db.writing() as db:
        db.execute("update jobs set phase = 'intent', handle = null where id = ?", (done.id,))
    monkeypatch.setattr(reading, "wait_for_owner", lambda engine, flight: None)
    job: Job[Any] = Job()
    job._bind(second, second.attach(done.id, job._deliver))
    end = second.journal.end

    def too_late(entry: Entry, *, discard: bool) -> None:
        first.journal.submitted(done.id, handle)
        end(entry, discard=discard)

    monkeypatch.setattr(second.journal, "end", too_late)
    assert job.cancel()
    assert "cancel" in toy.calls


@pytest.mark.parametrize("replies", [0, 1])
def test_the_directory_stays_where_a_submission_was_given_up(
    make: Callable[[], Engine], toy: Toy, replies: int
) -> None:
    toy.fails = {"submit": [LOST] * replies}
    engine = make()
    _, flight = submit(engine)
    engine.submissions._running[flight.spec.id].result(10)
    flight.arrived.add(0)
    over(engine, flight)
    # What was given up may still be on its way, and would find nothing there that stops it.
    assert len(engine.journal.garbage(flight.entry.place)) == 1 - replies
    engine.journal.discard(flight.spec.id)  # `clustrix clean`
    assert len(engine.journal.garbage(flight.entry.place)) == 1


def test_a_first_contact_that_breaks_is_made_again(make: Callable[[], Engine], toy: Toy) -> None:
    toy.fails["provision"] = [LOST]
    engine = make()
    job, _ = submit(engine)
    until(lambda: engine.journal.get(job.id).phase == SUBMITTED)
    assert toy.calls.count("provision") == 2


def test_a_cluster_that_cannot_be_reached_is_an_error_at_once(make: Callable[[], Engine], toy: Toy) -> None:
    toy.fails["provision"] = [LOST] * 10
    job, _ = submit(make())
    assert job.exception(10) is LOST and toy.calls.count("provision") == 2


def test_a_map_goes_on_with_what_is_known_of_a_cluster(
    make: Callable[[], Engine], toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make()
    submit(engine, calls=3)
    until(lambda: "submit" in toy.calls)
    monkeypatch.setattr(places, "FRESH", -1.0)  # what was seen of it is old by now
    toy.fails["provision"] = [LOST] * 10
    job, _ = submit(engine, calls=3)
    until(lambda: engine.journal.get(job.id).phase == SUBMITTED)


def test_a_process_on_its_way_out_does_not_go_on_looking(make: Callable[[], Engine], toy: Toy) -> None:
    toy.fails = {"submit": [LOST], "find": [LOST] * 100000}
    engine = make()
    job, _ = submit(engine)
    until(lambda: "find" in toy.calls)
    submission._leave()
    assert job.exception(10) is LOST
    assert engine.journal.get(job.id).phase == INTENT


def test_an_engine_that_is_closed_does_not_go_on_looking(make: Callable[[], Engine], toy: Toy) -> None:
    toy.fails = {"submit": [LOST], "find": [LOST] * 100000}
    engine = make()
    job, _ = submit(engine)
    until(lambda: "find" in toy.calls)
    began = time.monotonic()
    engine.close()
    assert time.monotonic() - began < 10 and job.exception(10) is LOST


def test_a_plugin_that_trips_after_the_job_was_accepted_costs_no_second_job(
    make: Callable[[], Engine], toy: Toy
) -> None:
    toy.fails["submit"] = [ValueError("odd answer")]
    toy.found = JobHandle("any", "any", "1")
    engine = make()
    job, _ = submit(engine)
    until(lambda: engine.journal.get(job.id).phase == SUBMITTED)
    assert toy.calls.count("submit") == 1


def test_a_plugin_that_trips_while_it_looks_refuses_nothing(make: Callable[[], Engine], toy: Toy) -> None:
    toy.fails = {"submit": [LOST], "find": [ValueError("odd answer")] * 100000}
    engine = make()
    job, _ = submit(engine)
    assert isinstance(job.exception(10), ValueError)
    assert engine.journal.get(job.id).phase == INTENT


def test_a_refusal_that_cannot_be_journalled_is_told(
    make: Callable[[], Engine], toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make()
    toy.fails["submit"] = [SubmitRejected("no")]

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(engine.journal, "end", full)
    job, _ = submit(engine)
    assert isinstance(job.exception(10), SubmitRejected)


def test_a_backend_that_knows_nothing_of_environments_is_not_asked_to_run_in_one(
    make: Callable[[], Engine], toy: Toy
) -> None:
    engine = make()
    recipe = Recipe("stones", ("stones==1.0",))
    request = Request("f", "call", SETTINGS, SETTINGS.resources, 1, pack_nothing, {}, recipe=lambda: recipe)
    with pytest.raises(ConfigError, match="does not run jobs in environments") as caught:
        engine.submit(request, lambda *outcome: None)
    assert caught.value.cluster == "there" and "environment: none" in str(caught.value)
    assert toy.calls == [] and engine.journal.entries() == []
