"""Fake schedulers: programs on PATH, and a dialect that speaks to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from clustrix_core import batch, bundle
from clustrix_core.model import Cluster, JobHandle, JobSpec, JobState, Site
from clustrix_core.resources import Resources
from clustrix_core.testing.programs import Programs as Scheduler
from clustrix_core.transport.counting import Counting
from clustrix_core.transport.local import Local


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
