"""The transports against real sshd processes on loopback; what holds for both SSH transports is tested on both."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pty
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import paramiko
import pytest

from clustrix_core.errors import AuthenticationError, ConfigError, HostKeyError, TransportError
from clustrix_core.transport import Transport, channel
from clustrix_core.transport.command import LIMIT
from clustrix_core.transport.connect import connect
from clustrix_core.transport.counting import Counting
from clustrix_core.transport.login import Login
from clustrix_core.transport.ssh import Paramiko
from tests.testbeds import sshd as testbed
from tests.testbeds.sshd import PASSWORD, Sshd, User, make_key

SSH = ("paramiko", "openssh")
MB = 1 << 20
AWKWARD = "".join(chr(c) for c in range(32, 127)) + "äß馬🐎 'a'\"b\" \\' \\\\ !! !x $HOME `id` %s {a,b} ~ *"
Starter = Callable[..., Sshd]


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    if reason := testbed.why_not():
        pytest.skip(reason)
    made = User()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def bed(user: User) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="clustrix-sshd-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def host(bed: Path, user: User) -> Iterator[Sshd]:
    """A host that every test may use and none may change."""
    server = Sshd(bed / "host", user).start()
    yield server
    server.stop()


@pytest.fixture
def start(bed: Path, user: User) -> Iterator[Starter]:
    """Starts a host of the test's own."""
    servers: list[Sshd] = []

    def start_one(*config: str, **more: Any) -> Sshd:
        servers.append(Sshd(Path(tempfile.mkdtemp(dir=bed)), user, *config, **more))
        return servers[-1].start()

    yield start_one
    for server in servers:
        server.stop()


