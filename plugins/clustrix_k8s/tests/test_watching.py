"""Looks at pods, against a server on loopback: it lists what it is told to, tells what changes, and breaks off."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from clustrix_core.errors import TransportError
from clustrix_k8s import names, watching
from clustrix_k8s.api import Api
from clustrix_k8s.options import K8sOptions

PODS = "/api/v1/namespaces/lab/pods"
SOON = 10.0
CUT = -1  # in place of a status: the connection breaks


def pod(name: str, job: str = "a", phase: str = "Running", version: int = 1) -> dict[str, Any]:
    metadata = {"name": name, "uid": f"uid-{name}", "labels": {names.JOB: job}, "resourceVersion": str(version)}
    return {"metadata": {**metadata, "managedFields": ["long"]}, "status": {"phase": phase}}


class Server(ThreadingHTTPServer):
    """Lists ``pods``; what is put into ``events`` is told to who watches, an int closes the stream."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pods: list[dict[str, Any]] = []
        self.page = 500
        self.version = 10
        self.refusals: dict[str, int] = {}  # by kind of question: an HTTP status
        self.events: queue.Queue[dict[str, Any] | int] = queue.Queue()
        self.asked: list[str] = []

    def count(self, kind: str) -> int:
        return self.asked.count(kind)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        kind = "watch" if "watch" in asked else "list"
        self.server.asked.append(kind)
        if (code := self.server.refusals.get(kind)) == CUT:
            self.close_connection = True
        elif code:
            self._answer(code, {"message": "in its own words"})
        elif kind == "list":
            self._list(asked)
        else:
            assert int(asked["resourceVersion"][0]) >= 10, "nobody has said that version"
            self._watch()

    def do_DELETE(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, next(one for one in self.server.pods if self.path.endswith(one["metadata"]["name"])))

    def _list(self, asked: dict[str, list[str]]) -> None:
        wanted = asked["labelSelector"][0]
        found = [one for one in self.server.pods if one["metadata"]["labels"][names.JOB] in wanted.partition(" in ")[2]]
        start = int(asked.get("continue", ["0"])[0])
        end = start + self.server.page
        more = {"continue": str(end)} if end < len(found) else {}
        metadata = {"resourceVersion": str(self.server.version), **more}
        self._answer(200, {"items": found[start:end], "metadata": metadata})

    def _watch(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while not isinstance(event := self.server.events.get(), int):
            data = json.dumps(event).encode() + b"\n"
            for part in (data[:7], data[7:]):  # a line may come in parts
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                self.wfile.flush()
        if event == 0:
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.close_connection = True

    def _answer(self, code: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words: Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,))
        thread.start()
        yield made
        for _ in made.asked:
            made.events.put(1)
        made.shutdown()
        thread.join()


@pytest.fixture
def api(server: Server, tmp_path: Path) -> Iterator[Api]:
    file = tmp_path / "config"
    named = {"clusters": [{"name": "x", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}]}
    contexts = [{"name": "x", "context": {"cluster": "x", "user": "x"}}]
    users = [{"name": "x", "user": {"token": "t"}}]
    file.write_text(json.dumps({**named, "contexts": contexts, "users": users, "current-context": "x"}))
    made = Api(K8sOptions(kubeconfig=str(file)))
    yield made
    made.close()


