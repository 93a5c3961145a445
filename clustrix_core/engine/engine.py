"""All that one process needs to run jobs: what it asks for is packed and journalled here, and handed on from here."""

from __future__ import annotations

import atexit
import dataclasses
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from clustrix_core import alive, keys, payload
from clustrix_core.batch.fetch import KEPT
from clustrix_core.config import ClusterConfig
from clustrix_core.dispatch import Dispatch
from clustrix_core.engine import landing, places, reading, specs
from clustrix_core.engine.builds import Builds
from clustrix_core.engine.flight import CLAIM_RESULT, Flight
from clustrix_core.engine.inbox import Inbox
from clustrix_core.engine.monitor import Monitor
from clustrix_core.engine.submission import Submissions
from clustrix_core.engine.uploads import Uploads
from clustrix_core.entry import OVER, REFUSED, Entry
from clustrix_core.environments import Recipe
from clustrix_core.errors import ConfigError
from clustrix_core.journal import Innermost, Journal
from clustrix_core.model import Cluster, JobSpec, JobState, JobStatus, LogChunk
from clustrix_core.plugins import Plugins
from clustrix_core.resources import Resources


@dataclass(frozen=True)
class Request:
    """What a caller asks for: a packed payload still to be written, and how to run it."""

    label: str
    kind: str  # call, map or command
    settings: ClusterConfig
    resources: Resources
    calls: int
    pack: Callable[[Path, tuple[int, int] | None], None]  # into a directory, for a Python; None: nobody knows it yet
    sources: Mapping[str, str]
    chunk: int | None = None
    max_parallel: int | None = None
    recipe: Callable[[], Recipe | None] = lambda: None  # once it is packed, what must be installed over there
    after: Callable[[], Iterable[str]] = tuple  # once it is packed, the jobs whose values it takes