@pytest.fixture(autouse=True)
def nobody_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the agent and the configuration of whoever runs the tests out of them."""
    empty = tmp_path / "ssh_config"
    empty.write_text("")
    monkeypatch.setenv("CLUSTRIX_SSH_CONFIG", str(empty))
    for name in ("SSH_AUTH_SOCK", "SSH_ASKPASS", "DISPLAY"):
        monkeypatch.delenv(name, raising=False)


def login(server: Sshd, **more: Any) -> Login:
    usual = {
        "port": server.port,
        "user": server.user.name,
        "key_file": str(server.key),
        "known_hosts": str(server.known_hosts),
    }
    return Login("127.0.0.1", **{**usual, **more})


@pytest.fixture(params=SSH)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def over(kind: str) -> Iterator[Callable[..., Counting]]:
    """Makes a transport to a host, closed behind the test."""
    made: list[Counting] = []

    def make(server: Sshd | Login, **more: Any) -> Counting:
        made.append(Counting(connect(kind, server if isinstance(server, Login) else login(server, **more))))
        return made[-1]

    yield make
    for transport in made:
        transport.close()


@pytest.fixture(params=["local", *SSH])
def any_transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    server = None if request.param == "local" else request.getfixturevalue("host")
    transport = connect(request.param, server and login(server))
    yield transport
    transport.close()


def blocks(megabytes: int, seed: int = 0) -> Iterator[bytes]:
    for number in range(megabytes):
        yield random.Random(seed * 10_000 + number).randbytes(MB)


# ---------------------------------------------------------------- what holds for all three


def test_exit_code_and_both_streams(any_transport: Transport) -> None:
    done = any_transport.run("echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


def test_all_exit_codes(any_transport: Transport) -> None:
    assert [any_transport.run(f"exit {code}").returncode for code in (0, 1, 127, 254, 255)] == [0, 1, 127, 254, 255]


def test_awkward_words_arrive_as_written(any_transport: Transport) -> None:
    import shlex

    assert any_transport.run(f"printf %s {shlex.quote(AWKWARD)}").text == AWKWARD


def test_binary_stdin(any_transport: Transport) -> None:
    data = bytes(range(256)) * 300
    assert any_transport.run("cat", [data[:70_000], b"", data[70_000:]]).stdout == data


def test_no_stdin_is_an_empty_one(any_transport: Transport) -> None:
    assert any_transport.run("cat; wc -c", idle=10).text.strip() == "0"


def test_a_command_need_not_read_its_stdin(any_transport: Transport) -> None:
    assert any_transport.run("head -c 5", blocks(20)).stdout == next(blocks(1))[:5]
    assert any_transport.run("exec 0<&-; exit 4", blocks(20)).returncode == 4


def test_fifty_megabytes_up_and_down(any_transport: Transport) -> None:
    expected = hashlib.sha256()
    for block in blocks(50):
        expected.update(block)
    said = any_transport.run("sha256sum", blocks(50)).text.split()[0]
    assert said == expected.hexdigest()
    seen = hashlib.sha256()
    assert any_transport.run("cat", blocks(50), seen.update).stdout == b""  # both directions at once
    assert seen.hexdigest() == expected.hexdigest()


def test_one_huge_chunk(any_transport: Transport) -> None:
    data = b"".join(blocks(30))
    began = time.monotonic()
    assert any_transport.run("wc -c", [data]).text.strip() == str(len(data))
    assert time.monotonic() - began < 10  # paramiko alone takes minutes


def test_much_stderr_beside_much_stdout(any_transport: Transport) -> None:
    done = any_transport.run("head -c 9000000 /dev/zero >&2 & head -c 8000000 /dev/zero; wait")
    assert (len(done.stdout), len(done.stderr)) == (8_000_000, 9_000_000)


def test_silence_ends_a_command(any_transport: Transport) -> None:
    began = time.monotonic()
    with pytest.raises(TransportError, match=r"nothing heard for 0\.5 s"):
        any_transport.run("sleep 60", idle=0.5)
    assert time.monotonic() - began < 5
    assert any_transport.run("echo on").text == "on\n"


def test_silence_with_data_left_to_send(any_transport: Transport) -> None:
    with pytest.raises(TransportError, match="nothing heard"):
        any_transport.run("sleep 60", blocks(30), idle=1)
    assert any_transport.run("echo on").text == "on\n"


def test_a_slow_command_that_speaks_is_not_silent(any_transport: Transport) -> None:
    assert any_transport.run("for i in 1 2 3 4; do sleep 0.4; echo $i; done", idle=1).text == "1\n2\n3\n4\n"


def test_errors_of_stdin_and_sink_are_the_callers_own(any_transport: Transport) -> None:
    def broken() -> Iterator[bytes]:
        yield from blocks(5)
        raise ZeroDivisionError("mine")

    def full(data: bytes) -> None:
        raise OSError(28, "no space left")

    with pytest.raises(ZeroDivisionError):
        any_transport.run("cat >/dev/null", broken())
    with pytest.raises(OSError, match="no space left"):
        any_transport.run("head -c 5000000 /dev/zero", (), full)
    assert any_transport.run("echo on").text == "on\n"


@pytest.mark.parametrize("command", ["", "  ", "a\nb", "a\0b", "a\rb", "echo " + "x" * LIMIT])
def test_what_is_not_one_short_line_is_refused(any_transport: Transport, command: str) -> None:
    with pytest.raises(ConfigError):
        any_transport.run(command)


def test_a_line_of_almost_a_hundred_kilobytes(any_transport: Transport) -> None:
    assert len(any_transport.run("echo " + "x" * (LIMIT - 100)).stdout) == LIMIT - 99


def test_commands_run_in_the_home_directory(any_transport: Transport) -> None:
    assert any_transport.run('test "$PWD" -ef ~ && test "$PWD" -ef "$HOME"').returncode == 0


def test_killed_by_a_signal_is_no_success(any_transport: Transport) -> None:
    try:
        assert any_transport.run("kill -9 $$").returncode == 137
    except TransportError as error:
        assert "killed by a signal" in str(error)


def test_interrupted_threads_do_not_disturb_others(any_transport: Transport) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: any_transport.run(f"sleep 0.1; echo {n}; cat", [b"x" * n]).text, range(40)))
    assert answers == [f"{n}\n" + "x" * n for n in range(40)]


def test_local_kills_the_whole_group() -> None:
    transport = connect("local")
    mark = f"3{os.getpid()}7"
    with pytest.raises(TransportError):
        transport.run(f"sleep {mark} & sleep {mark}", idle=0.3)
    found = subprocess.run(["pgrep", "-f", f"^sleep {mark}"], capture_output=True).stdout
    assert not found


# ---------------------------------------------------------------- one connection


def test_threads_share_one_connection(start: Starter, over: Callable[..., Counting]) -> None:
    server = start()
    transport = over(server)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: transport.run(f"echo {n}").text, range(64)))
    assert answers == [f"{n}\n" for n in range(64)]
    assert (transport.runs, transport.connections, server.logins()) == (64, 1, 1)


def test_early_ends_do_not_disturb_other_threads(host: Sshd, over: Callable[..., Counting]) -> None:
    """paramiko lets data overtake the end of a channel, which costs all threads their connection."""
    transport = over(host)
    block = next(blocks(1))

    def attempt(number: int) -> bytes:
        if number % 2:
            return transport.run("head -c 1", [block] * 3).stdout
        return transport.run("echo", [b"unread"] * (number % 3)).stdout[:1]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attempt, range(400)))
    assert answers == [b"\n", block[:1]] * 200
    assert transport.connections == 1


def test_nothing_connects_before_the_first_run(over: Callable[..., Counting]) -> None:
    transport = over(Login("127.0.0.1", port=1))
    assert transport.connections == 0
    assert "127.0.0.1:1" in repr(transport)


def test_close_and_run_again(start: Starter, over: Callable[..., Counting]) -> None:
    server = start()
    transport = over(server)
    for expected in (1, 2):
        assert transport.run("true").returncode == 0
        assert server.logins() == expected
        transport.close()
        transport.close()


def test_counting(host: Sshd, over: Callable[..., Counting]) -> None:
    transport = over(host)
    transport.run("cat", [b"12345"])
    transport.run("echo abc; echo de >&2", (), lambda data: None)
    assert (transport.sent, transport.received, transport.runs, transport.connections) == (5, 5 + 4 + 3, 2, 1)
    assert transport.commands[0] == "cat"
    transport.reset()
    assert (transport.sent, transport.runs, transport.connections) == (0, 0, 0)


@pytest.mark.parametrize("limit", [1, 2])
def test_few_sessions_allowed(start: Starter, over: Callable[..., Counting], limit: int) -> None:
    server = start(f"MaxSessions {limit}")
    transport = over(server)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda n: transport.run(f"sleep 0.2; echo {n}; cat", [b"y"]).text, range(12)))
    assert answers == [f"{n}\ny" for n in range(12)]
    assert server.logins() == 1


def test_no_sessions_allowed(start: Starter, over: Callable[..., Counting], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clustrix_core.transport.sessions.SOON", 1.0)
    with pytest.raises(TransportError, match="no further session"):
        over(start("MaxSessions 0")).run("true")


def test_too_many_logins_at_once(start: Starter, kind: str) -> None:
    server = start("MaxStartups 1", "LoginGraceTime 20")
    transports = [connect(kind, login(server)) for _ in range(5)]
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda transport: transport.run("echo in").text, transports))
    assert answers == ["in\n"] * 5
    for transport in transports:
        transport.close()


# ---------------------------------------------------------------- what breaks


def test_killed_session(start: Starter, over: Callable[..., Counting]) -> None:
    server = start()
    transport = over(server)
    counter = server.user.home / f"ran-{server.port}"
    threading.Timer(1.0, server.kill_sessions).start()
    began = time.monotonic()
    with pytest.raises(TransportError, match="connection broke") as caught:
        transport.run(f"echo x >>{counter}; sleep 30")
    assert time.monotonic() - began < 10
    assert caught.value.transient
    assert f"127.0.0.1:{server.port}" in str(caught.value)
    assert transport.run("echo back").text == "back\n"
    assert (transport.connections, server.logins()) == (2, 2)
    assert counter.read_text() == "x\n"  # never started twice


def test_killed_while_nothing_runs(start: Starter, over: Callable[..., Counting]) -> None:
    server = start()
    transport = over(server)
    transport.run("true")
    server.kill_sessions()
    assert transport.run("cat", blocks(3)).stdout == b"".join(blocks(3))
    assert server.logins() == 2


def test_host_gone_and_back(start: Starter, over: Callable[..., Counting]) -> None:
    server = start()
    transport = over(server)
    transport.run("true")
    server.stop()
    with pytest.raises(TransportError) as caught:
        transport.run("true")
    assert caught.value.transient
    server.start()
    assert transport.run("echo back").text == "back\n"


def test_a_frozen_connection(
    start: Starter, over: Callable[..., Counting], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clustrix_core.transport.openssh.PROBE", 1.0)
    server = start()
    transport = over(server)
    transport.run("true")
    frozen = server.session_pids()
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        if kind == "paramiko":  # no session was opened, so a new connection is safe
            assert transport.run("echo on", idle=2).text == "on\n"
        else:
            with pytest.raises(TransportError, match="nothing heard"):
                transport.run("cat", blocks(30), idle=2)
            assert transport.run("echo on", idle=2).text == "on\n"
        assert transport.connections == 2
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)


def test_frozen_while_data_is_sent(
    start: Starter, over: Callable[..., Counting], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clustrix_core.transport.openssh.PROBE", 1.0)
    monkeypatch.setattr("clustrix_core.transport.ssh.PROBE", 1.0)
    server = start()
    transport = over(server)
    transport.run("true")
    frozen = server.session_pids()
    threading.Timer(0.5, lambda: [os.kill(pid, signal.SIGSTOP) for pid in frozen]).start()
    began = time.monotonic()
    try:
        with pytest.raises(TransportError, match="nothing heard"):
            transport.run("cat >/dev/null", (bytes(MB) for _ in range(100_000)), idle=2)
        assert time.monotonic() - began < 12
        assert transport.run("echo on").text == "on\n"
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)


def test_refused_port(start: Starter, over: Callable[..., Counting]) -> None:
    server = start()
    server.stop()
    with pytest.raises(TransportError, match=r"(?i)connection refused") as caught:
        over(server).run("true")
    assert caught.value.transient
    assert f"127.0.0.1:{server.port}" in str(caught.value)


def test_no_such_host(over: Callable[..., Counting]) -> None:
    with pytest.raises(TransportError, match=r"no such host|Name or service not known|name resolution") as caught:
        over(Login("no-such-host.invalid")).run("true")
    assert caught.value.hint


def test_no_ssh_server(over: Callable[..., Counting], monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr("clustrix_core.transport.attempts.CROWDED", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            while True:
                try:
                    listener.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=hang_up, daemon=True).start()
        with pytest.raises(TransportError) as caught:
            over(Login("127.0.0.1", port=listener.getsockname()[1], user="x")).run("true")
        listener.shutdown(socket.SHUT_RDWR)
    assert caught.value.transient


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "-oProxyCommand=touch /tmp/owned"},
        {"host": "a;id"},
        {"host": "a b"},
        {"host": "$(id)"},
        {"host": "a\nb"},
        {"host": ""},
        {"host": "h", "user": "-l"},
        {"host": "h", "user": "a;b"},
        {"host": "h", "port": 0},
        {"host": "h", "proxy_jump": "-oProxyCommand=id"},
        {"host": "h", "proxy_jump": "a,b;c"},
        {"host": "h", "key_file": "a\nb"},
        {"host": "h", "known_hosts": "a${PATH}"},
    ],
)
def test_what_cannot_be_a_login_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Login(**fields)


# ---------------------------------------------------------------- host keys


def test_unknown_host_key(start: Starter, over: Callable[..., Counting], tmp_path: Path) -> None:
    server = start()
    nothing = tmp_path / "known_hosts"
    with pytest.raises(HostKeyError) as caught:
        over(server, known_hosts=str(nothing)).run("true")
    said = str(caught.value)
    assert f"127.0.0.1:{server.port}" in said
    assert str(nothing) in said
    assert f"ssh-keyscan -p {server.port} 127.0.0.1" in said
    assert f"ssh-ed25519 {fingerprint(server, 'host_ed25519')}" in said
    assert not caught.value.transient
    assert not nothing.exists()
    assert server.logins() == 0


@pytest.mark.parametrize("way", ["ssh", "ssh-keyscan"])
def test_the_way_to_trust_a_host_can_be_pasted(
    way: str, start: Starter, over: Callable[..., Counting], tmp_path: Path
) -> None:
    server = start()
    nothing = tmp_path / "known hosts"
    (tmp_path / "my config").write_text(f"Host hpc\n  HostName 127.0.0.1\n  Port {server.port}\n")
    wanted = login(server, port=None, known_hosts=str(nothing), ssh_config=str(tmp_path / "my config"))
    transport = over(dataclasses.replace(wanted, host="hpc"))
    with pytest.raises(HostKeyError) as caught:
        transport.run("true")
    commands = {command.split()[0]: command for command in str(caught.value.hint).split("`")[1::2]}
    agreed = "-o StrictHostKeyChecking=accept-new true" if way == "ssh" else ""
    assert " hpc" in commands["ssh"]
    subprocess.run(["sh", "-c", f"{commands[way]} {agreed}"], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    assert transport.run("echo in").stdout == b"in\n"


def test_where_ssh_keyscan_does_not_help_it_is_not_offered(start: Starter, over: Callable[..., Counting]) -> None:
    server = start()
    config = server.root / "alias"
    config.write_text(f"Host hpc\n  HostName 127.0.0.1\n  Port {server.port}\n  HostKeyAlias other\n")
    with pytest.raises(HostKeyError) as caught:
        over(dataclasses.replace(login(server, port=None, ssh_config=str(config)), host="hpc")).run("true")
    assert "ssh-keyscan" not in str(caught.value.hint) and " hpc`" in str(caught.value.hint)


def test_changed_host_key(start: Starter, over: Callable[..., Counting], tmp_path: Path) -> None:
    server = start()
    make_key(tmp_path / "other")
    server.known_hosts.write_text(f"{server.name} {(tmp_path / 'other.pub').read_text()}")
    with pytest.raises(HostKeyError, match="CHANGED") as caught:
        over(server).run("true")
    assert fingerprint(server, "host_ed25519") in str(caught.value)
    assert "ssh-keygen -R" in str(caught.value)
    assert server.logins() == 0


def test_accept_new_in_ssh_config_is_not_followed(
    start: Starter, over: Callable[..., Counting], tmp_path: Path
) -> None:
    server = start()
    config = tmp_path / "config"
    config.write_text("Host *\n  StrictHostKeyChecking accept-new\n")
    with pytest.raises(HostKeyError):
        over(server, ssh_config=str(config), known_hosts=str(tmp_path / "none")).run("true")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("key", ["host_ed25519", "host_rsa"])
def test_known_by_one_kind_of_key_only(start: Starter, over: Callable[..., Counting], key: str) -> None:
    server = start()
    server.trust(key)
    assert over(server).run("echo in").text == "in\n"


def test_hashed_known_hosts(start: Starter, over: Callable[..., Counting]) -> None:
    server = start()
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", server.known_hosts], check=True, capture_output=True)
    assert server.known_hosts.read_text().startswith("|1|")
    assert over(server).run("echo in").text == "in\n"


@pytest.mark.parametrize("pattern", ["[127.0.0.*]:*", "example.org,[127.0.0.1]:{port}", "127.0.0.1"])
def test_patterns_in_known_hosts(start: Starter, over: Callable[..., Counting], pattern: str) -> None:
    server = start()
    key = (server.root / "host_ed25519.pub").read_text()
    server.known_hosts.write_text(f"# a comment\n\n{pattern.format(port=server.port)} {key}")
    assert over(server).run("echo in").text == "in\n"


def test_revoked_host_key(start: Starter, over: Callable[..., Counting]) -> None:
    server = start()
    with server.known_hosts.open("a") as stream:
        stream.write(f"@revoked * {(server.root / 'host_ed25519.pub').read_text()}")
    with pytest.raises(HostKeyError, match="revoked"):
        over(server).run("true")


def test_host_key_alias(start: Starter, over: Callable[..., Counting], tmp_path: Path) -> None:
    server = start()
    server.known_hosts.write_text(f"the-cluster {(server.root / 'host_ed25519.pub').read_text()}")
    config = tmp_path / "config"
    config.write_text("Host *\n  HostKeyAlias the-cluster\n")
    assert over(server, ssh_config=str(config)).run("echo in").text == "in\n"


def fingerprint(server: Sshd, key: str) -> str:
    said = subprocess.run(["ssh-keygen", "-l", "-f", server.root / f"{key}.pub"], capture_output=True, check=True)
    return said.stdout.decode().split()[1]


# ---------------------------------------------------------------- logins


def test_wrong_key(start: Starter, over: Callable[..., Counting], tmp_path: Path) -> None:
    server = start()
    make_key(tmp_path / "stranger")
    transport = over(server, key_file=str(tmp_path / "stranger"))
    with pytest.raises(AuthenticationError) as caught:
        transport.run("true")
    assert f"{server.user.name}@127.0.0.1:{server.port}" in str(caught.value)
    assert "ssh-copy-id" in str(caught.value)
    assert transport.connections == 0


def test_missing_key_file(host: Sshd, over: Callable[..., Counting], tmp_path: Path) -> None:
    with pytest.raises(AuthenticationError):
        over(host, key_file=str(tmp_path / "none")).run("true")


def test_threads_share_a_refusal(start: Starter, kind: str, tmp_path: Path) -> None:
    server = start()
    make_key(tmp_path / "stranger")
    transport = connect(kind, login(server, key_file=str(tmp_path / "stranger")))

    def attempt(number: int) -> str:
        try:
            return transport.run("true").text
        except AuthenticationError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(attempt, range(8)))
    assert len(answers) == 1
    assert server.log.read_text().count("Connection from") <= 2


def test_rsa_key(start: Starter, over: Callable[..., Counting]) -> None:
    server = start()
    make_key(server.root / "id_rsa", "rsa")
    server.authorized.write_text((server.root / "id_rsa.pub").read_text())
    assert over(server, key_file=str(server.root / "id_rsa")).run("echo in").text == "in\n"


def test_key_with_a_certificate(start: Starter, over: Callable[..., Counting], bed: Path) -> None:
    make_key(bed / "ca")
    server = start(f"TrustedUserCAKeys {bed}/ca.pub")
    server.authorized.write_text("")
    sign = ["ssh-keygen", "-q", "-s", bed / "ca", "-I", "id", "-n", server.user.name, server.root / "id_user.pub"]
    subprocess.run(sign, check=True)
    assert over(server).run("echo in").text == "in\n"


def test_locked_key_asks_for_its_passphrase_once(start: Starter) -> None:
    server = start()
    make_key(server.root / "locked", passphrase="open sesame")
    server.authorized.write_text((server.root / "locked.pub").read_text())
    asked: list[tuple[str, bool]] = []

    def prompt(question: str, echo: bool) -> str:
        asked.append((question, echo))
        return "open sesame" if len(asked) > 1 else "wrong"

    transport = Paramiko(login(server, key_file=str(server.root / "locked")), prompt)
    assert transport.run("echo in").text == "in\n"
    transport.close()
    assert transport.run("echo in").text == "in\n"
    transport.close()
    assert len(asked) == 2
    assert "locked" in asked[0][0]
    assert not asked[0][1]


def test_locked_key_without_a_terminal(start: Starter, over: Callable[..., Counting]) -> None:
    server = start()
    make_key(server.root / "locked", passphrase="open sesame")
    server.authorized.write_text((server.root / "locked.pub").read_text())
    with pytest.raises(AuthenticationError) as caught:
        over(server, key_file=str(server.root / "locked")).run("true")
    assert "ssh-add" in str(caught.value)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """An ssh-agent; the fixture adds keys to it."""
    with tempfile.TemporaryDirectory() as short:
        path = f"{short}/agent"
        process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        deadline = time.monotonic() + 5
        while not os.path.exists(path) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield lambda key: subprocess.run(["ssh-add", "-q", str(key)], check=True, capture_output=True) and None
        process.terminate()
        process.wait()


def test_agent(start: Starter, over: Callable[..., Counting], agent: Callable[[Path], None]) -> None:
    server = start()
    agent(server.key)
    assert over(server, key_file=None).run("echo in").text == "in\n"


def test_agent_holds_the_named_key_among_many(
    start: Starter, over: Callable[..., Counting], agent: Callable[[Path], None], tmp_path: Path
) -> None:
    server = start("MaxAuthTries 3")
    for number in range(8):
        make_key(tmp_path / f"k{number}")
        agent(tmp_path / f"k{number}")
    agent(server.key)
    held = server.key.rename(server.root / "id_elsewhere")  # only the public half lies there
    try:
        assert over(server).run("echo in").text == "in\n"
    finally:
        held.rename(server.key)


def test_password(start: Starter) -> None:
    server = start("PasswordAuthentication yes")
    transport = Paramiko(login(server, key_file=None, password=PASSWORD))
    assert transport.run("echo in").text == "in\n"
    transport.close()
    assert PASSWORD not in repr(transport.login)


def test_wrong_password(start: Starter) -> None:
    server = start("PasswordAuthentication yes")
    with pytest.raises(AuthenticationError, match="tried password") as caught:
        Paramiko(login(server, key_file=None, password="wrong-one")).run("true")
    assert "wrong-one" not in str(caught.value)


def test_password_is_asked_for(start: Starter) -> None:
    server = start("PasswordAuthentication yes")
    answers = iter(["wrong", PASSWORD])
    transport = Paramiko(login(server, key_file=None), lambda question, echo: next(answers))
    assert transport.run("echo in").text == "in\n"
    transport.close()
    assert transport.run("echo in").text == "in\n"  # not asked again
    transport.close()


def test_nobody_to_ask(start: Starter, over: Callable[..., Counting], kind: str) -> None:
    server = start("PasswordAuthentication yes")
    with pytest.raises(AuthenticationError) as caught:
        over(server, key_file=None).run("true")
    if kind == "paramiko":
        assert "no terminal" in str(caught.value)


def test_openssh_takes_no_password() -> None:
    with pytest.raises(ConfigError, match="password"):
        connect("openssh", Login("h", password="x"))


def test_keyboard_interactive(start: Starter) -> None:
    server = start(pam=True)
    asked: list[tuple[str, bool]] = []

    def prompt(question: str, echo: bool) -> str:
        asked.append((question, echo))
        return PASSWORD

    transport = Paramiko(login(server, key_file=None), prompt)
    assert transport.run("echo in").text == "in\n"
    transport.close()
    assert [(question.strip().lower(), echo) for question, echo in asked] == [("password:", False)]


def test_keyboard_interactive_takes_the_given_password(start: Starter) -> None:
    transport = Paramiko(login(start(pam=True), key_file=None, password=PASSWORD))
    assert transport.run("echo in").text == "in\n"
    transport.close()


def test_keyboard_interactive_with_nobody_to_ask(start: Starter) -> None:
    with pytest.raises(AuthenticationError, match=r'asks "Password:"'):
        Paramiko(login(start(pam=True), key_file=None)).run("true")


def test_key_and_then_a_code(start: Starter) -> None:
    server = start("AuthenticationMethods publickey,keyboard-interactive", pam=True)
    transport = Paramiko(login(server), lambda question, echo: PASSWORD)
    assert transport.run("echo in").text == "in\n"
    transport.close()


def on_a_terminal(code: str, answers: dict[str, str], timeout: float = 30) -> str:
    """Run Python with a terminal, give the answer to each question, return all that was shown."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", f"import os; os.close(os.open(os.ttyname(0), os.O_RDWR))\n{code}"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    os.close(theirs)
    shown, deadline = "", time.monotonic() + timeout
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.2)[0]:
            try:
                data = os.read(ours, 65536)
            except OSError:
                break
            if not data:
                break
            shown += data.decode("utf-8", "replace")
            for question in [question for question in answers if question in shown]:
                time.sleep(0.3)  # until the terminal no longer echoes
                os.write(ours, f"{answers.pop(question)}\n".encode())
    os.close(ours)
    child.kill()
    child.wait()
    return shown


