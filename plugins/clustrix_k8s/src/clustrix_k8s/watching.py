"""The pods of jobs as they stand: a list of each job's at first, then one watch for all jobs of the namespace.

Clients look often and little changes, so the server is asked to tell what does. A job that has ended at the second look
has cost one list. Whatever goes wrong with a watch ends it, and the next look is a list again: so only lists need to
be right about outages.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from clustrix_core.errors import TransportError
from clustrix_core.transport import Completed
from clustrix_k8s import names

_log = logging.getLogger("clustrix.k8s")

PAGE = 500
PERIOD = 60  # seconds after which the server ends a stream: then another one begins, if anybody has looked meanwhile
QUIET = 15.0  # seconds on top of that before a connection counts as dead
FRESH = 30.0  # seconds: an older list is no beginning of a stream, the server may have forgotten what came after it
PAUSE = 10.0  # seconds before another stream is asked for where one was refused
LARGEST = 1 << 24  # bytes of one event; the server's own limit of an object is a tenth of it

Ask = Callable[[str], Completed]
Open = Callable[[str, float], Any]


class Picture:
    """The objects behind one path, such as the pods of a namespace. Thread-safe.

    ``ask`` makes a request; ``open`` begins an answer that goes on, and is given up after so many seconds of silence.
    """

    def __init__(self, path: str, ask: Ask, open: Open) -> None:
        self._path, self._ask, self._open = path, ask, open
        self._lock = threading.Lock()  # who comes second hears what the first has asked
        self._watch: Watch | None = None
        self._not_before = 0.0

    def look(self, jobs: Collection[str]) -> Completed:
        """Return the objects of these jobs as the server lists them, or its refusal. Raises TransportError."""
        with self._lock:
            watch = self._begun()
            strange = [job for job in jobs if job not in watch.jobs]
            if strange:
                watch.jobs.update(strange)  # before they are listed: what happens meanwhile counts
                items = None
                try:
                    done, items, version = listed(self._ask, self._path, strange)
                finally:
                    if items is None:
                        watch.jobs.difference_update(strange)
                if items is None:
                    return done
                watch.add(items, version)
            return Completed(0, watch.told(jobs))

    def forget(self, uid: str) -> None:
        """Show an object no longer: it was deleted by us, and the server may not have told it yet."""
        if (watch := self._watch) is not None:
            watch.forget(uid)

    def close(self) -> None:
        """End the watch. The next look is a list."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.stop()

    def _begun(self) -> Watch:
        """Return the watch that goes on, begun now if this is the second look, or one that knows nothing yet."""
        watch = self._watch
        if watch is not None and watch.version and not watch.runs:
            watch = watch if time.monotonic() >= self._not_before and self._start(watch) else None
        elif watch is not None and not watch.version:
            watch = None
        self._watch = watch = watch or Watch(self._path, self._open)
        return watch

    def _start(self, watch: Watch) -> bool:
        if watch.age > FRESH or watch.over:
            return False
        with suppress(TransportError):  # a list will say it too, or is let through where a stream is not
            if watch.start():
                return True
        self._not_before = time.monotonic() + PAUSE
        return False


def listed(ask: Ask, path: str, jobs: Collection[str]) -> tuple[Completed, list[Mapping[str, Any]] | None, str]:
    """Return the server's answer, the objects of some jobs, and the version of its state that they are of; a refusal
    and None where there are none to be had."""
    items: list[Mapping[str, Any]] = []
    more = ""
    while True:
        done = ask(f"{path}?{names.selector(jobs)}&limit={PAGE}{more}")
        if done.returncode:
            return done, None, ""
        try:
            answer = json.loads(done.stdout)
            items += [one for one in answer["items"] if _is_object(one)]
            metadata = answer["metadata"]
            token, version = str(metadata.get("continue") or ""), str(metadata.get("resourceVersion") or "")
        except (ValueError, TypeError, KeyError, AttributeError):
            return Completed(1, b"", b"the API server's answer is no list"), None, ""
        if not token:
            return Completed(0, json.dumps({"items": items}).encode()), items, version
        more = f"&continue={token}"


