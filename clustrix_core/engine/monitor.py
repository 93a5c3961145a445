"""One thread for all jobs of a cluster: it looks, asks the scheduler when that is due, and hands over what arrives."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from clustrix_core.engine import cadence, landing
from clustrix_core.engine.flight import UNKNOWN_FOR, Flight
from clustrix_core.errors import ClustrixError, PayloadError, TransportError
from clustrix_core.model import Cluster, Fetched, JobHandle, JobStatus

if TYPE_CHECKING:
    from clustrix_core.engine.engine import Engine

_log = logging.getLogger("clustrix.monitor")
_TIDY_AFTER = 1.0  # seconds of idleness after which left files are removed without waiting for another reason to call
_BACKOFF = 60.0
FOLLOW = 0.5  # seconds between glances at what another process of this user brings: they cost the cluster nothing


class Monitor:
    """Watches the jobs of one cluster from a daemon thread."""

    def __init__(self, engine: Engine, cluster: Cluster) -> None:
        self.cluster = cluster
        self._engine = engine
        self._place = ""
        self._flights: dict[int, Flight] = {}  # by identity: a job may have several readers
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._failures = 0
        self._failing: dict[type[ClustrixError], float] = {}  # since when, in a row
        self._tidy_at: float | None = None
        self._closed = False
        self._looks, self._asks = cadence.looks(cluster.transport.here), cadence.asks()
        self._stamps: dict[str, int] = {}  # by job: when this process looked last, as the file system keeps it
        self._followed: set[str] = set()  # jobs that another process of this user has just looked at

    def watch(self, flight: Flight) -> None:
        """Start to look after a job."""
        with self._wake:
            self._flights[id(flight)] = flight
            self._place = flight.entry.place  # of all of them: they share a transport and a work_dir
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=f"clustrix {self.cluster.name}", daemon=True)
                self._thread.start()
            self._wake.notify()

    def drop(self, flight: Flight) -> None:
        """Stop looking after a job."""
        with self._wake:
            self._flights.pop(id(flight), None)
            self._tidy_at = time.monotonic() + _TIDY_AFTER
            self._wake.notify()

    def close(self) -> None:
        """Stop the thread and wait for it."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._closed:
                    self._wake.wait(self._pause())
                if self._closed:
                    return
                flights = list(self._flights.values())
            if not flights and (self._tidy_at is None or time.monotonic() < self._tidy_at):
                continue
            self._look(flights)

    def _look(self, flights: list[Flight]) -> None:
        try:
            self._poll(flights)
        except ClustrixError as error:
            self._trouble(error, flights)
        except BaseException as error:  # a bug of ours or of a plugin must not leave callers waiting
            self._tidy_at = None  # what is left over may be the reason, and can wait
            if len(flights) > 1:  # one of them may be it: the others go on
                middle = len(flights) // 2
                self._look(flights[:middle])
                self._look(flights[middle:])
                return
            _log.exception("the monitor of %s failed", self.cluster.name)
            self._give_up(error, flights)

    def _pause(self) -> float | None:
        now = time.monotonic()
        if self._failures:
            return min(_BACKOFF, 0.5 * 2.0**self._failures) * random.uniform(0.5, 1.0)
        if self._flights:
            look = cadence.next_look(now - max(flight.news for flight in self._flights.values()))
            ask = min(flight.ask_at(now) for flight in self._flights.values()) - now + self._asks.wait(now)
            pause = max(min(look, max(ask, cadence.LOOK_FIRST)), self._looks.wait(now))
            return min(pause, FOLLOW) if self._followed else pause
        return max(self._tidy_at - now, 0.0) if self._tidy_at is not None else None

    def _poll(self, flights: list[Flight]) -> None:
        fetched = self._fetch(flights)
        for flight in flights:
            with self._its_own(flight):
                if flight.spec.id in fetched:
                    flight.gone = fetched[flight.spec.id].missing
                flight.read()
        fetched = {**fetched, **self._bring([flight for flight in flights if flight.inbox.waiting])}
        self._ask([flight for flight in self._watched(flights) if not flight.complete])
        behind, now = [], time.monotonic()
        for flight in self._watched(flights):
            with self._its_own(flight):
                seen = fetched.get(flight.spec.id, Fetched())
                if seen.unkept and not flight.complete:
                    behind.append(flight)
                elif flight.landed(now) and (flight.complete or not seen.away):
                    landing.land(self._engine, flight)
        if behind:
            self._trouble(_no_room(fetched[behind[0].spec.id].unkept, self._engine.mirrors), behind)
        else:
            self._failures, self._failing = 0, {}

    def _fetch(self, flights: list[Flight]) -> Mapping[str, Fetched]:
        """Fetch what is new of all jobs that no other process has just looked at, and remove what is left over."""
        dispatch, journal = self._engine.dispatch, self._engine.journal
        garbage = journal.garbage(self._place) if self._tidy_at is not None else []
        now = time.monotonic()
        pause = cadence.next_look(now - max((flight.news for flight in flights), default=now))
        self._followed = {flight.spec.id for flight in flights if self._is_fresh(flight, pause)}
        own = [flight for flight in flights if flight.spec.id not in self._followed]
        handles = [*_handles(own), *garbage]
        fetched: Mapping[str, Fetched] = {}
        if handles:
            self._looks.spend(now)
            for flight in own:
                self._stamp(flight)  # before: who looks at the same moment would look every time
            fetched = dispatch.fetch(handles, self._engine.mirrors, self.cluster)
            for flight in own:
                if fetched[flight.spec.id].new:  # new files have changed the stamp
                    self._stamp(flight)
        self._tidy_at = None
        if garbage:
            journal.removed(garbage)
        return fetched

    def _bring(self, flights: list[Flight]) -> Mapping[str, Fetched]:
        """Fetch the large values of records that have just come."""
        own = [flight for flight in flights if flight.spec.id not in self._followed]
        if not own:
            return {}
        fetched = self._engine.dispatch.fetch(_handles(own), self._engine.mirrors, self.cluster)
        for flight in own:
            self._stamp(flight)
            with self._its_own(flight):
                flight.read()
        return fetched

    def _is_fresh(self, flight: Flight, pause: float) -> bool:
        """Return whether another process has fetched a job since we did, less than a pause ago."""
        with suppress(OSError):
            stamp = flight.mirror.stat().st_mtime_ns
            return stamp != self._stamps.get(flight.spec.id) and 0 <= time.time() - stamp / 1e9 < pause
        return False

    def _stamp(self, flight: Flight) -> None:
        """Show the other processes of this user that a job is looked at now."""
        now = time.time()
        with suppress(OSError):
            flight.mirror.mkdir(exist_ok=True, mode=0o700)
            os.utime(flight.mirror, (now, now))
            self._stamps[flight.spec.id] = flight.mirror.stat().st_mtime_ns

    @contextmanager
    def _its_own(self, flight: Flight) -> Iterator[None]:
        """What goes wrong with one job is told to its callers; the others go on."""
        try:
            yield
        except BaseException as error:
            _log.exception("job %s cannot be watched any longer", flight.spec.id)
            self._give_up(error, [flight])

    def _watched(self, flights: Iterable[Flight]) -> list[Flight]:
        return [flight for flight in flights if id(flight) in self._flights]

    def _ask(self, flights: list[Flight]) -> None:
        now = time.monotonic()
        wanting = [flight for flight in flights if flight.wants_to_ask(now)]
        # Whoever looks also asks; but whose end has been seen is asked about at once, by everybody.
        if not any(_has_ended(flight) for flight in wanting):
            wanting = [flight for flight in wanting if flight.spec.id not in self._followed]
            if not wanting or self._asks.wait(now):
                return
            self._asks.spend(now)
        try:
            answers = self._engine.dispatch.status(_handles(flights), self.cluster)
        except ClustrixError as error:
            if not error.transient:
                raise
            # The scheduler does not answer; results go on arriving meanwhile.
            _log.info("%s: the scheduler does not answer, asking again: %s", self.cluster.name, error)
            for flight in flights:
                flight.asked = now
            return
        for flight in flights:
            with self._its_own(flight):
                self._hear(flight, answers[flight.spec.id])

    def _hear(self, flight: Flight, answer: JobStatus) -> None:
        before, now = flight.status, time.monotonic()
        flight.heard(answer, now)
        if flight.status != before:
            flight.news = now
            self._engine.changed(flight, before)

    def _trouble(self, error: ClustrixError, flights: list[Flight]) -> None:
        now = time.monotonic()
        since = self._failing.setdefault(type(error), now)
        # Without a connection the jobs may be well, and a laptop may sleep for a night. A cluster that answers and
        # yet cannot show its files is given up, and so is what this machine cannot keep.
        hopeless = not isinstance(error, TransportError) and now - since > UNKNOWN_FOR
        if hopeless or not error.transient:
            self._failures, self._failing = 0, {}
            self._give_up(error, flights)
            return
        self._failures += 1
        # Once; a display on a terminal tells the rest.
        _log.log(
            logging.WARNING if self._failures == 1 else logging.INFO, "%s, trying again: %s", self.cluster.name, error
        )

    def _give_up(self, error: BaseException, flights: list[Flight]) -> None:
        """Tell the callers; the jobs themselves go on, and another client can fetch their results."""
        for flight in flights:
            self.drop(flight)
            for call in flight.missing:
                flight.deliver(call, None, error)
        self._tidy_at = None  # what is left can wait: a cluster that refuses us is not to be asked again and again


def _no_room(why: str, mirrors: Path) -> ClustrixError:
    return PayloadError(
        f"results have come that this machine cannot keep in {mirrors}: {why}",
        transient=True,
        hint="Make room there. The jobs go on, and their results are not lost: clustrix result ID",
    )


def _has_ended(flight: Flight) -> bool:
    return flight.over_since is not None or len(flight.markers()) >= flight.spec.tasks


def _handles(flights: Iterable[Flight]) -> list[JobHandle]:
    """Return the handle of each job once."""
    return list({flight.spec.id: flight.handle for flight in flights if flight.handle is not None}.values())
