"""What only PBS does to jobs, each end provoked on the fake server over SSH; and the same in short on its Torque."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clustrix import (
    CancelledByCaller,
    ConfigError,
    JobCancelled,
    JobFailed,
    JobLost,
    JobOutOfMemory,
    JobTimeout,
    SubmitRejected,
    cluster,
)
from clustrix_core import config
from clustrix_core.config import ClusterConfig
from clustrix_core.engine import flight, places
from clustrix_core.model import Site
from clustrix_core.transport.connect import connect
from clustrix_core.transport.counting import Counting
from tests.real.conftest import settings
from tests.real.onlooker import Onlooker, check, until
from tests.testbeds import pbs
from tests.testbeds.pbs import PBSBed

on_openpbs = pytest.mark.parametrize("place", ["pbs"], indirect=True)


@cluster
def quick(value: Any = 1) -> Any:
    return value


@cluster
def slow(seconds: float, value: Any = None) -> Any:
    print("slow begins", flush=True)
    time.sleep(seconds)
    return value


@cluster(memory="200MB")
def eat(megabytes: int) -> None:
    held = bytearray(b"x") * (megabytes << 20)
    time.sleep(30 if held else 0)


# ---------------------------------------------------------------- ends


@on_openpbs
def test_over_its_walltime(onlooker: Onlooker) -> None:
    job = slow.options(time=2).submit(300)
    error = onlooker.ending(job).error()
    check(error, JobTimeout, job, "slow begins", state="TIMEOUT")
    assert "Exit_status -29" in error.reason and "exceeded resource walltime" in error.reason
    assert error.exit_code == 143


@on_openpbs
def test_one_task_of_a_map_is_over_its_walltime(onlooker: Onlooker) -> None:
    results = slow.options(time=3, return_exceptions=True).map([0, 300, 1], value="arrived")
    first, second, third = results
    assert (first, third) == ("arrived", "arrived")
    assert type(second) is JobTimeout and "slow begins" in second.log


@on_openpbs
@pytest.mark.parametrize("whole", [True, False])
def test_deleted_by_somebody_while_it_runs(onlooker: Onlooker, pbs_bed: PBSBed, whole: bool) -> None:
    """Exit_status is 271 or 143, as the signal has caught its processes."""
    with pbs_bed.but(whole=whole):
        job = slow.submit(300)
        onlooker.wait_until_running(job)
        ending = onlooker.ending(job)
        onlooker.cancel(job)
        error = ending.error()
    assert ending.word == ("F 271" if whole else "F 143")
    check(error, JobCancelled, job, "slow begins", state="CANCELLED")
    assert error.exit_code == 143


@on_openpbs
def test_a_script_that_ends_with_143_was_not_deleted(onlooker: Onlooker) -> None:
    error = quick.options(setup=["exit 143"]).submit().exception(60)
    assert type(error) is JobFailed and error.exit_code == 143


@on_openpbs
def test_deleted_by_somebody_while_it_waits(onlooker: Onlooker) -> None:
    job = quick.options(directives=["-h"]).submit()
    held = until(lambda: job.status().reason, "it says why it waits")
    assert held == f"held by the user: qrls {onlooker.handle(job).native}"
    ending = onlooker.ending(job)
    onlooker.cancel(job)
    check(ending.error(), JobCancelled, job, state="CANCELLED")


@on_openpbs
def test_a_hold_that_is_released(onlooker: Onlooker, pbs_bed: PBSBed) -> None:
    job = quick.options(directives=["-h"]).submit("released")
    pbs_bed.run("qrls", onlooker.handle(job).native)
    assert job.result(60) == "released"


@on_openpbs
def test_a_job_directory_that_the_compute_node_does_not_see(onlooker: Onlooker, pbs_bed: PBSBed) -> None:
    job = quick.options(directives=["-h"]).submit()
    directory = onlooker.directory(job)
    directory.rename(directory.with_name("elsewhere"))
    ending = onlooker.ending(job)
    pbs_bed.run("qrls", onlooker.handle(job).native)
    error = ending.error()
    check(error, JobFailed, job, state="FAILED")
    assert error.exit_code == 72


@on_openpbs
def test_one_task_of_a_map_is_deleted_by_somebody(onlooker: Onlooker, pbs_bed: PBSBed) -> None:
    results = slow.options(return_exceptions=True, max_parallel=3).map([2, 2, 300], value="arrived")
    log = onlooker.directory(results) / "log-0.2"
    until(lambda: log.exists() and log.stat().st_size, "the third call began")
    pbs_bed.run("qdel", onlooker.handle(results).native.replace("[]", "[2]"))
    *others, deleted = results
    assert others == ["arrived", "arrived"]
    assert type(deleted) is JobCancelled and "slow begins" in deleted.log


@cluster(return_exceptions=True, max_parallel=3)
def all_but_one(number: int) -> int:
    if number == 0:
        os.killpg(os.getsid(0), signal.SIGKILL)  # the whole task, its script too
    time.sleep(2)
    return number


@on_openpbs
def test_a_task_fails_while_the_last_one_succeeds(onlooker: Onlooker, pbs_bed: PBSBed) -> None:
    """The array's own Exit_status is 0 then, and is not believed."""
    results = all_but_one.map(range(3))
    failed, *others = results
    assert others == [1, 2] and type(failed) is JobFailed and failed.exit_code == 137
    native = onlooker.handle(results).native
    assert until(lambda: pbs_bed.ended(native), "the array is over") == "F 0"