@pytest.mark.parametrize("pam", [False, True])
def test_questions_on_the_terminal(start: Starter, kind: str, pam: bool) -> None:
    server = start("PasswordAuthentication yes", "AuthenticationMethods any", pam=pam)
    if pam:
        server.stop()
        server = start(pam=True)
    code = (
        "from clustrix_core.transport.connect import connect\n"
        "from clustrix_core.transport.login import Login\n"
        f"t = connect({kind!r}, {login(server, key_file=None)!r})\n"
        "print('got', t.run('echo in; cat', [b'x']).stdout, t.run('echo again').text, t.connections)\n"
        "t.close()\n"
    )
    shown = on_a_terminal(code, {"assword": PASSWORD})
    assert "got b'in\\nx' again" in shown, shown
    assert PASSWORD not in shown


def test_unknown_host_on_a_terminal_is_asked_about(start: Starter, tmp_path: Path) -> None:
    server = start()
    code = (
        "from clustrix_core.transport.connect import connect\n"
        "from clustrix_core.transport.login import Login\n"
        f"t = connect('openssh', {login(server, known_hosts=str(tmp_path / 'new'))!r})\n"
        "print('got', t.run('echo in').text)\n"
        "t.close()\n"
    )
    shown = on_a_terminal(code, {"(yes/no": "no"})
    assert fingerprint(server, "host_ed25519") in shown
    assert "HostKeyError" in shown
    assert "got in" not in shown


