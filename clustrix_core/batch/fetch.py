"""Bringing results home: one exec for any number of jobs, and only the bytes that are not here yet."""

from __future__ import annotations

import os
import re
import secrets
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from clustrix_core.batch.site import where
from clustrix_core.errors import CommandError, TransportError
from clustrix_core.model import Cluster, Fetched, JobHandle
from clustrix_core.worker import progress

# The names that a job's own files have, to awk and to us; whatever else lies in a job directory stays there.
_NAMES = "results-[0-9.]+|value-[0-9a-f]+|log-[0-9.]+|status-[0-9.]+|result(-[0-9.]+)?[.]json"
_GROW = ("results-", "value-", "log-")
_PROGRESS = "progress-[0-9.]+"  # one line, which says in its first word whether it is new
_NAME = re.compile(_NAMES)
_PROGRESS_NAME = re.compile(_PROGRESS)
_HEAD = re.compile(rb"F (jobs/[0-9a-f]{2}/([0-9a-f]+)/(\S+)) (\d+) (\d+)")
_SAID = re.compile(rb"P jobs/[0-9a-f]{2}/([0-9a-f]+)/(\S+) (.*)")
_DIRECTORY = re.compile(rb"D jobs/[0-9a-f]{2}/([0-9a-f]+)")
_BEGIN = b"clustrix: files"
_LONGEST = progress.LONGEST + 512  # a longer line is no answer of ours
KEPT = 1 << 18  # bytes of a log that come home by themselves: it must outlive its directory, and cost next to nothing

# Only whole names are removed: of a request that is cut off the last line may name the directory of all jobs.
_DISCARD = r"s/^X \(jobs\/[0-9a-f][0-9a-f]\/[0-9a-f][0-9a-f]*\)$/\1/p"

# stdin: "X directory" for each job to remove, then "J directory" for each other, each followed by "name size" of what
# is here. Blobs (value-) are sent to who has something of them, be it an empty file: that is how they are asked for.
# One ls for all directories, one awk that compares; only files that differ cost more: results, blobs and logs grow,
# of them the new bytes are sent; other files are replaced, so they are sent whole. Each is sent as a line "F path from
# to", the bytes, and a line "= path": a file that goes or shrinks meanwhile must not shift what comes after it.
# Reports of progress are read to see whether they are new, which costs no process, and sent as "P path line".
_SCRIPT = (
    # What changes the columns or the units of ls -l.
    "unset TIME_STYLE QUOTING_STYLE LS_BLOCK_SIZE BLOCK_SIZE; export LC_ALL=C;"
    f" list=$(cat); case $list in X*) printf '%s\\n' \"$list\" | sed -n '{_DISCARD}' | xargs rm -rf --;; esac;"
    f" echo '{_BEGIN.decode()}';"
    " { printf '%s\\n=\\n' \"$list\";"
    " printf '%s\\n' \"$list\" | sed -n 's/^J //p' | xargs ls -lnq /dev/null 2>/dev/null; } | awk '"
    '$0=="=" { listing=1; next }'
    ' !listing && $1=="X" { next }'
    ' !listing && $1=="J" { dir=$2; next }'
    ' !listing { here[dir "/" $1]=$2; next }'
    ' /^jobs.*:$/ { dir=substr($0, 1, length($0)-1); print "D", dir; next }'
    f" NF==9 && /^-/ && $9 ~ /^{_PROGRESS}$/ && $5>0 && $5<={progress.LONGEST}"
    ' { file=dir "/" $9; had=file in here ? here[file] : 0; print "P", file, had; next }'
    f" NF==9 && /^-/ && $9 ~ /^({_NAMES})$/ && $5>0"
    ' { file=dir "/" $9; had=file in here ? here[file] : 0;'
    " if ($9 ~ /^value-/ && !(file in here)) next;"
    f" if ($9 ~ /^log-/ && $5+0 > {KEPT}) $5={KEPT};"
    # Sizes are printed as they were read: some awks round large numbers.
    ' if ($9 !~ /^(results|value|log)-/) { if ($5+0 != had+0) print "F", file, 0, $5 }'
    ' else if ($5+0 > had+0) print "F", file, had, $5 }\''
    " | while read -r kind file from to; do"
    ' if [ $kind = P ]; then IFS= read -r line <"$file" && [ "${line%% *}" != "$from" ]'
    ' && printf "P %s %s\\n" "$file" "$line"; continue; fi;'
    ' printf "%s\\n" "$kind $file${from:+ $from $to}"; [ $kind = F ] || continue;'
    # Markers, of which there may be hundreds, cost no process; what is new altogether costs one.
    ' case $file in */status-*) IFS= read -r line <"$file";; *) line=;; esac;'
    ' if [ ${#line} = $((to-1)) ]; then printf "%s\\n" "$line"; elif [ $from = 0 ]; then head -c $to "$file";'
    ' else tail -c +$((from+1)) "$file" | head -c $((to-from)); fi; printf "= %s\\n" "$file"; done; echo E'
)


def fetch(handles: Sequence[JobHandle], into: Path, cluster: Cluster) -> Mapping[str, Fetched]:
    """Copy what is new of results and markers to ``into/<job>/``. One exec for all.

    What cannot be written here (a full disk, a quota) is left out and told; it comes with a later fetch.
    """
    mirror = _Mirror(into, {handle.job for handle in handles})
    request = "\n".join(line for handle in _discarded_first(handles) for line in _request(handle, into)) + "\n"
    command = f"cd -- {where(cluster)} && {{ {_SCRIPT}; }}"
    try:
        completed = cluster.transport.run(command, [request.encode()], mirror.feed)
    except TransportError:
        mirror.interrupted()
        raise
    if completed.returncode or not mirror.ended:
        mirror.undo()
        said = completed.error[-1000:] or "the answer is damaged"
        # A file system may be away for a while: no reason to give up at once.
        raise CommandError(
            f"fetching results failed: {said}", returncode=completed.returncode, stderr=completed.error, transient=True
        )
    return {handle.job: mirror.result(handle.job) for handle in handles}


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
            if _NAME.fullmatch(path.name):
                yield f"{path.name} {path.stat().st_size}"
            elif _PROGRESS_NAME.fullmatch(path.name):
                yield f"{path.name} {progress.version(path)}"