@on_openpbs
@pytest.mark.parametrize("producer", ["bad", "99999.vm"])
def test_a_dependency_of_the_user_that_never_comes_true(onlooker: Onlooker, producer: str) -> None:
    """qsub takes a job that depends on one that nobody knows; it is over at once."""
    if producer == "bad":
        producer = onlooker.handle(quick.options(setup=["exit 1"]).submit()).native
    job = quick.options(directives=[f"-W depend=afterok:{producer}"]).submit()
    error = job.exception(60)
    check(error, JobCancelled, job, state="CANCELLED")
    assert "never ran: a job before it did not end as it had to" in str(error)


@on_openpbs
def test_a_job_that_can_never_run_says_so(onlooker: Onlooker, pbs_bed: PBSBed) -> None:
    job = quick.options(cores=64).submit()
    said = until(lambda: job.status().reason, "it says why it waits")
    assert said == "Can Never Run: Insufficient amount of resource: ncpus (R: 64 A: 8 T: 8): " + (
        "clustrix cancel, and ask for less"
    )
    assert job.status().state.value == "PENDING"
    assert job.cancel()
    with pytest.raises(CancelledByCaller):
        job.result(30)
    assert until(lambda: pbs_bed.ended(onlooker.handle(job).native), "it is deleted")


@on_openpbs
def test_a_job_that_runs_again_goes_on_in_its_log(onlooker: Onlooker, pbs_bed: PBSBed, shared: Path) -> None:
    @cluster
    def patient(directory: Path) -> int:
        with (directory / "runs").open("a") as file:
            file.write("run\n")
        runs = len((directory / "runs").read_text().split())
        print("run", runs, flush=True)
        time.sleep(300 if runs == 1 else 0)
        return runs

    config.configure(default=ClusterConfig(**{**onlooker.place.settings(), "cleanup": "never"}))
    job = patient.submit(shared)
    until(lambda: "run 1" in job.logs(), "the first run has begun")
    pbs_bed.set(rerun=onlooker.handle(job).native)
    assert job.result(60) == 2
    assert job.logs().split("\n")[:2] == ["run 1", "run 2"]


@on_openpbs
@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"partition": "nosuch"}, "qsub: Unknown queue"),
        ({"partition": "closed"}, "qsub: Queue is not enabled"),
        ({"partition": "short", "time": "02:00:00"}, "qsub: Job violates queue and/or server resource limits"),
        ({"constraint": "foo=3"}, "qsub: Unknown resource: foo"),
    ],
)
def test_qsub_refuses_in_its_own_words(there: ClusterConfig, asked: dict[str, str], words: str) -> None:
    error = quick.options(**asked).submit().exception(60)
    assert type(error) is SubmitRejected and words in str(error)


@on_openpbs
def test_a_cluster_without_the_module_command(there: ClusterConfig) -> None:
    config.configure(default=ClusterConfig(**{**there.settings(), "resources": {"modules": ["gcc"]}}))
    error = quick.submit().exception(60)
    assert type(error) is ConfigError and "there is no module command" in str(error)


