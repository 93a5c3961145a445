"""What a client costs the cluster: connections, channels, questions to the scheduler, bytes. Counted on a real sshd."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import clustrix
from clustrix import JobCancelled, JobFailed, cluster
from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.config import ClusterConfig
from clustrix_core.engine import places
from clustrix_core.transport import Transport
from clustrix_core.transport.connect import connect
from clustrix_core.transport.counting import Counting
from tests.real.onlooker import until
from tests.testbeds import sshd as testbed
from tests.testbeds.slurm import SlurmBed
from tests.testbeds.sshd import Sshd, User
from tests.unit.environments import houses

KINDS = {
    "--- probe ---": "contact",
    " environment ": "environment",
    "envs/files": "wheels",
    "clustrix: staged": "submit",
    "clustrix: files": "poll",
    "clustrix: answer": "ask",
    "clustrix: log": "log",
    "scancel": "cancel",
}
KB = 1000


@pytest.fixture(scope="module")
def server(slurm_bed: SlurmBed) -> Iterator[Sshd]:
    """A login node of the cluster that nobody else uses: its log counts our connections."""
    if reason := testbed.why_not():
        pytest.skip(reason)
    user = User(f"cxb{time.time_ns() % 10**6}")
    root = Path(tempfile.mkdtemp(prefix="clustrix-sshd-"))
    root.chmod(0o755)
    found = Sshd(root / "login", user).start()
    yield found
    found.stop()
    slurm_bed.root("scancel", "-u", user.name)
    user.remove()
    shutil.rmtree(root, ignore_errors=True)


class Wire:
    """All that goes to the cluster in one test."""

    def __init__(self, server: Sshd) -> None:
        self.server = server
        self.transports: list[Counting] = []
        self._logins = server.logins()

    def connect(self, *arguments: Any) -> Transport:
        self.transports.append(Counting(connect(*arguments)))
        return self.transports[-1]

    def reset(self) -> None:
        for transport in self.transports:
            transport.reset()

    @property
    def commands(self) -> list[str]:
        return [command for transport in self.transports for command in transport.commands]

    @property
    def kinds(self) -> Counter[str]:
        """How many commands of each kind were run; a kind that is not expected is shown as it is."""
        return Counter(
            next((kind for mark, kind in KINDS.items() if mark in command), command) for command in self.commands
        )

    @property
    def besides_polls(self) -> dict[str, int]:
        return {kind: number for kind, number in self.kinds.items() if kind not in ("poll", "ask")}

    @property
    def bytes(self) -> int:
        return sum(transport.sent + transport.received for transport in self.transports)

    @property
    def connections(self) -> int:
        return self.server.logins() - self._logins


@pytest.fixture
def wire(server: Sshd, home: Path, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Slurm over an SSH connection that is counted, and nothing known of it yet."""
    wire = Wire(server)
    monkeypatch.setattr(places, "connect", wire.connect)
    settings = ClusterConfig(
        name="hpc",
        backend="slurm",
        host="127.0.0.1",
        port=server.port,
        user=server.user.name,
        key_file=str(server.key),
        known_hosts=str(server.known_hosts),
    )
    config.configure(default=settings)
    return wire


@cluster
def add(a: int, b: int = 1) -> int:
    return a + b


def settled(wire: Wire) -> None:
    """Wait until nothing is left to do: what jobs had left on the cluster is removed too."""
    quiet = [-1]

    def still() -> bool:
        quiet.append(len(wire.commands))
        time.sleep(1.3)
        return quiet[-1] == len(wire.commands)

    until(still, "the client falls silent")


def test_a_call_costs_one_channel_and_the_first_contact_one_more(wire: Wire) -> None:
    assert add(1) == 2
    assert wire.besides_polls == {"contact": 1, "submit": 1}
    assert wire.bytes < 200 * KB
    settled(wire)
    wire.reset()
    assert add(2) == 3
    assert wire.besides_polls == {"submit": 1}
    assert wire.bytes < 20 * KB
    settled(wire)
    assert wire.besides_polls == {"submit": 1}, "files are removed by a poll"
    assert not list((wire.server.user.home / ".clustrix/jobs").glob("*/*"))
    # Another process of this user need not ask what this one has learnt.
    session.close()
    wire.reset()
    assert add(3) == 4
    assert wire.besides_polls == {"submit": 1}
    assert wire.connections == 2


