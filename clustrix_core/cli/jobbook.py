"""Jobs as the journal knows them and as their clusters see them now, for people and as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clustrix_core import config
from clustrix_core.cli import output
from clustrix_core.entry import OVER, REFUSED, Entry
from clustrix_core.journal import Journal

if TYPE_CHECKING:
    from clustrix_core.engine.survey import Seen

_JOURNAL = "clustrix.journal"


def journal() -> Journal:
    """Return the journal, which closes with the command; no engine is made, and nothing is contacted."""
    root = click.get_current_context().find_root()
    if _JOURNAL not in root.meta:
        root.meta[_JOURNAL] = Journal(config.home())
        root.call_on_close(root.meta[_JOURNAL].close)
    found: Journal = root.meta[_JOURNAL]
    return found


def is_open(entry: Entry) -> bool:
    """Return whether more will come of a job."""
    return entry.phase not in (OVER, REFUSED)


def look(entries: Sequence[Entry]) -> Mapping[str, Seen]:
    """Return what has become of those jobs that are open, as their clusters say; clusters that do not are named."""
    open_ones = [entry for entry in entries if is_open(entry)]
    if not open_ones:
        return {}
    from clustrix_core.api import session
    from clustrix_core.engine.survey import survey

    seen = survey(session.engine(), open_ones)
    for error in {str(found.error) for found in seen.values() if found.error is not None}:
        output.say(f"Not asked: {error}")
    return seen


def described(entry: Entry, seen: Seen | None = None) -> dict[str, Any]:
    """Return a job as JSON-safe data."""
    status = seen.status if seen else None
    return {
        "id": entry.id,
        "name": entry.label,
        "cluster": entry.cluster,
        "backend": str(entry.settings["backend"]),
        "kind": entry.kind,
        "state": status.state.value if status else entry.state,
        "reason": ": ".join(filter(None, [_which_try(entry), status.reason if status else entry.reason])),
        "calls": int(entry.spec["calls"]),
        "progress": [{**one._asdict(), "at": moment(one.at)} for one in seen.progress] if seen else [],
        "native": entry.handle.native if entry.handle else None,
        "created": moment(entry.created),
        "finished": moment(_ended(entry)),
    }


def _which_try(entry: Entry) -> str:
    """Return which try the calls of an open job are at, the one that was tried most; nothing at the first."""
    tries = entry.spec.get("tries")
    if not tries or not is_open(entry):
        return ""
    return f"try {max(tries.values()) + 1} of {entry.spec['resources']['retries'] + 1}"


def _ended(entry: Entry) -> float | None:
    """Return when a job ended: as its tasks tell, where all of them do, for whoever journalled it may have looked late.

    What a clock tells that differs from ours is left aside.
    """
    if entry.finished is None:
        return None
    told = [_told(path) for path in (config.home() / "results" / entry.id).glob("result*.json")]
    fit = [when for when in told if int(entry.created) <= when <= entry.finished]
    return max(fit) if len(fit) >= int(entry.spec.get("tasks", 1)) else entry.finished


def _told(summary: Path) -> float:
    try:
        return datetime.strptime(json.loads(summary.read_bytes())["ended"], "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except (OSError, ValueError, TypeError, KeyError, RecursionError):  # anybody's bytes
        return 0.0


def moment(seconds: float | None) -> str | None:
    """Return a time as ISO 8601 with the zone of this machine."""
    return None if seconds is None else datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")


def ago(when: str) -> str:
    """Return how long ago a moment was, as people say it."""
    then = datetime.fromisoformat(when)
    if time.time() - then.timestamp() > 86400:
        return then.strftime("%Y-%m-%d %H:%M")
    return f"{duration(time.time() - then.timestamp())} ago"


def took(created: str, finished: str | None) -> str:
    """Return the time between two moments; nothing for a job that goes on."""
    if finished is None:
        return ""
    return duration((datetime.fromisoformat(finished) - datetime.fromisoformat(created)).total_seconds())


def duration(seconds: float) -> str:
    """Return a duration in its two largest units."""
    whole = max(int(seconds), 0)
    for size, unit, small, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"
