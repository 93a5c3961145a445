"""What only Grid Engine does to jobs, each end provoked for real."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clustrix import (
    DependencyFailed,
    JobFailed,
    JobOutOfMemory,
    JobTimeout,
    SubmitRejected,
    cluster,
)
from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.cli.doctor import examine
from clustrix_core.config import ClusterConfig
from clustrix_core.engine import places
from clustrix_core.model import JobState
from clustrix_core.transport import Transport
from clustrix_core.transport.connect import connect
from clustrix_core.transport.counting import Counting
from tests.real.conftest import settings
from tests.real.onlooker import Onlooker, check, until
from tests.testbeds.sge import SgeBed

pytestmark = pytest.mark.parametrize("place", ["sge"], indirect=True)
MB = 2**20


@cluster
def quick(value: Any = 1) -> Any:
    return value


@cluster
def slow(seconds: float, value: Any = None) -> Any:
    print("slow begins", flush=True)
    time.sleep(seconds)
    return value


@cluster
def eat(processes: int, size: int) -> None:
    """Take memory in several processes, none of which has too much."""
    code = f"held = bytearray({size}); held[::4096] = b'x' * len(held[::4096]); import time; time.sleep(60)"
    print("eat begins", flush=True)
    for process in [subprocess.Popen(["python3", "-c", code]) for _ in range(processes)]:
        process.wait()


# ---------------------------------------------------------------- limits


def test_the_walltime_is_enforced_to_the_second(onlooker: Onlooker) -> None:
    job = slow.options(time="4s", memory="200MB").submit(60)
    error = onlooker.ending(job).error()
    check(error, JobTimeout, job, "slow begins", state="TIMEOUT")
    assert error.exit_code == 137 and "failed 37" in error.reason


def test_memory_counts_for_all_processes_of_a_job(onlooker: Onlooker) -> None:
    job = eat.options(memory="150MB", time="10min").submit(4, 80 * MB)
    error = onlooker.ending(job).error()
    check(error, JobOutOfMemory, job, "eat begins", state="OUT_OF_MEMORY")
    assert error.exit_code == 137 and "failed 37" in error.reason


def test_one_process_gets_no_more_memory_than_was_asked_for(onlooker: Onlooker) -> None:
    job = cluster(lambda: len(bytearray(400 * MB))).options(memory="150MB").submit()
    assert type(job.exception(60)) is MemoryError


def test_what_is_asked_for_is_of_a_call_in_several_slots_too(onlooker: Onlooker, bed: SgeBed) -> None:
    job = slow.options(cores=2, memory="300MB", time="10min").submit(2)
    onlooker.wait_until_running(job)
    shown = bed.run("qstat", "-j", onlooker.handle(job).native)
    assert "smp range: 2" in shown and "h_vmem=150M" in shown and "h_rt=600" in shown
    job.result(60)


# ---------------------------------------------------------------- errors of the scheduler


@pytest.fixture
def gone(onlooker: Onlooker, bed: SgeBed) -> Iterator[list[Any]]:
    """The jobs in here must have left the queue: one in error would stay there for ever."""
    jobs: list[Any] = []
    yield jobs
    for job in jobs:
        native = onlooker.handle(job).native
        until(lambda native=native: bed.state_of(native) == "", f"{native} has left the queue", 10)


def test_a_job_in_error_ends_with_the_reason(onlooker: Onlooker, gone: list[Any]) -> None:
    job = quick.options(directives=["-i /nonexistent"]).submit()
    gone.append(job)
    error = job.exception(30)
    check(error, JobFailed, job, state="FAILED")
    assert "/nonexistent" in error.reason
    # Somebody who comes later hears the same: it is no longer in the queue, and accounting does not know the file.
    assert "/nonexistent" in (onlooker.directory(job) / "status-0.0").read_text()


def test_all_tasks_of_a_map_in_error(onlooker: Onlooker, gone: list[Any]) -> None:
    results = quick.options(directives=["-i /nonexistent"], return_exceptions=True).map(range(20))
    gone.append(results)
    assert {type(said) for said in results} == {JobFailed}


def test_exit_100_means_error(onlooker: Onlooker, gone: list[Any]) -> None:
    job = quick.options(setup=["echo preparing", "exit 100"]).submit()
    gone.append(job)
    error = job.exception(30)
    check(error, JobFailed, job, "preparing", state="FAILED")
    assert error.exit_code == 100


@pytest.mark.timeout(300)
def test_exit_99_means_once_more(onlooker: Onlooker, shared: Path) -> None:
    job = quick.options(setup=[f"[ -e {shared}/again ] || {{ touch {shared}/again; exit 99; }}"]).submit("at last")
    assert job.result(240) == "at last"
    assert (shared / "again").exists()


@pytest.mark.timeout(300)
def test_a_job_that_is_put_back_runs_again(onlooker: Onlooker, bed: SgeBed, shared: Path) -> None:
    @cluster(directives=["-r y"])
    def begun(directory: str) -> int:
        with open(f"{directory}/runs", "a") as file:
            file.write("run\n")
        with open(f"{directory}/runs") as file:
            runs = len(file.readlines())
        print("run", runs, flush=True)
        if runs == 1:
            time.sleep(300)
        return runs

    job = begun.submit(str(shared))
    onlooker.wait_until_running(job)
    native = onlooker.handle(job).native
    bed.admin("qmod", "-rj", native)
    until(lambda: "R" in bed.state_of(native), "it was put back")
    until(lambda: "failed       25" in bed.run("qacct", "-j", native, check=False), "the record of its first run")
    assert job.result(240) == 2
    assert "run 2" in job.logs()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"partition": "nope.q"}, 'job requests unknown queue "nope.q"'),
        ({"directives": ["-l nores=1"]}, 'unknown resource "nores"'),
        ({"directives": ["-pe nope 2"]}, 'the requested parallel environment "nope" does not exist'),
        ({"directives": ["-l h_rt=soon"]}, "h_rt"),
        ({"directives": ["-w e", "-pe smp 64"]}, "no suitable queues"),
        ({"directives": ["-nonsense"]}, "nonsense"),
    ],
)
def test_a_refusal_has_the_words_of_qsub(onlooker: Onlooker, asked: dict[str, Any], said: str) -> None:
    error = quick.options(**asked).submit().exception(60)
    assert type(error) is SubmitRejected and said in str(error)


# ---------------------------------------------------------------- waiting


def test_a_job_that_can_never_run_says_why(onlooker: Onlooker) -> None:
    job = quick.options(cores=64).submit()
    # While others have all slots, that is what it says.
    until(lambda: 'cannot run in PE "smp"' in job.status().reason, "it says why it waits", 90)
    assert job.status().state is JobState.PENDING
    assert job.cancel()


def test_a_job_waits_for_the_one_that_it_takes_the_value_of(onlooker: Onlooker, bed: SgeBed) -> None:
    producer = slow.submit(5, 20)
    consumer = quick.submit(producer)
    native = onlooker.handle(consumer).native
    until(lambda: bed.state_of(native) == "hqw", "it is held")
    assert f"jid_predecessor_list:       {onlooker.handle(producer).native}" in bed.run("qstat", "-j", native)
    until(lambda: "jobs that it comes after" in consumer.status().reason, "it says so")
    assert consumer.result(60) == 20


def test_a_job_that_comes_after_one_in_error_is_not_held_for_ever(onlooker: Onlooker) -> None:
    producer = quick.options(setup=["exit 100"]).submit()
    consumer = quick.submit(producer)
    assert type(consumer.exception(100)) is DependencyFailed


# ---------------------------------------------------------------- what a user's files say to Grid Engine's programs


@pytest.fixture
def bare(home: Path, bed: SgeBed) -> ClusterConfig:
    """The second user, whose sessions find no qsub by themselves."""
    return settings("sge", bed, host=bed.bare_alias, options={"settings": str(bed.settings)})


@pytest.fixture
def write(bed: SgeBed) -> Iterator[Any]:
    """Write files into the second user's home; they are gone afterwards."""
    home = Path(f"~{bed.second_user}").expanduser()
    written = []

    def write(name: str, text: str) -> None:
        (home / name).write_text(text)
        (home / name).chmod(0o644)
        written.append(home / name)

    yield write
    for path in written:
        path.unlink(missing_ok=True)


