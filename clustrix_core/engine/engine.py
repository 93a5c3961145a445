"""The life of a job: packed and journalled at once, submitted in the background, watched, landed, cleaned up."""

from __future__ import annotations

import atexit
import dataclasses
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clustrix_core import alive, keys, payload
from clustrix_core.batch.fetch import KEPT
from clustrix_core.config import ClusterConfig
from clustrix_core.dispatch import Dispatch
from clustrix_core.engine import ends, places
from clustrix_core.engine.flight import CLAIM_RESULT, Ended, Flight
from clustrix_core.engine.inbox import Inbox
from clustrix_core.engine.monitor import Monitor
from clustrix_core.engine.shape import shape
from clustrix_core.errors import (
    CancelledByCaller,
    ClustrixError,
    JobLost,
    StagingError,
    SubmitRejected,
)
from clustrix_core.journal import OVER, REFUSED, Entry, Innermost, Journal, error_data, error_from
from clustrix_core.model import Cluster, JobHandle, JobSpec, JobState, JobStatus, LogChunk
from clustrix_core.plugins import Plugins
from clustrix_core.resources import Resources

_log = logging.getLogger("clustrix.engine")
SUBMITTERS = 4
ATTEMPTS = 6  # submissions of one job whose reply was lost, each after looking for it
NOBODY = "nobody"  # owns what is to be finished by whoever comes
TAIL = 4096  # bytes of the log that an error shows
LOGS = 16  # tasks of one round whose logs are read for that


@dataclass(frozen=True)
class Request:
    """What a caller asks for: a packed payload still to be written, and how to run it."""

    label: str
    kind: str  # call, map or command
    settings: ClusterConfig
    resources: Resources
    calls: int
    pack: Callable[[Path], None]
    sources: Mapping[str, str]
    chunk: int | None = None
    max_parallel: int | None = None


