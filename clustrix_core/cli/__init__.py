"""The command line. Light enough that ``clustrix --help`` imports nothing but click: commands are loaded when used."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from clustrix_core.cli.ending import end
from clustrix_core.cli.root import clustrix
from clustrix_core.cli.state import State, asks_for_json


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    _opened()
    words = list(sys.argv[1:] if argv is None else argv)
    state = State(json=asks_for_json(words))
    try:
        code = clustrix.main(words, prog_name="clustrix", standalone_mode=False, obj=state)
        return end(None, code if isinstance(code, int) else 0, state)
    except BaseException as error:
        return end(error, None, state)


def _opened() -> None:
    """Lead streams that were closed nowhere: they are None, and the next file to be opened would take their place."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(nowhere, "r" if name == "stdin" else "w", closefd=False))


__all__ = ["main"]
