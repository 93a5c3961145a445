"""The files of the skeletons on docs/write-a-plugin.md: a block that begins with the path of one holds that file."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from clustrix_core import skeleton

PAGE = Path(__file__).resolve().parent.parent / "docs" / "write-a-plugin.md"
PLUGINS = {"acme": "backend", "onlooker": "wrapper"}
_BLOCK = re.compile(r"^(```\w+\n# (clustrix-[\w./-]+)\n)(.*?)^```$", re.MULTILINE | re.DOTALL)


def write_a_plugin() -> str:
    """Return the page with the files as `clustrix plugin new` writes them now."""
    with TemporaryDirectory() as house:
        for name, kind in PLUGINS.items():
            skeleton.write(name, kind, Path(house, f"clustrix-{name}"))
        return _BLOCK.sub(lambda found: f"{found[1]}{_file(Path(house, found[2]))}```", PAGE.read_text("utf-8"))


def _file(path: Path) -> str:
    return path.read_text("utf-8")