def test_settings_lead_to_grid_engine(bare: ClusterConfig) -> None:
    config.configure(default=bare)
    assert quick(20) == 20 and list(quick.map(range(10))) == list(range(10))
    job = slow.submit(60)
    until(job.running, "it runs")
    assert job.cancel()


def test_without_settings_it_is_said_that_there_is_no_qsub(bare: ClusterConfig) -> None:
    config.configure(default=ClusterConfig(**{**bare.settings(), "options": {}}))
    error = quick.submit().exception(60)
    assert type(error) is SubmitRejected and "sge is not there" in str(error)


def test_defaults_of_the_user_do_no_harm(bare: ClusterConfig, write: Any) -> None:
    write(".sge_request", "-C % -b y -N other -o /nonexistent -j n -S /bin/false\n")
    write(".sge_qstat", "-s z -u nobody -ext -f\n")
    config.configure(default=bare)
    assert quick(30) == 30
    job = slow.submit(60)
    until(job.running, "it runs")
    assert job.cancel()


def test_a_list_of_something_else_is_not_taken_for_an_empty_one(bare: ClusterConfig, write: Any) -> None:
    config.configure(default=bare)
    job = slow.submit(8, "here")
    until(job.running, "it runs")
    write(".sge_qstat", "-g c\n")
    assert job.result(60) == "here"


