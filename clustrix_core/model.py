"""The nouns that hooks speak in: clusters, jobs, their handles, states and what comes back. Data only, no I/O."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from clustrix_core.quantities import format_time as format_time
from clustrix_core.resources import Resources as Resources
from clustrix_core.resources import nearest as nearest
from clustrix_core.transport import Transport

PLUGIN_API = "1.0"  # semantic version of what plugins may import; see docs/write-a-plugin.md


class JobState(str, enum.Enum):
    """Where a job or a task stands. ``over`` is True for ends; UNKNOWN is not an end, LOST is."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMEOUT = "TIMEOUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    NODE_FAIL = "NODE_FAIL"
    PREEMPTED = "PREEMPTED"
    RESULT_LOST = "RESULT_LOST"
    LOST = "LOST"
    UNKNOWN = "UNKNOWN"

    @property
    def over(self) -> bool:
        return self not in (JobState.PENDING, JobState.RUNNING, JobState.UNKNOWN)

    def __str__(self) -> str:
        return self.value


class Blobs(Protocol):
    """Where data goes that jobs need: pieces named after their SHA-256, each sent once."""

    def send(
        self, files: Mapping[str, Path], cluster: Cluster, arrived: Callable[[str], None], going: Callable[[], None]
    ) -> None:
        """Send files, by their digests; ``arrived`` is told of each that is whole over there.

        Those that are there already do no harm. ``going`` is called time and again, and may raise to end it. Raises
        TransportError, and StagingError where a file does not fit or is no longer what it was.
        """

    def collect(self, cluster: Cluster) -> None:
        """Remove what no job has any more, of whatever client. Raises TransportError, CommandError."""


@dataclass(frozen=True)
class BackendInfo:
    """What a backend says of itself: its name, its options (a dataclass with help metadata), what it can do.

    ``needs_host`` is False for backends that run without one (an API); with ``here`` its jobs run on this machine, in
    this interpreter unless told otherwise, and a host makes no sense; ``summary`` is one line. ``lacks`` names the
    resources that it knows nothing of, like partition: `clustrix init` does not ask for them. ``programs`` are those
    that its login nodes have, all of them: by these `clustrix init` makes its suggestion. ``connect`` makes the way to
    a cluster that is reached by an API and not by a login, from the backend's typed options, work_dir and python;
    nothing is connected before its first ``run``, whose commands are that API's. All that this process asks of the
    cluster shares it. ``blobs`` sends data that a submission missed, and removes what no job needs any more; without
    it that is done by commands in work_dir.
    """

    name: str
    options: type
    summary: str = ""
    needs_host: bool = False
    lacks: tuple[str, ...] = ()
    here: bool = False
    programs: tuple[str, ...] = ()
    connect: Callable[[Any, str, str], Transport] | None = None
    blobs: Blobs | None = None


@dataclass(frozen=True)
class Node:
    """Room for calls on one machine: free cores, free memory in bytes (None: unknown)."""

    cores: int
    memory: int | None = None


@dataclass(frozen=True)
class Site:
    """What the first contact learnt of a cluster. JSON-safe; the journal remembers it.

    ``work_dir`` is absolute; ``python`` is (major, minor) of the interpreter that will run the calls;
    ``default_time`` is the walltime in seconds of a job that asks for none (None: unknown or unlimited);
    ``seen`` is the client's clock, seconds since the epoch; ``interpreter`` tells that interpreter from others: its
    whole version, its platform and its path.
    """

    work_dir: str
    python: tuple[int, int]
    user: str = ""
    nodes: tuple[Node, ...] = ()
    max_array: int | None = None
    default_time: int | None = None
    scheduler: str = ""
    seen: float = 0.0
    interpreter: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Site:
        nodes = tuple(Node(**node) for node in data["nodes"])
        major, minor = data["python"]
        return cls(**{**data, "nodes": nodes, "python": (int(major), int(minor))})


@dataclass(frozen=True)
class Cluster:
    """A place where jobs run: its name, the backend that answers for it, the backend's typed options, a transport.

    ``site`` is None until ``provision`` has answered. ``work_dir`` and ``python`` are as configured.
    """

    name: str
    backend: str
    options: Any
    transport: Transport = field(repr=False, compare=False)
    work_dir: str = "~/.clustrix"
    python: str = "python3"
    resources: Resources = field(default_factory=Resources)
    site: Site | None = None

    def at(self, site: Site) -> Cluster:
        """Return this cluster with what is known of its site."""
        return replace(self, site=site)


