"""Bringing results home: from a container's last words where they are small, else from the one that keeps them."""

from __future__ import annotations

import base64
import binascii
import re
import shlex
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clustrix_core import batch
from clustrix_core.errors import CommandError, TransportError
from clustrix_core.model import Cluster, Fetched, JobHandle, LogChunk
from clustrix_core.transport import DEADLINE, Completed, Transport
from clustrix_k8s import asking, manifest, names, shelving, states
from clustrix_k8s.store import result_of

EVERY = 5.0  # seconds between two looks into a pod that is still running: each is a command in it
LARGEST = 1 << 24  # bytes that a container's last words may unpack to
LOG = 1 << 20
_NO_NODE = "dialing backend"  # what an API server says that cannot reach a node
_LEFT = re.compile(r"clustrix: left (\d+)")


class _Away(Exception):
    """A pod keeps results, and its node does not answer."""


def fetch(handles: Sequence[JobHandle], into: Path, cluster: Cluster) -> Mapping[str, Fetched]:
    """Copy what is new to ``into``: one list of pods for all jobs, and a command in each pod that has more to give."""
    if not handles:
        return {}
    discard(cluster, [handle for handle in handles if handle.discard])
    if cluster.options.claim:
        return batch.fetch(handles, into, cluster)
    wanted = [handle for handle in handles if not handle.discard]
    pods = asking.pods(cluster, wanted) if wanted else ()
    found = {handle.job: Fetched(missing=True) for handle in handles}
    away: _Away | None = None
    for handle in wanted:
        mine = asking.of(handle, pods)
        try:
            all = [_of_task(task, mine.get(task), handle, into, cluster) for task in range(handle.tasks)]
        except _Away as error:
            away, found[handle.job] = error, Fetched()
            continue
        if any(all):
            found[handle.job] = _joined([one for one in all if one])
    if away and not any(one.new for one in found.values()):
        # What waits there is not lost: nobody must hear that its job is over before it can be asked.
        raise TransportError(str(away.args[0])) from away
    return found


def _of_task(
    task: int, pod: Mapping[str, Any] | None, handle: JobHandle, into: Path, cluster: Cluster
) -> Fetched | None:
    """Return what a task has left, from its pod or from the store; None for no trace of it."""
    going = pod is None or pod["metadata"].get("deletionTimestamp")
    found = _from(pod, handle, into, cluster) if pod is not None and not going else None
    store = shelving.store_of(cluster)
    if store is None or (pod is not None and not going and not _may_be_stored(pod)):
        return found
    brought = into / handle.job / f".stored-{handle.round}.{task}"
    if brought.exists():
        return found or Fetched()
    said = pod is not None and shelving.says_stored(pod)
    if not said and not _due(into / handle.job, f".asked-{handle.round}.{task}", True):
        return found
    if not said and not store.has(result_of(handle, task)):
        return found
    shelf = shelving.Shelf(store, result_of(handle, task))
    try:
        found = _copy(shelf, handle, into, cluster)
    except CommandError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        return Fetched()  # the next question about the job says so
    if not shelf.left and not found.unkept:
        brought.touch()
    return found


