"""Submitting in the background: until it is certain that there is one job, or that there is none."""

from __future__ import annotations

import atexit
import dataclasses
import json
import logging
import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

from clustrix_core import keys, payload
from clustrix_core.batch.submit import NO_BLOBS, NO_ENVIRONMENT
from clustrix_core.engine import producers, reading, specs
from clustrix_core.engine.flight import Flight
from clustrix_core.engine.shape import shape
from clustrix_core.engine.uploads import SENDS
from clustrix_core.entry import INTENT, OVER, REFUSED, error_data
from clustrix_core.errors import ClustrixError, StagingError, SubmitRejected, TransportError
from clustrix_core.model import Cluster, JobHandle, JobSpec, JobState

if TYPE_CHECKING:
    from clustrix_core.engine.engine import Engine

_log = logging.getLogger("clustrix.engine")
SUBMITTERS = 4
SUBMISSIONS = 6  # submissions of one round, each after it was certain that the one before has not got through
PATIENCE = 600.0  # seconds for which a job whose reply was lost is looked for; longer than a scheduler may take
IMPATIENCE = 30.0  # the same for one that its caller has cancelled meanwhile
NOBODY = "nobody"  # owns what is to be finished by whoever comes
_PAUSE_FIRST, _PAUSE_LAST = 0.5, 15.0
_all: WeakSet[Submissions] = WeakSet()


def _leave() -> None:
    for submissions in list(_all):
        submissions.leave()


# When the interpreter is on its way out and waits for our threads, what is still unsure is the next client's.
# An atexit function would come too late, after the threads; concurrent.futures ends its own in the same way.
getattr(threading, "_register_atexit", atexit.register)(_leave)


class _Withdrawn(Exception):
    """Its caller has cancelled a job while its data was being sent."""


