"""docs/write-a-plugin.md, followed to the letter by somebody who has installed Clustrix and nothing else.

Its blocks are files, or commands with what they print, as on the tutorials. A block whose first line is the path of a
file below clustrix-NAME shows what `clustrix plugin new` has written there.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.packaging.conftest import environment
from tests.real.test_docs import FILE, Block, Newcomer, blocks, commands

pytestmark = pytest.mark.timeout(600)
PAGE = "docs/write-a-plugin.md"
SHOWN = re.compile(r"# (clustrix-[\w./-]+)\n")


class Author(Newcomer):
    """Somebody with an environment of their own, who remembers what they have exported."""

    def settle(self, python: Path) -> Author:
        self.exported = [f"export PATH={shlex.quote(str(python.parent))}:$PATH"]
        return self

    def run(self, place: str, command: str, shown: str, code: int = 0) -> None:
        if command.startswith("export "):
            self.exported.append(command)
        super().run(place, "; ".join([*self.exported, command]), shown, code)

    def read(self, block: Block) -> None:
        """Run a block of commands; write a file, or compare it with what is there."""
        if block.language == "console":
            for command, shown, code in commands(block):
                self.run(block.place, command, shown, code)
        elif shows := SHOWN.match(block.text):
            written = (self.root / "work" / shows[1]).read_text("utf-8")
            assert block.text == f"{shows[0]}{written}", f"{block.place} is not what is written"
        else:
            named = FILE.match(block.text)
            assert named, f"{block.place}: no console and no named file"
            (self.root / "work" / named[1]).write_text(block.text, "utf-8")


@pytest.fixture
def author(wheels: list[Path], tmp_path: Path) -> Author:
    return Author(tmp_path).settle(environment(tmp_path, wheels, "", "clustrix>=1.0.0.dev0"))


def test_the_page_is_followed(author: Author) -> None:
    found = [block for block in blocks(PAGE) if block.why_not is None]
    assert len(found) >= 10
    for block in found:
        author.read(block)
    assert len(list((author.root / "work" / "clustrix-acme" / "dist").iterdir())) == 2
