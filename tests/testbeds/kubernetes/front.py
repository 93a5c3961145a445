"""A door in front of the bed's API server: it counts what is asked, refuses for a while, cuts, and makes forget."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.testbeds.kubernetes import KubernetesBed

_KINDS = {
    "watch": r"GET \S*[?&]watch=true",
    "list": r"GET \S*[?&]labelSelector=",
    "exec": r"GET \S*/exec\?",
    "get": "GET ",
    "create": "POST ",
    "patch": "PATCH ",
    "delete": "DELETE ",
}


class Front:
    """Passes each request on as the bed's ordinary user. ``asked`` counts them by kind.

    ``refuse``: answer with this status until then; ``old``: watches begin at a version that the server has forgotten.
    """

    def __init__(self, bed: KubernetesBed) -> None:
        self._bed = bed
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._refused = (0, 0.0)
        self._thread = threading.Thread(target=self._serve)
        self.asked: Counter[str] = Counter()
        self.refused = 0
        self.old = False

    def __enter__(self) -> Front:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.cut()
        self._thread.join()

    def kubeconfig(self, path: Path) -> Path:
        server = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        context = {"cluster": "x", "user": "x", "namespace": self._bed.namespace}
        said = {"cluster": {"server": server}, "user": {"token": "none"}, "context": context}
        lists = {f"{kind}s": [{"name": "x", kind: one}] for kind, one in said.items()}
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "x", **lists}))
        return path

    def refuse(self, code: int, seconds: float) -> None:
        self._refused = (code, time.monotonic() + seconds)

    def cut(self) -> None:
        """Break all connections, as a network does."""
        for one in [*self._open]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                if not (data := client.recv(1 << 16)):
                    return
                head += data
            text = head.decode("latin-1")
            self.asked[next(kind for kind, pattern in _KINDS.items() if re.match(pattern, text))] += 1
            code, until = self._refused
            if time.monotonic() < until:
                self.refused += 1
                _drain(client, head)
                client.sendall(_refusal(code))
                return
            if self.old:
                text = re.sub(r"resourceVersion=\d+&timeout", "resourceVersion=1&timeout", text, count=1)
            # One request a connection: each of them can be seen.
            text = re.sub(r"(?im)^authorization:.*\r\n", "", text, count=1)
            if "upgrade:" not in text.partition("\r\n\r\n")[0].lower():
                text = re.sub(r"(?im)^connection:.*\r\n", "", text, count=1).replace(
                    "\r\n", "\r\nConnection: close\r\n", 1
                )
            with self._server() as server:
                self._open |= {client, server}
                try:
                    server.sendall(text.encode("latin-1"))
                    back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                    back.start()
                    _pump(client, server)
                    back.join()
                finally:
                    self._open -= {client, server}

    def _server(self) -> Any:
        keys = self._bed.state / "run/pki"
        context = ssl.create_default_context(cafile=str(keys / "ca.crt"))
        context.load_cert_chain(keys / f"{self._bed.user}.crt", keys / f"{self._bed.user}.key")
        address = urlsplit(self._bed.server)
        host = address.hostname
        return context.wrap_socket(socket.create_connection((host, address.port)), server_hostname=host)


def _drain(client: socket.socket, head: bytes) -> None:
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    left = int(length[1]) - len(head.partition(b"\r\n\r\n")[2]) if length else 0
    while left > 0 and (data := client.recv(1 << 16)):
        left -= len(data)


def _refusal(code: int) -> bytes:
    body = b'{"kind": "Status", "status": "Failure", "message": "the test lets this fail", "code": %d}' % code
    head = f"HTTP/1.1 {code} No\r\nRetry-After: 1\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for one in (source, target):
        with suppress(OSError):
            socket.socket.shutdown(one, socket.SHUT_RDWR)


__all__ = ["Front"]
