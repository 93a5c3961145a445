"""Data that a cluster lacks: each piece is sent once, whatever number of jobs of this process asks for it."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from clustrix_core.dispatch import Dispatch
from clustrix_core.errors import StagingError, TransportError
from clustrix_core.model import Cluster

_log = logging.getLogger("clustrix.engine")
SENDS = 3  # of the same data for one submission: what is gone again after them is removed by somebody
_TRIES = 5  # connections in a row that may break before a piece has arrived
_PAUSE = 2.0


class Uploads:
    """What this process has sent where, and when."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._sent: dict[tuple[str, str], float] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def send(
        self, place: str, missing: Iterable[str], directory: Path, cluster: Cluster, going: Callable[[], None]
    ) -> None:
        """Send what a submission missed; ``going`` may raise to end it. Raises StagingError: there is no job then."""
        asked = time.monotonic()
        with self._locks[place]:
            # What was sent since is there: another job has waited for it, too.
            files = {digest: directory / digest for digest in missing if self._sent.get((place, digest), 0.0) <= asked}
            self._send(place, files, cluster, going)

    def _send(self, place: str, files: dict[str, Path], cluster: Cluster, going: Callable[[], None]) -> None:
        def arrived(digest: str) -> None:
            if files.pop(digest, None):
                self._sent[place, digest] = time.monotonic()

        failures = 0
        while files:
            before = len(files)
            try:
                return self._dispatch.blobs(cluster).send(dict(files), cluster, arrived, going)
            except TransportError as error:
                failures = failures + 1 if len(files) == before else 1
                if failures == _TRIES:
                    raise StagingError(f"data could not be sent: {error.args[0]}", transient=True) from error
                _log.info("%s: sending data again: %s", cluster.name, error)
                time.sleep(_PAUSE)


__all__ = ["SENDS", "Uploads"]
