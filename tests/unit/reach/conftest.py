"""A folder of modules that this process imports from, forgotten afterwards."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Write modules, by their paths without the .py, into the folder; return the folder."""
    place = tmp_path / "modules"
    place.mkdir()
    monkeypatch.syspath_prepend(place)
    before = set(sys.modules)

    def written(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = place / (f"{name}.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), "utf-8")
        return place

    yield written
    for name in set(sys.modules) - before:
        module = sys.modules[name]
        places = [getattr(module, "__file__", None), *(getattr(module, "__path__", None) or ())]
        if any(str(one).startswith(str(place)) for one in places):
            del sys.modules[name]
