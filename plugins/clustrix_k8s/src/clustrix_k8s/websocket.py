"""A command in a container: stdin, stdout and exit code over one websocket."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from select import select
from typing import Any
from urllib.parse import urlencode

from clustrix_core.errors import CommandError, TransportError
from clustrix_core.transport import CHUNK, Completed
from clustrix_k8s import asking

PROTOCOL = "v4.channel.k8s.io"  # every server speaks it; it cannot close stdin, so the reader must know where it ends
_STDIN, _STDOUT, _STDERR, _END = range(4)
CONNECT = 15.0  # seconds for the connection, and for each answer until the command runs
_BRIEF = 0.05  # seconds for the rest of a message whose beginning is there


def execute(
    configuration: Any,
    authorization: Mapping[str, str],
    place: str,
    container: str,
    argv: Sequence[str],
    stdin: Iterable[bytes],
    sink: Callable[[bytes], None] | None,
    idle: float,
) -> Completed:
    """Run a command in a container of the pod ``namespace/pod``. What it says is taken while stdin is sent.

    Raises TransportError where the connection breaks or nothing is heard for ``idle`` seconds, CommandError where the
    command cannot be run: the pod or the container has ended, or never was.
    """
    import websocket

    socket = _opened(configuration, authorization, place, container, argv)
    pod = place.partition("/")[2]
    try:
        heard = _Heard(socket, sink)
        for data in stdin:
            for start in range(0, len(data), CHUNK):
                heard.what_is_there()
                if heard.over:
                    break
                socket.settimeout(idle)
                socket.send_binary(bytes([_STDIN]) + data[start : start + CHUNK])
            if heard.over:
                break
        socket.settimeout(idle)
        while not heard.over:
            heard.take()
        return heard.completed()
    except (websocket.WebSocketException, OSError) as error:
        raise TransportError(f"the connection to pod {pod} broke: {error}") from error
    finally:
        socket.close(timeout=1)
        socket.shutdown()  # the other end may have closed it, and then the first does nothing


def _opened(
    configuration: Any, authorization: Mapping[str, str], place: str, container: str, argv: Sequence[str]
) -> Any:
    """Return the websocket of a command that begins to run."""
    import websocket
    from kubernetes.stream import ws_client

    namespace, _, pod = place.partition("/")
    asked = [("command", word) for word in argv]
    asked += [("container", container), ("stdin", "true"), ("stdout", "true"), ("stderr", "true"), ("tty", "false")]
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/exec?{urlencode(asked)}"
    url = "ws" + configuration.host.removeprefix("http") + path
    headers = {**authorization, "sec-websocket-protocol": PROTOCOL}
    options: dict[str, Any] = {"header": [f"{name}: {value}" for name, value in headers.items()]}
    if configuration.proxy or configuration.proxy_headers:
        options = ws_client.websocket_proxycare(options, configuration, url, headers)
    try:
        # The client's own create_websocket waits for ever for who takes a connection and says nothing.
        return websocket.create_connection(url, CONNECT, sslopt=_tls(configuration), **options)
    except websocket.WebSocketBadStatusException as error:
        said = getattr(error, "resp_body", None) or str(error).encode()
        raise CommandError(
            f"no command can be run in pod {pod}: {asking.words(Completed(error.status_code, said))}",
            returncode=error.status_code,
            transient=True,
        ) from error
    except (websocket.WebSocketException, OSError) as error:
        raise TransportError(f"the API server {configuration.host} cannot be reached: {error}") from error


def _tls(configuration: Any) -> dict[str, Any]:
    """Return what a configuration says of certificates, in the words of the websockets."""
    import certifi

    if configuration.verify_ssl:
        trust = {"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": configuration.ssl_ca_cert or certifi.where()}
    else:
        trust = {"cert_reqs": ssl.CERT_NONE}
    own = {
        "check_hostname": configuration.assert_hostname if configuration.verify_ssl else None,
        "certfile": configuration.cert_file,
        "keyfile": configuration.key_file,
        "server_hostname": configuration.tls_server_name,
    }
    return {**trust, **{name: value for name, value in own.items() if value not in (None, "")}}


class _Heard:
    """What a command has said so far."""

    def __init__(self, socket: Any, sink: Callable[[bytes], None] | None) -> None:
        self._socket = socket
        self._out, self._told, self._end = bytearray(), bytearray(), bytearray()
        self._sink = sink or self._out.extend
        self.over = False

    def what_is_there(self) -> None:
        """Take what has come, without waiting for more: who is not listened to may stop reading, too."""
        import websocket

        plain = self._socket.sock
        while not self.over and ((hasattr(plain, "pending") and plain.pending()) or select([plain], [], [], 0)[0]):
            self._socket.settimeout(_BRIEF)
            try:
                self.take()
            except websocket.WebSocketTimeoutException:  # it was no message yet, or not all of one
                return

    def take(self) -> None:
        """Take the next message, or wait for it."""
        kind, frame = self._socket.recv_data_frame(True)
        if kind == 8:  # closed
            self.over = True
        if kind not in (1, 2) or not frame.data:
            return
        channel, data = frame.data[0], frame.data[1:]
        if channel == _STDOUT:
            self._sink(data)
        elif channel == _STDERR:
            self._told += data
        elif channel == _END:
            self._end += data

    def completed(self) -> Completed:
        return Completed(_code(bytes(self._end)), bytes(self._out), bytes(self._told))


def _code(end: bytes) -> int:
    try:
        said = json.loads(end)
        if said["status"] == "Success":
            return 0
        for cause in (said.get("details") or {}).get("causes") or ():
            if cause.get("reason") == "ExitCode":
                return int(cause["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise TransportError(f"a command in a pod has not ended: {end[:300]!r}") from None
    raise CommandError(f"no command can be run in a container: {str(said.get('message'))[:500]}", transient=True)


__all__ = ["execute"]
