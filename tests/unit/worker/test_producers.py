"""What a worker finds of a job whose value is an argument: only what is signed, and late if need be."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clustrix_core.errors import DependencyFailed
from clustrix_core.worker import blobs, markers, outcome, producers, records
from clustrix_core.worker.parts import Parts
from clustrix_core.worker.producers import Producer

JOB, KEY = "00000000000000aa", b"k" * 32
loaded: list[str] = []

NO_STORE = blobs.Store("/nowhere")  # none of these values holds a file


class Trap:
    def __reduce__(self) -> Any:
        return loaded.append, ("loaded",)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(producers, "_LAG", 2.0)
    monkeypatch.setattr(producers, "_GRACE", 0.1)
    directory = tmp_path / "jobs/00" / JOB
    directory.mkdir(parents=True, mode=0o700)
    _give_key(directory)
    return directory


def _give_key(place: Path) -> None:
    (place / "key").write_text(KEY.hex())
    (place / "key").chmod(0o600)


def write(place: Path, ended: outcome.Outcome, run: str = "0.0.0.1", key: bytes = KEY, says: str = "") -> None:
    header = {**ended.header, "call": 0, "run": says or run}
    data = b"".join(records.pack(records.Signer(key, JOB), header, ended.body))
    (place / f"results-{run}").write_bytes(data)


def value(place: Path) -> Any:
    return Producer(str(place), JOB, "load").value()


def test_a_value_and_each_time_afresh(place: Path) -> None:
    write(place, outcome.returned([b"x" * 100_000, bytearray(b"y" * 100_000)], False, NO_STORE))
    producer = Producer(str(place), JOB, "load")
    first, second = producer.value(), producer.value()
    assert first == second == [b"x" * 100_000, b"y" * 100_000]
    first[1][0] = 0
    assert second[1][0] == ord("y")


def test_the_value_of_a_later_attempt_counts(place: Path) -> None:
    write(place, outcome.Outcome(False, {"kind": "died", "message": "killed"}), "0.0.0.0")
    write(place, outcome.returned(5, False, NO_STORE), "0.0.1.1")
    assert value(place) == 5


@pytest.mark.parametrize("forged", [{"key": b"f" * 32}, {"says": "0.0.7.1"}])
def test_nothing_is_loaded_that_is_not_signed(place: Path, forged: dict[str, Any]) -> None:
    write(place, outcome.returned(Trap(), False, NO_STORE), **forged)
    with pytest.raises(DependencyFailed, match=f"load .job {JOB}."):
        value(place)
    assert not loaded


def test_a_key_that_others_can_read_is_no_key() -> None:
    with tempfile.TemporaryDirectory() as work_dir:
        place = Path(work_dir, "jobs/00", JOB)
        place.mkdir(parents=True)
        Path(work_dir).chmod(0o755)
        _give_key(place)
        (place / "key").chmod(0o644)
        write(place, outcome.returned(Trap(), False, NO_STORE))
        with pytest.raises(DependencyFailed, match="others can read"):
            value(place)
    assert not loaded


@pytest.mark.parametrize(
    ("ended", "says"),
    [
        (outcome.raised(KeyError("x")), "it raised KeyError: 'x'"),
        (outcome.Outcome(False, {"kind": "error-text", "type": "Odd", "message": "no"}), "it raised Odd: no"),
        (outcome.returned(threading.Lock(), False, NO_STORE), "its result cannot be pickled"),
        (outcome.Outcome(False, {"kind": "died", "message": "killed by SIGKILL"}), "killed by SIGKILL"),
        (outcome.Outcome(False, {"kind": "json"}, Parts([json.dumps(3).encode()])), "exit code 3"),
    ],
)
def test_what_became_of_it_instead(place: Path, ended: outcome.Outcome, says: str) -> None:
    write(place, ended)
    with pytest.raises(DependencyFailed, match=says) as raised:
        value(place)
    assert raised.value.producer == JOB
    assert isinstance(raised.value.__cause__, KeyError) == ("KeyError" in says)


def test_the_first_that_failed_is_named(place: Path) -> None:
    first = producers.failed("11", "deep", "it raised ValueError: x", ValueError("x"))
    write(place, outcome.raised(first))
    with pytest.raises(DependencyFailed, match=r"deep \(job 11\)") as raised:
        value(place)
    assert raised.value.producer == "11"
    assert isinstance(raised.value.__cause__, ValueError)


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        (("EXIT", 143), "exit code 143"),
        (("TIMEOUT", 143, "ran 9 s, asked for 5 s"), "ran 9 s, asked for 5 s"),
        (("CANCELLED", 143), "CANCELLED"),
        (None, "cancelled, or lost"),
    ],
)
def test_what_left_no_record(place: Path, marker: Any, says: str) -> None:
    if marker:
        markers.write(str(place), 0, 0, *marker)
    with pytest.raises(DependencyFailed, match=says):
        value(place)


def test_why_it_was_killed(place: Path) -> None:
    write(place, outcome.Outcome(False, {"kind": "died", "message": "killed by SIGTERM"}), "0.0.0.0")
    markers.write(str(place), 0, 0, "EXIT", 1)
    with pytest.raises(DependencyFailed, match="killed by SIGTERM"):
        value(place)
    markers.write(str(place), 0, 0, "TIMEOUT", 143, "ran 9 s, asked for 5 s")
    with pytest.raises(DependencyFailed, match="ran 9 s, asked for 5 s"):
        value(place)


def test_a_value_that_is_seen_late(place: Path) -> None:
    def later(do: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=lambda: (time.sleep(0.6), do()))
        thread.start()
        return thread

    markers.write(str(place), 0, 0, "EXIT", 0)
    thread = later(lambda: write(place, outcome.returned(7, False, NO_STORE)))
    assert value(place) == 7
    thread.join()
    hidden, place_then = place.with_name("hidden"), place.with_name("there")
    hidden.mkdir()
    _give_key(hidden)
    write(hidden, outcome.returned(8, False, NO_STORE))
    thread = later(lambda: hidden.rename(place_then) and None)
    assert value(place_then) == 8
    thread.join()


def test_a_value_that_cannot_be_loaded_is_no_failure_of_its_job(place: Path) -> None:
    broken = outcome.Outcome(True, {"kind": "value"}, Parts([b"cnowhere\nthing\n."]))
    write(place, broken)
    with pytest.raises(ModuleNotFoundError):
        value(place)
