"""Jobs among the arguments of calls: what travels in their place."""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING, Any

from clustrix_core.errors import CannotTravel, ConfigError
from clustrix_core.worker import producers

if TYPE_CHECKING:
    from clustrix_core.api.job import Job
    from clustrix_core.api.kept import Kept
    from clustrix_core.engine import Engine

_ARRIVAL = 60.0  # seconds after its end in which the outcome of a job reaches this process


class Producers:
    """The jobs whose values the calls of one job take. ``engine`` and ``place`` are where that job will run."""

    def __init__(self, engine: Engine, place: str) -> None:
        self._engine, self._place = engine, place
        self._jobs: dict[str, Job[Any]] = {}
        self._kept: dict[str, Kept[Any]] = {}

    @property
    def ids(self) -> tuple[str, ...]:
        """The jobs that were referred to since the last ``renew``."""
        return (*self._jobs, *self._kept)

    def renew(self) -> None:
        """Begin anew. What has ended meanwhile, so that its files may go, has then brought its value here."""
        gone = [job for id, job in self._jobs.items() if not self._engine.journal.keeps(id)]
        if concurrent.futures.wait(gone, _ARRIVAL).not_done:
            raise CannotTravel(f"{gone[0]!r} is over, and its value has not arrived here", hint="Try it again.")
        self._jobs.clear()
        self._kept.clear()

    def refer(self, job: Job[Any] | Kept[Any]) -> Any:
        """Return how to pickle a job, as ``__reduce__`` would: by what finds its value over there, or by the value.

        Raises DependencyFailed for one that has ended without a value, ValueGone for a value that did not stay there,
        and CannotTravel for one of another place.
        """
        from clustrix_core.api.kept import Kept

        if isinstance(job, Kept):
            return self._refer_kept(job)
        if job._flight is None:
            raise CannotTravel(f"{job!r} is a job of this process", hint="Submit it first.")
        label = job._flight.spec.label
        if (kept := job._left_there()) is not None:
            return self._refer_kept(kept)
        if job.done():  # its files may be gone
            return producers.itself, (_value(job, label),)
        engine, flight = job._known
        if engine is not self._engine or flight.entry.place != self._place:
            raise CannotTravel(
                f"{job!r} runs on {flight.entry.cluster!r}, where its value stays: this call could not find it",
                hint="Send its result instead: job.result().",
            )
        asked = flight.spec.resources
        if asked.retries and set(asked.retry_on) != {"ERROR"}:
            raise CannotTravel(
                f"{job!r} may be run again in another job (retries), which the scheduler cannot wait for",
                hint="Send its result instead: job.result().",
            )
        self._jobs[job.id] = job
        return producers.value, (job.id, label)

    def _refer_kept(self, kept: Kept[Any]) -> Any:
        try:
            entry = self._engine.journal.get(kept.job)
        except ConfigError:
            raise kept.gone() from None
        if entry.place != self._place:
            raise CannotTravel(
                f"{kept!r} is not where this call runs, which could not find it",
                hint="Send the value itself: kept.result().",
            )
        if not self._engine.journal.keeps(kept.job):
            raise kept.gone()
        self._kept[kept.job] = kept
        return producers.value, (kept.job, kept.label)


def _value(job: Job[Any], label: str) -> Any:
    try:
        return job.result()
    except BaseException as error:
        raised = error
    raise producers.failed(job.id, label, f"{type(raised).__name__}: {raised}", raised)


__all__ = ["Producers"]
