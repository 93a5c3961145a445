"""Removing what finished jobs have left: results and payloads here, job directories on the clusters."""

from __future__ import annotations

import itertools
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from clustrix_core.api import session
from clustrix_core.engine import Engine, places, specs
from clustrix_core.entry import OVER, REFUSED, Entry
from clustrix_core.errors import ClustrixError
from clustrix_core.journal import Journal
from clustrix_core.model import Cluster

STRAY = 86400.0  # seconds after which a directory that no job owns is believed to be a remnant


def finished(journal: Journal, older_than: float = 0.0, cluster: str | None = None) -> list[Entry]:
    """Return the jobs that ended at least so many seconds ago; none that may still bring something."""
    latest = time.time() - older_than
    return [
        entry
        for entry in journal.entries(cluster=cluster)
        if entry.phase in (OVER, REFUSED) and (entry.finished or entry.created) <= latest
    ]


def clean(entries: Sequence[Entry]) -> Mapping[str, ClustrixError]:
    """Remove jobs and all that is left of them. Returns the clusters that could not be cleaned, with the reason.

    Jobs whose files are still on such a cluster stay in the journal, so that the next time finds them.
    """
    engine = session.engine()
    failed: dict[str, ClustrixError] = {}
    for entry in entries:
        engine.journal.discard(entry.id)
    by_place: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_place[entry.place].append(entry)
    for group in list(by_place.values()):
        try:
            _clean_place(engine, group[0])
            if any(entry.spec.get(specs.DATA) for entry in group):
                cluster = _cluster(engine, group[0])
                engine.dispatch.blobs(cluster).collect(cluster)
        except ClustrixError as error:
            failed[group[0].cluster] = error
            by_place[group[0].place] = [entry for entry in group if not entry.spec.get(specs.DATA)]
    for entry in itertools.chain(*by_place.values()):
        for path in (engine.mirrors / entry.id, engine.outbox / entry.id):
            shutil.rmtree(path, ignore_errors=True)
        engine.journal.forget(entry.id)
    _remove_strays(engine)
    return failed


def _clean_place(engine: Engine, entry: Entry) -> None:
    """Remove the directories of all jobs that are marked for it, where the files of this one are."""
    while handles := engine.journal.garbage(entry.place):
        engine.dispatch.fetch(handles, engine.mirrors, _cluster(engine, entry))
        engine.journal.removed(handles)


def _cluster(engine: Engine, entry: Entry) -> Cluster:
    settings = places.from_json(entry.settings)
    return engine.places.ready(engine.places.cluster(settings, specs.resources(entry)))


def _remove_strays(engine: Engine) -> None:
    known = engine.journal.ids()
    for path in _old(engine.mirrors, engine.outbox):
        if path.name not in known:
            shutil.rmtree(path, ignore_errors=True)


def _old(*folders: Path) -> Iterator[Path]:
    latest = time.time() - STRAY
    for folder in folders:
        for path in folder.iterdir():
            try:
                if path.stat().st_mtime < latest:
                    yield path
            except OSError:  # somebody else was faster
                pass


__all__ = ["clean", "finished"]