class Engine:
    """Plugins, journal, submissions and monitors of one process."""

    def __init__(self, home: Path, plugins: Plugins | None = None) -> None:
        self.home = home
        self.mirrors = home / "results"
        self.outbox = home / "outbox"
        self.journal = Journal(home)
        for directory in (self.mirrors, self.outbox):
            directory.mkdir(exist_ok=True, mode=0o700)
        if plugins is None:
            plugins = Plugins()
            plugins.load()
        plugins.register_innermost(Innermost(self.journal), "clustrix-journal")
        self.dispatch = Dispatch(plugins)
        self.name, self._alive = alive.announce(home)
        atexit.register(self._alive.close)  # until the very end: whoever exits is still submitting
        self.places = places.Places(self.dispatch, self.journal)
        self.submissions = Submissions(self)
        self.builds = Builds(self)
        self.uploads = Uploads(self.dispatch)
        self._monitors: dict[tuple[str, str, str, int], Monitor] = {}
        self._lock = threading.Lock()
        reading.finish_orphans(self)

    def submit(self, request: Request, deliver: CLAIM_RESULT) -> Flight:
        """Write payload and intent to disk and return; the rest happens in the background.

        Raises CannotTravel, ConfigError and PluginError before anything is written.
        """
        cluster = self.places.cluster(request.settings, request.resources)
        job = keys.new_job_id()
        outbox = self.outbox / job
        outbox.mkdir(mode=0o700)
        try:
            entry = self._journalled(job, request, cluster)
        except BaseException:
            shutil.rmtree(outbox, ignore_errors=True)
            raise
        flight = self.flight(entry, cluster, deliver)
        self.submissions.start(flight)
        return flight

    def _journalled(self, job: str, request: Request, cluster: Cluster) -> Entry:
        """Pack and journal; again, where a job whose value it takes has ended meanwhile, so that its files may go."""
        request.pack(self.outbox / job, self.places.python(cluster))
        spec = JobSpec(
            job,
            request.label,
            request.resources,
            request.calls,
            max_parallel=request.max_parallel,
            after=dict.fromkeys(request.after(), ""),
        )
        recipe = request.recipe()
        self._rendered(spec, cluster, recipe)  # a bad directive is an error here, not later
        keep = {
            specs.RECIPE: recipe.to_json() if recipe else None,
            "chunk": request.chunk,
            "sources": dict(request.sources),
            # Where the job runs with the client's files, relative paths go on meaning the same.
            "cwd": os.getcwd() if cluster.transport.here else None,
            specs.DATA: (self.outbox / job / payload.BLOBS).is_dir(),
        }
        entry = Entry(
            id=job,
            label=request.label,
            cluster=cluster.name,
            settings=places.to_json(request.settings),
            kind=request.kind,
            spec={**specs.to_json(spec), **keep},
            owner=self.name,
        )
        return entry if self.journal.add(entry) else self._journalled(job, request, cluster)

    def _rendered(self, spec: JobSpec, cluster: Cluster, recipe: Recipe | None) -> None:
        """Insist that the backend can run such a job; also that its script uses the environment that it is told of."""
        key = keys.new_job_id() if recipe else ""
        script = self.dispatch.render_script(dataclasses.replace(spec, environment=key), cluster)
        if recipe and key not in script:
            raise ConfigError(
                f"environment={recipe.name!r}: the backend {cluster.backend} does not run jobs in environments",
                cluster=cluster.name,
                hint="Write environment: none, and name a Python or an image that has what the function needs.",
            )

    def attach(self, job: str, deliver: CLAIM_RESULT) -> Flight:
        """Deliver the outcomes of a job of any process of this user: those that are here, the rest as they come."""
        return reading.attach(self, job, deliver)

    def keep(self, flight: Flight) -> bool:
        """Leave the value of a job on its cluster, until it is cleaned; False where its files may be gone already."""
        if not self.journal.keep(flight.spec.id):
            return False
        flight.inbox.leave = True
        return True

    def cancel(self, flight: Flight) -> bool:
        """End a job. True once the scheduler took it, or before it ever got there; False when it was over."""
        if flight.entry.phase in (OVER, REFUSED) or flight.complete:
            return False
        flight.withdrawn = True
        self.submissions.withdraw(flight)
        if not flight.missing:
            return False
        if flight.handle is not None:
            try:
                self.dispatch.cancel([flight.handle], flight.cluster)
            except BaseException:
                flight.withdrawn = False  # it goes on
                raise
            self.monitor(flight.cluster).drop(flight)
        landing.cancel(self, flight)
        return True

    def changed(self, flight: Flight, before: JobStatus) -> None:
        """A job's state has changed: journal it, tell the listeners."""
        self.journal.changed(flight.spec.id, flight.status.state, flight.status.reason)
        assert flight.handle is not None
        self.dispatch.job_changed(flight.handle, before, flight.status, flight.cluster)

    def status(self, job: str) -> JobStatus:
        """Return what is known of a job; asks the scheduler for one in flight."""
        entry = self.journal.get(job)
        if entry.phase in (OVER, REFUSED) or entry.handle is None:
            return JobStatus(JobState(entry.state), reason=entry.reason)
        return self.dispatch.status([entry.handle], self._cluster(entry))[entry.id]

    def logs(self, job: str, since: int = 0, task: int = 0) -> LogChunk:
        """Return a task's output from an offset on; nothing before the job was accepted."""
        entry = self.journal.get(job)
        if entry.handle is None:
            return LogChunk("", max(since, 0))
        kept = self.mirrors / entry.id / f"log-{entry.handle.round}.{task}"
        if entry.phase == OVER and kept.exists() and kept.stat().st_size < KEPT:
            return _piece(kept, since)
        chunk = self.dispatch.logs(dataclasses.replace(entry.handle, task=task), self._cluster(entry), since)
        if entry.phase == OVER and not chunk.text and kept.exists():
            return _piece(kept, since)  # its directory was removed; this much of it came home
        return chunk

    def flight(self, entry: Entry, cluster: Cluster, deliver: CLAIM_RESULT) -> Flight:
        """Return a journalled job as its reader follows it."""
        spec = specs.of(entry)
        mirror = self.mirrors / entry.id
        todo = entry.spec.get("todo") or list(range(spec.calls))
        inbox = Inbox(mirror, entry.id, keys.job_key(self.home, entry.id), spec.calls)
        flight = Flight(entry, spec, cluster, mirror, deliver, inbox, todo)
        flight.completed = lambda: landing.over(self, flight)
        if entry.phase in (OVER, REFUSED):
            flight.status = JobStatus(JobState(entry.state), reason=entry.reason)
        return flight

    def monitor(self, cluster: Cluster) -> Monitor:
        """Return the one monitor of a cluster."""
        # A name alone is not enough: `configure` may have sent it to another host meanwhile.
        key = (cluster.name, cluster.backend, cluster.work_dir, id(cluster.transport))
        with self._lock:
            if key not in self._monitors:
                self._monitors[key] = Monitor(self, cluster)
            return self._monitors[key]

    def close(self) -> None:
        """Finish what is being submitted, stop watching, drop the connections. The jobs go on."""
        self.submissions.close()
        self.builds.close()
        for monitor in self._monitors.values():
            monitor.close()
        self.places.close()
        self.journal.close()
        self._alive.close()
        atexit.unregister(self._alive.close)

    def _cluster(self, entry: Entry) -> Cluster:
        return self.places.ready(self.places.cluster(places.from_json(entry.settings), specs.resources(entry)))


def _piece(log: Path, since: int) -> LogChunk:
    size = log.stat().st_size
    start = max(size + since, 0) if since < 0 else min(since, size)
    with log.open("rb") as file:
        file.seek(start)
        return LogChunk(file.read().decode("utf-8", "replace"), size)


__all__ = ["Engine", "Request"]