# ---------------------------------------------------------------- history off


@on_openpbs
def test_without_history_the_markers_tell(onlooker: Onlooker, pbs_bed: PBSBed) -> None:
    with pbs_bed.but(history=False):
        assert quick("value") == "value"
        assert list(quick.map(range(20))) == list(range(20))
        error = quick.options(setup=["exit 3"]).submit().exception(60)
        assert type(error) is JobFailed and error.exit_code == 3
        job = slow.submit(300)
        onlooker.wait_until_running(job)
        onlooker.cancel(job)
        ended = job.exception(60)  # nobody is left who could say by whom
        assert type(ended) is JobFailed and ended.exit_code == 143


@on_openpbs
def test_without_history_a_job_that_left_nothing_is_lost(
    onlooker: Onlooker, pbs_bed: PBSBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flight, "UNKNOWN_FOR", 4.0)
    with pbs_bed.but(history=False):
        job = quick.options(directives=["-h"]).submit()
        onlooker.cancel(job)
        assert type(job.exception(60)) is JobLost


@on_openpbs
@pytest.mark.parametrize("history", [True, False])
def test_values_go_from_job_to_job(pbs_bed: PBSBed, there: ClusterConfig, history: bool) -> None:
    with pbs_bed.but(history=history):
        first = slow.submit(1, 20)
        second = slow.submit(2, first)
        third = quick.submit([first, second])
        assert until(lambda: third.status().reason, "it waits") == "waiting for other jobs"
        assert third.result(60) == [20, 20]
        # One that is over when the next is submitted is not waited for.
        done = quick.submit(5)
        until(lambda: done.running() or done.done(), "it has begun")
        assert quick.submit(done).result(60) == 5


# ---------------------------------------------------------------- the server is away


@on_openpbs
def test_the_server_goes_down_while_jobs_run(onlooker: Onlooker, pbs_bed: PBSBed) -> None:
    good, bad = slow.submit(2, "arrived"), quick.options(setup=["sleep 2", "exit 5"]).submit()
    for job in (good, bad):
        onlooker.handle(job)
    with pbs_bed.but(down=True):
        assert good.result(60) == "arrived", "its own files tell"
        time.sleep(4)
        assert not bad.done(), "an outage is no end"
    error = bad.exception(60)
    assert type(error) is JobFailed and error.exit_code == 5


