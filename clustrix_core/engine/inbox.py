"""The records of one job as they arrive: signatures are checked first, then bodies unpickled."""

from __future__ import annotations

import linecache
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from clustrix_core import payload
from clustrix_core.engine import values
from clustrix_core.errors import CannotTravel, ForgedResult, JobFailed, RemoteError, ResultUnreadable
from clustrix_core.worker import blobs, progress, records
from clustrix_core.worker.progress import Progress

_GROWING = ("results-*", f"{blobs.OUT}*")
Outcome = tuple[int, Any, BaseException | None]
_FRAME = re.compile(r'([ |]*  )File "(.+)", line (\d+), in .')
_FILE = re.compile(r"results-(\d+)\.(\d+)\.\d+\.\d+\Z")


@dataclass(frozen=True)
class Death:
    """How the process of a call died, in words, by a signal or with an exit code."""

    task: int
    words: str
    signal: int | None = None
    exit: int | None = None
    round: int = 0

    @property
    def exit_code(self) -> int | None:
        """The exit code as a shell counts."""
        return 128 + self.signal if self.signal else self.exit


class RemoteTraceback(Exception):
    """Carries a remote traceback where Python has no notes (3.10)."""


class Inbox:
    """Reads ``results-*`` files of a mirror, each from where it was read last."""

    def __init__(self, mirror: Path, job: str, key: str, calls: int) -> None:
        self.forged: ForgedResult | None = None
        self.died: dict[int, Death] = {}
        self.again: dict[int, tuple[int, int]] = {}  # round and task of calls that have asked to go on in a later run
        self.raised = ""  # what the first call that raised has said
        self.unreadable = False
        self.waiting = False  # for blobs that the last records name
        self.leave = False  # values are left where they are
        self.size = 0  # of the pickle of the last value
        self._shelf = blobs.Shelf(str(mirror))
        self._mirror, self._job, self._calls = mirror, job, calls
        self._signer = records.Signer(bytes.fromhex(key), job)
        self._read_to: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        self._claimed: dict[str, list[tuple[int, int]]] = defaultdict(list)

    def seen(self, round: int) -> bool:
        """Return whether a task of this round has begun."""
        return any(name.startswith(f"results-{round}.") for name in self._read_to)

    def left(self, round: int) -> bool:
        """Return whether a task of this round has said that it leaves calls to others."""
        return any(
            run.startswith(f"{round}.") and not all(count for _, count in claims)
            for run, claims in self._claimed.items()
        )

    def claims(self, round: int) -> Mapping[int, list[int]]:
        """Return which positions each task of a round has claimed and not left to another, in the order of its work."""
        latest: dict[int, tuple[int, list[tuple[int, int]]]] = {}
        for run, claims in self._claimed.items():
            number, task, attempt = map(int, run.split(".")[:3])
            if number == round and attempt >= latest.get(task, (-1, []))[0]:
                latest[task] = attempt, claims
        holders: dict[int, tuple[int, int]] = {}
        for task, (_, claims) in latest.items():
            for first, count in claims:
                for position in range(first, first + count):
                    # Whoever has claimed it singly has it; before that it was one of somebody's block.
                    holders[position] = min((count, task), holders.get(position, (count, task)))
        return {
            task: [p for first, count in claims for p in range(first, first + count) if holders[p] == (count, task)]
            for task, (_, claims) in latest.items()
            if all(count for _, count in claims)  # it said that it ended by itself: nothing was running
        }

    def progress(self) -> dict[int, Progress]:
        """Return how far calls said that they are, by call: what has come of it, and is signed."""
        return {call: said for call, said in progress.read(self._mirror, self._signer).items() if call < self._calls}

    def changed(self) -> bool:
        """Return whether there is more than at the last time, whoever has brought it."""
        sizes = {path.name: path.stat().st_size for kind in _GROWING for path in self._mirror.glob(kind)}
        before, self._sizes = self._sizes, sizes
        return sizes != before

    def read(self) -> Iterator[Outcome]:
        """Yield the outcomes that are new. A file with a forged record is not read any further."""
        self.waiting = False
        if not self._mirror.is_dir():
            return
        for path in sorted(self._mirror.iterdir()):
            if _FILE.match(path.name):
                yield from self._read_file(path)

    def _read_file(self, path: Path) -> Iterator[Outcome]:
        run = path.name.removeprefix("results-")
        with path.open("rb") as file:
            try:
                for record in records.read_all(file, self._read_to.setdefault(path.name, 0), self._signer):
                    if record.header.get("run") != run:
                        raise records.ForgedRecord("a record of another run")
                    if not self._is_here(file, record):
                        break
                    self._read_to[path.name] = record.end
                    yield from self._take(file, record, path)
            except records.ForgedRecord as error:
                self.forged = ForgedResult(
                    f"a result of job {self._job} is not signed by it and was not loaded: {error}",
                    job=self._job,
                    path=str(path),
                    hint="Somebody or something has changed the job's files on the cluster.",
                )

    def _is_here(self, file: BinaryIO, record: records.Record) -> bool:
        """Return whether a record can be taken in; blobs that it needs for that are asked for."""
        if self._stays(record) or not (missing := values.lacking(self._mirror, file, record)):
            return True
        values.ask(missing)
        self.waiting = True
        return False

    def _stays(self, record: records.Record) -> bool:
        return self.leave and record.header.get("kind") == "value"

    def _take(self, file: BinaryIO, record: records.Record, path: Path) -> Iterator[Outcome]:
        header, kind = record.header, record.header.get("kind")
        if kind == "claimed":
            self._claimed[header["run"]].append((int(header["first"]), int(header["count"])))
            return
        call = header.get("call")
        if not isinstance(call, int) or not 0 <= call < self._calls:
            raise records.ForgedRecord(f"call {call!r} of {self._calls}")
        if kind == "died":
            round, task = _round_and_task(header["run"])
            self.died[call] = Death(task, str(header.get("message")), header.get("signal"), header.get("exit"), round)
            return
        if kind == "again":
            self.again[call] = _round_and_task(header["run"])
            return
        if kind == "value":
            self.size = values.size(file, record)
        if self._stays(record):
            yield call, values.Left(self.size), None
            return
        value, error = self._outcome(str(kind), file, record, path)
        if error is not None and not self.raised:
            self.raised = f"{header.get('type') or type(error).__name__}: {header.get('message') or error}"[:200]
        yield call, value, error

    def _outcome(
        self, kind: str, file: BinaryIO, record: records.Record, path: Path
    ) -> tuple[Any, BaseException | None]:
        header = record.header
        if kind == "error-text":
            return None, _text_error(header)
        if kind == "unreturnable":
            return None, CannotTravel(
                f"the function returned, but its result cannot be pickled: {header.get('message')}",
                hint=f"It was {str(header.get('repr'))[:200]}; result.json in the job directory keeps that.",
            )
        try:
            loaded = payload.load(kind, file, record.offset, record.sizes, self._shelf)
        except blobs.Damaged as problem:
            raise records.ForgedRecord(str(problem)) from problem
        except Exception as problem:  # unpickling runs the constructors of anybody's classes
            if kind == "error":
                return None, _text_error(header)
            self.unreadable = True
            return None, self._kept(problem, path)
        if kind == "error":
            return None, with_traceback(loaded, header)
        if kind == "json" and loaded:
            return loaded, JobFailed(f"the command ended with exit code {loaded}", job=self._job, exit_code=loaded)
        return loaded, None

    def _kept(self, problem: Exception, path: Path) -> ResultUnreadable:
        error = ResultUnreadable(
            f"the result of job {self._job} cannot be unpickled here: {type(problem).__name__}: {problem}",
            path=str(path),
            hint=f"It is kept in {path}. Import what it needs, then: clustrix result {self._job}",
        )
        error.__cause__ = problem
        return error


