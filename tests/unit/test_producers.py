"""Before a job is submitted its producers are: it waits for them in the background, and never for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from clustrix_core.api.job import Job
from clustrix_core.engine import Engine, Request, submission
from clustrix_core.errors import CancelledByCaller, ClustrixError, DependencyFailed, SubmitRejected
from clustrix_core.hookspecs import hookimpl
from clustrix_core.model import Cluster, JobHandle, JobSpec
from tests.unit import test_engine
from tests.unit.test_engine import SETTINGS, Toy, submit
from tests.unit.toys import pack_nothing

make = test_engine.make


class Slow(Toy):
    """A backend whose first job is accepted when ``go`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.specs: list[JobSpec] = []

    @hookimpl
    def submit(self, job: JobSpec, script: str, cluster: Cluster) -> JobHandle:
        self.specs.append(job)
        if len(self.specs) == 1:
            assert self.go.wait(20)
        self._called("submit")
        return JobHandle(job.id, job.name, "4711", job.tasks, job.round)


@pytest.fixture
def toy() -> Slow:
    return Slow()


def consumer(engine: Engine, *producers: str) -> Job[Any]:
    job: Job[Any] = Job()
    request = Request("g", "call", SETTINGS, SETTINGS.resources, 1, pack_nothing, {}, after=lambda: producers)
    job._bind(engine, engine.submit(request, job._deliver))
    return job


def sent(engine: Engine, job: Job[Any]) -> None:
    engine.submissions._running[job.id].result(10)


def test_a_job_is_submitted_after_its_producers_and_with_their_ids(make: Callable[[], Engine], toy: Slow) -> None:
    engine = make()
    first, _ = submit(engine)
    # More of them than there are threads to submit from.
    others = [consumer(engine, first.id) for _ in range(2 * submission.SUBMITTERS)]
    last = consumer(engine, others[-1].id, first.id)
    assert not engine.submissions._running[others[0].id].done()
    toy.go.set()
    sent(engine, last)
    assert toy.specs[0].id == first.id
    specs = {spec.id: spec.after for spec in toy.specs}
    assert specs[others[0].id] == {first.id: "4711"}
    assert specs[last.id] == {others[-1].id: "4711", first.id: "4711"}


def test_a_job_whose_producer_is_refused_is_not_submitted(make: Callable[[], Engine], toy: Slow) -> None:
    engine = make()
    toy.fails["submit"] = [SubmitRejected("no such partition")]
    first, _ = submit(engine)
    second = consumer(engine, first.id)
    third = consumer(engine, second.id)
    toy.go.set()
    for job in (second, third):
        error = job.exception(10)
        assert isinstance(error, DependencyFailed)
        assert error.producer == first.id
        assert f"f (job {first.id})" in str(error)
        assert "no such partition" in str(error)
    assert isinstance(second.exception(), DependencyFailed)
    assert isinstance(second.exception().__cause__, SubmitRejected)  # type: ignore[union-attr]
    assert len(toy.specs) == 1


def test_a_job_that_waits_for_its_producer_can_be_cancelled(make: Callable[[], Engine], toy: Slow) -> None:
    engine = make()
    first, _ = submit(engine)
    second = consumer(engine, first.id)
    assert second.cancel()
    with pytest.raises(CancelledByCaller):
        second.result(10)
    toy.go.set()
    sent(engine, first)
    assert [spec.id for spec in toy.specs] == [first.id]
    assert not first.done()


@pytest.mark.parametrize("owner", ["nobody", "dead"])
def test_what_is_left_to_the_next_client_takes_along_what_comes_after_it(
    owner: str, make: Callable[[], Engine], toy: Slow
) -> None:
    engine = make()
    first, _ = submit(engine)
    second = consumer(engine, first.id)
    assert engine.journal.adopt(first.id, engine.name, owner)
    with pytest.raises(ClustrixError, match=f"clustrix result {second.id}"):
        second.result(10)
    assert engine.journal.get(second.id).owner == submission.NOBODY
    toy.go.set()
