"""Following a log, durations, and how values and errors are told."""

from __future__ import annotations

import math
from typing import Any

import click
import pytest

from clustrix_core.cli import following
from clustrix_core.cli.duration import DURATION
from clustrix_core.cli.ending import NotFinished, code_of, described
from clustrix_core.cli.jobbook import duration
from clustrix_core.cli.waiting import as_json
from clustrix_core.errors import (
    AuthenticationError,
    BackendNotInstalled,
    CannotTravel,
    ConfigError,
    JobOutOfMemory,
    SubmitRejected,
    TransportError,
)
from clustrix_core.model import LogChunk


class Growing:
    """A log that grows by one line at each look, and is out of reach at some."""

    def __init__(self, lines: int, outages: tuple[int, ...] = ()) -> None:
        self.lines, self.outages, self.looks, self.text = lines, outages, 0, ""

    def read(self, since: int) -> LogChunk:
        self.looks += 1
        if self.looks in self.outages:
            raise TransportError("the line is down")
        if self.looks % 2 and self.lines:
            self.lines -= 1
            self.text += f"{self.lines}\n"
        text = self.text[since : since + 2]
        return LogChunk(text, since + len(text))

    def over(self, pause: float) -> bool:
        return not self.lines


@pytest.mark.parametrize("outages", [(), (3,), (4, 5)])
def test_a_log_is_written_once_and_whole(outages: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following.time, "sleep", lambda seconds: None)
    log, said = Growing(5, outages), []
    following.follow(log.read, log.over, said.append)
    assert "".join(said) == "4\n3\n2\n1\n0\n"


def test_an_outage_ends_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following.time, "sleep", lambda seconds: None)
    log = Growing(5, tuple(range(2, 100)))
    with pytest.raises(TransportError):
        following.follow(log.read, log.over, lambda text: None)
    with pytest.raises(TransportError):
        following.follow(Growing(5, (1,)).read, log.over, lambda text: None, once=True)


@pytest.mark.parametrize(
    ("word", "seconds"),
    [
        ("0", 0),
        ("2.5", 2.5),
        ("90s", 90),
        ("5m", 300),
        ("2h", 7200),
        ("7d", 604800),
        ("1w", 604800),
        ("01:30:00", 5400),
    ],
)
def test_durations(word: str, seconds: float) -> None:
    assert DURATION.convert(word, None, None) == seconds


@pytest.mark.parametrize("word", ["", "soon", "-1", "1y", "nan", "1:30", "5 m m"])
def test_what_is_no_duration(word: str) -> None:
    with pytest.raises(click.BadParameter):
        DURATION.convert(word, None, None)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.9, "59 s"), (61, "1 min 1 s"), (3600, "1 h"), (90061, "1 d 1 h"), (-3, "0 s")]
)
def test_durations_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (False, False),
        ([1, {"a": "ü"}], [1, {"a": "ü"}]),
        (math.nan, {"repr": "nan"}),
        ({1, 2}, {"repr": "{1, 2}"}),
        (b"x", {"repr": "b'x'"}),
        (Hostile(), {"repr": "<Hostile, whose repr raises RuntimeError>"}),
    ],
)
def test_values_as_json(value: Any, shown: Any) -> None:
    assert as_json(value) == shown


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (click.UsageError("x"), 2),
        (ConfigError("x"), 2),
        (BackendNotInstalled("x"), 2),
        (CannotTravel("x"), 2),
        (TransportError("x"), 3),
        (AuthenticationError("x"), 3),
        (SubmitRejected("x"), 1),
        (JobOutOfMemory("x"), 1),
        (NotFinished("x"), 4),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
    ],
)
def test_exit_codes(error: BaseException, code: int) -> None:
    assert code_of(error) == code


def test_an_error_carries_what_it_knows() -> None:
    error = JobOutOfMemory("too much", job="ab", state="OUT_OF_MEMORY", log="tail", hint="More memory=.", cluster="hpc")
    assert described(error) == {
        "type": "JobOutOfMemory",
        "message": "too much",
        "hint": "More memory=.",
        "cluster": "hpc",
        "job": "ab",
        "state": "OUT_OF_MEMORY",
        "log": "tail",
    }