class Engine:
    """All that one process needs to run jobs: plugins, journal, monitors, submitters."""

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
        self._monitors: dict[tuple[str, str, str, int], Monitor] = {}
        self._flights: dict[str, Flight] = {}
        self._submissions: dict[str, Future[None]] = {}
        self._lock = threading.RLock()
        self._pool = ThreadPoolExecutor(SUBMITTERS, "clustrix submit")
        self._finish_orphans()

    # -- submission

    def submit(self, request: Request, deliver: CLAIM_RESULT) -> Flight:
        """Write payload and intent to disk and return; the rest happens in the background.

        Raises CannotTravel, ConfigError and PluginError before anything is written.
        """
        cluster = self.places.cluster(request.settings, request.resources)
        job = keys.new_job_id()
        spec = JobSpec(job, request.label, request.resources, request.calls, max_parallel=request.max_parallel)
        outbox = self.outbox / job
        outbox.mkdir(mode=0o700)
        try:
            request.pack(outbox / "payload")
            self.dispatch.render_script(spec, cluster)  # a bad directive is an error here, not later
        except BaseException:
            shutil.rmtree(outbox, ignore_errors=True)
            raise
        keep = {"chunk": request.chunk, "sources": dict(request.sources), "cwd": _cwd(request.settings)}
        entry = Entry(
            id=job,
            label=request.label,
            cluster=cluster.name,
            settings=places.to_json(request.settings),
            kind=request.kind,
            spec={**_spec_json(spec), **keep},
            owner=self.name,
        )
        self.journal.add(entry)
        flight = self._flight(entry, cluster, deliver)
        self._start(flight)
        return flight

    def _start(self, flight: Flight) -> None:
        with self._lock:
            self._flights[flight.spec.id] = flight
            self._submissions[flight.spec.id] = self._pool.submit(self._submit, flight)

    def _submit(self, flight: Flight) -> None:
        try:
            self._deliver_to_cluster(flight)
        except BaseException as error:
            if flight.orphan and isinstance(error, ClustrixError) and error.transient:
                self._put_off(flight, error)
            else:
                self._refused(flight, error)

    def _deliver_to_cluster(self, flight: Flight) -> None:
        cluster = self.places.ready(flight.cluster, fresh=flight.spec.calls > 1)
        assert cluster.site is not None
        payload.same_python(cluster)
        spec = flight.spec
        handle = self._found(spec, cluster) if flight.orphan else None
        flight.orphan = False
        if handle is None:
            spec = shape(spec, cluster.site, len(flight.todo) if spec.round else None)
            flight.entry.spec.update(_spec_json(spec))
            self.journal.shaped(spec.id, flight.entry.spec)
            spec = dataclasses.replace(spec, files=self._files(flight, spec))
            handle, cluster = self._send(flight, spec, cluster)
        if handle is None:
            return
        if self.journal.get(spec.id).phase == OVER:
            self.dispatch.cancel([handle], cluster)  # another client of this user has cancelled it meanwhile
        flight.cluster = cluster
        flight.take_off(spec, handle)
        self.monitor(cluster).watch(flight)

    def _send(self, flight: Flight, spec: JobSpec, cluster: Cluster) -> tuple[JobHandle | None, Cluster]:
        """Submit until it is certain that there is one job, or that there is none."""
        script = self.dispatch.render_script(spec, cluster)
        unsure = purged = False
        for attempt in range(ATTEMPTS):
            if flight.withdrawn and not unsure:
                break
            try:
                if purged:
                    cluster = self.places.ready(cluster, again=True)
                handle = self._found(spec, cluster) if unsure else None
                if handle is None and flight.withdrawn:
                    break
                return handle or self.dispatch.submit(spec, script, cluster), cluster
            except ClustrixError as error:
                if not error.transient or attempt == ATTEMPTS - 1:
                    raise
                if isinstance(error, StagingError):
                    purged = True
                else:
                    unsure = True
                    time.sleep(2.0**attempt / 2)
        return None, cluster

    def _found(self, spec: JobSpec, cluster: Cluster) -> JobHandle | None:
        handle = self.dispatch.find(spec, cluster)
        if handle is not None:
            self.journal.submitted(spec.id, handle)
        return handle

    def _files(self, flight: Flight, spec: JobSpec) -> dict[str, Path]:
        """Write what goes along with a submission and return all of it; a follow-up round needs only what is new."""
        outbox = self.outbox / spec.id
        outbox.mkdir(exist_ok=True, mode=0o700)
        worker = {
            **flight.entry.spec,
            "name": spec.label,
            "function": spec.label,
            "cores": spec.resources.cores,
            "memory": spec.resources.memory,
            "time": spec.resources.time,
            "clustrix": payload.VERSION,
        }
        texts = {"spec.json": json.dumps(worker), "key": keys.job_key(self.home, spec.id)}
        if spec.round:
            texts[f"todo-{spec.round}"] = json.dumps(flight.todo)
        for name, text in texts.items():
            (outbox / name).write_text(text, "utf-8")
        names = [*texts, "payload"] if not spec.round else list(texts)
        return {name: outbox / name for name in names}

    def _put_off(self, flight: Flight, error: ClustrixError) -> None:
        """The cluster cannot be asked what has become of an orphan: it stays one, for the next who looks."""
        self.journal.adopt(flight.spec.id, self.name, NOBODY)
        self._forget(flight)
        for call in flight.missing:
            flight.arrived.add(call)
            flight.deliver(call, None, error)

    def _refused(self, flight: Flight, error: BaseException) -> None:
        if not isinstance(error, ClustrixError):
            error = _wrapped(error)
        entry = flight.entry
        entry.phase, entry.state = REFUSED, JobState.FAILED.value
        entry.reason = str(error.args[0]) if error.args else type(error).__name__
        entry.ends = {"*": error_data(error)}
        self.journal.end(entry, discard=False)
        self._forget(flight)
        for call in flight.missing:
            flight.arrived.add(call)
            flight.deliver(call, None, error)

    # -- what the monitor reports

    def changed(self, flight: Flight, before: JobStatus) -> None:
        """A job's state has changed: journal it, tell the listeners."""
        self.journal.changed(flight.spec.id, flight.status.state, flight.status.reason)
        assert flight.handle is not None
        self.dispatch.job_changed(flight.handle, before, flight.status, flight.cluster)

    def land(self, flight: Flight) -> None:
        """A round is over: deliver the errors of the calls that will never come, or send what is left once more."""
        ended, left = flight.sort_out()
        errors = dict(self._explained(flight, ended))
        if flight.withdrawn:
            errors.update(dict.fromkeys(left, _cancelled(flight)))
        flight.entry.ends.update(ends.write(errors))
        flight.arrived.update(errors)
        self.monitor(flight.cluster).drop(flight)
        again = bool(left) and not flight.withdrawn
        if not again:
            self._over(flight)
        for call, error in errors.items():
            flight.deliver(call, None, error)
        if again:
            self._again(flight, left)
        else:
            self._tell_over(flight)

    def _explained(self, flight: Flight, ended: Mapping[int, Ended]) -> Iterator[tuple[int, ClustrixError]]:
        logs: dict[int, str] = {}
        for call, end in ended.items():
            if isinstance(end, ClustrixError):
                yield call, end
                continue
            assert flight.handle is not None
            task, said = end
            handle = dataclasses.replace(flight.handle, task=task)
            if task not in logs:
                # Thousands may have ended alike: so many logs that somebody will read them, and no more.
                wanted = len(logs) < LOGS and flight.began
                logs[task] = self._tail(handle, flight.cluster) if wanted else ""
            yield call, ends.explain(said, flight.spec, handle, flight.cluster, logs[task])

    def _tail(self, handle: JobHandle, cluster: Cluster) -> str:
        try:
            return self.dispatch.logs(handle, cluster, -TAIL).text
        except ClustrixError:
            return ""  # the end is known; its log is a courtesy

    def _again(self, flight: Flight, left: Sequence[int]) -> None:
        flight.todo = list(left)
        flight.spec = dataclasses.replace(flight.spec, round=flight.spec.round + 1)
        flight.entry.spec.update(_spec_json(flight.spec), todo=list(left))
        if self.journal.again(flight.entry, self.name):
            self._start(flight)
            return
        # Another client of this user watches the same job and was faster.
        flight.entry = self.journal.get(flight.spec.id)
        threading.Thread(target=self._wait_for_owner, args=(flight,), daemon=True).start()

    def _over(self, flight: Flight) -> None:
        """Journal that a job is over. Its last outcome is delivered after that: a script may end when it has it."""
        with self._lock:  # the monitor and a caller that cancels may both get here
            if flight.entry.phase in (OVER, REFUSED):
                return
            flight.entry.phase = OVER
        entry = flight.entry
        failed = bool(entry.ends or flight.inbox.raised)
        state = JobState.FAILED if failed else JobState.SUCCEEDED
        if entry.ends:
            state = JobState(next(iter(entry.ends.values()))["data"].get("state", JobState.FAILED.value))
        entry.state = state.value
        entry.reason = next((end["data"].get("reason") or "" for end in entry.ends.values()), flight.inbox.raised)
        cleanup = entry.settings.get("cleanup", "success")
        keep = cleanup == "never" or (cleanup == "success" and (failed or flight.inbox.unreadable))
        try:
            self.journal.end(entry, discard=not keep)
        except Exception:  # a full disk must not cost the caller a value that is here
            _log.exception("the end of job %s could not be journalled", entry.id)
        self._forget(flight)

    def _tell_over(self, flight: Flight) -> None:
        state, before = JobState(flight.entry.state), flight.status
        if state is not before.state and flight.handle is not None:
            flight.status = dataclasses.replace(before, state=state)
            self.dispatch.job_changed(flight.handle, before, flight.status, flight.cluster)

    def _forget(self, flight: Flight) -> None:
        with self._lock:
            self._flights.pop(flight.spec.id, None)
            self._submissions.pop(flight.spec.id, None)
        if flight.entry.state == JobState.SUCCEEDED.value:  # what failed may be wanted again: `clustrix retry`
            shutil.rmtree(self.outbox / flight.spec.id, ignore_errors=True)

    # -- what callers ask about jobs

    def attach(self, job: str, deliver: CLAIM_RESULT) -> Flight:
        """Deliver the outcomes of a job of any process of this user: those that are here, the rest as they come."""
        entry = self.journal.get(job)
        flight = self._flight(entry, self.places.cluster(places.from_json(entry.settings), _resources(entry)), deliver)
        flight.read()
        self._deliver_ends(flight)
        if entry.phase in (OVER, REFUSED):
            return flight
        if entry.handle is not None and entry.phase != "intent":
            flight.cluster = self.places.ready(flight.cluster)
            flight.take_off(flight.spec, entry.handle)
            self._track(flight)
        else:
            self._take_over(flight)
        return flight

    def _track(self, flight: Flight) -> None:
        with self._lock:
            self._flights[flight.spec.id] = flight
        self.monitor(flight.cluster).watch(flight)

    def _take_over(self, flight: Flight) -> None:
        """Finish the submission of a client that has died; while it lives, wait for it to get through."""
        entry = flight.entry
        if entry.owner == self.name or alive.is_alive(self.home, entry.owner):
            threading.Thread(target=self._wait_for_owner, args=(flight,), daemon=True).start()
        elif self.journal.adopt(entry.id, entry.owner, self.name):
            flight.orphan = True
            self._start(flight)
        else:  # another client was faster
            threading.Thread(target=self._wait_for_owner, args=(flight,), daemon=True).start()

    def _wait_for_owner(self, flight: Flight) -> None:
        try:
            self._follow_owner(flight)
        except Exception as error:  # nobody else would tell the callers
            for call in flight.missing:
                flight.arrived.add(call)
                flight.deliver(call, None, error)

    def _follow_owner(self, flight: Flight) -> None:
        entry = flight.entry
        while entry.phase == "intent":
            time.sleep(0.2)
            entry = self.journal.get(entry.id)
            if entry.phase == "intent" and not (entry.owner == self.name or alive.is_alive(self.home, entry.owner)):
                # As it was sent, if it was: with the tasks that its owner had cut it into.
                flight.entry, flight.spec = entry, _job_spec(entry)
                flight.todo = entry.spec.get("todo") or flight.todo
                self._take_over(flight)
                return
        flight.entry = entry
        flight.read()
        self._deliver_ends(flight)
        if entry.handle is not None and entry.phase not in (OVER, REFUSED):
            flight.todo = entry.spec.get("todo") or flight.todo
            flight.cluster = self.places.ready(flight.cluster)
            flight.take_off(_job_spec(entry), entry.handle)
            self._track(flight)

    def _deliver_ends(self, flight: Flight) -> None:
        """Deliver the errors of calls that have ended; once the job is over, one for every call that is missing."""
        entry = flight.entry
        known = ends.read(entry.ends)
        for call in flight.missing:
            data = known.get(call) or entry.ends.get("*")
            if data is None and entry.phase not in (OVER, REFUSED):
                continue
            gone = f"the results of job {entry.id} are no longer on this machine"
            error = error_from(data) if data else JobLost(gone, job=entry.id)
            flight.arrived.add(call)
            flight.deliver(call, None, error)

    def cancel(self, flight: Flight) -> bool:
        """End a job. True once the scheduler took it, or before it ever got there; False when it was over."""
        if flight.entry.phase in (OVER, REFUSED) or flight.complete:
            return False
        flight.withdrawn = True
        with self._lock:
            submission = self._submissions.get(flight.spec.id)
        # An orphan may have been submitted: it is looked for first.
        if submission is not None and (flight.orphan or not submission.cancel()):
            submission.result()
        if not flight.missing:
            return False
        if flight.handle is not None:
            try:
                self.dispatch.cancel([flight.handle], flight.cluster)
            except BaseException:
                flight.withdrawn = False  # it goes on
                raise
            self.monitor(flight.cluster).drop(flight)
        error = _cancelled(flight)
        missing = flight.missing
        flight.entry.ends.update(ends.write(dict.fromkeys(missing, error)))
        flight.arrived.update(missing)
        self._over(flight)
        for call in missing:
            flight.deliver(call, None, error)
        self._tell_over(flight)
        return True

    def status(self, job: str) -> JobStatus:
        """Return what is known of a job; asks the scheduler for one in flight."""
        entry = self.journal.get(job)
        if entry.phase in (OVER, REFUSED) or entry.handle is None:
            return JobStatus(JobState(entry.state), reason=entry.reason)
        cluster = self.places.ready(self.places.cluster(places.from_json(entry.settings), _resources(entry)))
        return self.dispatch.status([entry.handle], cluster)[entry.id]

    def logs(self, job: str, since: int = 0, task: int = 0) -> LogChunk:
        """Return a task's output from an offset on; nothing before the job was accepted."""
        entry = self.journal.get(job)
        if entry.handle is None:
            return LogChunk("", max(since, 0))
        kept = self.mirrors / entry.id / f"log-{entry.handle.round}.{task}"
        if entry.phase == OVER and kept.exists() and kept.stat().st_size < KEPT:
            return _piece(kept, since)
        cluster = self.places.ready(self.places.cluster(places.from_json(entry.settings), _resources(entry)))
        chunk = self.dispatch.logs(dataclasses.replace(entry.handle, task=task), cluster, since)
        if entry.phase == OVER and not chunk.text and kept.exists():
            return _piece(kept, since)  # its directory was removed; this much of it came home
        return chunk

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
        self._pool.shutdown(wait=True)
        for monitor in self._monitors.values():
            monitor.close()
        self.places.close()
        self.journal.close()
        self._alive.close()
        atexit.unregister(self._alive.close)

    def _flight(self, entry: Entry, cluster: Cluster, deliver: CLAIM_RESULT) -> Flight:
        spec = _job_spec(entry)
        mirror = self.mirrors / entry.id
        todo = entry.spec.get("todo") or list(range(spec.calls))
        inbox = Inbox(mirror, entry.id, keys.job_key(self.home, entry.id), spec.calls)
        flight = Flight(entry, spec, cluster, mirror, deliver, inbox, todo)
        flight.completed = lambda: self._over(flight)
        if entry.phase in (OVER, REFUSED):
            flight.status = JobStatus(JobState(entry.state), reason=entry.reason)
        return flight

    def _finish_orphans(self) -> None:
        """Finish what clients that died had promised to submit."""
        for entry in self.journal.intents():
            if alive.is_alive(self.home, entry.owner):
                continue
            try:
                cluster = self.places.cluster(places.from_json(entry.settings), _resources(entry))
            except ClustrixError:
                continue  # its plugin or configuration is gone; `clustrix jobs` still shows it
            if self.journal.adopt(entry.id, entry.owner, self.name):
                flight = self._flight(entry, cluster, lambda call, value, error: None)
                flight.read()
                self._deliver_ends(flight)
                flight.orphan = True
                self._start(flight)


