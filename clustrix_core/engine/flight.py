"""One job between submission and its last outcome: what has arrived, what is known, and what follows from it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from clustrix_core.batch.queue import read_marker
from clustrix_core.engine import cadence, specs
from clustrix_core.engine.inbox import Death, Inbox
from clustrix_core.entry import Entry
from clustrix_core.errors import PayloadError
from clustrix_core.model import Cluster, JobHandle, JobSpec, JobState, JobStatus, TaskStatus

_log = logging.getLogger("clustrix.engine")
GRACE = 2.0  # seconds between a scheduler's word of a failure and believing that no result will come
LAG = 60.0  # the same where a task has ended by itself: shared file systems show new files late
OUTAGE = 3600.0  # seconds for which those who could tell may fail to answer, with nothing else heard of a job
UNKNOWN_FOR = 180.0  # seconds without a trace after which a job is LOST
GONE = "its directory is no longer on the cluster: somebody, or a purge of old files, has removed it"
AGAIN = "AGAIN"  # the word for the end of a call that has asked to go on in a later run
_KILLED = (9, 15)  # what schedulers send; not by name, which Windows lacks
CLAIM_RESULT = Callable[[int, object, BaseException | None], None]
Ended = tuple[int, TaskStatus] | PayloadError  # the task, and what is known of its end


@dataclass
class Flight:
    """A job in flight. ``receive(call, value, error)`` is called once for every call, ``completed`` before the last."""

    entry: Entry
    spec: JobSpec
    cluster: Cluster
    mirror: Path
    receive: CLAIM_RESULT
    inbox: Inbox
    todo: list[int]
    handle: JobHandle | None = None
    status: JobStatus = field(default_factory=lambda: JobStatus(JobState.PENDING))
    arrived: set[int] = field(default_factory=set)
    born: float = field(default_factory=time.monotonic)
    news: float = field(default_factory=time.monotonic)
    asked: float = 0.0
    unknown_since: float | None = None
    known: float = field(default_factory=time.monotonic)
    started: float | None = None
    over_since: float | None = None
    gone: bool = False  # its directory is not on the cluster
    withdrawn: bool = False
    unsure: bool = False  # it may have been submitted: it is looked for first
    builds: int = 0  # how often it has waited for its environment
    completed: Callable[[], None] = lambda: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def missing(self) -> list[int]:
        return [call for call in range(self.spec.calls) if call not in self.arrived]

    @property
    def complete(self) -> bool:
        return len(self.arrived) == self.spec.calls

    @property
    def began(self) -> bool:
        """Whether it may have: a job that was cancelled before anything was seen of it has written nothing."""
        return self.status.state is not JobState.CANCELLED or self.started is not None or bool(self.markers())

    def deliver(self, call: int, value: object, error: BaseException | None) -> None:
        """Hand an outcome to the caller, whose callbacks may raise anything: that is nobody else's trouble."""
        try:
            self.receive(call, value, error)
        except BaseException:
            _log.exception("a callback of job %s raised", self.spec.id)

    def settle(self, call: int, error: BaseException) -> None:
        """A call has ended without a value."""
        self.arrived.add(call)
        self.deliver(call, None, error)

    def fail(self, error: BaseException) -> None:
        """Nothing more will come."""
        for call in self.missing:
            self.settle(call, error)

    def adopt(self, entry: Entry) -> None:
        """Take in what another process has journalled meanwhile."""
        self.entry, self.spec = entry, specs.of(entry)
        self.todo = entry.spec.get("todo") or self.todo

    def take_off(self, spec: JobSpec, handle: JobHandle) -> None:
        """A round was accepted by the scheduler."""
        self.spec, self.handle = spec, handle
        self.status = JobStatus(JobState.PENDING)
        self.born = self.news = time.monotonic()
        self.started = self.over_since = self.unknown_since = None
        self.asked = 0.0

    def read(self) -> None:
        """Deliver what is new in the mirror."""
        if not self.inbox.changed():
            return
        self.news = time.monotonic()
        for call, value, error in self.inbox.read():
            if call not in self.arrived:
                self.arrived.add(call)
                try:
                    if self.complete:
                        self.completed()
                finally:
                    self.deliver(call, value, error)
        if self.started is None and self.inbox.seen(self.spec.round):
            self.started = self.news

    def markers(self) -> dict[int, TaskStatus]:
        """Return what the markers of this round say, by task."""
        found = {}
        for path in self.mirror.glob(f"status-{self.spec.round}.*"):
            index = path.name.rpartition(".")[2]
            with suppress(OSError):  # another reader of the same job may have removed a stale one
                said = read_marker(path.read_text("utf-8", "replace"))
                if said and index.isdigit():
                    found[int(index)] = said
        return found

    def wants_to_ask(self, now: float) -> bool:
        """Return whether it is time to ask the scheduler about this job."""
        if self.complete:
            return False
        if self.over_since is None and len(self.markers()) >= self.spec.tasks:
            return now - self.asked >= 0.5
        return now >= self.ask_at(now)

    def ask_at(self, now: float) -> float:
        """Return when to ask the scheduler next, unless a marker makes it necessary earlier."""
        if self.over_since is not None:
            return self.asked + cadence.ASK_FIRST
        to_end = self.started + self.spec.walltime - now if self.started and self.spec.walltime else None
        return max(self.asked, self.born) + cadence.next_ask(now - self.born, to_end)

    def heard(self, status: JobStatus, now: float) -> None:
        """Take in what the scheduler said."""
        self.asked = now
        if status.state is JobState.UNKNOWN:
            self.status = replace(self.status, tasks={**self.status.tasks, **_ended(status)})
            if status.reason and now - self.known < OUTAGE:  # somebody could not be asked: an outage is no end
                return
            # Since it first said so: while nobody could be asked, nothing was said.
            self.unknown_since = self.unknown_since or now
            if now - self.unknown_since < UNKNOWN_FOR:
                return
            tried = f"neither the scheduler nor the job directory has known it for {UNKNOWN_FOR:.0f} s"
            tried = f"{tried}; {GONE}" if self.gone else tried
            status = JobStatus(JobState.LOST, reason=tried, tasks=_ended(self.status))
        else:
            self.unknown_since, self.known = None, now
        if status.state is JobState.RUNNING and self.started is None:
            self.started = now
        self.status = status
        if not status.state.over:
            self.over_since = None
            self._drop_stale_markers(status)
        elif self.over_since is None:
            self.over_since = now

    def _drop_stale_markers(self, status: JobStatus) -> None:
        # A requeued job removes its marker when it starts again; our copy must go as well.
        for index, marker in self.markers().items():
            if marker.exit_code and not status.task(index).state.over:
                (self.mirror / f"status-{self.spec.round}.{index}").unlink(missing_ok=True)

    def landed(self, now: float) -> bool:
        """Return whether nothing more will come of this round."""
        if self.complete:
            return True
        if self.inbox.forged is not None and self.spec.calls == 1:
            return True
        if self.inbox.waiting and now - self.news < LAG:
            return False
        return self.over_since is not None and now - self.over_since >= self._grace()

    def _grace(self) -> float:
        if self.status.state is JobState.LOST:
            return 0.0
        if self._owing():
            return LAG
        return GRACE / 2 if len(self.markers()) >= self.spec.tasks else GRACE

    def _owing(self) -> bool:
        """Return whether results were written that are not here: all tasks are through, and none has left calls."""
        told = self._deaths().keys() | self._asked_again().keys()
        if self.inbox.left(self.spec.round) or told >= set(self.missing):
            return False
        return all(self._through(task) for task in range(self.spec.tasks))

    def _through(self, task: int) -> bool:
        """Return whether a task has ended by itself: a worker ends with 1 when a call has raised, with its summary."""
        said, name = self.status.task(task), f"result-{self.spec.round}.{task}.json"
        if said.state is JobState.FAILED and said.exit_code == 1:
            alone = self.spec.tasks == 1 and not self.spec.round
            return (self.mirror / ("result.json" if alone else name)).exists()
        return said.state is JobState.SUCCEEDED

    def sort_out(self) -> tuple[Mapping[int, Ended], list[int]]:
        """Return how the missing calls of this round ended, and those that no task had begun.

        A task begins the calls that it has claimed in order, as many at a time as it is wide: when it ended, the first
        of those without an outcome were running; the others were not begun.
        """
        missing = set(self.missing)
        if self.inbox.forged is not None:
            return dict.fromkeys(missing, self.inbox.forged), []
        ended: dict[int, Ended] = {call: self._died(death) for call, death in self._deaths().items()}
        asked = self._asked_again()
        ended.update({call: (task, self._asking(task)) for call, task in asked.items()})
        claims = self.inbox.claims(self.spec.round)
        for task, positions in claims.items():
            said = self.status.task(task)
            if said.state is not JobState.SUCCEEDED:
                begun = [self.todo[p] for p in positions if p < len(self.todo)]
                running = [call for call in begun if call in missing and call not in ended]
                resting = sum(asked.get(call) == task for call in begun)
                ended.update(dict.fromkeys(running[: max(0, self.spec.width - resting)], (task, said)))
        if lost := self._lost():  # what it had claimed went with its results: any of these may have run
            ended.update(dict.fromkeys(missing - set(ended), lost))
        left = sorted(missing - set(ended))
        if not left or (self.status.state is not JobState.CANCELLED and self._advanced(left)):
            return ended, left
        whole = self._whole()
        return {**ended, **dict.fromkeys(left, whole)}, []

    def _deaths(self) -> dict[int, Death]:
        died = self.inbox.died.items()
        return {call: death for call, death in died if death.round == self.spec.round and call not in self.arrived}

    def _asked_again(self) -> dict[int, int]:
        """Return the calls that have asked in this round to go on in a later run, and the task of each."""
        asked = self.inbox.again.items()
        return {call: task for call, (round, task) in asked if round == self.spec.round and call not in self.arrived}

    def _asking(self, task: int) -> TaskStatus:
        said = self.status.task(task)
        state = said.state if said.state is JobState.PREEMPTED else JobState.TIMEOUT
        return replace(said, state=state, word=AGAIN, reason="the function asked to go on in a later run")

    def _advanced(self, left: Iterable[int]) -> bool:
        """Return whether this round brought anything: another one like it must not go on for ever."""
        return len(list(left)) < len(self.todo)

    def _lost(self) -> Ended | None:
        """Return a task of this round whose results are lost, and what is said of it."""
        ended = _ended(self.status).items()
        return next(((task, said) for task, said in ended if said.state is JobState.RESULT_LOST), None)

    def _whole(self) -> tuple[int, TaskStatus]:
        state = self.status.state
        for task, said in _ended(self.status).items():
            if state is not JobState.LOST and said.state is not JobState.SUCCEEDED:
                return task, said
        if state is JobState.SUCCEEDED:
            never = "it ended without an error, but its results never appeared"
            return 0, TaskStatus(JobState.LOST, reason=f"{never}; {GONE}" if self.gone else never)
        return 0, TaskStatus(state, self.status.word, self.status.reason, self.status.exit_code)

    def _died(self, death: Death) -> tuple[int, TaskStatus]:
        """Return what to say of the death of one process: the task's own end only where that is what killed it."""
        said = self.status.task(death.task)
        typed = said.state.over and said.state not in (JobState.SUCCEEDED, JobState.FAILED)
        if typed and death.signal in _KILLED:
            return death.task, replace(said, exit_code=death.exit_code)
        return death.task, TaskStatus(JobState.FAILED, "", death.words, death.exit_code)


def _ended(status: JobStatus) -> dict[int, TaskStatus]:
    return {task: said for task, said in status.tasks.items() if said.state.over}
