"""A bad network between client and cluster: what breaks is made anew, and no caller has to know."""

from __future__ import annotations

import contextlib
import os
import pty
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import clustrix
from clustrix import HostKeyError, TransportError, cluster
from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.config import ClusterConfig
from tests.real.onlooker import until
from tests.testbeds import sshd as testbed
from tests.testbeds.network import Network
from tests.testbeds.slurm import SlurmBed
from tests.testbeds.sshd import PASSWORD, Sshd, User

MB = 2**20
SCRIPT = """
import sys, time
from clustrix import cluster

def note(number, directory, seconds=0):
    with open(f"{directory}/ran", "a") as file:
        file.write(f"{number}\\n")
    time.sleep(seconds)
    return number

call, directory = cluster(note), sys.argv[1]
"""


@pytest.fixture(scope="module")
def user(slurm_bed: SlurmBed) -> Iterator[User]:
    if reason := testbed.why_not():
        pytest.skip(reason)
    made = User(f"cxn{time.time_ns() % 10**6}")
    yield made
    slurm_bed.root("scancel", "-u", made.name)
    made.remove()


@pytest.fixture(scope="module")
def servers(user: User) -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="clustrix-sshd-"))
    root.chmod(0o755)
    yield root
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="module")
def server(servers: Path, user: User) -> Iterator[Sshd]:
    """A login node of the cluster."""
    found = Sshd(servers / "login", user).start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def narrow(servers: Path, user: User) -> Iterator[Sshd]:
    """One that takes a login at a time, and a session at a time of each."""
    found = Sshd(servers / "narrow", user, "MaxStartups 1", "MaxSessions 1", "LoginGraceTime 60").start()
    yield found
    found.stop()


@pytest.fixture
def network(server: Sshd) -> Iterator[Network]:
    with Network(server.port) as found:
        yield found


@pytest.fixture(params=["paramiko", "openssh"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def through(network: Network, server: Sshd, kind: str) -> ClusterConfig:
    """Return the cluster behind a network."""
    known = server.root / "known"
    known.write_text(f"[127.0.0.1]:* {(server.root / 'host_ed25519.pub').read_text()}")
    return ClusterConfig(
        name="hpc",
        backend="slurm",
        host="127.0.0.1",
        port=network.port,
        user=server.user.name,
        key_file=str(server.key),
        known_hosts=str(known),
        transport=kind,
    )


@pytest.fixture
def there(server: Sshd, network: Network, kind: str, home: Path) -> ClusterConfig:
    found = through(network, server, kind)
    config.configure(default=found)
    return found


@cluster
def note(number: int, directory: str, seconds: float = 0) -> int:
    with open(f"{directory}/ran", "a") as file:
        file.write(f"{number}\n")
    time.sleep(seconds)
    return number


@cluster
def measure(data: bytes, directory: str) -> int:
    with open(f"{directory}/ran", "a") as file:
        file.write("0\n")
    return len(data)


@cluster
def make(size: int, directory: str) -> bytes:
    with open(f"{directory}/ran", "a") as file:
        file.write("0\n")
    return secrets.token_bytes(size)


def ran(shared: Path) -> list[int]:
    file = shared / "ran"
    return sorted(map(int, file.read_text().split())) if file.exists() else []


# ---------------------------------------------------------------- connections that break


def test_reset_amid_the_first_contact(network: Network, there: ClusterConfig, shared: Path) -> None:
    network.reset_after(up=30_000)
    assert note(1, str(shared)) == 1
    assert network.broke and ran(shared) == [1]


def test_reset_amid_a_large_payload(network: Network, there: ClusterConfig, shared: Path) -> None:
    network.reset_after(up=10 * MB)
    assert measure(secrets.token_bytes(20 * MB), str(shared)) == 20 * MB
    assert network.broke and network.connections == 2
    assert ran(shared) == [0]


def test_reset_amid_a_large_result(network: Network, there: ClusterConfig, shared: Path) -> None:
    network.reset_after(down=10 * MB)
    assert len(make(20 * MB, str(shared))) == 20 * MB
    assert network.broke and network.connections == 2
    assert network.down < 22 * MB, "what had arrived was not sent again"
    assert ran(shared) == [0]


@pytest.mark.parametrize("script", ['touch HERE/began; sleep 2; real "$@"', 'real "$@"; touch HERE/began; sleep 2'])
def test_reset_while_sbatch_runs(network: Network, there: ClusterConfig, shared: Path, user: User, script: str) -> None:
    program = shared / "bin/sbatch"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/bash\nreal() {{ {shutil.which("sbatch")} "$@"; }}\necho >>{shared}/asked\n'
        + script.replace("HERE", str(shared))
    )
    program.chmod(0o755)
    profile = user.home / ".bashrc"
    before = profile.read_text()
    profile.write_text(f"PATH={program.parent}:$PATH\n{before}")
    try:
        job = note.submit(1, str(shared))
        until((shared / "began").exists, "sbatch runs")
        network.reset()
        assert job.result(60) == 1
    finally:
        profile.write_text(before)
    assert (ran(shared), len((shared / "asked").read_text()), network.connections) == ([1], 1, 2)


def test_every_other_connection_is_refused(network: Network, there: ClusterConfig, shared: Path) -> None:
    network.refused = lambda number: number % 2 == 1
    for number in range(2):
        network.reset()
        assert note(number, str(shared)) == number
    assert ran(shared) == [0, 1]
    assert network.connections >= 4


def test_nobody_listens_for_a_moment(network: Network, there: ClusterConfig, shared: Path) -> None:
    network.shut()
    threading.Timer(1, network.open).start()
    assert note(1, str(shared)) == 1
    assert ran(shared) == [1]


# ---------------------------------------------------------------- hosts that let few in


@contextlib.contextmanager
def busy(host: Sshd) -> Iterator[None]:
    """Somebody who takes his time to log in."""
    while True:
        with socket.create_connection(("127.0.0.1", host.port)) as connection:
            if connection.recv(4) == b"SSH-":
                yield
                return


def test_one_session_for_four_threads(narrow: Sshd, kind: str, home: Path, shared: Path) -> None:
    with Network(narrow.port) as network:
        config.configure(default=through(network, narrow, kind))
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda number: note(number, str(shared)), range(8))) == list(range(8))
        assert network.connections == 1
        session.close()
    assert ran(shared) == list(range(8))