class Submissions:
    """The jobs of one process that no scheduler has accepted yet."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pool = ThreadPoolExecutor(SUBMITTERS, "clustrix submit")
        self._running: dict[str, Future[None]] = {}
        self._lock = threading.Lock()
        self._leaving = threading.Event()
        _all.add(self)

    def start(self, flight: Flight) -> None:
        """Submit a journalled job. Where the interpreter is on its way out the next client does it."""
        try:
            with self._lock:
                self._running[flight.spec.id] = self._pool.submit(self._submit, flight)
        except RuntimeError:
            self._put_off(flight, _left(flight, "this process is ending"))

    def go_on(self, flight: Flight) -> None:
        """Submit a job that has waited for something; here where the interpreter is on its way out."""
        try:
            with self._lock:
                self._running[flight.spec.id] = self._pool.submit(self._submit, flight)
        except RuntimeError:
            self._submit(flight)

    def withdraw(self, flight: Flight) -> None:
        """Keep a job from being submitted; return when it is known whether it was."""
        with self._lock:
            running = self._running.get(flight.spec.id)
        # What may have been submitted is looked for first.
        if running is not None and (flight.unsure or not running.cancel()):
            running.result()
        entry = self._engine.journal.get(flight.spec.id)
        if flight.handle is None and entry.phase != INTENT:
            # Another reader has brought it there meanwhile, for a client that died.
            reading.catch_up(self._engine, flight, entry)
        if flight.unsure:
            raise TransportError(
                f"job {flight.spec.id} may have been accepted, and its cluster cannot be asked",
                hint=f"Cancel it when the cluster answers again: clustrix cancel {flight.spec.id}",
            )

    def forget(self, job: str) -> None:
        with self._lock:
            self._running.pop(job, None)

    def leave(self) -> None:
        """Look no longer for what may have been submitted: that is left to the next client."""
        self._leaving.set()

    def close(self) -> None:
        """Finish what is being submitted; what is unsure then is the next client's."""
        self.leave()
        self._pool.shutdown(wait=True)

    def _submit(self, flight: Flight) -> None:
        try:
            self._deliver(flight)
        except BaseException as error:
            if flight.unsure:  # whatever has gone wrong: there may be a job
                self._put_off(flight, error)
            else:
                self.refuse(flight, error)

    def _deliver(self, flight: Flight) -> None:
        engine, spec = self._engine, flight.spec
        cluster = self._contacted(flight)
        assert cluster.site is not None
        handle, unsure = None, flight.unsure
        if unsure:
            handle = self._settled(flight, spec, cluster)
        if handle is None:
            recipe = specs.recipe(flight.entry)
            payload.files(engine.outbox / spec.id, specs.python(flight.entry, cluster.site))  # refused before it waits
            after = producers.accepted(engine, flight)
            if after is None:
                if not flight.withdrawn:
                    self._put_off(flight, _left(flight, "so does a job whose value it takes"))
                return
            spec = dataclasses.replace(spec, after=after, environment=recipe.key(cluster.site) if recipe else "")
            spec = shape(spec, cluster.site, len(flight.todo) if spec.round else None)
            try:
                handle, spec, cluster = self._send(flight, spec, cluster, spec.submission + unsure)
            except StagingError as error:
                if recipe is None or error.returncode != NO_ENVIRONMENT:
                    raise
                engine.builds.wait_for(flight, cluster, recipe)
                return
        if handle is None:
            return
        if engine.journal.get(spec.id).phase == OVER:
            engine.dispatch.cancel([handle], cluster)  # another client of this user has cancelled it meanwhile
        flight.cluster = cluster
        flight.take_off(spec, handle)
        engine.monitor(cluster).watch(flight)

    def _contacted(self, flight: Flight) -> Cluster:
        """Return the cluster with its site. A connection may break once; of a known site the old facts will do."""
        places = self._engine.places
        try:
            return places.ready(flight.cluster, fresh=flight.spec.calls > 1)
        except ClustrixError as error:
            if not error.transient:
                raise
            _log.info("%s: contacting it again: %s", flight.cluster.name, error)
            return places.ready(flight.cluster)

    def _send(
        self, flight: Flight, spec: JobSpec, cluster: Cluster, number: int
    ) -> tuple[JobHandle | None, JobSpec, Cluster]:
        """Submit until it is certain that there is one job, or that there is none."""
        engine = self._engine
        script = engine.dispatch.render_script(spec, cluster)
        for last in [*[False] * (SUBMISSIONS - 1), True]:
            if flight.withdrawn:
                break
            spec = self._journalled(flight, dataclasses.replace(spec, submission=number), cluster)
            number += 1
            try:
                return self._staged(flight, spec, script, cluster), spec, cluster
            except _Withdrawn:
                break
            except StagingError as error:  # there is no job
                if last or not error.transient:
                    raise
                cluster = engine.places.ready(cluster, again=True)
            except Exception as error:
                if isinstance(error, ClustrixError) and not error.transient:
                    raise
                flight.unsure = True  # also where a plugin has tripped: over the scheduler's answer, perhaps
                handle = self._settled(flight, spec, cluster)
                if handle is not None:
                    return handle, spec, cluster
                if last:
                    raise
        return None, spec, cluster

    def _staged(self, flight: Flight, spec: JobSpec, script: str, cluster: Cluster) -> JobHandle:
        """Submit; where data is missing over there, send it before. Nothing has happened then: it is the same try."""

        def going() -> None:
            if flight.withdrawn:
                raise _Withdrawn

        for last in [*[False] * SENDS, True]:
            try:
                return self._engine.dispatch.submit(spec, script, cluster)
            except StagingError as error:
                if last or error.returncode != NO_BLOBS:
                    raise
                missing = str(getattr(error, "missing", "")).split()
                directory = self._engine.outbox / spec.id / payload.BLOBS
                self._engine.uploads.send(flight.entry.place, missing, directory, cluster, going)
        raise AssertionError("unreachable")

    def _journalled(self, flight: Flight, spec: JobSpec, cluster: Cluster) -> JobSpec:
        """Write a submission down before anybody hears of it; whoever takes it over must know what to look for."""
        flight.entry.spec.update(specs.to_json(spec))
        self._engine.journal.shaped(spec.id, flight.entry.spec)
        return dataclasses.replace(spec, files=self._files(flight, spec, cluster))

    def _settled(self, flight: Flight, spec: JobSpec, cluster: Cluster) -> JobHandle | None:
        """Look for a submission until it is certain what has become of it. Raises what kept us from knowing."""
        begun, pause = time.monotonic(), _PAUSE_FIRST
        while True:
            try:
                handle = self._engine.dispatch.find(spec, cluster)
                break
            except ClustrixError as error:
                patience = IMPATIENCE if flight.withdrawn else PATIENCE
                if not error.transient or time.monotonic() - begun > patience:
                    raise
                _log.info("%s: looking for job %s again: %s", cluster.name, spec.id, error)
                if self._leaving.wait(pause * random.uniform(0.5, 1.0)):
                    raise
            pause = min(2 * pause, _PAUSE_LAST)
        flight.unsure = False
        if handle is not None:
            self._engine.journal.submitted(spec.id, handle)
        return handle

    def _files(self, flight: Flight, spec: JobSpec, cluster: Cluster) -> dict[str, Path]:
        """Write what goes along with a submission and return all of it; a follow-up round needs only what is new."""
        outbox = self._engine.outbox / spec.id
        outbox.mkdir(exist_ok=True, mode=0o700)
        worker = {
            **{name: value for name, value in flight.entry.spec.items() if name != specs.RECIPE},
            "name": spec.label,
            "function": spec.label,
            "cores": spec.resources.cores,
            "memory": spec.resources.memory,
            "time": spec.resources.time,
            "clustrix": payload.VERSION,
        }
        texts = {"spec.json": json.dumps(worker), "key": keys.job_key(self._engine.home, spec.id)}
        if spec.round:
            texts[f"todo-{spec.round}"] = json.dumps(flight.todo)
        for name, text in texts.items():
            (outbox / name).write_text(text, "utf-8")
        assert cluster.site is not None
        packed = {} if spec.round else payload.files(outbox, specs.python(flight.entry, cluster.site))
        return {**{name: outbox / name for name in texts}, **packed}

    def _put_off(self, flight: Flight, error: BaseException) -> None:
        """The cluster cannot be asked what has become of a job: that is left to the next who looks."""
        self._engine.journal.adopt(flight.spec.id, self._engine.name, NOBODY)
        self.forget(flight.spec.id)
        flight.fail(error)

    def refuse(self, flight: Flight, error: BaseException) -> None:
        """There is no job, and there will be none: journal it and tell the caller."""
        if not isinstance(error, ClustrixError):
            error = _wrapped(error)
        entry = flight.entry
        entry.phase, entry.state = REFUSED, JobState.FAILED.value
        entry.reason = str(error.args[0]) if error.args else type(error).__name__
        entry.ends = {"*": error_data(error)}
        try:
            self._engine.journal.end(entry, discard=False)
        except Exception:  # a full disk must not leave the caller waiting
            _log.exception("the refusal of job %s could not be journalled", entry.id)
        self.forget(flight.spec.id)
        flight.fail(error)


def _left(flight: Flight, why: str) -> ClustrixError:
    job = flight.spec.id
    return ClustrixError(
        f"job {job} goes on with the next process: {why}", hint=f"Get its result from there: clustrix result {job}"
    )


def _wrapped(error: BaseException) -> ClustrixError:
    wrapped = SubmitRejected(f"the job could not be submitted: {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped


__all__ = ["Submissions"]
