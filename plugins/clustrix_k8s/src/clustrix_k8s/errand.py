"""Bringing home what one task has left: from its container's last words, from the container that keeps it, or from the
store."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clustrix_core import batch
from clustrix_core.batch.queue import read_marker
from clustrix_core.errors import CommandError
from clustrix_core.model import Cluster, Fetched, JobHandle
from clustrix_core.transport import Transport
from clustrix_k8s import shelving, states
from clustrix_k8s.store import result_of
from clustrix_k8s.ways import Keeper, LastWords, Unreached

EVERY = 5.0  # seconds between two looks into a pod that is still running: each is a command in it
_log = logging.getLogger("clustrix.k8s")


@dataclass(frozen=True)
class Errand:
    """One task, and its pod, if it has one. What is noted of it lies in the mirror of its job, under a name of its own:
    the tasks of a map share that mirror."""

    task: int
    pod: Mapping[str, Any] | None
    handle: JobHandle
    into: Path
    cluster: Cluster

    def run(self) -> Fetched | None:
        """Return what has come of the task; None for no trace of it. What is damaged is told, and is nothing.

        Raises Unreached where its pod cannot be asked, TransportError or CommandError where the store cannot.
        """
        going = self.pod is None or self.pod["metadata"].get("deletionTimestamp")
        found = self._from(self.pod) if self.pod is not None and not going else None
        store = shelving.store_of(self.cluster)
        if store is None or (self.pod is not None and not going and not _may_be_stored(self.pod)):
            return found
        if self._note("stored").exists():
            return found or Fetched()
        said = self.pod is not None and shelving.says_stored(self.pod)
        if not said and not self._is_due("asked", True):
            return found
        if not said and not store.has(result_of(self.handle, self.task)):
            return found
        shelf = shelving.Shelf(store, result_of(self.handle, self.task))
        try:
            found = self._copy(shelf)
        except CommandError as error:
            if error.__cause__ is None:
                return self.complain(error)
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            return Fetched()  # the next question about the job says so
        if not shelf.left and not found.unkept:
            self._jot("stored")
        return found

    def waits(self, pods: Sequence[Mapping[str, Any]]) -> bool:
        """Return whether results wait in the pod, by a list of those that there are."""
        assert self.pod is not None
        uid = self.pod["metadata"].get("uid")
        pod = next((one for one in pods if one["metadata"].get("uid") == uid), None)
        if pod is None or pod["metadata"].get("deletionTimestamp") or _is_over(pod):
            return False
        ended, keeper = _state(pod, "task").get("terminated"), _state(pod, "keeper")
        return bool(ended) and not _words(ended) and ("running" in keeper or "waiting" in keeper)

    def complain(self, error: Exception) -> Fetched:
        """Say once what is wrong with this task alone; return that nothing has come."""
        if not self._note("complained").exists():
            self._jot("complained")
            pod = self.pod["metadata"].get("name") if self.pod is not None else "that is gone"
            _log.warning("job %s, task %d: the results of the pod %s: %s", self.handle.job, self.task, pod, error)
        return Fetched()

    def _from(self, pod: Mapping[str, Any]) -> Fetched:
        state, keeper = _state(pod, "task"), _state(pod, "keeper")
        ended = state.get("terminated")
        try:
            if words := _words(ended):
                if shelving.says_stored(pod) or self._marker.is_file():  # all is in it, or nothing; it came once
                    return Fetched()
                return self._copy(LastWords(words))
            if "running" not in keeper or not (ended or "running" in state):
                return Fetched()
            if (not ended and not self._is_due("looked")) or self._has_given(pod):
                return Fetched()
            return self._from_keeper(pod, bool(ended))
        except CommandError as error:
            return self.complain(error)

    def _from_keeper(self, pod: Mapping[str, Any], ended: bool) -> Fetched:
        keeper = Keeper(self.cluster, f"{pod['metadata'].get('namespace')}/{pod['metadata'].get('name')}")
        found = self._copy(keeper)
        # Who has its last file may never look again: a container that is about to end has ended.
        if (ended or self._marker.is_file()) and not found.unkept and not keeper.left:
            with suppress(Unreached):  # what has come is here; the next look tells it again
                keeper.release()
                self._jot("released", json.dumps([pod["metadata"].get("uid"), self._held()]))
        return found

    def _has_given(self, pod: Mapping[str, Any]) -> bool:
        """Return whether this very pod was released, and nothing is gone since of what was here then.

        That is all it has: until all its values are here too, a pod is not released. What comes later is of others.
        """
        try:
            uid, before = json.loads(self._note("released").read_text())
        except (OSError, ValueError, TypeError):
            return False
        now = self._held()
        return bool(uid == pod["metadata"].get("uid")) and all(now.get(name, 0) >= before[name] for name in before)

    def _held(self) -> dict[str, int]:
        """Return the sizes of what is here: of the task's results, and of values, which do not say whose they are."""
        mirror, kinds = self.into / self.handle.job, (f"results-{self.handle.round}.{self.task}.*", "value-*")
        return {path.name: path.stat().st_size for kind in kinds for path in mirror.glob(kind)}

    def _note(self, what: str) -> Path:
        return self.into / self.handle.job / f".{what}-{self.handle.round}.{self.task}"

    def _jot(self, what: str, text: str = "") -> None:
        """Take a note; where there is no room for it, it is asked or said again."""
        note = self._note(what)
        with suppress(OSError):
            note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            note.write_text(text)
            os.utime(note)

    @property
    def _marker(self) -> Path:
        return self.into / self.handle.job / f"status-{self.handle.round}.{self.task}"

    def _is_due(self, what: str, at_once: bool = False) -> bool:
        """Return whether it is time to look at what costs a request of its own, and note that it is looked at. Where
        it is a pod that still runs, at first there is nothing to see."""
        try:
            due = not 0 <= time.time() - self._note(what).stat().st_mtime < EVERY
        except OSError:
            self._jot(what)
            return at_once
        if due:
            self._jot(what)
        return due

    def _copy(self, way: Transport) -> Fetched:
        """Let the toolkit read the stream: it is written as a cluster with a shell writes it."""
        return batch.fetch([self.handle], self.into, replace(self.cluster, transport=way))[self.handle.job]


def _may_be_stored(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod says that its results are in the store, or has ended and says nothing any more."""
    return shelving.says_stored(pod) or (_is_over(pod) and not _state(pod, "task"))


def _is_over(pod: Mapping[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _state(pod: Mapping[str, Any], container: str) -> Mapping[str, Any]:
    return states.container(pod, container).get("state") or {}


def _words(ended: Mapping[str, Any] | None) -> str:
    """Return the stream in a container's last words; "" for none. What a server makes of a log is no word of ours."""
    first, _, rest = str((ended or {}).get("message") or "").partition("\n")
    return rest.strip() if read_marker(first) is not None else ""
