"""What has become of jobs, without loading their values: one fetch and one question to the scheduler a cluster."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from clustrix_core import alive, keys
from clustrix_core.engine import ends, landing, places, values
from clustrix_core.engine.engine import Engine
from clustrix_core.entry import OVER, REFUSED, Entry
from clustrix_core.errors import ClustrixError
from clustrix_core.model import Cluster, JobState, JobStatus
from clustrix_core.resources import Resources
from clustrix_core.worker import progress, records
from clustrix_core.worker.progress import Progress

AT_ONCE = 8  # clusters that are contacted side by side
_RAISED = frozenset({"error", "error-text", "unreturnable"})


@dataclass(frozen=True)
class Seen:
    """What is known of a job. ``error`` is why its cluster could not tell; ``status`` is then what was seen last.

    ``progress`` is what the calls that have no outcome said of themselves.
    """

    status: JobStatus
    arrived: int = 0
    progress: Sequence[Progress] = ()
    error: ClustrixError | None = None


def survey(engine: Engine, entries: Sequence[Entry]) -> Mapping[str, Seen]:
    """Return what has become of each job; those in flight are asked for on their clusters."""
    found = {entry.id: Seen(_journalled(entry)) for entry in entries}
    by_place: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.phase not in (OVER, REFUSED) and entry.handle is not None:
            by_place[json.dumps(entry.settings, sort_keys=True)].append(entry)
    if by_place:
        with ThreadPoolExecutor(min(len(by_place), AT_ONCE), "clustrix survey") as pool:
            for some in pool.map(lambda group: _ask(engine, group), by_place.values()):
                found.update(some)
    return found


def _ask(engine: Engine, entries: Sequence[Entry]) -> Mapping[str, Seen]:
    try:
        cluster = _cluster(engine, entries[0])
        handles = {entry.id: entry.handle for entry in entries if entry.handle is not None}
        engine.dispatch.fetch(list(handles.values()), engine.mirrors, cluster)
        outcomes = {entry.id: _outcomes(engine, entry) for entry in entries}
        open_ones = [entry for entry in entries if len(outcomes[entry.id]) < int(entry.spec["calls"])]
        said: Mapping[str, JobStatus] = {}
        if open_ones:
            said = engine.dispatch.status([handles[entry.id] for entry in open_ones], cluster)
    except ClustrixError as error:
        return {entry.id: Seen(_journalled(entry), error=error) for entry in entries}
    seen = {entry.id: _settle(engine, entry, outcomes[entry.id], said.get(entry.id)) for entry in entries}
    for entry in open_ones:
        known = progress.read(engine.mirrors / entry.id, _signer(engine, entry))
        left = [one for call, one in known.items() if call not in outcomes[entry.id]]
        seen[entry.id] = replace(seen[entry.id], progress=left)
    return seen


def _cluster(engine: Engine, entry: Entry) -> Cluster:
    settings, resources = places.from_json(entry.settings), Resources(**entry.spec["resources"])
    return engine.places.ready(engine.places.cluster(settings, resources))


def _settle(engine: Engine, entry: Entry, outcomes: Mapping[int, bool], said: JobStatus | None) -> Seen:
    """Journal what is new. A job is over when every call has an outcome; what else ends one is its reader's to say."""
    if said is None:
        status = JobStatus(_state(entry, outcomes))
        # Large values come when somebody asks for them; what is over may be removed over there.
        if not alive.is_alive(engine.home, entry.owner) and not _lacks_values(engine, entry):
            keep = landing.keeps(entry, status.state is JobState.FAILED)
            entry.phase, entry.state, entry.reason = OVER, status.state.value, ""
            entry.finished = time.time()
            engine.journal.end(entry, discard=not keep)
        return Seen(status, len(outcomes))
    if said.state is JobState.UNKNOWN:
        said = replace(said, state=JobState(entry.state), reason=said.reason or entry.reason)
    elif said.state is not JobState.SUCCEEDED and said.state.value != entry.state:
        engine.journal.changed(entry.id, said.state, said.reason)
    return Seen(said, len(outcomes))


def _state(entry: Entry, outcomes: Mapping[int, bool]) -> JobState:
    for end in entry.ends.values():
        return JobState(end["data"].get("state", JobState.FAILED.value))
    return JobState.FAILED if any(outcomes.values()) else JobState.SUCCEEDED


def _outcomes(engine: Engine, entry: Entry) -> dict[int, bool]:
    """Return which calls have an outcome here, and whether it is a failure. Signatures are checked."""
    signer = _signer(engine, entry)
    found = dict.fromkeys(ends.read(entry.ends), True)
    for path in sorted((engine.mirrors / entry.id).glob("results-*")):
        found.update(_read(path, signer))
    return found


def _lacks_values(engine: Engine, entry: Entry) -> bool:
    mirror, signer = engine.mirrors / entry.id, _signer(engine, entry)
    for path in mirror.glob("results-*"):
        with path.open("rb") as file, suppress(records.ForgedRecord):
            if any(values.lacking(mirror, file, record) for record in records.read_all(file, 0, signer)):
                return True
    return False


def _signer(engine: Engine, entry: Entry) -> records.Signer:
    return records.Signer(bytes.fromhex(keys.job_key(engine.home, entry.id)), entry.id)


def _read(path: Path, signer: records.Signer) -> Iterable[tuple[int, bool]]:
    found = []
    with path.open("rb") as file:
        try:
            for record in records.read_all(file, 0, signer):
                kind, call = record.header.get("kind"), record.header.get("call")
                if isinstance(call, int) and kind not in ("claimed", "died", "again"):
                    found.append((call, kind in _RAISED or (kind == "json" and _code(file, record) != b"0")))
        except records.ForgedRecord:
            pass  # whoever asks for the result is told
    return found


def _code(file: object, record: records.Record) -> bytes:
    file.seek(record.offset)  # type: ignore[attr-defined]
    return bytes(file.read(sum(record.sizes)))  # type: ignore[attr-defined]


def _journalled(entry: Entry) -> JobStatus:
    return JobStatus(JobState(entry.state), reason=entry.reason)


__all__ = ["Seen", "survey"]
