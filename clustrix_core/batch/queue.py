"""What the scheduler knows of jobs, one query for all, explained by the markers that the jobs leave."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from clustrix_core.batch.dialect import Dialect, Query, Row
from clustrix_core.batch.script import words
from clustrix_core.batch.site import where
from clustrix_core.errors import CommandError
from clustrix_core.model import Cluster, JobHandle, JobState, JobStatus, TaskStatus
from clustrix_core.transport import Completed

AT_ONCE = 500  # names in one query, so that a command line stays far below 128 KiB
_ANSWER = "clustrix: answer"
_MARKER = re.compile(r"(?:\./)?jobs/[0-9a-f]{2}/([0-9a-f]+)/status-(\d+)\.(\d+)\Z")

# Each handle is a line "job round"; its markers come first, then the scheduler's answer, in one exec.
_MARKERS = (
    "list=$(cat); printf '%s\\n' \"$list\" | while read -r job round; do"
    ' for file in jobs/${job%"${job#??}"}/$job/status-$round.*; do case $file in *.new) continue;; esac;'
    ' [ -f "$file" ] && read -r line <"$file" && printf \'%s %s\\n\' "$file" "$line"; done; done'
)

Tasks = dict[int, TaskStatus]


def status(dialect: Dialect, handles: Sequence[JobHandle], cluster: Cluster) -> Mapping[str, JobStatus]:
    """Return the status of every handle. The queue is asked first, accounting only for what it no longer knows.

    UNKNOWN with a reason says that accounting could not be asked; without one, that nobody knows the job.
    """
    markers, known, outage = _ask_all(dialect, handles, cluster)
    answers = {}
    for handle in handles:
        said = _settle(handle, known.get(handle.job, {}), markers.get(handle.job, {}))
        answers[handle.job] = replace(said, reason=outage or said.reason) if said.state is JobState.UNKNOWN else said
    return answers


def cancel(dialect: Dialect, handles: Sequence[JobHandle], cluster: Cluster) -> None:
    """Cancel jobs; those already over are no error."""
    failed = None
    for start in range(0, len(handles), AT_ONCE):
        some = handles[start : start + AT_ONCE]
        command = f"cd -- {where(cluster)}; exec {words(dialect.cancel(some, cluster))}"
        completed = cluster.transport.run(command, [_lines(some)])
        said = [line for line in (completed.error or completed.text).splitlines() if line.strip()]
        if completed.returncode and not (said and all(dialect.unknown.search(line) for line in said)):
            failed = failed or _outage("cancelling", completed)
    if failed:
        raise failed


def read_marker(line: str) -> TaskStatus | None:
    """Return what a marker file says (``EXIT 0``, ``TIMEOUT 143 over its walltime``), None where it is damaged."""
    word, _, rest = line.strip().partition(" ")
    code, _, reason = rest.partition(" ")
    if not re.fullmatch(r"-?\d{1,6}", code):
        return None
    if word == "EXIT":
        state = JobState.FAILED if int(code) else JobState.SUCCEEDED
    elif word in JobState.__members__ and JobState[word].over:
        state = JobState[word]
    else:
        return None
    return TaskStatus(state, word, reason or ("" if state is JobState.SUCCEEDED else f"exit code {code}"), int(code))


def ask(query: Query, handles: Sequence[JobHandle], cluster: Cluster) -> list[Row]:
    """Return what one query says."""
    return _ask(query, handles, cluster)[1]


def _ask_all(
    dialect: Dialect, handles: Sequence[JobHandle], cluster: Cluster
) -> tuple[Mapping[str, Tasks], Mapping[str, Tasks], str]:
    known: dict[str, Tasks] = {}
    markers: Mapping[str, Tasks] = {}
    missing = list(handles)
    for number, query in enumerate(dialect.queries):
        if number:
            missing = [h for h in missing if not _enough(h, known.get(h.job, {}), markers.get(h.job, {}))]
        # The first question is about all jobs there are; later ones name those that are missing.
        step = AT_ONCE if number else max(len(missing), 1)
        for start in range(0, len(missing), step):
            some = missing[start : start + step]
            try:
                found, rows = _ask(query, some, cluster)
            except CommandError as error:
                if not number:
                    raise
                return markers, known, str(error.args[0])
            markers = markers or found
            for job, tasks in _by_job(dialect, some, rows).items():
                known[job] = {**tasks, **known.get(job, {})}  # what the queue said outranks accounting
    return markers, known, ""


def _enough(handle: JobHandle, tasks: Tasks, markers: Tasks) -> bool:
    if any(not task.state.over for task in tasks.values()):
        return True
    return len(tasks.keys() | {i for i, t in markers.items() if t.word != "EXIT" or not t.exit_code}) >= handle.tasks


def _settle(handle: JobHandle, known: Tasks, markers: Tasks) -> JobStatus:
    """Join what the scheduler and the markers say: a clean or typed marker is the truth, else the scheduler's word."""
    joined = dict(known)
    for index, marker in markers.items():
        row = known.get(index)
        if (
            row is None
            or row.state is JobState.UNKNOWN
            or marker.word != "EXIT"
            or not marker.exit_code
            or row.state is JobState.SUCCEEDED
        ):
            joined[index] = marker
        elif row.state.over and row.exit_code is None:
            joined[index] = replace(row, exit_code=marker.exit_code)
    return JobStatus.of(joined, handle.tasks)


