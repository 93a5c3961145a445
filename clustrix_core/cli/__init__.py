"""The command line. Light enough that ``clustrix --help`` imports nothing but click: commands are loaded when used."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from clustrix_core.cli.ending import end
from clustrix_core.cli.root import clustrix
from clustrix_core.cli.state import State, asks_for_json


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    state = State(json=asks_for_json(words))
    try:
        code = clustrix.main(words, prog_name="clustrix", standalone_mode=False, obj=state)
        return end(None, code if isinstance(code, int) else 0, state)
    except BaseException as error:
        return end(error, None, state)


__all__ = ["main"]