def look(api: Api, *jobs: str) -> dict[str, str]:
    done = api.run(f"LOOK {PODS}", [json.dumps(jobs or ["a"]).encode()])
    assert done.returncode == 0, done
    return {one["metadata"]["name"]: one["status"]["phase"] for one in json.loads(done.stdout)["items"]}


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def event(kind: str, one: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": one}


def test_one_look_is_one_list(server: Server, api: Api) -> None:
    server.pods = [pod("one"), pod("two", job="b")]
    assert look(api) == {"one": "Running"}
    assert server.asked == ["list"]


def test_lists_come_in_pages(server: Server, api: Api) -> None:
    server.pods, server.page = [pod(f"p{number}") for number in range(5)], 2
    assert len(look(api)) == 5
    assert server.count("list") == 3


def test_many_looks_are_one_list_and_one_watch(server: Server, api: Api) -> None:
    server.pods = [pod("one")]
    for _ in range(50):
        assert look(api) == {"one": "Running"}
    server.events.put(event("MODIFIED", pod("one", phase="Succeeded", version=11)))
    until(lambda: look(api) == {"one": "Succeeded"})
    server.events.put(event("ADDED", pod("two", version=12)))
    server.events.put(event("ADDED", pod("strange", job="z", version=13)))
    until(lambda: look(api) == {"one": "Succeeded", "two": "Running"})
    server.events.put(event("DELETED", pod("one", version=14)))
    until(lambda: look(api) == {"two": "Running"})
    assert server.asked == ["list", "watch"] and api.requests == 2


def test_who_set_which_field_is_not_kept(server: Server, api: Api) -> None:
    server.pods = [pod("one")]
    look(api)
    assert "managedFields" not in api.run(f"LOOK {PODS}", [b'["a"]']).text


def test_another_job_is_one_more_list_and_the_same_watch(server: Server, api: Api) -> None:
    server.pods = [pod("one"), pod("two", job="b")]
    look(api), look(api)
    assert look(api, "a", "b") == {"one": "Running", "two": "Running"}
    server.events.put(event("MODIFIED", pod("two", "b", "Failed", 11)))
    until(lambda: look(api, "b") == {"two": "Failed"})
    assert server.asked == ["list", "watch", "list"]


def test_what_was_told_is_not_undone_by_an_older_list(server: Server, api: Api) -> None:
    """The stream has told that a pod is gone; the list that was made before comes after."""
    server.pods = [pod("one"), pod("two", job="b")]
    look(api), look(api)
    server.events.put(event("DELETED", pod("two", "b", version=11)))
    server.events.put(event("MODIFIED", pod("one", phase="Failed", version=12)))
    until(lambda: look(api) == {"one": "Failed"})
    assert look(api, "a", "b") == {"one": "Failed"}


def test_what_was_deleted_here_is_seen_no_more(server: Server, api: Api) -> None:
    server.pods = [pod("one"), pod("two")]
    look(api), look(api)
    assert api.run(f"DELETE {PODS}/one", [b'{"gracePeriodSeconds": 5}']).returncode == 0
    assert look(api) == {"two": "Running"}


@pytest.mark.parametrize("how", ["expired", "cut", "damaged"])
def test_a_watch_that_breaks_is_a_list_and_another_watch(server: Server, api: Api, how: str) -> None:
    server.pods = [pod("one")]
    look(api), look(api)
    server.pods = [pod("one", phase="Succeeded")]
    server.version = 20
    broken: dict[str, Any] = {
        "expired": event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"}),
        "cut": 1,
        "damaged": event("MODIFIED", {"metadata": None}),
    }
    server.events.put(broken[how])
    until(lambda: look(api) == {"one": "Succeeded"})
    until(lambda: look(api) == {"one": "Succeeded"} and server.count("watch") == 2)
    for _ in range(20):
        look(api)
    assert server.asked == ["list", "watch", "list", "watch"]


def test_a_stream_that_ends_in_its_time_goes_on_without_a_list(server: Server, api: Api) -> None:
    server.pods = [pod("one")]
    look(api), look(api)
    server.events.put(event("BOOKMARK", {"metadata": {"resourceVersion": "33"}}))
    server.events.put(0)
    until(lambda: server.count("watch") == 2)
    server.events.put(event("MODIFIED", pod("one", phase="Failed", version=34)))
    until(lambda: look(api) == {"one": "Failed"})
    assert server.asked == ["list", "watch", "watch"]


def test_a_stream_ends_when_nobody_looks(server: Server, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    server.pods = [pod("one")]
    look(api), look(api)
    monkeypatch.setattr(watching, "PERIOD", -1)
    server.events.put(0)
    until(lambda: not any(thread.name == "clustrix watch" for thread in threading.enumerate()))
    assert server.asked == ["list", "watch"]


@pytest.mark.parametrize("code", [403, 410, 429, 503, CUT])
def test_who_may_not_watch_lists(server: Server, api: Api, code: int) -> None:
    """One watch is tried in a while, not one a look."""
    server.pods, server.refusals = [pod("one")], {"watch": code}
    for _ in range(20):
        assert look(api) == {"one": "Running"}
    assert (server.count("list"), server.count("watch")) == (20, 1)


@pytest.mark.parametrize("code", [403, 429, 500, 503])
def test_a_refused_list_is_told_and_forgotten(server: Server, api: Api, code: int) -> None:
    server.pods, server.refusals = [pod("one")], {"list": code}
    done = api.run(f"LOOK {PODS}", [b'["a"]'])
    assert (done.returncode, json.loads(done.stdout)["message"]) == (code, "in its own words")
    server.refusals = {}
    assert look(api) == {"one": "Running"}


@pytest.mark.parametrize("code", [503, CUT])
def test_a_job_that_could_not_be_listed_is_listed_later(server: Server, api: Api, code: int) -> None:
    """A watch that goes on knows nothing of what was before the job was asked for."""
    server.pods = [pod("one"), pod("two", job="b")]
    look(api), look(api)
    server.refusals = {"list": code}
    with suppress(TransportError):
        assert api.run(f"LOOK {PODS}", [b'["a", "b"]']).returncode == code
    server.refusals = {}
    assert look(api, "a", "b") == {"one": "Running", "two": "Running"}


def test_a_server_that_is_away_is_no_answer(server: Server, api: Api) -> None:
    """Neither while it is watched nor after: what was known last is not told as what is."""
    server.pods = [pod("one")]
    look(api), look(api)
    server.shutdown()
    server.socket.close()
    server.events.put(1)
    with pytest.raises(TransportError):
        until(lambda: look(api) == {})


def test_closing_ends_the_watch(server: Server, api: Api) -> None:
    server.pods = [pod("one")]
    look(api), look(api)
    begun = time.monotonic()
    api.close()
    assert time.monotonic() - begun < 5
    assert not any(thread.name == "clustrix watch" for thread in threading.enumerate())
    assert look(api) == {"one": "Running"} and server.asked == ["list", "watch", "list"]


def test_closing_a_watch_whose_connection_has_just_gone(server: Server, api: Api) -> None:
    """Its own thread closes it, and may be about to say so."""
    server.pods = [pod("one")]
    look(api), look(api)
    watch = api._pictures[PODS]._watch
    assert watch is not None
    connection = watch._response.connection
    sock, connection.sock = connection.sock, None
    threading.Timer(0.5, server.events.put, [1]).start()
    with sock:
        api.close()
