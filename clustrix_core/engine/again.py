"""A job once more: a new one with the payload of one that has ended without its value."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clustrix_core import payload
from clustrix_core.engine import places, specs
from clustrix_core.engine.engine import Engine, Request
from clustrix_core.engine.flight import CLAIM_RESULT, Flight
from clustrix_core.entry import OVER, REFUSED, Entry
from clustrix_core.errors import ConfigError
from clustrix_core.model import JobState
from clustrix_core.resources import Resources


def retry(engine: Engine, job: str, deliver: CLAIM_RESULT, changes: Mapping[str, Any] | None = None) -> Flight:
    """Submit a job that has failed once more, as a new one, with ``changes`` to its resources.

    Raises ConfigError for a job that is not over, and where its payload is no longer on this machine.
    """
    entry = engine.journal.get(job)
    if entry.phase not in (OVER, REFUSED) and not JobState(entry.state).over:
        raise ConfigError(
            f"job {entry.id} is still {entry.state.lower()}", hint=f"End it first: clustrix cancel {entry.id}"
        )
    outbox = engine.outbox / entry.id
    kept = [path for name in payload.PACKED if (path := outbox / name).is_file()]
    kept += (outbox / payload.BLOBS).glob("*")
    if not kept:
        raise ConfigError(
            f"what job {entry.id} was made of is no longer on this machine",
            hint="It is kept of jobs that did not succeed, until they are cleaned.",
        )
    return engine.submit(_request(engine, entry, outbox, kept, changes or {}), deliver)


def _request(engine: Engine, entry: Entry, outbox: Path, kept: Sequence[Path], changes: Mapping[str, Any]) -> Request:
    spec = entry.spec

    def pack(directory: Path, python: tuple[int, int] | None) -> None:
        for job in spec.get("after", ()):
            if not engine.journal.keeps(job):
                raise ConfigError(
                    f"job {entry.id} takes the value of job {job}, which is no longer on the cluster",
                    hint="Submit both from your program again.",
                )
        for path in kept:
            _copy(path, directory / path.relative_to(outbox))

    return Request(
        label=entry.label,
        kind=entry.kind,
        settings=places.from_json(entry.settings),
        resources=Resources(**spec["resources"]).but(**changes),
        calls=int(spec["calls"]),
        pack=pack,
        sources=spec.get("sources") or {},
        chunk=spec.get("chunk"),
        max_parallel=spec.get("max_parallel"),
        recipe=lambda: specs.recipe(entry),
        after=lambda: spec.get("after", ()),
    )


def _copy(kept: Path, path: Path) -> None:
    path.parent.mkdir(exist_ok=True, mode=0o700)
    if kept.is_symlink():  # a file that was an argument
        path.symlink_to(kept.readlink())
        return
    # A payload is never written to again, and may be large: a second name for it is enough.
    try:
        os.link(kept, path)
    except OSError:
        shutil.copyfile(kept, path)


__all__ = ["retry"]