# ---------------------------------------------------------------- what it costs


def test_fifty_jobs_are_one_question(onlooker: Onlooker, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Counting] = []

    def counted(*arguments: Any) -> Transport:
        made.append(Counting(connect(*arguments)))
        return made[-1]

    session.close()
    monkeypatch.setattr(places, "connect", counted)
    jobs = [slow.submit(3, number) for number in range(50)]
    until(lambda: all(job._flight.handle for job in jobs), "all are submitted")
    (transport,) = made
    transport.reset()
    assert [job.result(100) for job in jobs] == list(range(50))
    asked = [command for command in transport.commands if "clustrix: answer" in command]
    assert 1 <= len(asked) < 50, "a question is one for all jobs"
    assert not [command for command in asked if "qacct" in command], "whoever brings a value needs no accounting"


# ---------------------------------------------------------------- doctor


def test_doctor_finds_nothing_where_nothing_is_wrong(there: ClusterConfig) -> None:
    asked = {"partition": "all.q", "memory": "1GB", "time": "1h", "cores": 2, "gpus": 1}
    able = ClusterConfig(**{**there.settings(), "resources": asked})
    until(lambda: list(examine(able)) == [], "a node has room to be asked")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"resources": {"cores": 64}}, 'error cannot run in PE "smp" because it only offers 0 slots'),
        ({"resources": {"memory": "1TB"}}, "error it offers only hc:h_vmem=64.000G"),
        ({"resources": {"gpus": 3}}, "error it offers only hc:gpu=2"),
        ({"resources": {"gpus": "a100:1"}}, 'error unknown resource "a100"'),
        ({"resources": {"partition": "al.q"}}, "error Did you mean 'all.q'?"),
        ({"resources": {"cores": 2}, "options": {"parallel_environment": "mp"}}, "error Did you mean 'smp'?"),
        ({"options": {"parallel_environment": "mp"}}, "warning there is no parallel environment"),
        ({"options": {"memory_per_slot": False}}, "warning h_vmem is counted for each slot"),
        ({"resources": {"memory": "1GB"}, "options": {"memory_resource": "mem_free"}}, "warning but is not counted"),
    ],
)
def test_doctor_finds_what_could_never_run(there: ClusterConfig, asked: dict[str, Any], said: str) -> None:
    found = [(problem.severity, problem.message + problem.hint) for problem in examine(replaced(there, asked))]
    severity, _, words = said.partition(" ")
    assert any(kind == severity and words in text for kind, text in found), found


def replaced(there: ClusterConfig, asked: dict[str, Any]) -> ClusterConfig:
    return ClusterConfig(**{**there.settings(), **asked})


def test_doctor_says_what_leads_to_grid_engine(bare: ClusterConfig, write: Any) -> None:
    until(lambda: list(examine(bare)) == [], "a node has room to be asked")
    write(".sge_request", "-sync y\n")
    assert "-sync y" in next(iter(examine(bare))).message
    (problem,) = examine(replaced(bare, {"options": {}}))
    assert problem.severity == "error" and "there is no qstat" in problem.message and "settings.sh" in problem.hint
