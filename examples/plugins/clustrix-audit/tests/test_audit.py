"""The audit log, with jobs that really run, with refusals, and on the command line."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clustrix_audit
import pytest
from click.testing import CliRunner
from clustrix_audit import log
from clustrix_audit.command import audit

from clustrix import ClustrixError, ConfigError, SubmitRejected, cluster
from clustrix_core.api import session
from clustrix_core.dispatch import Dispatch
from clustrix_core.model import Cluster, JobSpec, Resources
from clustrix_core.plugins import Plugins
from clustrix_core.testing import Distributions, FakeTransport

JOB = JobSpec("0123456789abcdef", "simulate", Resources(cores=2, memory=2**30, env={"TOKEN": "secret"}), calls=3)
# A backend that is nobody's but this test's: what it raises stands for what any backend may raise.
BACKEND = """
from dataclasses import dataclass
from clustrix_core import errors
from clustrix_core.hookspecs import hookimpl
from clustrix_core.model import BackendInfo, JobHandle

@dataclass(frozen=True)
class Options:
    trouble: str = ""

@hookimpl
def describe_backend():
    return BackendInfo("acme", Options)

@hookimpl
def submit(job, script, cluster):
    if cluster.options.trouble:
        raise getattr(errors, cluster.options.trouble)("no such partition")
    cluster.transport.run("submit")
    return JobHandle(job.id, job.name, "4711", job.tasks)
""" + "".join(
    f"\n@hookimpl\ndef {name}({arguments}):\n    raise NotImplementedError\n"
    for name, arguments in {
        "check": "cluster", "render_script": "job, cluster", "find": "job, cluster", "status": "handles, cluster",
        "fetch": "handles, into, cluster", "logs": "handle, cluster, since", "cancel": "handles, cluster",
    }.items()
)  # fmt: skip


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the log of this test is, below a directory that is not there yet."""
    file = tmp_path / "logs" / "audit.jsonl"
    monkeypatch.setenv(log.VARIABLE, str(file))
    return file


@pytest.fixture
def dispatch(clustrix_plugins: Plugins, installed_plugin: Distributions) -> Dispatch:
    """A fresh registry with the audit and another author's backend."""
    from importlib import import_module

    clustrix_plugins.register(import_module(installed_plugin("acme", BACKEND)), "acme")
    clustrix_plugins.register(clustrix_audit, "audit")
    return Dispatch(clustrix_plugins)


def acme(dispatch: Dispatch, trouble: str = "") -> Cluster:
    transport = FakeTransport()
    transport.answer("submit")
    return Cluster("works", "acme", dispatch.backend("acme").options(trouble), transport)


def entries(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_submission_is_written_down(dispatch: Dispatch, book: Path) -> None:
    assert dispatch.submit(JOB, "", acme(dispatch)).native == "4711"
    (entry,) = entries(book)
    assert (entry["event"], entry["cluster"], entry["backend"], entry["native"]) == (
        "submitted", "works", "acme", "4711",
    )  # fmt: skip
    assert (entry["job"], entry["calls"], entry["resources"]) == (JOB.id, 3, {"cores": 2, "memory": 2**30})
    assert entry["who"].endswith(f"@{os.uname().nodename}") and entry["when"].endswith("Z")
    assert "secret" not in book.read_text()
    assert stat.S_IMODE(book.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("trouble", "event"),
    [("SubmitRejected", "refused"), ("StagingError", "refused"), ("TransportError", "unanswered")],
)
def test_what_was_not_submitted_too(trouble: str, event: str, dispatch: Dispatch, book: Path) -> None:
    with pytest.raises(ClustrixError) as raised:
        dispatch.submit(JOB, "", acme(dispatch, trouble))
    assert type(raised.value).__name__ == trouble, "the error is passed on as it is"
    (entry,) = entries(book)
    assert entry["event"] == event and "no such partition" in entry["error"]


def test_where_nothing_can_be_written_nothing_is_submitted(dispatch: Dispatch, book: Path) -> None:
    book.mkdir(parents=True)
    works = acme(dispatch)
    with pytest.raises(ConfigError, match="cannot be written"):
        dispatch.submit(JOB, "", works)
    assert isinstance(works.transport, FakeTransport) and works.transport.runs == 0


def test_a_full_disk_loses_no_job(dispatch: Dispatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(log.VARIABLE, "/dev/full")
    assert dispatch.submit(JOB, "", acme(dispatch)).native == "4711"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("CLUSTRIX_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(log.VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "home"
    session.close()


def test_real_jobs_are_in_the_log_with_their_ends(home: Path) -> None:
    """The installed plugin, found by its entry point, around core's own backend."""

    def double(number: int) -> int:
        return 2 * number

    assert cluster(double)(21) == 42
    session.close()
    found = entries(home / "audit.jsonl")
    assert found[0]["event"] == "submitted"
    assert {entry["backend"] for entry in found} == {"local"}
    assert found[-1]["event"] == "changed" and found[-1]["after"] == "SUCCEEDED"


def test_the_command_reads_it(dispatch: Dispatch, book: Path) -> None:
    dispatch.submit(JOB, "", acme(dispatch))
    with pytest.raises(SubmitRejected):
        dispatch.submit(JOB, "", acme(dispatch, "SubmitRejected"))
    with book.open("a") as file:
        file.write('{"cut off\n[1]\n{"name": "\\u001b[31m"}\n')
    said = CliRunner().invoke(audit, []).output.splitlines()
    assert "submitted" in said[0] and "cores=2" in said[0] and "no such partition" in said[1]
    assert "\x1b" not in "".join(said) and len(said) == 3
    read = json.loads(CliRunner().invoke(audit, ["--json", "--job", "0123", "--last", "1"]).output)
    assert [entry["event"] for entry in read] == ["refused"]


def test_an_empty_log_is_no_error(book: Path) -> None:
    assert json.loads(CliRunner().invoke(audit, ["--json"]).output) == []


def test_it_costs_other_commands_no_import_of_its_own() -> None:
    """The hook is named in the module of the entry point, so that Clustrix knows without an import."""
    assert "register_commands" in Path(clustrix_audit.__file__).read_text()