_UNFIT = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class JobSpec:
    """A job as asked for: one scheduler submission, a native array when ``tasks`` > 1.

    ``files`` maps names in the job directory to files of the client, ``round`` counts the follow-up arrays of one
    job (0 is the first), ``submission`` how often a round was submitted before (``find`` looks for this one, and gives
    it up where it has not got through), ``walltime`` is that of a task in seconds (None: the scheduler's default).
    ``after`` names the jobs whose values it takes, each with the scheduler's id of it ("" where there is nothing to
    wait for): it must not begin before they are over, however they end. ``environment`` is the key of the environment
    that it runs in ("": the cluster's Python as it is): the script must use it, and ``submit`` insist on it. Where one
    of ``files`` is called ``needs``, ``batch.submit`` gives the job the data that it lists, or says what is missing.
    """

    id: str
    label: str
    resources: Resources
    calls: int = 1
    tasks: int = 1
    width: int = 1
    round: int = 0
    submission: int = 0
    max_parallel: int | None = None
    walltime: int | None = None
    after: Mapping[str, str] = field(default_factory=dict)
    environment: str = ""
    files: Mapping[str, Path] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The unique name that the scheduler gets: ASCII, at most 63 characters, starts with a letter."""
        label = _UNFIT.sub("_", self.label).strip("_.-")[:36] or "job"
        label = label if label[0].isalpha() else f"j{label}"
        return f"{label}-{self.id}" + (f"-r{self.round}" if self.round else "")

    @property
    def dir(self) -> str:
        """The job directory, relative to work_dir."""
        return job_dir(self.id)

    @property
    def environment_dir(self) -> str:
        """The environment, relative to work_dir: ``bin/python`` is in it."""
        return f"envs/{self.environment}/env"


def job_dir(job_id: str) -> str:
    """Return a job's directory relative to work_dir; sharded, so that no directory grows without bound."""
    return f"jobs/{job_id[:2]}/{job_id}"


@dataclass(frozen=True)
class JobHandle:
    """What finds a submitted job again; JSON-safe. ``native`` is the scheduler's id, ``submitted`` the client's clock.

    ``task`` is the one whose log ``logs`` returns. ``discard`` tells ``fetch`` that everything of this job is safely
    with the client: what it left on the cluster is to be removed.
    """

    job: str
    name: str
    native: str
    tasks: int = 1
    round: int = 0
    submitted: float = 0.0
    task: int = 0
    discard: bool = False

    @property
    def dir(self) -> str:
        return job_dir(self.job)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> JobHandle:
        return cls(**data)


@dataclass(frozen=True)
class TaskStatus:
    """What is known of one task. ``word`` is the scheduler's raw word, ``reason`` its own explanation."""

    state: JobState
    word: str = ""
    reason: str = ""
    exit_code: int | None = None


@dataclass(frozen=True)
class JobStatus:
    """What is known of a job: the state of the whole, and of each task that something is known of (by index)."""

    state: JobState
    word: str = ""
    reason: str = ""
    exit_code: int | None = None
    tasks: Mapping[int, TaskStatus] = field(default_factory=dict)

    def task(self, index: int) -> TaskStatus:
        """Return what is known of one task; of a task without a row of its own, what is known of the job."""
        return self.tasks.get(index) or TaskStatus(self.state, self.word, self.reason, self.exit_code)

    @classmethod
    def of(cls, tasks: Mapping[int, TaskStatus], expected: int) -> JobStatus:
        """Return the status of a job from that of its tasks. It is UNKNOWN while nothing is known of some of them and
        the others are over: they may be late, or lost."""
        if not tasks:
            return cls(JobState.UNKNOWN)
        order = [JobState.RUNNING, JobState.PENDING, JobState.UNKNOWN]
        live = [t for t in tasks.values() if not t.state.over]
        failed = [t for t in tasks.values() if t.state.over and t.state is not JobState.SUCCEEDED]
        if live:
            shown = min(live, key=lambda t: order.index(t.state))
        elif len(tasks) < expected:
            return cls(JobState.UNKNOWN, tasks=tasks)
        else:
            shown = failed[0] if failed else next(iter(tasks.values()))
        return cls(shown.state, shown.word, shown.reason, shown.exit_code, tasks)


@dataclass(frozen=True)
class Fetched:
    """What ``fetch`` brought for one job: ``new`` local files that grew, by name; ``missing``: no job directory.

    ``unkept``: why this machine could not keep all that came, such as a full disk; "" where it could. A later fetch
    brings the rest.

    ``away``: why what it has left cannot be asked for, while that of other jobs can, such as a node that does not
    answer; "" where it can. Nobody hears how the job ended before it can be asked for, or is gone.
    """

    new: Sequence[str] = ()
    missing: bool = False
    unkept: str = ""
    away: str = ""


@dataclass(frozen=True)
class LogChunk:
    """Output of a job from an offset on: the text, and the offset to ask from next."""

    text: str
    next: int


@dataclass(frozen=True)
class Problem:
    """What ``check`` found. ``severity`` is "error" (jobs will fail) or "warning"; ``hint`` says what to do."""

    severity: str
    message: str
    hint: str = ""
