"""The one-line files that say how a task ended."""

from __future__ import annotations

from pathlib import Path

from clustrix_core.worker import markers


def test_a_marker_is_replaced_whole(tmp_path: Path) -> None:
    assert not markers.exists(str(tmp_path), 0, 3)
    markers.write(str(tmp_path), 0, 3, "EXIT", 1)
    with open(markers.path(str(tmp_path), 0, 3)) as early:
        markers.write(str(tmp_path), 0, 3, "TIMEOUT", 143, "ran too long")
        assert early.read() == "EXIT 1\n", "whoever reads while another one is written sees the old one"
    (only,) = tmp_path.iterdir()
    assert only.read_text() == "TIMEOUT 143 ran too long\n"
