"""The way to a cluster: its API server, by the official client's configuration, connections and websockets.

It is a transport, so that its questions are counted and its outages tried like those of all others. A command is one of

    GET|POST|PATCH|DELETE PATH     stdin is the body; stdout the answer; the exit code 0, else the HTTP status
    LIST PATH                      stdin is JSON: ids of jobs; stdout a list of their objects at PATH
    LOOK PATH                      the same, where who asks again and again is told what changes
    CREATE [PATH]                  stdin is JSON: a list of {"path", "body", "owned"}, created in order, if PATH is
                                   there. The others own those that are to be owned. What is there already counts
                                   as created, unless it is about to go: with its owners, or by itself
    EXEC NAMESPACE/POD CONTAINER ARGV...    a command in a container, with stdin, stdout and its exit code

Where pods share a volume (``claim``), any other command is a line of sh, as for every transport: the door runs it.
"""

from __future__ import annotations

import json
import shlex
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from clustrix_core.errors import AuthenticationError, ConfigError, TransportError
from clustrix_core.model import Cluster
from clustrix_core.transport import DEADLINE, Completed
from clustrix_k8s.door import Door
from clustrix_k8s.options import K8sOptions
from clustrix_k8s.watching import Picture, listed
from clustrix_k8s.websocket import execute

CONNECT = 15.0  # seconds
EXISTS, GONE = 409, 404
GOING = 30.0  # seconds in which an object that is about to go has gone
PAUSE = 0.2
_KINDS = {"PATCH": "application/merge-patch+json"}


class Api:
    """One API server as one user. Thread-safe: threads share the client's connections. ``requests`` counts."""

    here = False
    connections = 0

    def __init__(self, options: K8sOptions, work_dir: str = Cluster.work_dir, python: str = Cluster.python) -> None:
        self._options = options
        self._door = Door(Cluster("", "k8s", options, self, work_dir, python)) if options.claim else None
        self._lock = threading.Lock()
        self._made: Any = None
        self._pictures: dict[str, Picture] = {}
        self.requests = 0

    def run(
        self,
        command: str,
        stdin: Iterable[bytes] = (),
        sink: Callable[[bytes], None] | None = None,
        idle: float = DEADLINE,
    ) -> Completed:
        """Carry out one command; see above. Raises TransportError where its end is not known."""
        verb, _, rest = command.partition(" ")
        if verb in ("GET", "POST", "PATCH", "DELETE"):
            done = self._request(verb, rest, b"".join(stdin), idle)
            if verb == "DELETE" and done.returncode == 0:
                self._deleted(rest, done)
                if self._door is not None:
                    self._door.removed(rest)
        elif verb == "CREATE":
            done = self._request("GET", rest, b"", idle) if rest else Completed(0)
            done = done if done.returncode else self._create(json.loads(b"".join(stdin)), idle)
        elif verb == "LIST":
            done, _, _ = listed(self._ask, rest, json.loads(b"".join(stdin)))
        elif verb == "LOOK":
            done = self._picture(rest).look(json.loads(b"".join(stdin)))
        elif verb == "EXEC":
            place, container, *argv = shlex.split(rest)
            return self._execute(place, container, argv, stdin, sink, idle)
        elif self._door is not None:
            return self._door.run(command, stdin, sink, idle)
        else:
            raise ConfigError(
                f"an API server does not understand {command[:80]!r}: this needs files that pods share",
                hint="Set claim: in options: to a PersistentVolumeClaim that all pods can mount.",
            )
        if sink is not None:
            sink(done.stdout)
            return Completed(done.returncode, b"", done.stderr)
        return done

    def close(self) -> None:
        """Drop the connections; the next ``run`` makes new ones."""
        with self._lock:
            client, self._made = self._made, None
            pictures, self._pictures = self._pictures, {}
        for picture in pictures.values():
            picture.close()
        if client is not None:
            manager = client.rest_client.pool_manager
            known = manager.pools.keys()  # it cannot be iterated itself
            for key in known:
                manager.pools[key].close()  # to forget them leaves their sockets to the garbage collector
            manager.clear()

    def __repr__(self) -> str:
        return f"Api({self._options.context or 'the current context'})"

    def _picture(self, path: str) -> Picture:
        with self._lock:
            return self._pictures.setdefault(path, Picture(path, self._ask, self._open))

    def _deleted(self, path: str, done: Completed) -> None:
        with suppress(ValueError, KeyError, TypeError):
            answer = json.loads(done.stdout)  # the object, which goes, or what is said of one that is gone
            uid = str((answer.get("details") or answer["metadata"])["uid"])
            self._pictures[path.rpartition("/")[0]].forget(uid)

    def _ask(self, path: str) -> Completed:
        return self._request("GET", path, b"", DEADLINE)

    def _open(self, path: str, idle: float) -> Any:
        return self._send("GET", path, b"", idle, preload_content=False)

    def _request(self, verb: str, path: str, body: bytes, idle: float) -> Completed:
        answer = self._send(verb, path, body, idle)
        if answer.status == 401:
            said = answer.data[:300].decode("utf-8", "replace")
            raise AuthenticationError(
                f"the API server {self._client().configuration.host} refused the login: {said}",
                hint="Log in again as your cluster's provider says, and look whether `kubectl get jobs` works.",
            )
        return Completed(0 if 200 <= answer.status < 300 else answer.status, answer.data)

    def _send(self, verb: str, path: str, body: bytes, idle: float, **more: Any) -> Any:
        import urllib3

        client = self._client()
        headers = {"Accept": "application/json, */*", **self._authorization(client)}
        if body:
            headers["Content-Type"] = _KINDS.get(verb, "application/json")
        self.requests += 1
        try:
            return client.rest_client.pool_manager.request(
                verb,
                client.configuration.host + path,
                body=body or None,
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT, read=idle),
                retries=False,
                **more,
            )
        except urllib3.exceptions.HTTPError as error:
            raise TransportError(f"the API server {client.configuration.host} cannot be reached: {error}") from error

    def _create(self, wanted: Sequence[dict[str, Any]], idle: float) -> Completed:
        made: list[Any] = []
        owners: list[dict[str, Any]] = []
        for one in wanted:
            if one["owned"]:
                one["body"]["metadata"]["ownerReferences"] = owners
            done = self._created(one["path"], one["body"], idle)
            if done.returncode:
                return done
            made.append(json.loads(done.stdout))
            owners += [] if one["owned"] else [owner(made[-1])]
        return Completed(0, json.dumps(made).encode())

    def _created(self, path: str, body: dict[str, Any], idle: float) -> Completed:
        """Create an object, or find the one that is there; one that is about to go makes room for it first."""
        late = time.monotonic() + GOING
        while True:
            done = self._request("POST", path, json.dumps(body).encode(), idle)
            if done.returncode != EXISTS or _word(done) != "AlreadyExists":
                return done
            there = f"{path}/{body['metadata']['name']}"
            found = self._request("GET", there, b"", idle)
            if found.returncode not in (0, GONE) or time.monotonic() > late:
                return found
            if not found.returncode:
                metadata = json.loads(found.stdout)["metadata"]
                owners = {one["uid"] for one in metadata.get("ownerReferences") or ()}
                wanted = {one["uid"] for one in body["metadata"].get("ownerReferences") or ()}
                if wanted <= owners and not metadata.get("deletionTimestamp"):
                    return found
                going = {"propagationPolicy": "Background", "preconditions": {"uid": metadata["uid"]}}
                self._request("DELETE", there, json.dumps(going).encode(), idle)
            time.sleep(PAUSE)

    def _execute(
        self,
        place: str,
        container: str,
        argv: Sequence[str],
        stdin: Iterable[bytes],
        sink: Callable[[bytes], None] | None,
        idle: float,
    ) -> Completed:
        client = self._client()
        self.requests += 1
        return execute(client.configuration, self._authorization(client), place, container, argv, stdin, sink, idle)

    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = _connect(self._options)
            return self._made

    @staticmethod
    def _authorization(client: Any) -> dict[str, str]:
        # Asked for each time: tokens of cloud providers end after minutes, and the client renews them here.
        found = client.configuration.auth_settings().values()
        return {one["key"]: one["value"] for one in found if one["in"] == "header" and one["value"]}