# ---------------------------------------------------------------- ways to a host


def config_file(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def host_block(name: str, server: Sshd, *lines: str) -> list[str]:
    return [
        f"Host {name}",
        "HostName 127.0.0.1",
        f"Port {server.port}",
        f"User {server.user.name}",
        f'IdentityFile "{server.key}"',
        "IdentitiesOnly yes",
        f'UserKnownHostsFile "{server.known_hosts}"',
        *lines,
    ]


def test_ssh_config_alone(host: Sshd, over: Callable[..., Counting], tmp_path: Path) -> None:
    included = config_file(tmp_path / "included", *host_block("hpc", host))
    config = config_file(tmp_path / "config", f"Include {included}", "Host *", "  User nobody", "  Port 1")
    transport = over(Login("hpc", ssh_config=config))
    assert transport.run("whoami").text.strip() == host.user.name


def test_login_wins_over_ssh_config(host: Sshd, over: Callable[..., Counting], tmp_path: Path) -> None:
    config = config_file(
        tmp_path / "config", "Host *", "User nobody", "Port 1", "IdentityFile /none", "ProxyJump no.invalid"
    )
    assert over(host, ssh_config=config, proxy_jump="none").run("echo in").text == "in\n"


def test_ssh_config_that_ssh_refuses(host: Sshd, over: Callable[..., Counting], tmp_path: Path) -> None:
    config = config_file(tmp_path / "config", "Host *", "NoSuchOption yes")
    with pytest.raises(ConfigError, match=r"(?i)nosuchoption"):
        over(host, ssh_config=config).run("true")


def test_ssh_config_without_an_ssh_program(
    host: Sshd, start: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jump = start()
    included = config_file(tmp_path / "included", *host_block("jump", jump), "Host other", "Port 2")
    config = config_file(tmp_path / "config", f"Include {included}", *host_block("hpc", host, "ProxyJump jump"))
    monkeypatch.setattr("clustrix_core.transport.ssh_config.shutil.which", lambda name: None)
    transport = Paramiko(Login("hpc", ssh_config=config))
    assert transport.run("whoami").text.strip() == host.user.name
    transport.close()
    assert jump.logins() == 1


@pytest.mark.parametrize("hops", [1, 2])
def test_proxy_jump(start: Starter, over: Callable[..., Counting], tmp_path: Path, hops: int) -> None:
    servers = [start() for _ in range(hops + 1)]
    blocks_ = [line for number, server in enumerate(servers) for line in host_block(f"h{number}", server)]
    config = config_file(tmp_path / "config", *blocks_)
    jumps = ",".join(f"h{number}" for number in range(hops))
    transport = over(Login(f"h{hops}", ssh_config=config, proxy_jump=jumps))
    assert transport.run("cat", blocks(5)).stdout == b"".join(blocks(5))
    assert [server.logins() for server in servers] == [1] * (hops + 1)


def test_proxy_jump_in_ssh_config(start: Starter, over: Callable[..., Counting], tmp_path: Path) -> None:
    jump, end = start(), start()
    config = config_file(tmp_path / "config", *host_block("end", end, "ProxyJump jump"), *host_block("jump", jump))
    assert over(Login("end", ssh_config=config)).run("echo in").text == "in\n"
    assert jump.logins() == 1


def test_unknown_jump_host(start: Starter, over: Callable[..., Counting], tmp_path: Path) -> None:
    jump, end = start(), start()
    jump.known_hosts.write_text("")
    config = config_file(tmp_path / "config", *host_block("end", end, "ProxyJump jump"), *host_block("jump", jump))
    with pytest.raises(HostKeyError):
        over(Login("end", ssh_config=config)).run("true")


def test_jump_host_that_cannot_reach_the_end(start: Starter, over: Callable[..., Counting], tmp_path: Path) -> None:
    jump, end = start(), start()
    end.stop()
    config = config_file(tmp_path / "config", *host_block("end", end, "ProxyJump jump"), *host_block("jump", jump))
    with pytest.raises(TransportError) as caught:
        over(Login("end", ssh_config=config)).run("true")
    assert f"127.0.0.1:{end.port}" in str(caught.value)


def test_proxy_command(start: Starter, over: Callable[..., Counting], tmp_path: Path) -> None:
    jump, end = start(), start()
    own = config_file(tmp_path / "own", *host_block("jump", jump))
    command = f"ProxyCommand ssh -F {own} -W %h:%p jump 2>/dev/null"
    config = config_file(tmp_path / "config", *host_block("end", end, command))
    transport = over(Login("end", ssh_config=config))
    assert transport.run("cat", blocks(5)).stdout == b"".join(blocks(5))
    assert jump.logins() == 1


def test_master_of_the_users_own(start: Starter, tmp_path: Path) -> None:
    server = start()
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        block = host_block("hpc", server, f"ControlPath {short}/%n-%p", "ControlMaster auto", "ControlPersist 60")
        config = config_file(tmp_path / "config", *block)
        subprocess.run(["ssh", "-F", config, "-fN", "hpc"], check=True, stderr=subprocess.DEVNULL)
        try:
            server.authorized.write_text("")  # nobody gets in anew
            transport = connect("openssh", Login("hpc", ssh_config=config))
            assert transport.run("echo in").text == "in\n"
            transport.close()
            assert server.logins() == 1
            assert not subprocess.run(["ssh", "-F", config, "-O", "check", "hpc"], capture_output=True).returncode
        finally:
            subprocess.run(["ssh", "-F", config, "-O", "exit", "hpc"], capture_output=True)


@pytest.mark.parametrize("fault", ["other user", "a path without a name"])
def test_a_master_that_may_lead_elsewhere_is_not_used(start: Starter, tmp_path: Path, fault: str) -> None:
    server = start()
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        own = f"ControlPath {short}/master"
        block = host_block("hpc", server, *([own] if fault == "other user" else []))
        config = config_file(tmp_path / "config", *block, "Host *", own)
        subprocess.run(["ssh", "-F", config, "-fNM", "hpc"], check=True, stderr=subprocess.DEVNULL)
        try:
            user = "nobody" if fault == "other user" else None
            transport = connect("openssh", Login("hpc", user=user, ssh_config=config))
            if user:
                with pytest.raises(AuthenticationError):
                    transport.run("true")
            else:
                assert transport.run("true").returncode == 0
            transport.close()
            assert server.logins() == (1 if user else 2)
        finally:
            subprocess.run(["ssh", "-F", config, "-O", "exit", "hpc"], capture_output=True)


def test_agent_of_its_own(
    start: Starter, over: Callable[..., Counting], agent: Callable[[Path], None], tmp_path: Path
) -> None:
    server = start()
    agent(server.key)
    path = os.environ.pop("SSH_AUTH_SOCK")
    config = config_file(tmp_path / "config", "Host *", f"IdentityAgent {path}")
    assert over(server, key_file=None, ssh_config=config).run("echo in").text == "in\n"
    config = config_file(tmp_path / "config", "Host *", "IdentityAgent none")
    with pytest.raises(AuthenticationError):
        over(server, key_file=None, ssh_config=config).run("true")


def test_master_ends_with_its_client(start: Starter) -> None:
    server = start()
    code = (
        "from clustrix_core.transport.connect import connect\n"
        "from clustrix_core.transport.login import Login\n"
        f"t = connect('openssh', {login(server)!r})\n"
        "t.run('true'); print(t._master.path)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=30)
    path = Path(said.stdout.strip())
    assert path.is_absolute(), said.stderr
    assert not path.parent.exists()


def test_ssh_config_cannot_disturb_a_session(host: Sshd, over: Callable[..., Counting], tmp_path: Path) -> None:
    lines = ["RemoteCommand /bin/false", "RequestTTY force", "LocalForward 127.0.0.1:1 127.0.0.1:2", "LogLevel QUIET"]
    config = config_file(tmp_path / "config", *host_block("hpc", host, *lines))
    assert over(Login("hpc", ssh_config=config)).run("echo in; exit 5").returncode == 5


@pytest.mark.parametrize("shell", ["/bin/sh", "tcsh", "fish"])
def test_login_shells(start: Starter, over: Callable[..., Counting], shell: str) -> None:
    import shlex

    server = start()
    server.user.use_shell(shutil.which(shell) or shell)
    try:
        transport = over(server)
        done = transport.run(f"x=1; printf %s {shlex.quote(AWKWARD)}; echo err >&2; exit $((x+6))")
        assert (done.text, done.stderr, done.returncode) == (AWKWARD, b"err\n", 7)
    finally:
        server.user.use_shell("/bin/bash")


@pytest.mark.parametrize("error", [EOFError(), OSError(104, "reset"), paramiko.SSHException("closed")])
def test_taking_what_has_arrived_may_find_the_connection_gone(error: Exception) -> None:
    """To take it is to tell the host that there is room again."""

    def receive(size: int) -> bytes:
        raise error

    with pytest.raises(channel.Unfinished):
        channel._taken(receive)
