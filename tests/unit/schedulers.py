"""Fake schedulers: programs on PATH that note how they were called and answer what they were told to."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clustrix_core import batch, bundle
from clustrix_core.model import Cluster, JobHandle, JobSpec, JobState, Site
from clustrix_core.resources import Resources
from clustrix_core.transport.counting import Counting
from clustrix_core.transport.local import Local

# What was called, how and with what on stdin is kept in a numbered directory per call; mkdir makes numbers unique.
PROGRAM = """#!/bin/sh
n=1; while ! mkdir "{calls}/$n" 2>/dev/null; do n=$((n+1)); done
printf '%s\\0' "${{0##*/}}" "$@" >"{calls}/$n/argv"
pwd >"{calls}/$n/cwd"
[ -t 0 ] || cat >"{calls}/$n/stdin"
answer="{answers}/${{0##*/}}"
cat "$answer.err" >&2; cat "$answer.out"
exit "$(cat "$answer.rc")"
"""


@dataclass(frozen=True)
class Call:
    """One call of a fake program."""

    argv: tuple[str, ...]
    stdin: str
    cwd: str


class Scheduler:
    """Programs in a directory of their own, which a test puts first on PATH."""

    def __init__(self, house: Path, names: Sequence[str]) -> None:
        self.bin, self._calls, self._answers = house / "bin", house / "calls", house / "answers"
        for directory in (self.bin, self._calls, self._answers):
            directory.mkdir(parents=True)
        for name in names:
            program = self.bin / name
            program.write_text(PROGRAM.format(calls=self._calls, answers=self._answers))
            program.chmod(0o755)
            self.answer(name)

    def answer(self, name: str, out: str = "", err: str = "", rc: int = 0) -> None:
        """Say what a program answers from now on."""
        for kind, text in (("out", out), ("err", err), ("rc", str(rc))):
            (self._answers / f"{name}.{kind}").write_text(text)

    def remove(self, name: str) -> None:
        (self.bin / name).unlink()

    @property
    def calls(self) -> list[Call]:
        """All calls so far, in their order."""
        found = sorted((int(path.name), path) for path in self._calls.iterdir())
        return [
            Call(
                tuple((path / "argv").read_text().split("\0")[:-1]),
                (path / "stdin").read_text() if (path / "stdin").exists() else "",
                (path / "cwd").read_text().strip("\n"),
            )
            for _, path in found
        ]

    @property
    def names(self) -> list[str]:
        return [call.argv[0] for call in self.calls]


def _directives(job: JobSpec, cluster: Cluster) -> Sequence[str]:
    return [f"#TOY --name={job.name}", f"#TOY --cores={job.resources.cores * job.width}"]


def _read(handles: Sequence[JobHandle], answer: str) -> list[batch.Row]:
    """Lines ``ID NAME WORD [TASKS]``."""
    rows = []
    for line in answer.splitlines():
        native, name, word, *tasks = line.split()
        indexes = tuple(int(index) for index in tasks[0].split(",")) if tasks else ()
        rows.append(batch.Row(native, name, word, tasks=indexes))
    return rows


def toy(**changes: Any) -> batch.Dialect:
    """A scheduler that never was, spoken to through ``toysub``, ``toyq``, ``toyacct`` and ``toydel``."""
    import re

    fields: dict[str, Any] = {
        "name": "toy",
        "directives": _directives,
        "submit": lambda job, cluster: ["toysub", f"job-{job.round}.sh"],
        "read_job_id": lambda answer: answer.split()[-1],
        "queries": (
            batch.Query(lambda handles, cluster: ["toyq", "-u", "ada"], _read),
            batch.Query(
                lambda handles, cluster: ["toyacct", *(handle.name for handle in handles)],
                _read,
                re.compile("no such job"),
            ),
        ),
        "cancel": lambda handles, cluster: ["toydel", *(handle.native for handle in handles)],
        "states": {"Q": JobState.PENDING, "R": JobState.RUNNING, "C": JobState.SUCCEEDED, "F": JobState.FAILED},
        "task": "${TOY_TASK:-0}",
        "directory": "$TOY_DIR",
        "native": "$TOY_ID",
        "shell": "/bin/sh",
        "unsure": re.compile("timed out"),
        "unknown": re.compile("already over"),
    }
    return batch.Dialect(**{**fields, **changes})


TOYS = ("toysub", "toyq", "toyacct", "toydel")
JOB = "0123456789abcdef"


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    return on_path(tmp_path, monkeypatch, TOYS)


def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: Sequence[str]) -> Scheduler:
    """Put fake programs first on PATH, and make a directory of the test's own the home directory."""
    made = Scheduler(tmp_path / "scheduler", names)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{made.bin}{os.pathsep}{os.environ['PATH']}")
    return made


def cluster(work_dir: Path | str, *, site: bool = True, python: str = "python3", **changes: Any) -> Cluster:
    """A cluster that is this machine, counted. With ``site`` it has been contacted already: work_dir is there."""
    known = None
    if site:
        (Path(work_dir) / "worker" / bundle.digest()).mkdir(parents=True)
        (Path(work_dir) / "worker" / bundle.digest() / "complete").touch()
        known = Site(str(work_dir), (3, 11), "ada")
    fields: dict[str, Any] = {"name": "here", "backend": "toy", "options": None, "transport": Counting(Local())}
    return Cluster(**{**fields, "work_dir": str(work_dir), "python": python, "site": known, **changes})


def job(id: str = JOB, label: str = "simulate", resources: Resources | None = None, **changes: Any) -> JobSpec:
    return JobSpec(id, label, resources or Resources(), **changes)


def handle(id: str = JOB, native: str = "17", **changes: Any) -> JobHandle:
    return JobHandle(id, job(id, round=changes.get("round", 0)).name, native, **changes)


def put(work_dir: Path, handle: JobHandle, files: Mapping[str, bytes]) -> Path:
    """Write files into a job's directory on the cluster."""
    directory = work_dir / handle.dir
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory


Answer = Callable[..., None]
