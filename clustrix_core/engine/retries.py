"""Who gets another try: calls that have ended as their ``retry_on`` names it, or have asked for it themselves."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping

from clustrix_core.engine.flight import AGAIN, Ended, Flight
from clustrix_core.model import TaskStatus

_log = logging.getLogger("clustrix.engine")


def sort_out(flight: Flight, ended: Mapping[int, Ended]) -> tuple[dict[int, Ended], list[int]]:
    """Return the calls that have ended for good, and those that are tried again, which is noted in the entry."""
    asked, tries = flight.spec.resources, dict(flight.entry.spec.get("tries") or {})
    final: dict[int, Ended] = {}
    again: dict[int, TaskStatus] = {}
    for call, end in ended.items():
        if not isinstance(end, tuple) or not (end[1].word == AGAIN or end[1].state.value in asked.retry_on):
            final[call] = end
        elif tries.get(str(call), 0) >= asked.retries:
            final[call] = _used_up(end, asked.retries)
        else:
            tries[str(call)] = tries.get(str(call), 0) + 1
            again[call] = end[1]
    if again:
        flight.entry.spec["tries"] = tries
        said = next(iter(again.values()))
        _log.info("job %s: calls are tried again: %s; %s: %s", flight.spec.id, [*again], said.state, said.reason)
    return final, [*again]


def _used_up(end: tuple[int, TaskStatus], retries: int) -> tuple[int, TaskStatus]:
    """Say that there are no more retries, where somebody counts on them."""
    task, said = end
    if not retries and said.word != AGAIN:
        return end
    spent = f"its retries are used up ({retries})" if retries else "it has no retries="
    reason = "; ".join(filter(None, [said.reason, spent]))
    return task, dataclasses.replace(said, word="" if said.word == AGAIN else said.word, reason=reason)


__all__ = ["sort_out"]
