"""``jobs``, ``status``, ``logs``, ``result``, ``cancel``, ``retry`` and ``clean`` on a journal."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clustrix_core.config import ClusterConfig
from clustrix_core.engine.places import to_json
from clustrix_core.entry import OVER, REFUSED, Entry, error_data
from clustrix_core.errors import JobTimeout, SubmitRejected
from clustrix_core.journal import Journal
from clustrix_core.model import JobHandle
from tests.unit.cli.conftest import Shell


@pytest.fixture
def journal(shell: Shell) -> Iterator[Journal]:
    found = Journal(Path(shell.environment["CLUSTRIX_HOME"]))
    yield found
    found.close()


def add(journal: Journal, number: int, state: str = "SUCCEEDED", ago: float = 0.0, **more: object) -> Entry:
    """Write a job that is over into the journal, as the engine does."""
    job = f"{number:x}".rjust(4, "0") * 4
    name = str(more.pop("cluster", "local"))
    settings = to_json(ClusterConfig(backend="local", name=name))
    spec = {"id": job, "label": f"job{number}", "calls": 1, "resources": {}}
    entry = Entry(job, f"job{number}", name, settings, "call", spec, "nobody")
    entry.created = time.time() - ago - 10
    for name, value in more.items():
        setattr(entry, name, value)
    journal.add(entry)
    if entry.handle is None and entry.phase != REFUSED:
        journal.submitted(job, JobHandle(job, f"job{number}-{job}", str(number)))
        journal.discard(job)
        journal.removed(journal.garbage(entry.place))
    entry.phase, entry.state = (entry.phase if entry.phase == REFUSED else OVER), state
    journal.end(entry, discard=False)
    with journal._db.writing() as db:
        db.execute("update jobs set finished = ? where id = ?", (time.time() - ago, job))
    return entry


def test_a_job_that_is_tried_again_says_so(shell: Shell, journal: Journal) -> None:
    spec = {"id": "ab" * 8, "calls": 2, "resources": {"retries": 3}, "tries": {"0": 1, "1": 2}}
    settings = to_json(ClusterConfig(backend="local"))
    journal.add(Entry("ab" * 8, "f", "local", settings, "map", spec, "nobody", reason="Priority"))
    (job,) = shell.json("jobs", "--offline")
    assert job["reason"] == "try 3 of 4: Priority"


def test_the_list(shell: Shell, journal: Journal) -> None:
    assert shell.json("jobs") == [] and "no jobs yet" in shell("jobs").stderr
    assert shell("jobs", "-c", "hpc").stderr == "There are no jobs of hpc yet.\n"
    old, new = add(journal, 1, "FAILED", ago=7200, reason="NonZeroExitCode"), add(journal, 2, cluster="hpc")
    first, second = shell.json("jobs")
    assert (first["id"], second["id"]) == (new.id, old.id)
    assert {"id", "name", "cluster", "backend", "kind", "state", "reason", "calls", "created", "finished"} <= set(first)
    assert (second["state"], second["reason"]) == ("FAILED", "NonZeroExitCode")
    table = shell("jobs").stdout
    assert table.startswith("ID ") and old.id in table and "NonZeroExitCode" in table and "\x1b" not in table
    assert [one["id"] for one in shell.json("jobs", "-c", "hpc")] == [new.id]
    assert [one["id"] for one in shell.json("-c", "hpc", "jobs")] == [new.id]


def test_a_job_took_until_it_ended_not_until_somebody_looked(shell: Shell, journal: Journal) -> None:
    now = time.time()

    def ended(entry: Entry, *ago: float) -> None:
        mirror = journal.home / "results" / entry.id
        mirror.mkdir(parents=True)
        for task, seconds in enumerate(ago):
            when = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(now - seconds))
            (mirror / f"result-0.{task}.json").write_text(json.dumps({"ended": when}))

    one, two, odd, skewed = (add(journal, number, created=now - 7200) for number in range(1, 5))
    ended(one, 7200 - 65)
    two.spec["tasks"] = 2
    journal.shaped(two.id, two.spec)
    ended(two, 7000)  # of the second task nothing is known
    ended(skewed, 9000)
    (journal.home / "results" / odd.id).mkdir()
    (journal.home / "results" / odd.id / "result.json").write_text('{"ended": ["')
    took = {line.split()[0]: line for line in shell("jobs").stdout.splitlines()[1:]}
    assert "1 min 5 s" in took[one.id]
    assert all(line.rstrip().endswith("2 h") for job, line in took.items() if job != one.id), took
    assert shell.json("status", one.id)["finished"] < shell.json("status", two.id)["finished"]


def test_limits(shell: Shell, journal: Journal) -> None:
    for number in range(25):
        add(journal, number + 1, ago=25 - number)
    assert [len(shell.json("jobs", *words)) for words in ([], ["--all"], ["-n", "3"])] == [20, 25, 3]
    assert shell.json("jobs", "-n", "0", code=2)["error"]


def test_names_cannot_play_with_the_terminal(shell: Shell, journal: Journal) -> None:
    add(journal, 1, label="a\x1b[31mb\nc [red]d", reason="x\x07y")
    assert "a [31mb c [red]d" in shell("jobs").stdout
    assert "\x1b" not in shell("jobs").stdout + shell("status", "0001").stdout


def test_status(shell: Shell, journal: Journal) -> None:
    error = JobTimeout("job1 ran over its walltime", job="1", state="TIMEOUT", reason="TIMEOUT")
    entry = add(journal, 1, "TIMEOUT", ends={"0": error_data(error)})
    found = shell.json("status", entry.id[:6])
    assert (found["id"], found["state"], found["errors"]) == (entry.id, "TIMEOUT", ["job1 ran over its walltime"])
    assert "ran over its walltime" in shell("status", entry.id).stdout


def test_ids_are_shortened_as_git_does(shell: Shell, journal: Journal) -> None:
    add(journal, 0x1234), add(journal, 0x1235)
    for command in ("status", "logs", "result", "cancel", "retry"):
        ambiguous = shell.json(command, "123", code=2)["error"]
        assert "1234123412341234, 1235123512351235" in ambiguous["message"]
        assert "clustrix jobs" in shell.json(command, "ffff", code=2)["error"]["hint"]
    assert shell.json("status", "1234")["id"] == "1234" * 4


def test_how_a_job_ended_is_its_result(shell: Shell, journal: Journal) -> None:
    error = JobTimeout(
        "it ran over its walltime", state="TIMEOUT", reason="TIMEOUT", log="last words", hint="More time=."
    )
    late = add(journal, 1, "TIMEOUT", ends={"0": error_data(error)})
    done = shell("result", late.id, code=1)
    assert "it ran over its walltime" in done.stderr and "last words" in done.stderr and "More time=." in done.stderr
    found = shell.json("result", late.id, "--no-wait", code=1)["error"]
    assert (found["type"], found["state"], found["hint"]) == ("JobTimeout", "TIMEOUT", "More time=.")
    rejected = SubmitRejected("sbatch: invalid partition")
    refused = add(journal, 2, "FAILED", phase=REFUSED, ends={"*": error_data(rejected)})
    assert shell.json("result", refused.id, code=1)["error"]["type"] == "SubmitRejected"
    assert "has not begun" in shell("logs", refused.id).stderr


def test_cancelling_what_is_over_is_no_error(shell: Shell, journal: Journal) -> None:
    first, second = add(journal, 1), add(journal, 2, "FAILED")
    found = shell.json("cancel", first.id, second.id, first.id)
    assert [(one["id"], one["cancelled"]) for one in found] == [(first.id, False), (second.id, False)]
    assert "was over already: failed" in shell("cancel", second.id).stderr
    shell("cancel", code=2)


def test_a_retry_needs_the_payload(shell: Shell, journal: Journal) -> None:
    entry = add(journal, 1)
    assert "no longer on this machine" in shell.json("retry", entry.id, code=2)["error"]["message"]


def test_a_log_that_was_brought_home(shell: Shell, journal: Journal) -> None:
    entry = add(journal, 1)
    kept = Path(shell.environment["CLUSTRIX_HOME"]) / "results" / entry.id
    kept.mkdir(parents=True)
    (kept / "log-0.0").write_bytes("grüße\n".encode() * 300_000)
    assert shell("logs", entry.id).stdout == "grüße\n" * 300_000
    assert shell.json("logs", entry.id, "-f")["log"] == "grüße\n" * 300_000
    assert shell.json("logs", entry.id, "--task", "-1", code=2)["error"]


def test_clean(shell: Shell, journal: Journal) -> None:
    home = Path(shell.environment["CLUSTRIX_HOME"])
    old, new = add(journal, 1, ago=10 * 86400), add(journal, 2)
    for entry in (old, new):
        for folder in ("results", "outbox"):
            (home / folder / entry.id).mkdir(parents=True)
    dry = shell.json("clean", "--older-than", "7d", "--dry-run")
    assert (dry["removed"], dry["dry_run"]) == ([old.id], True) and (home / "results" / old.id).is_dir()
    assert old.id in shell("clean", "--dry-run").stdout
    assert shell.json("clean", "--older-than", "7d")["removed"] == [old.id]
    assert [path.name for path in (home / "results").iterdir()] == [new.id]
    assert [one["id"] for one in shell.json("jobs")] == [new.id]
    assert "1 finished job was removed" in shell("clean").stderr
    assert shell.json("jobs") == [] and not [*(home / "outbox").iterdir()]
    shell("clean", "--older-than", "yesterday", code=2)


def test_clean_never_touches_jobs_in_flight(shell: Shell, journal: Journal) -> None:
    settings = to_json(ClusterConfig(backend="ssh", name="far", host="127.0.0.1", port=1))
    spec = {"id": "b" * 16, "label": "far", "calls": 1, "resources": {}}
    journal.add(Entry("b" * 16, "far", "far", settings, "call", spec, "nobody"))
    journal.submitted("b" * 16, JobHandle("b" * 16, f"far-{'b' * 16}", "1"))
    done = shell("clean", "-y")
    assert "Not asked" in done.stderr and "0 finished jobs" in done.stderr
    assert [one["state"] for one in shell.json("jobs", "--offline")] == ["PENDING"]
    listed = shell("jobs")
    assert "b" * 16 in listed.stdout and "Not asked" in listed.stderr
    assert shell.json("result", "bb", "--no-wait", code=3)["error"]["type"] == "TransportError"
