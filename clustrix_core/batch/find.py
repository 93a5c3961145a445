"""What has become of a submission whose answer was lost."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass

from clustrix_core.batch.dialect import Dialect
from clustrix_core.batch.queue import ask
from clustrix_core.batch.site import where
from clustrix_core.batch.submit import answer, claim, job_id, unsure
from clustrix_core.errors import CommandError, TransportError
from clustrix_core.model import Cluster, JobHandle, JobSpec

# Seconds after which a submission that the scheduler does not know has failed. sbatch goes on trying for two minutes
# where the controller is busy; a controller that did not answer in time has worked off its backlog within one. Of a
# command that has ended without an answer, as with its login, only what was on its way can still be accepted.
UNANSWERED, UNSURE, ENDED = 300, 60, 20
_FOUND = re.compile(
    r"clustrix: submission (?P<word>\S*)(?P<ended> ended)?\n(?P<age>-?\d+)?\n"
    r"clustrix: answer\n((?P<code>\d+)\n(?P<said>.*)\n|.*?)"
    r"clustrix: error\n(?P<error>.*?)\nclustrix: left\n(?P<left>.*)\Z",
    re.DOTALL,
)


def find(dialect: Dialect, job: JobSpec, cluster: Cluster) -> JobHandle | None:
    """Return the handle of a job whose latest submission may have got through; None where there is no job.

    A submission that has not yet reached the scheduler never will after this: it is given up. Raises TransportError
    where the scheduler may still accept it.
    """
    trace = _look(job, cluster)
    if trace.code == 0:
        with suppress(TransportError):  # then it is known by its name
            return _handle(job, job_id(dialect, trace.said))
    for query in dialect.queries:  # by name: file systems are purged, and the answer may be gone
        rows = [row for row in ask(query, [_handle(job, "")], cluster) if row.name == job.name]
        if rows:
            return _handle(job, rows[0].native)
    if trace.left:  # without accounting a scheduler soon forgets; what a job has left behind says that it was there
        return _handle(job, "")
    if trace.code == 0:
        raise TransportError(f"{dialect.name} has accepted the job, and its answer {trace.said[:200]!r} names none")
    if trace.open(dialect):
        raise TransportError(f"{dialect.name} has not answered yet and may still accept the job")
    return None


@dataclass(frozen=True)
class _Trace:
    """What a submission has left in the job directory. ``age`` in seconds by the file server's clock."""

    given_up: bool
    ended: bool
    age: int
    code: int | None
    said: str
    error: str
    left: bool

    def open(self, dialect: Dialect) -> bool:
        """Return whether the scheduler may still accept it."""
        if self.given_up:
            return False
        if self.code is None:
            return self.age < (ENDED if self.ended else UNANSWERED)
        return unsure(dialect, self.code, self.error or self.said) and self.age < UNSURE


def _handle(job: JobSpec, native: str) -> JobHandle:
    return JobHandle(job.id, job.name, native, job.tasks, job.round)


def _look(job: JobSpec, cluster: Cluster) -> _Trace:
    claimed, left = f"submission-{job.round}.{job.submission}", f"results-{job.round}.* status-{job.round}.*"
    command = "; ".join(
        [
            "umask 077",
            f"cd -- {where(cluster)} && mkdir -p {job.dir} && cd ./{job.dir} || exit 65",
            # Who has just made the file may not have written into it yet: then it was sent.
            f"word= group= host=; if {claim(job, 'given-up')}; then word=given-up;"
            f" else read -r word group host <{claimed}; fi",
            # Not by kill: a process that nobody has buried is no longer at work.
            'ended=; [ "$host" = "$(uname -n)" ] && all=$(ps -A -o pgid= -o stat= 2>/dev/null)'
            ' && ! printf "%s\\n" "$all" | grep -Eq "^ *$group +[^Z ]" && ended=" ended"',
            'echo "clustrix: submission $word$ended"',
            # Both by the clock of the file server: the login node's may be another.
            f"touch . 2>/dev/null; echo $(($(date -r . +%s) - $(date -r {claimed} +%s)))",
            f"echo 'clustrix: answer'; cat {answer(job)} 2>/dev/null",
            f"echo 'clustrix: error'; cat {answer(job)}.err 2>/dev/null; echo",
            f"echo 'clustrix: left'; ls -d {left} 2>/dev/null",
            "exit 0",
        ]
    )
    completed = cluster.transport.run(command)
    found = _FOUND.search(completed.text)
    if completed.returncode or not found:
        said = completed.error[-1000:] or completed.text[-1000:]
        raise CommandError(f"looking for the job failed: {said}", returncode=completed.returncode, transient=True)
    return _Trace(
        given_up=found["word"] == "given-up",
        ended=found["ended"] is not None,
        age=int(found["age"] or 0),
        code=None if found["code"] is None else int(found["code"]),
        said=found["said"] or "",
        error=found["error"],
        left=bool(found["left"].strip()),
    )


__all__ = ["find"]
