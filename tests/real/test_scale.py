"""What many calls cost: files and bytes follow the tasks of a map, not its calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clustrix import cluster
from clustrix_core.config import ClusterConfig
from clustrix_core.engine import places
from clustrix_core.transport import Transport
from clustrix_core.transport.connect import connect
from clustrix_core.transport.counting import Counting

CALLS = 20_000


class Asked(Counting):
    """Notes how much each look sends."""

    looks: list[int]

    def run(self, command: str, *words: Any, **more: Any) -> Any:
        before = self.sent
        done = super().run(command, *words, **more)
        if "clustrix: files" in command:
            self.looks.append(self.sent - before)
        return done


@cluster
def same(x: int) -> int:
    return x


@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_a_look_at_a_large_map_names_no_calls(
    there: ClusterConfig, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Asked] = []

    def asked(*way: Any) -> Transport:
        made.append(Asked(connect(*way)))
        made[-1].looks = []
        return made[-1]

    monkeypatch.setattr(places, "connect", asked)
    many = same.map(range(CALLS))
    assert list(many) == list(range(CALLS))
    files = [path.name for path in (home / "results" / many.id).iterdir()]
    assert len(files) < 100, "per task and process, not per call"
    assert max(made[0].looks) <= 40 * (len(files) + 2)
