"""Data on the cluster, each piece a file named after its SHA-256: sent once, removed when no job has it any more."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from clustrix_core import bundle
from clustrix_core.batch.script import modules, python
from clustrix_core.batch.site import where
from clustrix_core.errors import StagingError
from clustrix_core.model import Cluster
from clustrix_core.transport import CHUNK, check
from clustrix_core.worker.receiving import CHANGED

_OURS = "[ ! -e blobs ] || { [ -O blobs ] && [ ! -L blobs ]; } || { echo blobs is not ours >&2; exit 66; }"
# Whoever has just sent one needs a moment to submit the job that wants it. What a sender that was cut off has left
# has a name that begins with a dot.
_COLLECT = (
    "[ -d blobs ] || exit 0; find blobs -type f -links 1 -mmin +1 ! -name '.*' -exec rm -f {} +;"
    " find blobs -type f -name '.*' -mtime +0 -exec rm -f {} +"
)
_HAVE = re.compile(rb"clustrix: have ([0-9a-f]{64})")
_AGAIN = "Leave it as it is until the job is submitted, and call it again."


def send(
    files: Mapping[str, Path], cluster: Cluster, arrived: Callable[[str], None], going: Callable[[], None]
) -> None:
    """Send files, by their digests, in one exec; ``arrived`` is told of each that is whole over there.

    Those that are there already do no harm. ``going`` is called time and again, and may raise to end it. Raises
    TransportError, and StagingError where a file does not fit or is no longer what it was.
    """
    said = bytearray()

    def listen(data: bytes) -> None:
        said.extend(data)
        *lines, rest = said.split(b"\n")
        for line in lines:
            if have := _HAVE.fullmatch(line):
                arrived(have[1].decode())
        said[:] = rest[-1000:]

    load = "; ".join(modules(cluster.resources)) or ":"
    command = (
        f"umask 077; cd -- {where(cluster)} || exit 65; {_OURS}; {{ {load}; }} </dev/null >&2;"
        f" exec {python(cluster)} worker/{bundle.digest()} receive"
    )
    completed = cluster.transport.run(command, _stream(files, going), listen)
    if completed.returncode == CHANGED:
        raise StagingError(_changed(completed.error), returncode=CHANGED, hint=_AGAIN)
    if completed.returncode:
        raise StagingError(
            f"data could not be put into {where(cluster)}: {completed.error[-1000:]}",
            returncode=completed.returncode,
            stderr=completed.error,
            hint="Is it writable, and is there room left (quota)?",
        )


def collect(cluster: Cluster) -> None:
    """Remove what no job has any more. Raises TransportError, CommandError."""
    command = f"cd -- {where(cluster)} && {{ {_COLLECT}; }}"
    check(cluster.transport.run(command), "removing data that no job needs", cluster=cluster.name)


def _changed(what: str) -> str:
    return f"a file or folder has changed since the call that it was an argument of: {what[-300:]}"


def _stream(files: Mapping[str, Path], going: Callable[[], None]) -> Iterator[bytes]:
    for digest, path in files.items():
        try:
            size = path.stat().st_size
            yield f"{digest} {size}\n".encode()
            with path.open("rb") as file:
                while size and (chunk := file.read(min(CHUNK, size))):
                    going()
                    size -= len(chunk)
                    yield chunk
        except OSError as error:
            raise StagingError(_changed(str(error)), hint=_AGAIN) from error
        if size:
            raise StagingError(_changed(f"{path.resolve()} is shorter"), hint=_AGAIN)


__all__ = ["collect", "send"]
