"""Results in an object store: brought home as from a pod, and removed with their job."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from clustrix_core.errors import CommandError
from clustrix_core.model import Cluster, JobHandle, JobState, TaskStatus
from clustrix_core.transport import DEADLINE, Completed
from clustrix_k8s import giving
from clustrix_k8s.store import STEP, Store, result_of

WORD = "store"  # what a container's last words begin with whose results are there
_HEAD = re.compile(rb"F (\S+/(\S+)) (\d+) (\d+)\n")
_GROW = tuple(map(str.encode, giving.GROW))


@dataclass
class Shelf:
    """A way to the stream of one task, for the toolkit: what is here already is passed over, and so are values that
    nobody has asked for; ``left`` counts them."""

    store: Store
    name: str
    here: bool = field(default=False, init=False)
    left: int = field(default=0, init=False)

    def close(self) -> None:
        """Nothing is open."""

    def run(
        self,
        command: str,
        stdin: Iterable[bytes] = (),
        sink: Callable[[bytes], None] | None = None,
        idle: float = DEADLINE,
    ) -> Completed:
        lines = b"".join(stdin).splitlines()
        had = dict(line.split(b" ", 1) for line in lines if not line.startswith(b"J "))
        assert sink is not None
        self.left = 0
        with (
            self.store.asked("a result"),
            self.store.fs.open(self.store.path(self.name), "rb", block_size=STEP, cache_type="readahead") as file,
        ):
            while line := file.readline():
                if head := _HEAD.fullmatch(line):
                    self._pass(file, head, had, sink)
                else:
                    sink(line)
        return Completed(0)

    def _pass(
        self, file: Any, head: re.Match[bytes], had: Mapping[bytes, bytes], sink: Callable[[bytes], None]
    ) -> None:
        path, name, end = head[1], head[2], int(head[4])
        begun, size = file.tell(), int(had.get(name, b"0"))
        start = min(size, end) if name.startswith(_GROW) else 0
        unasked = name.startswith(giving.ASKED.encode()) and name not in had
        if unasked or size == end:
            self.left += unasked
            file.seek(begun + end)
            file.readline()
            return
        sink(b"F %s %d %d\n" % (path, start, end))
        file.seek(begun + start)
        left = end - start
        while left:
            data = file.read(min(left, STEP))
            if not data:
                raise CommandError(f"the result {self.name} in the object store is cut off", transient=True)
            left -= len(data)
            sink(data)


def store_of(cluster: Cluster) -> Store | None:
    """Return the object store of a cluster; None where it has none."""
    return Store(cluster.options) if cluster.options.store else None


def checked(
    handle: JobHandle, found: Mapping[int, TaskStatus], pods: Mapping[int, Mapping[str, Any]], cluster: Cluster
) -> dict[int, TaskStatus]:
    """Return where tasks stand of a job that is over and whose results have not all come.

    Who is asked about a job lacks a result of it. A task that has ended well, and whose result is nowhere, has lost it.
    """
    store, told = store_of(cluster), dict(found)
    if len(told) < handle.tasks or not all(one.state is JobState.SUCCEEDED for one in told.values()):
        return told
    for task in told:
        pod = pods.get(task)
        if pod is not None and not says_stored(pod):
            continue
        if store is not None and pod is not None and not store.has(result_of(handle, task)):
            told[task] = TaskStatus(JobState.RESULT_LOST, "", f"it is no longer in the object store {store.url}")
        elif pod is None and handle.tasks == 1 and not (store and store.has(result_of(handle, task))):
            told[task] = TaskStatus(JobState.RESULT_LOST, "", "its pod was deleted before anybody had fetched it")
    return told


def says_stored(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod says that its results are in the store."""
    for one in (pod.get("status") or {}).get("containerStatuses") or ():
        ended = (one.get("state") or {}).get("terminated") or {}
        if one.get("name") == "task" and str(ended.get("message") or "").partition("\n")[2].startswith(f"{WORD} "):
            return True
    return False