@on_openpbs
def test_what_is_submitted_while_the_server_is_down_runs_once(
    pbs_bed: PBSBed, shared: Path, there: ClusterConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Seconds until it is certain that the server has not accepted it after all.
    monkeypatch.setattr(sys.modules["clustrix_core.batch.find"], "UNSURE", 8)

    @cluster
    def note(path: Path) -> str:
        with path.open("a") as file:
            file.write("ran\n")
        return "done"

    with pbs_bed.but(down=True):
        job = note.submit(shared / "ran")
        time.sleep(3)
        assert not job.done()
    assert job.result(60) == "done"
    assert (shared / "ran").read_text() == "ran\n"


# ---------------------------------------------------------------- what it costs, what is seen


@on_openpbs
def test_fifty_jobs_are_one_question(pbs_bed: PBSBed, there: ClusterConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Counting] = []

    def counted(*arguments: Any) -> Counting:
        made.append(Counting(connect(*arguments)))
        return made[-1]

    monkeypatch.setattr(places, "connect", counted)
    jobs = [quick.options(directives=["-h"]).submit(number) for number in range(50)]
    natives = {until(lambda job=job: job._flight.handle, "it was submitted").native for job in jobs}
    before = len(pbs_bed.set())
    time.sleep(8)
    heard = [words for words in pbs_bed.set()[before:] if words[0] in ("qselect", "qstat")]
    questions = [words for words in heard if words[0] == "qstat"]
    assert 2 <= len(questions) <= 10
    assert abs(len(heard) - 2 * len(questions)) <= 1, (
        "one of each, but for a pair cut in two where the counting begins or ends"
    )
    assert all(natives <= set(words) for words in questions[1:]), "the first may have begun before the last submission"
    asked = [command for one in made for command in one.commands if "clustrix: answer" in command]
    assert asked and max(map(len, asked)) < 4000, "no question grows with the jobs"
    before = len(pbs_bed.set())
    engine, known = jobs[0]._known
    engine.dispatch.cancel([job._flight.handle for job in jobs], known.cluster)
    assert {type(job.exception(30)) for job in jobs} == {JobCancelled}
    assert [words[0] for words in pbs_bed.set()[before:]].count("qdel") == 1


@on_openpbs
def test_the_log_is_read_while_the_job_runs(onlooker: Onlooker) -> None:
    job = slow.submit(300)
    onlooker.wait_until_running(job)
    assert job.logs() == "slow begins\n"
    assert job.cancel()


@on_openpbs
def test_other_peoples_odd_jobs_are_in_nobodys_way(pbs_bed: PBSBed, there: ClusterConfig) -> None:
    values = {"JOB": "Job Id: 0.vm\n    job_state = F", "BYTES": "\udcff\udcfe", "NOTHING": "", "SECRET": "xyzzy"}
    done = pbs_bed.call("qsub", "-V", "-N", "odd", user=pbs_bed.second_user, stdin="sleep 20\n", cwd="/tmp", **values)
    assert done.returncode == 0, done.stderr
    mine = pbs_bed.call("qsub", "-V", "-N", "odd", stdin="sleep 20\n", cwd="/tmp", **values)
    job = slow.submit(2, "value")
    assert until(lambda: job.status().state.value == "RUNNING", "it runs")
    assert job.result(60) == "value"
    pbs_bed.run("qdel", mine.stdout.strip())
    pbs_bed.run("qdel", done.stdout.strip(), user=pbs_bed.second_user)


@on_openpbs
def test_what_the_first_contact_learns(there: ClusterConfig) -> None:
    assert (site := site_of(quick.submit())).scheduler == "OpenPBS 23.06.06"
    assert site.max_array == 10000 and sum(node.cores for node in site.nodes) <= 8


def site_of(job: Any) -> Site:
    """Return what is known of the cluster on which a job ran."""
    job.result(60)
    _, known = job._known
    assert isinstance(known.cluster.site, Site)
    return known.cluster.site


# ---------------------------------------------------------------- Torque


@pytest.fixture(scope="module")
def torque_bed(pbs_bed: PBSBed) -> Iterator[PBSBed]:
    bed = pbs.torque(pbs_bed)
    yield bed
    bed.stop()


@pytest.fixture
def torque(torque_bed: PBSBed, home: Path) -> Onlooker:
    there = settings("pbs", torque_bed, work_dir="~/torque")
    config.configure(default=there)
    return Onlooker(there, torque_bed)


def test_torque_runs_calls_and_maps(torque: Onlooker, torque_bed: PBSBed) -> None:
    assert quick("value") == "value"
    assert list(quick.map(range(30))) == list(range(30))
    assert [words[0] for words in torque_bed.set()].count("qsub") == 2
    assert site_of(quick.submit()).scheduler == "Torque 6.1.2"


def test_ends_on_torque(torque: Onlooker) -> None:
    late, hungry = slow.options(time=2).submit(300), eat.submit(600)
    failing = quick.options(setup=["exit 3"]).submit()
    running = slow.submit(300)
    waiting = quick.options(directives=["-h"]).submit()
    torque.wait_until_running(running)
    for job in (running, waiting):
        torque.cancel(job)
    assert type(late.exception(60)) is JobTimeout and "exit_status -11" in str(late.exception())
    assert type(hungry.exception(60)) is JobOutOfMemory
    failed = failing.exception(60)
    assert type(failed) is JobFailed and failed.exit_code == 3
    assert type(running.exception(60)) is JobCancelled
    assert type(waiting.exception(60)) is JobCancelled


def test_one_task_fails_on_torque(torque: Onlooker) -> None:
    failed, *others = all_but_one.map(range(3))
    assert others == [1, 2] and type(failed) is JobFailed and failed.exit_code == 137


def test_values_go_from_job_to_job_on_torque(torque: Onlooker) -> None:
    first = slow.submit(2, 20)
    second = quick.submit([first])
    assert until(lambda: second.status().reason, "it waits") == "waiting for other jobs"
    assert second.result(60) == [20]
