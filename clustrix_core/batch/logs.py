"""Reading a job's output where it is: any part of it, in whole characters."""

from __future__ import annotations

import re

from clustrix_core.batch.site import where
from clustrix_core.errors import CommandError
from clustrix_core.model import Cluster, JobHandle, LogChunk
from clustrix_core.transport import check

_LOG_SIZE = 1 << 20
_LOG = re.compile(rb"clustrix: log (\d+)\n")


def logs(handle: JobHandle, cluster: Cluster, since: int) -> LogChunk:
    """Return up to 1 MiB of a task's log from byte ``since`` on (negative: the last bytes)."""
    log = f"{handle.dir}/log-{handle.round}.{handle.task}"
    size = f"size=$(wc -c <{log} 2>/dev/null || echo 0)"
    start = f"$((size > {-since} ? size - {-since} : 0))" if since < 0 else str(since)
    command = (
        f"cd -- {where(cluster)} && {{ {size}; from={start}; echo clustrix: log $from;"
        f" [ ! -f {log} ] || tail -c +$((from+1)) {log} | head -c {_LOG_SIZE}; }}"
    )
    completed = check(cluster.transport.run(command), "reading the log")
    head = _LOG.search(completed.stdout)
    if head is None:
        raise CommandError("reading the log failed: the answer is damaged", transient=True)
    offset, content = int(head[1]), completed.stdout[head.end() :]
    # A character may be cut at either end: its last bytes are of no use, its first are left for the next call.
    first = _torn(content) if since < 0 and offset else 0
    whole = content[first : len(content) - _cut(content)]
    return LogChunk(whole.decode("utf-8", "replace"), offset + first + len(whole))


def _torn(content: bytes) -> int:
    for at, byte in enumerate(content[:4]):
        if not 0x80 <= byte < 0xC0:
            return at
    return 0


def _cut(content: bytes) -> int:
    for back in range(1, min(4, len(content)) + 1):
        byte = content[-back]
        if byte >= 0xC0:
            return back if back < (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4) else 0
        if byte < 0x80:
            return 0
    return 0
