"""The way to a command in a container, against servers on loopback: one that is silent, one that refuses, one that runs
it, behind TLS or a proxy."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta, timezone
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from clustrix_core.errors import CommandError, TransportError
from clustrix_core.transport import Completed
from clustrix_k8s import websocket
from clustrix_k8s.websocket import execute

DONE = json.dumps({"status": "Success"}).encode()
Talk = Callable[[socket.socket], None]
Serve = Callable[..., int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return what listens on loopback, and lets ``talk`` speak to each who comes; it returns the port."""
    with ExitStack() as stack:

        def listen(talk: Talk) -> int:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            threading.Thread(target=answer, args=(listener, talk), daemon=True).start()
            return int(listener.getsockname()[1])

        def answer(listener: socket.socket, talk: Talk) -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    stack.enter_context(connection)
                    with suppress(OSError):  # as where the other end breaks off, or trusts us not
                        talk(connection)

        yield listen


def run(port: int, scheme: str = "http", **settings: Any) -> Completed:
    from kubernetes.client import Configuration

    configuration = Configuration()
    configuration.host, configuration.proxy, configuration.no_proxy = f"{scheme}://127.0.0.1:{port}", None, None
    for name, value in settings.items():
        setattr(configuration, name, value)
    return execute(configuration, {"authorization": "Bearer me"}, "lab/pod", "keeper", ["a b"], [b"in"], None, 10.0)


def head(connection: socket.socket) -> str:
    said = b""
    while not said.endswith(b"\r\n\r\n"):
        said += (data := connection.recv(1))
        if not data:
            raise ConnectionError
    return said.decode()


def frame(channel: int, data: bytes) -> bytes:
    return bytes([0x82, len(data) + 1, channel]) + data


def runs(heard: list[str], pause: float = 0.0) -> Talk:
    """Return a server that takes a command, notes how it was asked, and says what it says after a ``pause``."""

    def talk(connection: socket.socket) -> None:
        heard.append(head(connection))
        key = next(line for line in heard[-1].split("\r\n") if line.lower().startswith("sec-websocket-key")).split()[1]
        digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        fields = (
            f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {base64.b64encode(digest).decode()}"
        )
        connection.sendall(f"HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n\r\n".encode())
        time.sleep(pause)
        connection.sendall(frame(1, b"out") + frame(2, b"told") + frame(3, DONE) + bytes([0x88, 0]))
        connection.recv(1 << 16)

    return talk


def test_a_server_that_says_nothing_is_an_outage(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "CONNECT", 0.5)
    port, start = serve(lambda connection: None), time.monotonic()
    with pytest.raises(TransportError, match="cannot be reached"):
        run(port)
    assert time.monotonic() - start < 30


def test_a_server_that_is_silent_before_tls_is_an_outage(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "CONNECT", 0.5)
    with pytest.raises(TransportError, match="cannot be reached"):
        run(serve(lambda connection: None), "https")


def test_a_command_may_be_silent_for_longer_than_a_server(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "CONNECT", 0.5)
    assert run(serve(runs([], pause=1.5))).stdout == b"out"


def test_what_is_asked_and_what_is_said(serve: Serve) -> None:
    heard: list[str] = []
    done = run(serve(runs(heard)))
    assert (done.returncode, done.stdout, done.error) == (0, b"out", "told")
    first, *fields = heard[0].strip().split("\r\n")
    asked = "command=a+b&container=keeper&stdin=true&stdout=true&stderr=true&tty=false"
    assert first == f"GET /api/v1/namespaces/lab/pods/pod/exec?{asked} HTTP/1.1"
    assert "authorization: Bearer me" in fields and "sec-websocket-protocol: v4.channel.k8s.io" in fields


def test_a_refusal_is_in_the_words_of_the_server(serve: Serve) -> None:
    def refuses(connection: socket.socket) -> None:
        head(connection)
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 12\r\n\r\nnot for you!")

    with pytest.raises(CommandError, match=r"pod pod: not for you!") as raised:
        run(serve(refuses))
    assert raised.value.returncode == 403 and raised.value.transient


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with the key and the certificate of who is 127.0.0.1, or api.lab, and vouches for itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "lab")])
    names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1")), x509.DNSName("api.lab")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    path: Path = tmp_path_factory.mktemp("tls") / "lab.pem"
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    path.write_bytes(key.private_bytes(pem, *form) + made.public_bytes(pem))
    return path


def secured(certificate: Path, talk: Callable[[ssl.SSLSocket], None], clients: bool = False) -> Talk:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificate)

    def talk_securely(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as inner:
            talk(inner)

    return talk_securely


@pytest.mark.parametrize(
    "settings",
    [{"verify_ssl": False}, {"trusted": True}, {"trusted": True, "tls_server_name": "api.lab"}],
)
def test_a_server_that_is_trusted(serve: Serve, certificate: Path, settings: dict[str, Any]) -> None:
    heard: list[str] = []
    told = {"ssl_ca_cert": str(certificate)} if settings.pop("trusted", False) else {}
    assert run(serve(secured(certificate, runs(heard))), "https", **told, **settings).stdout == b"out"


@pytest.mark.parametrize("settings", [{}, {"trusted": True, "tls_server_name": "another.lab"}])
def test_a_server_that_is_not_trusted_hears_nothing(serve: Serve, certificate: Path, settings: dict[str, Any]) -> None:
    heard: list[str] = []
    told = {"ssl_ca_cert": str(certificate)} if settings.pop("trusted", False) else {}
    with pytest.raises(TransportError, match="certificate verify failed"):
        run(serve(secured(certificate, runs(heard))), "https", **told, **settings)
    assert not heard


def test_who_comes_with_a_certificate_shows_it(serve: Serve, certificate: Path) -> None:
    heard: list[str] = []
    shown: dict[str, Any] = {
        "ssl_ca_cert": str(certificate),
        "cert_file": str(certificate),
        "key_file": str(certificate),
    }
    port = serve(secured(certificate, runs(heard), clients=True))
    assert run(port, "https", **shown).stdout == b"out"
    del shown["cert_file"], shown["key_file"]
    with pytest.raises(TransportError):
        run(port, "https", **shown)
    assert len(heard) == 1


def test_the_proxy_of_a_kubeconfig(serve: Serve) -> None:
    heard: list[str] = []
    answers = runs(heard)

    def passes(connection: socket.socket) -> None:
        heard.append(head(connection))
        connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        answers(connection)

    token = base64.b64encode(b"ada:secret").decode()
    proxy: dict[str, Any] = {
        "proxy": f"http://127.0.0.1:{serve(passes)}",
        "proxy_headers": {"proxy-authorization": f"Basic {token}"},
    }
    assert run(1, host="http://api.lab:6443", **proxy).stdout == b"out"
    assert heard[0].startswith("CONNECT api.lab:6443 ") and f"Proxy-Authorization: Basic {token}" in heard[0]
    assert "authorization: Bearer me" in heard[1]
