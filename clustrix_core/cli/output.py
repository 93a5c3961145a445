"""stdout is data, stderr is talk. Colours and moving things appear on a terminal only."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from clustrix_core.cli.state import State, state

WIDE = 10_000  # columns of a table that nobody looks at
FOLDED = 24  # columns that the last one of a table has at least


class NoReader(Exception):
    """Whoever read stdout has gone."""


def write(text: str) -> None:
    """Write data as it is, at once."""
    try:
        _safely(sys.stdout, text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise NoReader from None


def line(text: str) -> None:
    """Write a line of data."""
    write(f"{text}\n")


def document(data: Any, known: State | None = None) -> None:
    """Write data as JSON; for people at a terminal, indented."""
    indent = 2 if sys.stdout.isatty() else None
    line(json.dumps(data, indent=indent, ensure_ascii=False, default=str))


def flush() -> None:
    """Make sure that all data is out."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise NoReader from None
    except ValueError:  # closed
        pass


def say(text: str) -> None:
    """Tell people something."""
    tell(f"{text}\n")


def tell(text: str) -> None:
    """Tell people something as it is, without a line end of ours; nobody listening is no error."""
    try:
        _safely(sys.stderr, text)
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def note(text: str) -> None:
    """Tell people something that a program which reads JSON has no use for."""
    if not state().json:
        say(text)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], states: int | None = None) -> None:
    """Write a table; without a terminal the same without colours and never wrapped. ``states``: a column of states.

    Only the last column is folded: what stands in the others is there to be copied, also from a narrow terminal.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns[:-1]:
        shown.add_column(column, no_wrap=True)
    shown.add_column(columns[-1], overflow="fold")
    texts = [[plain(cell) for cell in row] for row in rows]
    for row in texts:
        cells = [Text(cell) for cell in row]
        if states is not None:
            cells[states].stylize(_COLOURS.get(cells[states].plain, ""))
        shown.add_row(*cells)
    least = sum(max(map(cell_len, column)) + 2 for column in list(zip(columns, *texts, strict=True))[:-1]) + FOLDED
    console = Console(highlight=False)
    console.width = max(console.width, least) if sys.stdout.isatty() else WIDE
    with console.capture() as captured:
        console.print(shown)
    write("".join(f"{text.rstrip()}\n" for text in captured.get().splitlines()))


def plain(value: Any) -> str:
    """Return a value as one line without anything that a terminal would obey."""
    text = "" if value is None else str(value)
    return "".join(char if char.isprintable() else " " for char in text)


_COLOURS = {
    "RUNNING": "cyan",
    "SUCCEEDED": "green",
    "ok": "green",
    "FAILED": "red",
    "TIMEOUT": "red",
    "OUT_OF_MEMORY": "red",
    "NODE_FAIL": "red",
    "RESULT_LOST": "red",
    "LOST": "red",
    "broken": "red",
    "error": "red",
    "CANCELLED": "yellow",
    "PREEMPTED": "yellow",
    "UNKNOWN": "yellow",
    "disabled": "yellow",
    "warning": "yellow",
}


def _safely(stream: Any, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:  # a terminal of another encoding: its own question marks rather than a crash
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
