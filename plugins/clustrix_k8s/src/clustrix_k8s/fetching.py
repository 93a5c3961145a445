"""Bringing results home, of all jobs at once; removing jobs; and the output of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from clustrix_core import batch
from clustrix_core.errors import CommandError, TransportError
from clustrix_core.model import Cluster, Fetched, JobHandle, LogChunk
from clustrix_k8s import asking, names, shelving, states
from clustrix_k8s.errand import Errand
from clustrix_k8s.ways import NO_RIGHT, Unreached

LOG = 1 << 20
Failure = tuple[Errand, CommandError | TransportError]


def fetch(handles: Sequence[JobHandle], into: Path, cluster: Cluster) -> Mapping[str, Fetched]:
    """Copy what is new to ``into``: one list of pods for all jobs, and a command in each pod that has more to give.

    Raises TransportError where results wait in a pod that cannot be asked, and nothing has come from any other.
    """
    if not handles:
        return {}
    discard(cluster, [handle for handle in handles if handle.discard])
    if cluster.options.claim:
        return batch.fetch(handles, into, cluster)
    wanted = [handle for handle in handles if not handle.discard]
    pods = asking.pods(cluster, wanted) if wanted else ()
    found = {handle.job: Fetched(missing=True) for handle in handles}
    failed: list[Failure] = []
    for handle in wanted:
        mine = asking.of(handle, pods)
        errands = [Errand(task, mine.get(task), handle, into, cluster) for task in range(handle.tasks)]
        if all := [one for errand in errands if (one := _tried(errand, failed)) is not None]:
            found[handle.job] = _joined(all)
    outages = _outages(failed, cluster) if failed else []
    if outages and not any(one.new for one in found.values()):
        raise outages[0][1]
    for errand, error in outages:
        found[errand.handle.job] = replace(found[errand.handle.job], away=str(error.args[0]))
    return found


def _tried(errand: Errand, failed: list[Failure]) -> Fetched | None:
    """Run one errand; that it has failed must not keep back what others bring."""
    try:
        return errand.run()
    except (CommandError, TransportError) as error:
        failed.append((errand, error))
        return Fetched()


def _outages(failed: Sequence[Failure], cluster: Cluster) -> list[Failure]:
    """Return which failures keep something back. What waits is not lost: nobody must hear that its job is over before
    it can be asked. Where a task still runs, nobody hears that anyway."""
    unreached = [errand.handle for errand, error in failed if isinstance(error, Unreached)]
    there = asking.left(cluster, unreached) if unreached else ()
    found = [one for one in failed if not isinstance(one[1], Unreached) or one[0].waits(there)]
    for errand, error in failed:
        if error.hint == NO_RIGHT and (errand, error) not in found:
            errand.complain(error)
    return found


def discard(cluster: Cluster, handles: Sequence[JobHandle]) -> None:
    """Remove the objects of jobs: their Secrets go with their last Job."""
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