def _round_and_task(run: str) -> tuple[int, int]:
    round, task, *_ = map(int, run.split("."))
    return round, task


def _text_error(header: Mapping[str, Any]) -> RemoteError:
    error = RemoteError(
        f"{header.get('type')}: {header.get('message')}",
        type_name=str(header.get("type")),
        hint="The exception itself could not be sent; this is its text.",
    )
    return with_traceback(error, header)  # type: ignore[return-value]


def with_traceback(error: BaseException, header: Mapping[str, Any]) -> BaseException:
    """Attach the remote traceback: as ``remote_traceback`` and as a note; the exception's own chain stays as it is."""
    text = _with_lines(str(header.get("traceback") or "").rstrip())
    if not text:
        return error
    shown = f"--- where it was raised, on {header.get('host', 'the cluster')} ---\n{text}"
    try:
        error.remote_traceback = text  # type: ignore[attr-defined]
    except AttributeError:  # a class with __slots__; the note still tells
        pass
    if sys.version_info >= (3, 11):
        error.add_note(shown)
    else:
        _put_before(error, RemoteTraceback("\n" + shown))
    return error


def _with_lines(text: str) -> str:
    """Show the lines of files that are here and were not there."""
    lines = text.split("\n")
    shown = []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        shown.append(line)
        frame = _FRAME.match(line)
        if frame and not following.startswith(frame[1] + "  "):
            linecache.checkcache(frame[2])
            source = linecache.getline(frame[2], int(frame[3])).strip()
            shown += [f"{frame[1]}  {source}"] if source else []
    return "\n".join(shown)


def _put_before(error: BaseException, traceback: BaseException) -> None:
    """Put a traceback where Python shows it first: behind the last link of the chain, whose own links stay."""
    seen = set()
    last = error
    while id(last) not in seen:
        seen.add(id(last))
        link = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if link is None:
            # What `raise ... from None` hides stays hidden, behind it.
            traceback.__context__, traceback.__suppress_context__ = last.__context__, True
            last.__context__, last.__suppress_context__ = traceback, False
            return
        last = link