def _piece(log: Path, since: int) -> LogChunk:
    size = log.stat().st_size
    start = max(size + since, 0) if since < 0 else min(since, size)
    with log.open("rb") as file:
        file.seek(start)
        return LogChunk(file.read().decode("utf-8", "replace"), size)


def _spec_json(spec: JobSpec) -> dict[str, Any]:
    data = dataclasses.asdict(dataclasses.replace(spec, files={}))
    del data["files"]
    return data


def _job_spec(entry: Entry) -> JobSpec:
    known = {f.name for f in dataclasses.fields(JobSpec)}
    data = {name: value for name, value in entry.spec.items() if name in known}
    return JobSpec(**{**data, "resources": _resources(entry)})


def _resources(entry: Entry) -> Resources:
    return Resources(**entry.spec["resources"])


def _cwd(settings: ClusterConfig) -> str | None:
    # Without a host the job runs where the client's files are, so relative paths go on meaning the same.
    return None if settings.host else os.getcwd()


def _cancelled(flight: Flight) -> CancelledByCaller:
    job = flight.spec.id
    return CancelledByCaller(f"{flight.spec.label} (job {job}) was cancelled here", job=job, state="CANCELLED")


def _wrapped(error: BaseException) -> ClustrixError:
    wrapped = SubmitRejected(f"the job could not be submitted: {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped


__all__ = ["Engine", "Request"]
