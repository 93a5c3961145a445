"""What one scheduler says differently, as data."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from clustrix_core.model import Cluster, JobHandle, JobSpec, JobState, Problem, Site

NEVER = re.compile(r"(?!)")


@dataclass(frozen=True)
class Row:
    """One line of an answer. ``tasks`` are the array indexes it speaks of (empty: the whole job)."""

    native: str
    name: str
    word: str
    reason: str = ""
    exit_code: int | None = None
    tasks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Query:
    """A question to the scheduler about some handles: its argv, and how to read the answer.

    The command gets a line ``job round`` for each handle on stdin. ``nothing`` matches the stderr of an answer that
    fails only because no such job is known; any other failure is an outage.
    """

    argv: Callable[[Sequence[JobHandle], Cluster], Sequence[str]]
    read: Callable[[Sequence[JobHandle], str], Iterable[Row]]
    nothing: re.Pattern[str] = NEVER


@dataclass(frozen=True)
class Dialect:
    """One scheduler.

    ``directives`` are complete lines for the head of the script; ``submit`` runs in the job directory and
    ``read_job_id`` reads its stdout; ``unsure`` matches the stderr of a submit that failed although the job may have
    been accepted. ``queries`` are asked in order, later ones only for what is still missing (queue, then accounting).
    ``cancel`` gets a line ``job round`` for each handle on stdin too. ``task`` and ``directory`` are shell words
    for the array index (from 0) and the directory of submission; ``native`` for the scheduler's id. With ``own_log``
    the script writes the log itself, because the scheduler would put it in place only at the job's end or under a name
    of its own; ``directives`` then throw away what the scheduler keeps. ``anywhere`` begins directives that the
    scheduler reads on any line of a script: the user's lines must not begin like that. ``probe`` are commands of sh,
    run side by side, whose output ``read_probe`` turns into facts of the site; ``check`` are the scheduler's own checks
    behind ``doctor``.
    """

    name: str
    directives: Callable[[JobSpec, Cluster], Sequence[str]]
    submit: Callable[[JobSpec, Cluster], Sequence[str]]
    read_job_id: Callable[[str], str]
    queries: Sequence[Query]
    cancel: Callable[[Sequence[JobHandle], Cluster], Sequence[str]]
    states: Mapping[str, JobState]
    task: str
    directory: str
    native: str
    shell: str = "/bin/bash"
    own_log: bool = False
    anywhere: str = ""
    unsure: re.Pattern[str] = NEVER
    unknown: re.Pattern[str] = NEVER  # stderr of a cancel of jobs that are already over
    probe: Callable[[Cluster], Sequence[str]] = field(default=lambda cluster: ())
    read_probe: Callable[[str, Site, Cluster], Site] = field(default=lambda text, site, cluster: site)
    check: Callable[[Cluster, Site, str], Sequence[Problem]] = field(default=lambda cluster, site, text: ())
