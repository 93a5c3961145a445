"""The jobs whose values a job takes, before it is submitted: they come first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from clustrix_core import alive
from clustrix_core.engine.flight import Flight
from clustrix_core.entry import INTENT, REFUSED, SUBMITTED, Entry, error_from
from clustrix_core.errors import ClustrixError
from clustrix_core.worker import producers

if TYPE_CHECKING:
    from clustrix_core.engine.engine import Engine

_LOOK = 0.05  # seconds between looks at the journal


def accepted(engine: Engine, flight: Flight) -> dict[str, str] | None:
    """Wait until the scheduler has accepted all producers of a job; return its ids for those that may still run.

    None where one is left to the next client. Raises DependencyFailed where one will never have a value.
    """
    entries = [_accepted(engine, flight, job) for job in flight.spec.after]
    if any(entry.phase == INTENT for entry in entries):
        return None
    return {entry.id: entry.handle.native if entry.phase == SUBMITTED and entry.handle else "" for entry in entries}


def _accepted(engine: Engine, flight: Flight, job: str) -> Entry:
    entry = engine.journal.get(job)
    # Whoever owns it now has it before us in its queue. That may be our own queue: of another owner, who comes to it
    # later, nothing is sure, and to wait might block what we wait for.
    owner = entry.owner
    while entry.phase == INTENT and entry.owner == owner and _is_at_work(engine, owner) and not flight.withdrawn:
        time.sleep(_LOOK)
        entry = engine.journal.get(job)
    if entry.phase == REFUSED or entry.ends:
        raise _failed(entry)
    return entry


def _is_at_work(engine: Engine, owner: str) -> bool:
    return owner == engine.name or alive.is_alive(engine.home, owner)


def _failed(entry: Entry) -> BaseException:
    cause: ClustrixError | None = None
    for data in entry.ends.values():
        cause = error_from(data)
    why = f"{type(cause).__name__}: {cause.args[0]}" if cause else entry.state.lower()
    return producers.failed(entry.id, entry.label, why, cause)


__all__ = ["accepted"]
