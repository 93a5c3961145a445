"""The stream of a pod's files: as long as it says, only what is new, and values to who has asked for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from clustrix_k8s import giving

PLACE = "jobs/01/0123456789abcdef"
VALUE = f"value-{'ab' * 32}"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, text in {"results-0.0.0.0": "records", VALUE: "x" * 3_000_000, "status-0.0": "EXIT 0\n"}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "progress-0.0").write_text("7 half\n")
    (tmp_path / "payload").write_text("none of theirs")
    return tmp_path


def plan(place: Path, here: dict[str, str] | None = None) -> tuple[bytes, int]:
    found = giving.Plan(str(place), PLACE, here)
    whole = b"".join(found.pieces())
    assert len(whole) == len(found)
    return whole, found.left


def test_everything_for_a_store(place: Path) -> None:
    whole, left = plan(place)
    assert whole.startswith(b"clustrix: files\nD jobs/01/0123456789abcdef\n") and whole.endswith(b"E\n") and not left
    assert b"payload" not in whole and len(whole) > 3_000_000


def test_a_value_goes_to_who_has_asked(place: Path) -> None:
    whole, left = plan(place, {})
    assert left == 1 and len(whole) < 1000 and b"F jobs/01/0123456789abcdef/results-0.0.0.0 0 7\nrecords= " in whole
    whole, left = plan(place, {VALUE: "0"})
    assert not left and len(whole) > 3_000_000


def test_only_what_is_new(place: Path) -> None:
    here = {"results-0.0.0.0": "4", VALUE: "2999999", "status-0.0": "7", "progress-0.0": "7"}
    whole, left = plan(place, here)
    assert not left and b"results-0.0.0.0 4 7\nrds= " in whole and f"{VALUE} 2999999 3000000\nx= ".encode() in whole
    assert b"status" not in whole and b"progress" not in whole


def test_a_file_that_shrinks_breaks_the_stream_off(place: Path) -> None:
    found = giving.Plan(str(place), PLACE)
    (place / VALUE).write_text("")
    with pytest.raises(SystemExit, match="has shrunk"):
        b"".join(found.pieces())
