"""Logins, commands and known_hosts: what is taken, what is refused, and what becomes of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustrix_core.errors import ConfigError, HostKeyError
from clustrix_core.transport import known_hosts
from clustrix_core.transport.command import LIMIT, brief, for_login_shell, one_line, quote
from clustrix_core.transport.connect import connect
from clustrix_core.transport.login import Login, parse_hops
from clustrix_core.transport.master import refusal
from clustrix_core.transport.process import chunks
from clustrix_core.transport.ssh_config import Route, resolve

HOSTS = ["a", "login.hpc.example", "10.0.0.1", "::1", "fe80::1%eth0", "my_alias", "grün", "h-1"]
NO_HOSTS = [
    "",
    "-a",
    "-oProxyCommand=id",
    "a b",
    "a;b",
    "a|b",
    "$(a)",
    "`a`",
    "a\nb",
    "a\0",
    "a'b",
    'a"b',
    "a/b",
    "*",
    "a@b",
]
USERS = ["ada", "ada.b", "ada@realm", "DOMAIN\\ada", "ada+x", "a-b", "u=x:y"]
NO_USERS = ["", "-l", "a b", "a;b", "$x", "a`b", "a\\", "a\n", "a'b"]


@pytest.mark.parametrize("host", HOSTS)
def test_hosts(host: str) -> None:
    assert Login(host).host == host


@pytest.mark.parametrize("host", NO_HOSTS)
def test_no_hosts(host: str) -> None:
    with pytest.raises(ConfigError, match="host"):
        Login(host)


@pytest.mark.parametrize("user", USERS)
def test_users(user: str) -> None:
    assert Login("h", user=user).where == f"{user}@h"


@pytest.mark.parametrize("user", NO_USERS)
def test_no_users(user: str) -> None:
    with pytest.raises(ConfigError, match="user"):
        Login("h", user=user)


@pytest.mark.parametrize("port", [0, -1, 65536, "22", 22.0, True])
def test_no_ports(port: Any) -> None:
    with pytest.raises(ConfigError, match="port"):
        Login("h", port=port)


@pytest.mark.parametrize("name", ["key_file", "known_hosts", "ssh_config"])
@pytest.mark.parametrize("value", ["", "-x", "a\nb", "a\0b", 'a"b', "${HOME}/x"])
def test_no_paths(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Login("h", **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, []),
        ("none", []),
        ("a", [("a", None, None)]),
        ("ada@a:2222", [("a", 2222, "ada")]),
        ("ssh://ada@a:2222", [("a", 2222, "ada")]),
        ("ada@realm@a,b", [("a", None, "ada@realm"), ("b", None, None)]),
        ("[::1]:22, c", [("::1", 22, None), ("c", None, None)]),
    ],
)
def test_hops(text: str | None, expected: list[tuple[str, int | None, str | None]]) -> None:
    assert [(hop.host, hop.port, hop.user) for hop in parse_hops(text)] == expected


@pytest.mark.parametrize("text", ["a b", "-J", "a,,b", "a:x", "a:0", "a;b", "a,b|c", "@a", "a@-b"])
def test_no_hops(text: str) -> None:
    with pytest.raises(ConfigError):
        Login("h", proxy_jump=text)


def test_hops_know_the_configuration_and_nothing_else() -> None:
    login = Login("h", user="ada", password="x", key_file="k", proxy_jump="a", ssh_config="/c")
    assert login.hops() == [Login("a", ssh_config="/c")]


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(Login("h", password="secret"))


def test_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLUSTRIX_SSH_CONFIG", raising=False)
    login = Login("h", 2222, "ada", "/a b/%k", "/k h", "j")
    assert login.options() == [
        *("-p", "2222", "-l", "ada", "-o", 'IdentityFile="/a b/%%k"', "-o", "IdentitiesOnly=yes"),
        *("-o", 'UserKnownHostsFile="/k h"', "-J", "j"),
    ]
    assert Login("h").options() == []
    monkeypatch.setenv("CLUSTRIX_SSH_CONFIG", "/env")
    assert Login("h").options() == ["-F", "/env"]
    assert Login("h", ssh_config="/own").options() == ["-F", "/own"]


CONFIG = """\
Include inc/*.conf
Host hpc alias-*
  HostName %h.example.org
  Port 2222
  User ada
  IdentityFile ~/keys/%r@%h
  IdentitiesOnly yes
  UserKnownHostsFile /tmp/known-%n
  GlobalKnownHostsFile none
  HostKeyAlias the-cluster
  ProxyJump ada@one:22,two
  ConnectTimeout 7
  ServerAliveInterval 11
Host piped
  ProxyCommand /bin/nc -x %r %h %p
Host *
  User nobody
  StrictHostKeyChecking accept-new
"""


@pytest.fixture(params=["ssh", "paramiko"])
def config(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A configuration, asked of ssh and, where there is no ssh, read by paramiko."""
    if request.param == "paramiko":
        monkeypatch.setattr("clustrix_core.transport.ssh_config.shutil.which", lambda name: None)
    else:
        try:
            subprocess.run(["ssh", "-V"], capture_output=True)
        except OSError:
            pytest.skip("no ssh")
    (tmp_path / "inc").mkdir()
    (tmp_path / "inc" / "a.conf").write_text("Host included\n  Port 3333\n")
    path = tmp_path / "config"
    path.write_text(CONFIG.replace("inc/*", f"{tmp_path}/inc/*"))
    return str(path)


def test_route(config: str) -> None:
    route = resolve(Login("hpc", ssh_config=config))
    assert (route.host, route.port, route.user) == ("hpc.example.org", 2222, "ada")
    assert route.keys == (str(Path("~/keys/ada@hpc.example.org").expanduser()),)
    assert route.only_keys
    assert route.known_hosts == ("/tmp/known-hpc",)
    assert route.names == ("the-cluster",)
    assert route.jumps == (Login("one", 22, "ada", ssh_config=config), Login("two", ssh_config=config))
    assert (route.connect_timeout, route.keepalive) == (7.0, 11)
    assert route.where == "ada@hpc.example.org:2222 (hpc in ssh_config)"


def test_fields_win_over_ssh_config(config: str) -> None:
    login = Login("hpc", 99, "bob", "/k", "/h", "none", ssh_config=config)
    route = resolve(login)
    assert (route.port, route.user, route.keys, route.known_hosts, route.jumps) == (99, "bob", ("/k",), ("/h",), ())


def test_how_a_host_is_made_known(config: str, tmp_path: Path) -> None:
    ssh = f"ssh -o StrictHostKeyChecking=ask -F {config}"
    assert resolve(Login("hpc", user="bob", ssh_config=config)).introduction() == (
        f"Connect once by hand, `{ssh} -l bob hpc`, and compare the fingerprint with what the site publishes."
    )
    known = str(tmp_path / "known hosts")
    said = resolve(Login("elsewhere", 2222, known_hosts=known, ssh_config=config)).introduction()
    assert f"`{ssh} -p 2222 -o 'UserKnownHostsFile=\"{known}\"' elsewhere`" in said
    assert f"`ssh-keyscan -p 2222 elsewhere >> '{known}'`" in said


def test_included_and_unknown_hosts(config: str) -> None:
    assert resolve(Login("included", ssh_config=config)).port == 3333
    plain = resolve(Login("elsewhere", ssh_config=config))
    assert (plain.host, plain.port, plain.user, plain.jumps) == ("elsewhere", 22, "nobody", ())
    assert plain.names == ("elsewhere",)
    assert any(key.endswith("/.ssh/id_ed25519") for key in plain.keys)
    assert plain.known_hosts[0].endswith("/.ssh/known_hosts")
    assert (plain.connect_timeout, plain.keepalive, plain.only_keys) == (15.0, 30, False)


def test_proxy_command(config: str) -> None:
    assert resolve(Login("piped", ssh_config=config)).proxy_command == "/bin/nc -x nobody piped 22"
    assert resolve(Login("piped", ssh_config=config, proxy_jump="none")).proxy_command is None


def test_other_ports_in_known_hosts(config: str) -> None:
    assert resolve(Login("Elsewhere", 2222, ssh_config=config)).names == ("[elsewhere]:2222", "elsewhere")


def test_kinds() -> None:
    assert repr(connect("local")) == "Local()"
    assert repr(connect("paramiko", Login("h", user="ada"))) == "Paramiko(ada@h)"
    with pytest.raises(ConfigError, match="telnet"):
        connect("telnet", Login("h"))
    with pytest.raises(ConfigError, match="host"):
        connect("paramiko")


# ---------------------------------------------------------------- commands


@given(st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=["Cs"])))
def test_quoted_text_is_one_word_of_sh(text: str) -> None:
    assert shlex.split(quote(text)) == [text]


@pytest.mark.parametrize("text", ["", "a b", "it's", "\\", "\\'", "a!b", "$(x)", "'''", "\\\\'!'\\"])
def test_quoted_text_in_a_real_shell(text: str) -> None:
    done = subprocess.run(["/bin/sh", "-c", f"printf %s {quote(text)}"], capture_output=True, text=True, check=True)
    assert done.stdout == text


def test_lines() -> None:
    assert one_line("true") == "true"
    assert for_login_shell("true") == "exec /bin/sh -c true"
    assert for_login_shell("echo $HOME") == "exec /bin/sh -c 'echo $HOME'"
    for unfit in ("", " ", "a\nb", "a\rb", "a\0b", "x" * LIMIT, "'" * (LIMIT // 2)):
        with pytest.raises(ConfigError):
            one_line(unfit)


def test_brief() -> None:
    assert brief("a  b") == "a b"
    assert len(brief("x" * 10_000)) <= 160
    assert "10000" in brief("x" * 10_000)


def test_chunks() -> None:
    pieces = list(chunks([b"", b"ab", bytes(3 << 20), memoryview(b"c")]))  # type: ignore[list-item]
    assert [len(piece) for piece in pieces] == [2, 1 << 20, 1 << 20, 1 << 20, 1]


# ---------------------------------------------------------------- known_hosts

KEY, OTHER = b"\0\0\0\x0bssh-ed25519-key", b"\0\0\0\x0bssh-ed25519-other"
NAMES = ("[h]:2222", "h")


def line(names: str, key: bytes = KEY, kind: str = "ssh-ed25519", marker: str = "") -> str:
    return f"{marker} {names} {kind} {base64.b64encode(key).decode()} a comment\n".lstrip()


def hashed(name: str) -> str:
    salt = b"0123456789abcdefghij"
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def verified(tmp_path: Path, text: str, key: bytes = KEY, names: tuple[str, ...] = NAMES) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(text)
    files = [str(file), str(tmp_path / "not there")]
    known = known_hosts.lookup(files, names)
    known_hosts.verify(known, "ssh-ed25519", key, "ada@h:2222", files, "Make it known.")


@pytest.mark.parametrize(
    "text",
    [
        line("[h]:2222"),
        line("x,[h]:2222,y"),
        line(hashed("[h]:2222")),
        line("h"),
        line("*"),
        line("[h]:*"),
        line("[?]:2222"),
        "# comment\n\nnonsense\n" + line("[H]:2222"),
        line("[h]:2222", OTHER, "ssh-rsa") + line("[h]:2222"),
        line("h", OTHER) + line("[h]:2222"),
    ],
)
def test_known(tmp_path: Path, text: str) -> None:
    verified(tmp_path, text)


@pytest.mark.parametrize(
    "text", ["", line("other"), line("*,!h,![h]:2222"), line(hashed("x")), line("h", OTHER), "|1|bad|line k AAAA\n"]
)
def test_unknown(tmp_path: Path, text: str) -> None:
    with pytest.raises(HostKeyError, match="never trusted") as caught:
        verified(tmp_path, text)
    assert known_hosts.fingerprint(KEY) in str(caught.value)
    assert str(caught.value).endswith("\nMake it known.")


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ssh-rsa"])
def test_changed(tmp_path: Path, kind: str) -> None:
    with pytest.raises(HostKeyError, match="CHANGED") as caught:
        verified(tmp_path, "\n" + line("[h]:2222", OTHER, kind))
    assert "line 2" in str(caught.value)
    assert known_hosts.fingerprint(OTHER) in str(caught.value)


def test_revoked(tmp_path: Path) -> None:
    with pytest.raises(HostKeyError, match="revoked"):
        verified(tmp_path, line("[h]:2222") + line("*", marker="@revoked"))


def test_certificate_authority(tmp_path: Path) -> None:
    with pytest.raises(HostKeyError, match="certificate authority"):
        verified(tmp_path, line("*", OTHER, marker="@cert-authority"))


def test_algorithms_that_the_host_is_known_by_come_first(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(line("h", KEY, "ssh-rsa"))
    known = known_hosts.lookup([str(file)], ("h",))
    offered = ("ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256")
    assert known_hosts.algorithms(known, offered) == ["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"]
    assert known_hosts.algorithms([], offered) == list(offered)


# ---------------------------------------------------------------- what ssh says


@pytest.mark.parametrize(
    ("words", "error", "transient"),
    [
        ("Host key verification failed.", "HostKeyError", False),
        ("WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\nHost key verification failed.", "HostKeyError", False),
        ("a@h: Permission denied (publickey).", "AuthenticationError", False),
        ("Received disconnect from 1.2.3.4: Too many authentication failures", "AuthenticationError", False),
        ("ssh: Could not resolve hostname h: Name or service not known", "TransportError", False),
        ("ssh: Could not resolve hostname h: Temporary failure in name resolution", "TransportError", True),
        ("ssh: connect to host h port 22: Connection refused", "TransportError", True),
        ("ssh: connect to host h port 22: No route to host", "TransportError", True),
        ("Bad owner or permissions on /home/ada/.ssh/config", "ConfigError", False),
        ("", "TransportError", True),
    ],
)
def test_words_of_ssh(words: str, error: str, transient: bool) -> None:
    route = Route(Login("h"), "h", 2222, "ada", ("[h]:2222",), ("/k",))
    found = refusal(route, words)
    assert (type(found).__name__, found.transient) == (error, transient)
    assert found.hint
    assert "ada@h:2222" in str(found)