class _Mirror:
    """Reads the stream of a fetch and writes what is new to where it belongs. Every byte of it is untrusted."""

    def __init__(self, into: Path, jobs: set[str]) -> None:
        self.into, self.jobs = into, jobs
        self.seen: set[str] = set()
        self.new: dict[str, list[str]] = {}
        self.unkept: dict[str, str] = {}
        self.ended = False
        self._begun = False
        self._line = b""
        self._left = 0
        self._file: _File | None = None

    def result(self, job: str) -> Fetched:
        return Fetched(tuple(self.new.get(job, ())), missing=job not in self.seen, unkept=self.unkept.get(job, ""))

    def feed(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = self._body(view) if self._left else self._head(view)

    def interrupted(self) -> None:
        """The connection broke: what has come of results is genuine, and the next fetch goes on from there."""
        if self._file is not None and not self._file.grows:
            self.undo()

    def undo(self) -> None:
        """Take back the file whose end has not come: what was taken for it may be something else."""
        if self._file is not None:
            self._file.undo()
            self._file = None

    def _head(self, view: memoryview) -> memoryview:
        line, newline, _ = bytes(view[:_LONGEST]).partition(b"\n")
        self._line += line
        if newline:
            self._read(self._line)
            self._line = b""
        elif len(self._line) > _LONGEST and self._begun:
            raise self._damaged(self._line)
        return view[len(line) + len(newline) :]

    def _read(self, line: bytes) -> None:
        if not self._begun:  # a login shell may have said something
            self._begun = line.endswith(_BEGIN)
        elif self._file is not None:
            if line != b"= " + self._file.path:
                self.undo()
                raise self._damaged(line)
            self._close(self._file)
        elif directory := _DIRECTORY.fullmatch(line):
            self.seen.add(directory[1].decode())
        elif line == b"E":
            self.ended = True
        elif head := _HEAD.fullmatch(line):
            self._open(head)
        elif said := _SAID.fullmatch(line):
            self._keep(said)
        else:
            raise self._damaged(line)

    def _open(self, head: re.Match[bytes]) -> None:
        job, name = head[2].decode(), head[3].decode("utf-8", "replace")
        if job not in self.jobs or not _NAME.fullmatch(name):
            raise CommandError(f"fetching results failed: {name!r} of {job!r} was not asked for")
        start, end = int(head[4]), int(head[5])
        if end < start:
            raise self._damaged(head[0])
        self._file, self._left = _File(head[1], self.into, job, name, start), end - start

    def _keep(self, said: re.Match[bytes]) -> None:
        """Take in a report of progress; whether it is genuine is for its reader to see."""
        job, name = said[1].decode(), said[2].decode("utf-8", "replace")
        if job not in self.jobs or not _PROGRESS_NAME.fullmatch(name):
            raise CommandError(f"fetching results failed: {name!r} of {job!r} was not asked for")
        file = _File(said[0], self.into, job, name, 0)
        file.write(memoryview(said[3] + b"\n"))
        file.done()
        if file.refused is None:
            self.new.setdefault(job, []).append(name)

    def _close(self, file: _File) -> None:
        self._file = None
        file.done()
        if file.refused is None:
            self.new.setdefault(file.job, []).append(file.name)
        else:
            self.unkept[file.job] = str(file.refused)

    def _body(self, view: memoryview) -> memoryview:
        part = view[: self._left]
        assert self._file is not None
        self._file.write(part)
        self._left -= len(part)
        return view[len(part) :]

    @staticmethod
    def _damaged(line: bytes) -> CommandError:
        return CommandError(f"fetching results failed: {line[:80]!r} is no answer", transient=True)


class _File:
    """One file of the mirror while it arrives: results in place, other files aside until they are complete.

    ``refused`` is why this machine does not take it; what is left of it then goes by.
    """

    def __init__(self, path: bytes, into: Path, job: str, name: str, at: int) -> None:
        self.path, self.job, self.name = path, job, name
        self.refused: OSError | None = None
        self._start = self._at = at
        self._whole = into / job / name
        self.grows = name.startswith(_GROW)
        self._there = self._whole if self.grows else into / job / f".{name}.{secrets.token_hex(4)}"

    def write(self, part: memoryview) -> None:
        self._try(lambda: self._put(part))

    def done(self) -> None:
        if not self.grows:
            self._try(lambda: self._there.replace(self._whole))

    def undo(self) -> None:
        if not self.grows:
            self._there.unlink(missing_ok=True)
        elif self._there.exists():
            os.truncate(self._there, min(self._start, self._there.stat().st_size))

    def _put(self, part: memoryview) -> None:
        self._whole.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Written at its offset, not appended: two processes that fetch the same job write the same bytes.
        with self._there.open("r+b" if self._there.exists() else "wb") as file:
            file.seek(self._at)
            file.write(part)
        self._at += len(part)

    def _try(self, step: Callable[[], object]) -> None:
        if self.refused is not None:
            return
        try:
            step()
        except OSError as error:
            self.refused = error
            with suppress(OSError):
                self.undo()  # others may have use for the room