class Watch:
    """What is known of the objects of ``jobs``: what was listed, and what the server has told since then."""

    def __init__(self, path: str, open: Open) -> None:
        self._path, self._open = path, open
        self._guard = threading.Lock()
        self._objects: dict[str, tuple[str, bytes]] = {}  # by uid: the job, and the object
        self._gone: set[str] = set()  # a list that was made before they went may come after
        self._thread: threading.Thread | None = None
        self._response: Any = None
        self._listed = self._asked = time.monotonic()
        self.jobs: set[str] = set()
        self.version = ""
        self.over = False

    @property
    def runs(self) -> bool:
        """Whether the server tells; a forked child has none of its parent's threads."""
        return not self.over and self._thread is not None and self._thread.is_alive()

    @property
    def age(self) -> float:
        return time.monotonic() - self._listed

    def start(self) -> bool:
        """Let the server tell what happens after ``version``; return whether it will. Raises TransportError."""
        if not self._begin():
            return False
        self._thread = threading.Thread(target=self._follow, name="clustrix watch", daemon=True)
        self._thread.start()
        return True

    def stop(self) -> None:
        self.over = True
        # Its thread may be closing it meanwhile: then one of the two is None.
        open_one = getattr(getattr(self._response, "connection", None), "sock", None)
        if open_one is not None:
            with suppress(OSError, ValueError):
                # To close it would not wake who reads from it.
                socket.socket.shutdown(open_one, socket.SHUT_RDWR)
        if self._thread is not None:
            self._thread.join(QUIET)

    def add(self, items: Iterable[Mapping[str, Any]], version: str) -> None:
        """Take in what was listed. Of what is known already the stream has told at least as much."""
        with self._guard:
            self.version = self.version or version
            for one in items:
                uid = str(one["metadata"]["uid"])
                if uid not in self._gone:
                    self._objects.setdefault(uid, _kept(one))

    def forget(self, uid: str) -> None:
        with self._guard:
            self._gone.add(uid)
            self._objects.pop(uid, None)

    def told(self, jobs: Collection[str]) -> bytes:
        """Return the objects of these jobs as a list of the API."""
        self._asked = time.monotonic()
        wanted = {*jobs}
        with self._guard:
            return b'{"items": [%s]}' % b",".join(data for job, data in self._objects.values() if job in wanted)

    def _begin(self) -> bool:
        asked = f"watch=true&allowWatchBookmarks=true&resourceVersion={self.version}&timeoutSeconds={PERIOD}"
        response = self._open(f"{self._path}?{names.selector(())}&{asked}", PERIOD + QUIET)
        if response.status != 200:
            response.close()
            return False
        self._response = response
        return True

    def _follow(self) -> None:
        """Take what is told, in a thread of its own, for as long as anybody looks."""
        try:
            while not self.over:
                for line in _lines(self._response):
                    self._take(json.loads(line))
                if time.monotonic() - self._asked > PERIOD or self.over or not self._begin():
                    break
        except Exception as error:  # whatever it is: the next look is a list, and says it
            if not self.over:
                _log.info("the watch of %s has ended: %r", self._path, error)
        finally:
            self.over = True
            self._response.close()

    def _take(self, event: Mapping[str, Any]) -> None:
        kind, one = event["type"], event["object"]
        if kind == "ERROR" or kind not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"):
            raise ValueError(kind)  # mostly 410: the server has forgotten what came after this version
        with self._guard:
            self.version = str(one["metadata"]["resourceVersion"])
            if kind == "BOOKMARK":
                return
            uid, kept = str(one["metadata"]["uid"]), _kept(one)
            if kind == "DELETED" or uid in self._gone:
                self._gone.add(uid)
                self._objects.pop(uid, None)
            elif kept[0] in self.jobs:
                self._objects[uid] = kept


def _is_object(one: Any) -> bool:
    metadata = one.get("metadata") if isinstance(one, dict) else None
    return isinstance(metadata, dict) and "uid" in metadata and isinstance(metadata.get("labels"), dict)


def _kept(one: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return whose object it is, and what is kept of it: who has set which field is half of it, and of no use."""
    metadata = {name: value for name, value in one["metadata"].items() if name != "managedFields"}
    return str(metadata["labels"].get(names.JOB)), json.dumps({**one, "metadata": metadata}).encode()


def _lines(response: Any) -> Iterator[bytes]:
    left = b""
    for data in response.stream(1 << 16):
        *whole, left = (left + data).split(b"\n")
        yield from filter(None, whole)
        if len(left) > LARGEST:
            raise ValueError("an event without an end")


__all__ = ["Picture", "listed"]
