"""Bringing results home: each task's own, whatever becomes of those of others, and what waits in a pod is not lost."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import os
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from clustrix_core.errors import CommandError, TransportError
from clustrix_core.model import Cluster, Fetched, JobHandle
from clustrix_core.testing.transports import FakeTransport
from clustrix_k8s import fetching, giving, names, pod
from clustrix_k8s.options import K8sOptions

JOB = "0123456789abcdef"
VALUE, ANOTHER = f"value-{'ab' * 32}", f"value-{'cd' * 32}"
AWAY = CommandError("error dialing backend: dial tcp 10.0.0.2:10250: connect: connection refused", transient=True)
FORBIDDEN = CommandError('pods "simulate-0" is forbidden: cannot create pods/exec', returncode=403, transient=True)
ENDED = CommandError("container keeper is not running", transient=True)
BROKEN = TransportError("the connection to pod simulate-0 broke: timed out")
LIES = b"clustrix: files\nF jobs/01/0123456789abcdef/../../evil 0 1\nx= jobs/01/0123456789abcdef/../../evil\nE\n"
RUNS: Mapping[str, Any] = {"running": {}}


def handle(tasks: int = 1, job: str = JOB) -> JobHandle:
    name = f"simulate-{job}"
    return JobHandle(job, name, name, tasks)


def ends(message: str, code: int = 0) -> Mapping[str, Any]:
    return {"terminated": {"exitCode": code, "message": message}}


def one(
    task: int = 0,
    state: Mapping[str, Any] = ends("EXIT 0\n"),
    keeper: Mapping[str, Any] = RUNS,
    indexed: bool = False,
    job: str = JOB,
    **metadata: str,
) -> dict[str, Any]:
    labels = {names.JOB: job, names.NAME: handle(job=job).name, **({} if indexed else {names.TASK: str(task)})}
    said = {"labels": labels, "annotations": {names.INDEX: str(task)} if indexed else {}}
    name = f"simulate-{task}" if job == JOB else f"other-{task}"
    containers = [{"name": "keeper", "state": keeper}, {"name": "task", "state": state}]
    return {
        "metadata": {"name": name, "namespace": "here", "uid": f"uid-{name}", **said, **metadata},
        "status": {"phase": "Running", "containerStatuses": containers},
    }


def listed(*pods: Mapping[str, Any]) -> str:
    return json.dumps({"items": pods})


class There:
    """A namespace with these pods, and what the first fetch from it finds; ``gives`` says what is in a pod."""

    def __init__(self, tmp: Path, *pods: Mapping[str, Any]) -> None:
        self.transport, self.into, self._tmp = FakeTransport(), tmp / "mirrors", tmp
        self.cluster = Cluster("k8s", "k8s", K8sOptions(namespace="here"), self.transport)
        self.pods(*pods)

    def pods(self, *pods: Mapping[str, Any]) -> None:
        self.transport.answer("^(LOOK|LIST) .*/pods", listed(*pods))

    def stream(self, files: Mapping[str, str], job: str = JOB) -> bytes:
        place = self._tmp / "pod" / str(len(list(self._tmp.glob("pod/*"))))
        place.mkdir(parents=True)
        for name, text in files.items():
            (place / name).write_text(text)
        return b"".join(giving.Plan(str(place), f"jobs/{job[:2]}/{job}").pieces())

    def gives(self, name: str, files: Mapping[str, str], left: int | str = 0, job: str = JOB) -> None:
        self.transport.answer(f"^EXEC here/{name} .* release", rc=0)
        self.transport.answer(f"^EXEC here/{name} .* give", self.stream(files, job), f"clustrix: left {left}\n")

    def words(self, files: Mapping[str, str], marker: str = "EXIT 0") -> str:
        return f"{marker}\n{base64.b64encode(gzip.compress(self.stream(files))).decode()}"

    def fetch(self, *handles: JobHandle) -> Mapping[str, Fetched]:
        return fetching.fetch(handles, self.into, self.cluster)

    def asked(self, name: str, what: str = "give") -> int:
        return sum(bool(re.search(f"^EXEC here/{name} .* {what} ", line)) for line in self.transport.commands)

    def here(self, job: str = JOB) -> set[str]:
        return {path.name for path in (self.into / job).glob("[!.]*")}


@pytest.fixture
def there(tmp_path: Path) -> Callable[..., There]:
    return lambda *pods: There(tmp_path, *pods)


def left_by(task: int) -> dict[str, str]:
    return {f"results-0.{task}.0.0": f"records of {task}", f"status-0.{task}": "EXIT 0\n"}


# Tasks of one Indexed Job, whose pods have no label that tells them apart


def test_last_words_of_an_indexed_job_are_those_of_each_task(there: Callable[..., There]) -> None:
    lab = there()
    lab.pods(*(one(task, ends(lab.words(left_by(task))), indexed=True) for task in (0, 1)))
    assert {*lab.fetch(handle(2))[JOB].new} == lab.here() == {*left_by(0), *left_by(1)}
    assert lab.fetch(handle(2))[JOB] == Fetched(), "what came once is here"


def test_keepers_of_an_indexed_job_keep_what_is_of_each_task(there: Callable[..., There]) -> None:
    lab = there(*(one(task, indexed=True) for task in (0, 1)))
    for task in (0, 1):
        lab.gives(f"simulate-{task}", left_by(task))
    assert {*lab.fetch(handle(2))[JOB].new} == lab.here() == {*left_by(0), *left_by(1)}
    lab.fetch(handle(2))
    for task in (0, 1):
        assert lab.asked(f"simulate-{task}") == lab.asked(f"simulate-{task}", "release") == 1


def test_pods_of_an_indexed_job_that_run_are_looked_into_by_turns_of_their_own(there: Callable[..., There]) -> None:
    lab = there(*(one(task, RUNS, indexed=True) for task in (0, 1)))
    lab.fetch(handle(2))
    noted = sorted(path.name for path in (lab.into / JOB).iterdir())
    assert noted == [".looked-0.0", ".looked-0.1"]


# Pods that have given all


def test_a_pod_that_has_given_all_is_not_asked_for_what_others_bring(there: Callable[..., There]) -> None:
    lab = there(one(1), one(10, RUNS))
    lab.gives("simulate-1", left_by(1))
    lab.fetch(handle(11))
    mirror = lab.into / JOB
    (mirror / "results-0.10.0.0").write_text("of a task whose number begins with the same digit")
    (mirror / ANOTHER).write_text("a value of another task")
    (mirror / VALUE).touch()
    lab.fetch(handle(11))
    assert lab.asked("simulate-1") == 1


@pytest.mark.parametrize("lost", ["results-0.0.0.0", VALUE])
def test_a_pod_is_asked_again_for_what_it_gave_and_is_here_no_more(there: Callable[..., There], lost: str) -> None:
    lab = there(one())
    (lab.into / JOB).mkdir(parents=True)
    (lab.into / JOB / VALUE).touch()
    lab.gives("simulate-0", {**left_by(0), VALUE: "large"})
    lab.fetch(handle())
    whole = (lab.into / JOB / lost).read_text()
    (lab.into / JOB / lost).write_text("")
    lab.fetch(handle())
    assert lab.asked("simulate-0") == 2 and (lab.into / JOB / lost).read_text() == whole


def test_a_pod_keeps_values_that_nobody_has_asked_for(there: Callable[..., There]) -> None:
    lab = there(one())
    lab.gives("simulate-0", left_by(0), left=1)
    lab.fetch(handle())
    assert not lab.asked("simulate-0", "release")
    (lab.into / JOB / VALUE).touch()  # result() of a value that was kept there
    lab.gives("simulate-0", {VALUE: "large"})
    assert lab.fetch(handle())[JOB].new == (VALUE,) and lab.asked("simulate-0", "release") == 1


def test_a_count_that_no_pod_of_ours_says_harms_nobody(there: Callable[..., There]) -> None:
    lab = there(one())
    lab.gives("simulate-0", left_by(0), left="9" * 5000)
    assert {*lab.fetch(handle())[JOB].new} == {*left_by(0)} and not lab.asked("simulate-0", "release")


def test_a_pod_that_takes_the_place_of_another_has_given_nothing_yet(there: Callable[..., There]) -> None:
    lab = there(one())
    lab.gives("simulate-0", left_by(0))
    lab.fetch(handle())
    lab.pods(one(uid="uid-later"))
    lab.fetch(handle())
    assert lab.asked("simulate-0") == 2


# Last words that are cut, or another's


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda words: words[:-7],
        lambda words: words[: len(words) // 4 * 2 + len(words) // 4 * 2 % 4],
        lambda words: words + "!",
        lambda words: f"EXIT 0\n{base64.b64encode(gzip.compress(b'no stream')).decode()}",
        lambda words: f"EXIT 0\n{base64.b64encode(gzip.compress(LIES)).decode()}",
    ],
)
def test_damaged_last_words_end_their_own_job_alone(
    there: Callable[..., There], caplog: pytest.LogCaptureFixture, spoilt: Callable[[str], str]
) -> None:
    lab, other = there(), "f" * 16
    gone = {"terminated": {"exitCode": 0}}
    lab.pods(one(0, ends(spoilt(lab.words(left_by(0)))), gone), one(1, job=other))
    lab.gives("other-1", left_by(1), job=other)
    with caplog.at_level(logging.WARNING, "clustrix.k8s"):
        for _ in range(3):
            found = lab.fetch(handle(), handle(2, other))
            assert not found[JOB].missing and not found[JOB].new
    assert lab.here(other) == {*left_by(1)}
    (said,) = caplog.records
    assert said.name == "clustrix.k8s" and "simulate-0" in said.getMessage()


@pytest.mark.parametrize("text", ["Traceback (most recent call last):\n  boom", "a line\nZm9yZWlnbg==", "EXIT\nZm9v"])
def test_what_is_no_word_of_ours_is_none(
    there: Callable[..., There], caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """A policy may have the server take the end of the log for the message."""
    lab = there(one(state=ends(text, 1)))
    lab.gives("simulate-0", left_by(0))
    assert {*lab.fetch(handle())[JOB].new} == {*left_by(0)} and not caplog.records


def test_a_pod_that_lies_ends_its_own_job_alone(there: Callable[..., There], caplog: pytest.LogCaptureFixture) -> None:
    lab, other = there(one(), one(1, job="f" * 16)), "f" * 16
    lab.gives("other-1", left_by(1), job=other)
    lab.transport.answer("^EXEC here/simulate-0", LIES)
    for _ in range(3):
        assert lab.fetch(handle(), handle(2, other))[JOB] == Fetched()
    assert lab.here(other) == {*left_by(1)} and len(caplog.records) == 1


@pytest.mark.parametrize("size", [1000, 2000, 3500])
def test_last_words_leave_room_for_those_of_other_containers(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kubelet gives all containers of a pod 12 KiB together: here are four more than ours."""
    directory = tmp_path / "jobs" / "01" / JOB
    directory.mkdir(parents=True)
    (directory / "status-0.0").write_text("EXIT 0\n")
    (directory / "results-0.0.0.0").write_bytes(bytes(range(256)) * 16 if size < 2000 else _noise(size))
    monkeypatch.setattr(giving, "SAID", str(tmp_path / "said-so"))
    pod.speak(str(tmp_path), str(directory), str(directory / "status-0.0"), "")
    words = (tmp_path / "said-so").read_bytes()
    assert words.startswith(b"EXIT 0\n") and len(words) <= 12 * 1024 // 6
    assert (tmp_path / "said").exists() == (size < 2000) == (len(words) > 10)


