"""Bringing results and logs home: one exec for any number of jobs, and only the bytes that are not here yet."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from clustrix_core.batch.site import where
from clustrix_core.errors import CommandError
from clustrix_core.model import Cluster, Fetched, JobHandle, LogChunk
from clustrix_core.transport import check

_NAME = re.compile(r"(?:results-|status-|result[.-])[A-Za-z0-9._-]{0,80}\Z")
_HEAD = re.compile(rb"F jobs/[0-9a-f]{2}/([0-9a-f]+)/(\S+) (\d+) (\d+)\Z")
_DIRECTORY = re.compile(rb"D jobs/[0-9a-f]{2}/([0-9a-f]+)\Z")
_LOG_SIZE = 1 << 20

# stdin: "X directory" for each job to remove, then "J directory" for each other, each followed by "name size" of what
# is here. One ls for all directories, one awk that compares; only files that grew cost more: their new bytes follow a
# line "F path from to".
_SCRIPT = (
    "list=$(cat); case $list in X*) printf '%s\\n' \"$list\" | sed -n 's/^X //p' | xargs rm -rf --;; esac;"
    " {{ printf '%s\\n=\\n' \"$list\";"
    " printf '%s\\n' \"$list\" | sed -n 's/^J //p' | xargs ls -ln /dev/null 2>/dev/null; }} | awk '"
    '$0=="=" {{ listing=1; next }}'
    ' !listing && $1=="X" {{ next }}'
    ' !listing && $1=="J" {{ dir=$2; next }}'
    ' !listing {{ here[dir "/" $1]=$2; next }}'
    ' /^jobs.*:$/ {{ dir=substr($0, 1, length($0)-1); print "D", dir; next }}'
    " NF==9 && /^-/ && $9 ~ /^(results-|status-|result[.-])/ && $9 !~ /\\.new$/"
    ' {{ file=dir "/" $9; if ($5 > here[file]+0) print "F", file, here[file]+0, $5 }}\''
    ' | while read -r kind file from to; do printf "%s\\n" "$kind $file${{from:+ $from $to}}";'
    ' [ $kind = D ] || tail -c +$((from+1)) "$file" | head -c $((to-from)); done; echo E'
)


def fetch(handles: Sequence[JobHandle], into: Path, cluster: Cluster) -> Mapping[str, Fetched]:
    """Copy what is new of results and markers to ``into/<job>/``. One exec for all."""
    mirror = _Mirror(into, {handle.job for handle in handles})
    request = "\n".join(line for handle in _discarded_first(handles) for line in _request(handle, into)) + "\n"
    command = f"cd -- {where(cluster)} && {_SCRIPT.format()}"
    completed = check(cluster.transport.run(command, [request.encode()], mirror.feed), "fetching results")
    if not mirror.ended:
        raise CommandError("fetching results failed: the answer is damaged", stderr=completed.error, transient=True)
    return {handle.job: mirror.result(handle.job) for handle in handles}


def logs(handle: JobHandle, cluster: Cluster, since: int) -> LogChunk:
    """Return up to 1 MiB of a task's log from byte ``since`` on (negative: the last bytes)."""
    log = f"{handle.dir}/log-{handle.round}.{handle.task}"
    size = f"size=$(wc -c <{log} 2>/dev/null || echo 0)"
    start = f"$((size > {-since} ? size - {-since} : 0))" if since < 0 else str(since)
    command = (
        f"cd -- {where(cluster)} && {{ {size}; from={start}; echo $from;"
        f" [ ! -f {log} ] || tail -c +$((from+1)) {log} | head -c {_LOG_SIZE}; }}"
    )
    completed = check(cluster.transport.run(command), "reading the log")
    start_line, _, content = completed.stdout.partition(b"\n")
    if not start_line.strip().isdigit():
        raise CommandError("reading the log failed: the answer is damaged", transient=True)
    # A character may be cut at the end: leave its first bytes for the next call.
    whole = content[: len(content) - _cut(content)]
    return LogChunk(whole.decode("utf-8", "replace"), int(start_line) + len(whole))


def _cut(content: bytes) -> int:
    for back in range(1, min(4, len(content)) + 1):
        byte = content[-back]
        if byte >= 0xC0:
            return back if back < (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4) else 0
        if byte < 0x80:
            return 0
    return 0


def _discarded_first(handles: Sequence[JobHandle]) -> list[JobHandle]:
    return sorted(handles, key=lambda handle: not handle.discard)


def _request(handle: JobHandle, into: Path) -> Iterator[str]:
    if handle.discard:
        yield f"X {shlex.quote(handle.dir)}"
        return
    yield f"J {shlex.quote(handle.dir)}"
    here = into / handle.job
    if here.is_dir():
        for path in sorted(here.iterdir()):
            if _NAME.match(path.name):
                yield f"{path.name} {path.stat().st_size}"


class _Mirror:
    """Reads the stream of a fetch and writes what is new to where it belongs. Every byte of it is untrusted."""

    def __init__(self, into: Path, jobs: set[str]) -> None:
        self.into, self.jobs = into, jobs
        self.seen: set[str] = set()
        self.new: dict[str, list[str]] = {}
        self.ended = False
        self._line = b""
        self._left = 0
        self._file: Path | None = None
        self._at = 0

    def result(self, job: str) -> Fetched:
        return Fetched(tuple(self.new.get(job, ())), missing=job not in self.seen)

    def feed(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = self._body(view) if self._left else self._head(view)

    def _head(self, view: memoryview) -> memoryview:
        raw = bytes(view)
        line, newline, _ = raw.partition(b"\n")
        self._line += line
        if not newline:
            return view[len(view) :]
        self._open(self._line)
        self._line = b""
        return view[len(line) + 1 :]

    def _open(self, line: bytes) -> None:
        if directory := _DIRECTORY.match(line):
            self.seen.add(directory[1].decode())
        elif line == b"E":
            self.ended = True
        elif head := _HEAD.match(line):
            job, name = head[1].decode(), head[2].decode("utf-8", "replace")
            if job not in self.jobs or not _NAME.match(name):
                raise CommandError(f"fetching results failed: {name!r} of {job!r} was not asked for")
            self._at, self._left = int(head[3]), int(head[4]) - int(head[3])
            (self.into / job).mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = self.into / job / name
            self.new.setdefault(job, []).append(name)
        else:
            raise CommandError(f"fetching results failed: {line[:80]!r} is no answer", transient=True)

    def _body(self, view: memoryview) -> memoryview:
        part = view[: self._left]
        assert self._file is not None
        # Written at its offset, not appended: two processes that fetch the same job write the same bytes.
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.seek(self._at)
            file.write(part)
        self._at += len(part)
        self._left -= len(part)
        return view[len(part) :]