def test_no_login_left(narrow: Sshd, kind: str, home: Path, monkeypatch: pytest.MonkeyPatch, shared: Path) -> None:
    with Network(narrow.port) as network:
        config.configure(default=through(network, narrow, kind))
        with busy(narrow):
            with monkeypatch.context() as patch:
                patch.setattr("clustrix_core.transport.attempts.CROWDED", 2.0)
                error = note.submit(0, str(shared)).exception(30)
            assert type(error) is TransportError and error.transient, repr(error)
            assert "hangs up before the login" in str(error) and "too many logins" in str(error)
            tried = network.connections
            assert 3 <= tried <= 10
            job = note.submit(1, str(shared))
            until(lambda: network.connections > tried + 2, "it is tried again")
        assert job.result(60) == 1
        session.close()
    assert ran(shared) == [1]


# ---------------------------------------------------------------- far away


def test_a_fifth_of_a_second_away(network: Network, there: ClusterConfig, shared: Path) -> None:
    network.delay, network.loss = 0.1, 0.01
    assert note(1, str(shared)) == 1
    time.sleep(2)  # what the first call has left is removed
    calls = []
    for number in range(2, 5):  # a busy machine lets a call wait, and it asks after it meanwhile: the best one counts
        began, trips = time.monotonic(), network.trips
        assert note(number, str(shared)) == number
        calls.append((network.trips - trips, time.monotonic() - began))
    print("warm:", *(f"{trips} trips in {took:.2f} s" for trips, took in calls), sep="\n  ")
    assert min(trips for trips, _ in calls) <= 12
    assert min(took for _, took in calls) < 12 * 0.2 + 5
    assert network.connections == 1


# ---------------------------------------------------------------- what people see


class Client:
    """A user's program, on a terminal or with its output in a file; ``shown`` is what it has printed so far."""

    def __init__(self, code: str, there: ClusterConfig, home: Path, shared: Path, terminal: bool = True) -> None:
        home.mkdir(exist_ok=True, parents=True)
        directory = Path(tempfile.mkdtemp(dir=home))
        config.configure(default=there)
        (directory / "clustrix.yml").write_text(config.dump(config.current()), "utf-8")
        (directory / "script.py").write_text(SCRIPT + code, "utf-8")
        environment = {
            **os.environ,
            "CLUSTRIX_CONFIG": str(directory / "clustrix.yml"),
            "CLUSTRIX_HOME": str(home),
            "COLUMNS": "250",
            "TERM": "xterm",
        }
        self.shown, self._terminal = "", terminal
        self._ours, theirs = pty.openpty() if terminal else os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", CONTROLLING if terminal else PLAIN, "script.py", str(shared)],
            stdin=theirs if terminal else subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env=environment,
            cwd=directory,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # a terminal whose other end is closed
            while data := os.read(self._ours, 65536):
                self.shown += data.decode("utf-8", "replace")
        os.close(self._ours)

    def says(self, words: str) -> bool:
        return words in self.shown

    def types(self, line: str) -> None:
        os.write(self._ours, f"{line}\n".encode())

    def interrupt(self) -> None:
        if self._terminal:  # which tells all that runs in the foreground
            os.write(self._ours, b"\x03")
        else:
            self.process.send_signal(signal.SIGINT)

    def ends(self, patience: float = 60) -> int:
        """Return the exit code."""
        try:
            return self.process.wait(patience)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join(5)


PLAIN = "import runpy, sys; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
CONTROLLING = f"import os; os.close(os.open(os.ttyname(0), os.O_RDWR)); {PLAIN}"