def _noise(size: int) -> bytes:
    """Return what takes so many characters when it was compressed in vain."""
    return random.Random(1).randbytes(size * 3 // 4)


# Commands that cannot be run in a pod


@pytest.mark.parametrize("error", [AWAY, FORBIDDEN, BROKEN])
def test_what_waits_in_a_pod_that_cannot_be_asked_is_an_outage(there: Callable[..., There], error: Exception) -> None:
    lab = there(one())
    lab.transport.answer("^EXEC", error=error)
    with pytest.raises(TransportError, match=re.escape(str(error.args[0]))) as raised:
        lab.fetch(handle())
    assert raised.value.transient and ("pods/exec" in str(raised.value.hint)) == (error is FORBIDDEN)


@pytest.mark.parametrize(
    "now",
    [
        [],
        [one(uid="uid-later")],
        [one(deletionTimestamp="2026-01-01T00:00:00Z")],
        [one(keeper=ends("it has waited", 1))],
        [one() | {"status": one()["status"] | {"phase": "Failed", "reason": "Terminated"}}],
    ],
    ids=["gone", "another", "going", "ended", "over"],
)
@pytest.mark.parametrize("error", [ENDED, FORBIDDEN, BROKEN])
def test_a_pod_that_has_just_ended_is_no_outage(there: Callable[..., There], now: list[Any], error: Exception) -> None:
    lab = there(one())
    lab.transport.answer("^LIST", listed(*now))
    lab.transport.answer("^EXEC", error=error)
    assert lab.fetch(handle())[JOB] == Fetched()


def test_last_words_that_come_meanwhile_are_no_outage(there: Callable[..., There]) -> None:
    lab = there(one())
    lab.transport.answer("^LIST", listed(one(state=ends(lab.words(left_by(0))))))
    lab.transport.answer("^EXEC", error=ENDED)
    assert lab.fetch(handle())[JOB] == Fetched()


@pytest.mark.parametrize("error", [AWAY, FORBIDDEN, BROKEN])
def test_a_task_that_still_runs_keeps_nobody_from_hearing_how_others_end(
    there: Callable[..., There], caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    lab = there(one(state=RUNS))
    lab.fetch(handle())
    lab.transport.answer("^EXEC", error=error)
    for _ in range(2):
        (lab.into / JOB / ".looked-0.0").unlink(missing_ok=True)
        lab.fetch(handle())
        _long_ago(lab.into / JOB / ".looked-0.0")
        assert lab.fetch(handle())[JOB] == Fetched()
    assert lab.asked("simulate-0") == 2
    assert [record.levelname for record in caplog.records] == ["WARNING"] * (error is FORBIDDEN)


def _long_ago(path: Path) -> None:
    os.utime(path, (1.0, 1.0))


@pytest.mark.parametrize("error", [AWAY, FORBIDDEN, BROKEN])
def test_one_pod_that_cannot_be_asked_keeps_nothing_of_others_back(
    there: Callable[..., There], error: Exception
) -> None:
    other = "f" * 16
    lab = there(one(0), one(1), one(0, job=other))
    lab.gives("simulate-1", left_by(1))
    lab.gives("other-0", left_by(0), job=other)
    lab.transport.answer("^EXEC here/simulate-0", error=error)
    found = lab.fetch(handle(2), handle(1, other))
    assert {*found[JOB].new} == lab.here() == {*left_by(1)} and {*found[other].new} == lab.here(other) == {*left_by(0)}
    assert found[JOB].away == str(error.args[0]) and not found[other].away, "nobody hears that it is over"
    with pytest.raises(TransportError, match=re.escape(str(error.args[0]))):
        lab.fetch(handle(2), handle(1, other))
    lab.gives("simulate-0", left_by(0))
    found = lab.fetch(handle(2), handle(1, other))
    assert {*found[JOB].new} == {*left_by(0)} and not found[JOB].away


def test_many_pods_that_cannot_be_asked_cost_one_list(there: Callable[..., There]) -> None:
    lab = there(*map(one, range(5)))
    lab.transport.answer("^EXEC", error=FORBIDDEN)
    with pytest.raises(TransportError):
        lab.fetch(handle(5))
    assert sum(command.startswith("LIST") for command in lab.transport.commands) == 1


def test_results_that_are_here_are_here_where_their_pod_does_not_hear_it(there: Callable[..., There]) -> None:
    lab = there(one())
    lab.gives("simulate-0", left_by(0))
    lab.transport.answer("^EXEC .* release", error=ENDED)
    assert {*lab.fetch(handle())[JOB].new} == {*left_by(0)}


@pytest.mark.parametrize("state", [RUNS, ends("EXIT 0\n"), ends("EXIT 0\nabc")], ids=["runs", "waits", "damaged"])
def test_where_nothing_can_be_kept_nobody_else_suffers(there: Callable[..., There], state: Mapping[str, Any]) -> None:
    lab = there(one(state=state))
    lab.gives("simulate-0", left_by(0))
    lab.into.write_text("no folder")
    found = [lab.fetch(handle())[JOB] for _ in range(2)]
    assert not any(each.new for each in found) and bool(found[-1].unkept) == bool(lab.asked("simulate-0"))
    assert not lab.asked("simulate-0", "release")
