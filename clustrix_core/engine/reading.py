"""Reading a job that some other process may have submitted: what is here at once, the rest as it comes."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from clustrix_core import alive
from clustrix_core.engine import ends, places, specs
from clustrix_core.engine.flight import CLAIM_RESULT, Flight
from clustrix_core.entry import INTENT, OVER, REFUSED, Entry, error_from
from clustrix_core.errors import ClustrixError, JobLost

if TYPE_CHECKING:
    from clustrix_core.engine.engine import Engine

_log = logging.getLogger("clustrix.engine")
_LOOK = 0.2  # seconds between looks at what another process is submitting


def attach(engine: Engine, job: str, deliver: CLAIM_RESULT) -> Flight:
    """Deliver the outcomes of a job of any process of this user: those that are here, the rest as they come."""
    entry = engine.journal.get(job)
    cluster = engine.places.cluster(places.from_json(entry.settings), specs.resources(entry))
    flight = engine.flight(entry, cluster, deliver)
    _deliver_known(engine, flight)
    if entry.phase in (OVER, REFUSED):
        return flight
    if entry.phase == INTENT:
        _take_over(engine, flight)
    else:
        _track(engine, flight)
    return flight


def finish_orphans(engine: Engine) -> None:
    """Finish what clients that died had promised to submit."""
    for entry in engine.journal.intents():
        if alive.is_alive(engine.home, entry.owner):
            continue
        try:
            cluster = engine.places.cluster(places.from_json(entry.settings), specs.resources(entry))
        except ClustrixError as error:  # its plugin or configuration is gone; `clustrix jobs` still shows it
            _log.info("job %s cannot be submitted: %s", entry.id, error)
            continue
        if engine.journal.adopt(entry.id, entry.owner, engine.name):
            flight = engine.flight(entry, cluster, lambda call, value, error: None)
            _deliver_known(engine, flight)
            flight.unsure = True
            engine.submissions.start(flight)


def wait_for_owner(engine: Engine, flight: Flight) -> None:
    """Deliver the outcomes of a job that another process is submitting, from a thread of its own."""
    threading.Thread(target=_wait, args=(engine, flight), daemon=True).start()


def catch_up(engine: Engine, flight: Flight, entry: Entry) -> None:
    """Follow a job that somebody else has submitted meanwhile; deliver how it ended if it has."""
    flight.adopt(entry)
    _deliver_known(engine, flight)
    if entry.phase not in (OVER, REFUSED):
        _track(engine, flight)


def _track(engine: Engine, flight: Flight) -> None:
    assert flight.entry.handle is not None
    flight.cluster = engine.places.ready(flight.cluster)
    flight.take_off(flight.spec, flight.entry.handle)
    engine.monitor(flight.cluster).watch(flight)


def _take_over(engine: Engine, flight: Flight) -> None:
    """Finish the submission of a client that has died; while it lives, wait for it to get through."""
    entry = flight.entry
    if _is_owned(engine, entry) or not engine.journal.adopt(entry.id, entry.owner, engine.name):
        wait_for_owner(engine, flight)
        return
    flight.unsure = True
    engine.submissions.start(flight)


def _is_owned(engine: Engine, entry: Entry) -> bool:
    return entry.owner == engine.name or alive.is_alive(engine.home, entry.owner)


def _wait(engine: Engine, flight: Flight) -> None:
    try:
        _follow_owner(engine, flight)
    except Exception as error:  # nobody else would tell the callers
        flight.fail(error)


def _follow_owner(engine: Engine, flight: Flight) -> None:
    entry = flight.entry
    while entry.phase == INTENT:
        time.sleep(_LOOK)
        entry = engine.journal.get(entry.id)
        if entry.phase == INTENT and not _is_owned(engine, entry):
            # As it was sent, if it was: with the tasks that its owner had cut it into.
            flight.adopt(entry)
            _take_over(engine, flight)
            return
    catch_up(engine, flight, entry)


def _deliver_known(engine: Engine, flight: Flight) -> None:
    """Deliver what is here; once the job is over, an error for every call that is missing."""
    flight.read()
    entry = flight.entry
    if entry.phase == OVER and entry.handle is not None and flight.inbox.waiting and engine.journal.keeps(entry.id):
        flight.cluster = engine.places.ready(flight.cluster)  # its value was left there
        engine.dispatch.fetch([entry.handle], engine.mirrors, flight.cluster)
        flight.read()
    known = ends.read(entry.ends)
    for call in flight.missing:
        data = known.get(call) or entry.ends.get("*")
        if data is None and entry.phase not in (OVER, REFUSED):
            continue
        gone = JobLost(f"the results of job {entry.id} are no longer on this machine", job=entry.id)
        flight.settle(call, error_from(data) if data else flight.inbox.forged or gone)


__all__ = ["attach", "catch_up", "finish_orphans", "wait_for_owner"]