def _ask(query: Query, handles: Sequence[JobHandle], cluster: Cluster) -> tuple[Mapping[str, Tasks], list[Row]]:
    argv = words(query.argv(handles, cluster))
    command = f"cd -- {where(cluster)} || exit 65; {_MARKERS}; echo '{_ANSWER}'; printf '%s\\n' \"$list\" | {argv}"
    completed = cluster.transport.run(command, [_lines(handles)])
    marked, answered, said = completed.text.partition(_ANSWER + "\n")
    if not answered or (completed.returncode and not query.nothing.search(completed.error)):
        raise _outage("asking the scheduler", completed)
    try:
        return _read_markers(marked), list(query.read(handles, said))
    except Exception as error:  # one odd line must not end the waiting for all
        raise CommandError(f"the scheduler's answer cannot be read: {error!r}", transient=True) from error


def _read_markers(text: str) -> Mapping[str, Tasks]:
    found: dict[str, Tasks] = defaultdict(dict)
    for line in text.split("\n"):
        file, _, said = line.partition(" ")
        match, marker = _MARKER.match(file), read_marker(said)
        if match and marker:
            found[match[1]][int(match[3])] = marker
    return found


def _by_job(dialect: Dialect, handles: Iterable[JobHandle], rows: Iterable[Row]) -> Mapping[str, Tasks]:
    by_name = {handle.name: handle for handle in handles}
    found: dict[str, Tasks] = defaultdict(dict)
    whole: dict[str, Tasks] = {}
    for row in rows:
        handle = by_name.get(row.name)
        # A job id may have been used before, a name never; where both are known both must fit.
        if handle is None or (handle.native and row.native != handle.native):
            continue
        state, reason = dialect.states.get(row.word, JobState.UNKNOWN), row.reason
        if state is JobState.UNKNOWN:
            reason = f"{dialect.name} says {row.word}, which means nothing to Clustrix"
        elif state is JobState.SUCCEEDED and row.exit_code:
            state, reason = JobState.FAILED, reason or f"exit code {row.exit_code}"
        said, tasks = TaskStatus(state, row.word, reason, row.exit_code), found[handle.job]
        if row.tasks:
            tasks.update(dict.fromkeys(row.tasks, said))
        else:
            whole[handle.job] = dict.fromkeys(range(handle.tasks), said)
    # What is said of a task outranks what is said of the job.
    return {job: {**whole.get(job, {}), **tasks} for job, tasks in found.items()}


def _lines(handles: Sequence[JobHandle]) -> bytes:
    return "".join(f"{handle.job} {handle.round}\n" for handle in handles).encode()


def _outage(doing: str, completed: Completed) -> CommandError:
    said = completed.error or completed.text.strip() or f"exit {completed.returncode}"
    return CommandError(
        f"{doing} failed: {said[-1000:]}", returncode=completed.returncode, stderr=completed.error, transient=True
    )


def expand(indexes: str) -> Iterator[int]:
    """Yield the task indexes of a compact list such as ``1-3,7,10-20:5%4``."""
    for part in indexes.partition("%")[0].split(","):
        match = re.fullmatch(r"([0-9]{1,7})(?:-([0-9]{1,7})(?::([0-9]{1,7}))?)?", part.strip())
        if match:
            first = int(match[1])
            yield from range(first, int(match[2] or first) + 1, int(match[3] or 1) or 1)