def namespace_of(options: K8sOptions) -> str:
    """Return the namespace of a kubeconfig's context, or of the pod that this is, where the options name none."""
    from kubernetes import config
    from kubernetes.config import incluster_config

    try:
        contexts, active = config.list_kube_config_contexts(options.kubeconfig)
    except (config.ConfigException, OSError):
        own = Path(incluster_config.SERVICE_TOKEN_FILENAME).with_name("namespace")
        return own.read_text("utf-8").strip() if own.is_file() else "default"
    except Exception as error:  # a damaged file may raise anything
        raise _no_config(error) from error
    chosen = next((one for one in contexts if one["name"] == options.context), active)
    return str((chosen.get("context") or {}).get("namespace") or "default")


def _connect(options: K8sOptions) -> Any:
    from kubernetes import client, config

    try:
        return config.new_client_from_config(options.kubeconfig, options.context, persist_config=False)
    except config.ConfigException as error:
        if options.kubeconfig or options.context:
            raise _no_config(error) from error
        settings = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=settings)
        except config.ConfigException:
            raise _no_config(error) from error
        return client.ApiClient(settings)
    except Exception as error:  # a damaged file may raise anything
        raise _no_config(error) from error


def _no_config(error: Exception) -> ConfigError:
    return ConfigError(
        f"no cluster can be reached with this kubeconfig: {error}",
        hint="`kubectl config get-contexts` shows what there is; set kubeconfig: and context: in options:.",
    )


def owner(made: Any) -> dict[str, Any]:
    """Return what an object says of its owner, by which it goes when its last one does."""
    named = {"name": made["metadata"]["name"], "uid": made["metadata"]["uid"]}
    return {"apiVersion": made["apiVersion"], "kind": made["kind"], **named}


def _word(done: Completed) -> str:
    try:
        return str(json.loads(done.stdout).get("reason"))
    except (ValueError, AttributeError):
        return ""