def test_fifteen_seconds_without_a_network_awake_or_asleep(
    server: Sshd, network: Network, home: Path, shared: Path
) -> None:
    """A minute would be the same code; the laptop sleeps a while longer than the network is away."""
    code = "print('value', call(1, directory, 4))"
    places = [through(network, server, kind) for kind in ("paramiko", "openssh")]
    awake = [Client(code, place, home, shared) for place in places]
    asleep = [Client(code, place, home, shared) for place in places]
    until(lambda: len(ran(shared)) == 4, "all jobs run")
    for client in asleep:
        client.process.send_signal(signal.SIGSTOP)
    network.shut()
    network.reset()
    until(lambda: all(client.says("hpc does not answer, trying again: ") for client in awake), "they say so", 14)
    assert all(client.says("onnection refused") for client in awake)
    time.sleep(15)
    network.open()
    time.sleep(1)
    for client in asleep:
        client.process.send_signal(signal.SIGCONT)
    for client in (*awake, *asleep):
        assert client.ends() == 0, client.shown
        assert client.says("value 1"), client.shown
    assert ran(shared) == [1] * 4


def test_ctrl_c_leaves_the_jobs_running(server: Sshd, network: Network, home: Path, shared: Path) -> None:
    ways = [(through(network, server, "openssh"), True), (through(network, server, "paramiko"), False)]
    calls = [Client("call(1, directory, 8)", place, home, shared, terminal) for place, terminal in ways]
    code = "list(call.map([1], directory=directory, seconds=8))"
    maps = [Client(code, place, home, shared, terminal) for place, terminal in ways]
    until(lambda: len(ran(shared)) == 4, "all jobs run")
    for client in (*calls, *maps):
        began = time.monotonic()
        client.interrupt()
        assert client.ends() == -signal.SIGINT, client.shown
        assert time.monotonic() - began < 3
        assert client.says("KeyboardInterrupt")
    found = [clustrix.get_job(info.id) for info in clustrix.jobs()]
    assert not any(job.done() for job in found)
    told = {line.split()[-1] for client in calls for line in client.shown.splitlines() if "goes on without you" in line}
    assert told == {job.id for job in found if isinstance(job, clustrix.Job)} and len(told) == 2
    assert [job.result(60) if isinstance(job, clustrix.Job) else job.results()[0] for job in found] == [1] * 4
    assert ran(shared) == [1] * 4


def test_ctrl_c_while_the_host_is_away(server: Sshd, network: Network, home: Path, shared: Path) -> None:
    """What nobody knows about a submission is not waited for: the next client finds out."""
    code = "call(0, directory); open(f'{directory}/warm', 'w').close(); time.sleep(2); call(1, directory)"
    client = Client(code, through(network, server, "paramiko"), home, shared)
    until((shared / "warm").exists, "the first call is through")
    network.shut()
    network.reset()
    until(lambda: client.says("does not answer"), "it says so")
    client.interrupt()
    assert client.ends(10) == -signal.SIGINT, client.shown
    network.open()
    (last,) = [info.id for info in clustrix.jobs() if info.state != "SUCCEEDED"]
    assert clustrix.get_job(last).result(60) == 1
    assert ran(shared) == [0, 1]


def test_a_question_is_not_drawn_over(servers: Path, user: User, home: Path, shared: Path) -> None:
    host = Sshd(servers / "asks", user, pam=True).start()
    try:
        with Network(host.port) as network:
            network.delay = 0.2  # the question comes when the spinner turns
            clients = []
            for kind in ("paramiko", "openssh"):
                more = {"key_file": None, "ssh_config": "/dev/null"}
                place = ClusterConfig(**{**through(network, host, kind).settings(), **more})
                clients.append(Client("print('value', call(1, directory))", place, home / kind, shared))
            until(lambda: all(client.says("Password:") for client in clients), "they ask")
            time.sleep(1)
            for client in clients:
                assert client.shown.endswith("Password: "), client.shown[-300:]
                client.types(PASSWORD)
            for client in clients:
                assert client.ends() == 0, client.shown
                assert client.says("value 1") and client.says("pending") and not client.says(PASSWORD)
    finally:
        host.stop()


# ---------------------------------------------------------------- somebody else answers


def test_the_host_key_changes_in_between(
    servers: Path, server: Sshd, user: User, network: Network, there: ClusterConfig, shared: Path
) -> None:
    job = note.submit(1, str(shared), 15)
    until(lambda: ran(shared) == [1], "the job runs")
    other = Sshd(servers / f"other-{there.transport}", user).start()
    network.server = other.port
    network.reset()
    error = job.exception(60)
    other.stop()
    assert type(error) is HostKeyError and not error.transient, repr(error)
    assert "CHANGED" in str(error) and "ssh-keygen -R" in str(error)
    assert other.logins() == 0
    (info,) = clustrix.jobs()
    assert info.state in ("PENDING", "RUNNING") and info.finished is None, "the job goes on"
    network.server = server.port
    found = clustrix.get_job(info.id)
    assert isinstance(found, clustrix.Job) and found.result(60) == 1
    assert ran(shared) == [1]
