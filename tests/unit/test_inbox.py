"""What follows from the records of a job: they are written as the worker writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clustrix_core.engine.inbox import Inbox
from clustrix_core.worker import pickling, records

KEY, JOB = "ab" * 32, "0123456789abcdef"


def write(mirror: Path, run: str, *headers: dict[str, Any], key: str = KEY, job: str = JOB) -> Path:
    mirror.mkdir(exist_ok=True)
    signer = records.Signer(bytes.fromhex(key), job)
    path = mirror / f"results-{run}"
    with path.open("ab") as file:
        for header in headers:
            body = pickling.dump(header["value"]) if "value" in header else None
            plain = {name: value for name, value in header.items() if name != "value"}
            for chunk in records.pack(signer, {"run": run, **plain}, body):
                file.write(chunk)
    return path


def claimed(first: int, count: int) -> dict[str, Any]:
    return {"kind": "claimed", "first": first, "count": count}


def value(call: int, value: Any) -> dict[str, Any]:
    return {"kind": "value", "call": call, "value": value}


def read(mirror: Path, calls: int = 10) -> tuple[Inbox, list[Any]]:
    inbox = Inbox(mirror, JOB, KEY, calls)
    return inbox, list(inbox.read())


def test_values_arrive_once(tmp_path: Path) -> None:
    write(tmp_path / "m", "0.0.0.1", value(3, None), value(4, {"a": 1}))
    inbox, found = read(tmp_path / "m")
    assert found == [(3, None, None), (4, {"a": 1}, None)]
    assert list(inbox.read()) == []
    write(tmp_path / "m", "0.0.0.1", value(5, "later"))
    assert list(inbox.read()) == [(5, "later", None)]


def test_a_task_that_ended_by_itself_was_running_nothing(tmp_path: Path) -> None:
    write(tmp_path / "m", "0.0.0.0", claimed(0, 4))
    inbox, _ = read(tmp_path / "m")
    assert inbox.claims(0) == {0: [0, 1, 2, 3]}
    write(tmp_path / "m", "0.0.0.0", claimed(0, 0))
    list(inbox.read())
    assert inbox.claims(0) == {}


def test_the_claims_of_an_earlier_attempt_and_of_another_round_do_not_count(tmp_path: Path) -> None:
    write(tmp_path / "m", "0.0.0.0", claimed(0, 2))
    write(tmp_path / "m", "0.0.1.0", claimed(0, 3))
    write(tmp_path / "m", "1.0.0.0", claimed(5, 1))
    inbox, _ = read(tmp_path / "m")
    assert inbox.claims(0) == {0: [0, 1, 2]}
    assert inbox.claims(1) == {0: [5]}


@pytest.mark.parametrize(
    "forge",
    [
        lambda mirror: write(mirror, "0.0.0.1", value(1, "x"), key="cd" * 32),
        lambda mirror: write(mirror, "0.0.0.1", value(1, "x"), job="fedcba9876543210"),
        lambda mirror: write(mirror, "0.0.0.1", value(1, "x")).rename(mirror / "results-0.0.0.2"),
        lambda mirror: write(mirror, "0.0.0.1", value(99, "no such call")),
    ],
    ids=["another key", "another job", "another run", "no such call"],
)
def test_what_the_job_did_not_sign_is_refused(tmp_path: Path, forge: Any) -> None:
    forge(tmp_path / "m")
    inbox, found = read(tmp_path / "m")
    assert found == []
    assert inbox.forged is not None and "not signed" in str(inbox.forged)