def _may_be_stored(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod says that its results are in the store, or has ended and says nothing any more."""
    over = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return shelving.says_stored(pod) or (over and not states.container(pod, "task").get("state"))


def discard(cluster: Cluster, handles: Sequence[JobHandle]) -> None:
    """Remove the objects of jobs; the first of each owns the rest."""
    if not handles:
        return
    namespace, ids = asking.namespace(cluster), {handle.job for handle in handles}
    store = shelving.store_of(cluster)
    if store is not None:
        for job in ids:
            store.remove(f"jobs/{job}")
    for one in asking.jobs(cluster, handles):  # of all rounds, whatever they were called
        if asking.owner(one) in ids and not one["metadata"].get("ownerReferences"):
            path = f"{names.jobs_path(namespace)}/{one['metadata']['name']}"
            asking.ask(cluster, f"DELETE {path}", {"propagationPolicy": "Background"}, missing=True)
    for pod in asking.left(cluster, handles):
        # Its Job is gone; who asks before the server's collector has come by must not find it.
        if asking.owner(pod) in ids:
            path = f"{names.core_path(namespace, 'pods')}/{pod['metadata']['name']}"
            asking.ask(cluster, f"DELETE {path}", {"gracePeriodSeconds": 5}, missing=True)


def _joined(all: Sequence[Fetched]) -> Fetched:
    new = tuple(name for one in all for name in one.new)
    return Fetched(new, unkept=next((one.unkept for one in all if one.unkept), ""))


def _from(pod: Mapping[str, Any], handle: JobHandle, into: Path, cluster: Cluster) -> Fetched:
    task = (pod["metadata"].get("labels") or {}).get(names.TASK)
    state = states.container(pod, "task").get("state") or {}
    ended = state.get("terminated")
    marker = into / handle.job / f"status-{handle.round}.{task}"
    if ended and (words := str(ended.get("message") or "").partition("\n")[2].strip()):
        if shelving.says_stored(pod):
            return Fetched()
        # All is in it, or nothing; what came of it once is here.
        return Fetched() if marker.is_file() else _copy(_LastWords(words), handle, into, cluster)
    keeper = states.container(pod, "keeper").get("state") or {}
    if "running" not in keeper or not (ended or "running" in state):
        return Fetched()
    if not ended and not _due(into / handle.job, f".looked-{handle.round}.{task}"):
        return Fetched()
    mirror, released = into / handle.job, into / handle.job / f".released-{handle.round}.{task}"
    if released.exists() and released.read_text() == _held(mirror):
        return Fetched()
    place = f"{pod['metadata'].get('namespace')}/{pod['metadata'].get('name')}"
    try:
        keeper = _Keeper(cluster, place)
        found = _copy(keeper, handle, into, cluster)
        # Who has its last file may never look again: a container that is about to end has ended.
        if (ended or marker.is_file()) and not found.unkept and not keeper.left:
            cluster.transport.run(f"EXEC {place} keeper {shlex.join(_program(cluster, 'release'))}")
            released.write_text(_held(mirror))
    except CommandError as error:
        if ended and _NO_NODE in str(error.args[0]):
            raise _Away(str(error.args[0])) from error
        if not error.transient:
            raise
        return Fetched()  # it has ended since it was listed: the next list says how
    return found


def _held(mirror: Path) -> str:
    """Return how many bytes of results are here."""
    return str(sum(path.stat().st_size for kind in ("results-*", "value-*") for path in mirror.glob(kind)))


def _due(mirror: Path, name: str, at_once: bool = False) -> bool:
    """Return whether it is time to look at what costs a request of its own, and note that it is looked at. Where it
    is a pod that still runs, at first there is nothing to see."""
    looked = mirror / name
    mirror.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        due = not 0 <= time.time() - looked.stat().st_mtime < EVERY
    except OSError:
        looked.touch()
        return at_once
    if due:
        looked.touch()
    return due


def _copy(transport: Transport, handle: JobHandle, into: Path, cluster: Cluster) -> Fetched:
    """Let the toolkit read the stream: it is written as a cluster with a shell writes it."""
    return batch.fetch([handle], into, replace(cluster, transport=transport))[handle.job]


def _program(cluster: Cluster, command: str) -> list[str]:
    return [*shlex.split(cluster.python), f"{manifest.IN}/worker/pod.py", command, manifest.work(cluster)]


class _Way:
    """A way to the stream of one pod, for the toolkit; what it would have run in a shell is of no use here."""

    here = False

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class _LastWords(_Way):
    """The stream is in a container's termination message."""

    words: str

    def run(
        self,
        command: str,
        stdin: Iterable[bytes] = (),
        sink: Callable[[bytes], None] | None = None,
        idle: float = DEADLINE,
    ) -> Completed:
        try:
            unpacker = zlib.decompressobj(wbits=31)
            stream = unpacker.decompress(base64.b64decode(self.words, validate=True), LARGEST)
        except (binascii.Error, zlib.error, ValueError) as error:
            raise CommandError(f"a container's last words are damaged: {error}") from error
        assert sink is not None
        sink(stream)
        return Completed(0)


@dataclass
class _Keeper(_Way):
    """The stream comes from a command in the container that keeps the results."""

    cluster: Cluster
    place: str
    left: int = 0  # values that nobody has asked for yet

    def run(
        self,
        command: str,
        stdin: Iterable[bytes] = (),
        sink: Callable[[bytes], None] | None = None,
        idle: float = DEADLINE,
    ) -> Completed:
        request = b"".join(stdin)
        argv = shlex.join(_program(self.cluster, "give"))
        asked = [b"%d\n" % len(request) + request]
        done = self.cluster.transport.run(f"EXEC {self.place} keeper {argv}", asked, sink, idle)
        said = _LEFT.search(done.error)
        self.left = int(said[1]) if said else 0
        return done


def logs(handle: JobHandle, cluster: Cluster, since: int) -> LogChunk:
    """Return what a task has written, as the server keeps it. It keeps no offsets: all up to there is read again."""
    if cluster.options.claim:
        return batch.logs(handle, cluster, since)
    pod = asking.of(handle, asking.pods(cluster, [handle])).get(handle.task)
    state = states.container(pod, "task").get("state") or {} if pod else {}
    if pod is None or "waiting" in state or not state:
        return LogChunk("", max(since, 0))
    path = f"{names.core_path(asking.namespace(cluster), 'pods')}/{pod['metadata']['name']}/log?container=task"
    limit = f"&limitBytes={since + LOG}" if since >= 0 else ""
    done = cluster.transport.run(f"GET {path}{limit}")
    if done.returncode:
        raise asking.refusal("reading the log", done)
    whole = done.stdout
    start = max(len(whole) + since, 0) if since < 0 else min(since, len(whole))
    while since < 0 and start < len(whole) and 0x80 <= whole[start] < 0xC0:
        start += 1
    return LogChunk(whole[start:].decode("utf-8", "replace"), max(len(whole), since))