def test_an_environment_that_is_there_costs_no_command(
    wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    houses.wheel(tmp_path / "wheels", "moss", "GREEN = 1\n")
    settings = ClusterConfig(**{**config.current().find().settings(), "wheels": str(tmp_path / "wheels")})
    config.configure(default=settings)

    @cluster(environment=["moss"])
    def green() -> int:
        import moss

        return int(moss.GREEN)

    assert green() == 1
    # Refused for want of it; which files are missing, those files, the build; and then it is submitted.
    assert wire.besides_polls == {"contact": 1, "submit": 2, "environment": 2, "wheels": 1}
    settled(wire)
    wire.reset()
    assert green() == 1
    assert wire.besides_polls == {"submit": 1}
    # Nor does it cost another client any, with a journal of its own.
    session.close()
    monkeypatch.setenv("CLUSTRIX_HOME", str(tmp_path / "another"))
    wire.reset()
    assert green() == 1
    assert wire.besides_polls == {"contact": 1, "submit": 1}


def test_an_idle_client_is_silent(wire: Wire) -> None:
    assert add(1) == 2
    settled(wire)
    wire.reset()
    time.sleep(3)
    assert wire.commands == []


def test_a_map_costs_no_more_than_a_call(wire: Wire) -> None:
    assert add(0) == 1
    wire.reset()
    assert list(add.map(range(1000), b=2)) == list(range(2, 1002))
    assert wire.besides_polls in ({"submit": 1}, {"contact": 1, "submit": 1})
    assert wire.connections == 1


def test_a_failed_job_costs_its_log_as_well(wire: Wire) -> None:
    job = add.options(setup=["echo words", "false"]).submit(1)
    error = job.exception(60)
    assert type(error) is JobFailed and "words" in error.log
    assert wire.besides_polls == {"contact": 1, "submit": 1, "log": 1}


def test_one_connection_for_all_threads_and_jobs(wire: Wire) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(add, range(24))) == list(range(1, 25))
    assert wire.besides_polls == {"contact": 1, "submit": 24}
    assert wire.connections == 1
    assert sum(transport.connections for transport in wire.transports) == 1


@pytest.mark.timeout(240)
def test_two_hundred_jobs_in_flight(wire: Wire) -> None:
    jobs = [add.options(directives=["--hold"]).submit(number) for number in range(200)]
    until(lambda: all(job._flight.handle for job in jobs), "all were submitted", 120)
    assert wire.besides_polls == {"contact": 1, "submit": 200}
    wire.reset()
    time.sleep(10)
    polls, kinds = wire.commands, wire.kinds
    assert set(kinds) <= {"poll", "ask"}
    # As often as for one job, which is: after a tenth of the time since the last news, 3 s at most.
    assert 2 <= kinds["poll"] <= 60
    assert kinds["ask"] <= kinds["poll"] and kinds["ask"] <= 12
    questions = [command for command in polls if "clustrix: answer" in command]
    assert all(command.count("squeue") <= 2 and "sacct" not in command for command in questions)
    assert questions and max(map(len, questions)) < 4 * KB, "no question grows with the jobs"
    assert not any("scontrol" in command for command in polls)
    # One command cancels them all, and all callers hear of it.
    wire.reset()
    engine, flight = jobs[0]._known
    engine.dispatch.cancel([job._flight.handle for job in jobs], flight.cluster)
    began = time.monotonic()
    assert {type(job.exception(30)) for job in jobs} == {JobCancelled}
    assert time.monotonic() - began < 10
    assert wire.besides_polls == {"cancel": 1}


def test_one_channel_fetches_any_number_of_finished_jobs(wire: Wire, tmp_path: Path, home: Path) -> None:
    file = tmp_path / "clustrix.yml"
    file.write_text(config.dump(config.current()), "utf-8")
    # A client that goes home; its jobs end, and nobody has fetched anything.
    script = "from clustrix import cluster\nfor n in range(30): cluster(lambda n: n * n).submit(n)\n"
    environment = {**os.environ, "CLUSTRIX_CONFIG": str(file), "CLUSTRIX_HOME": str(home)}
    subprocess.run([sys.executable, "-c", script], env=environment, cwd=tmp_path, check=True, timeout=90)
    entries = session.engine().journal.entries()
    jobs = wire.server.user.home / ".clustrix/jobs"
    ends = [jobs / entry.id[:2] / entry.id / "status-0.0" for entry in entries]
    until(lambda: all(end.exists() for end in ends), "all have ended", 90)
    engine, flight = clustrix.get_job(entries[0].id)._known
    clustrix.get_job(entries[0].id).result(60)
    wire.reset()
    engine.dispatch.fetch([entry.handle for entry in entries if entry.handle], engine.mirrors, flight.cluster)
    assert wire.kinds == {"poll": 1}
    assert sorted(clustrix.get_job(entry.id).result(0) for entry in entries) == [n * n for n in range(30)]
    assert wire.besides_polls == {}
