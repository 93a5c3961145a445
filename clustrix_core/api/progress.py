"""What a person at a terminal or in a notebook sees while waiting; everybody else sees nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clustrix_core.api.map import Map

TICK = 0.2  # seconds between updates
_SHOW_AFTER = 0.5


def wanted() -> bool:
    """Return whether somebody watches: stderr is a terminal, or this is a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


@contextmanager
def bar(waited_for: Map[Any]) -> Iterator[Callable[[int], None]]:
    """Show how many calls have finished; yields a function that is told the number."""
    if not wanted():
        yield lambda done: None
        return
    shown: list[Any] = []
    start = time.monotonic()

    def update(done: int) -> None:
        if not shown and time.monotonic() - start >= _SHOW_AFTER:
            shown.extend(_rich_bar(waited_for.name, len(waited_for)))
        if shown:
            shown[0].update(shown[1], completed=done)

    try:
        yield update
    finally:
        if shown:
            shown[0].update(shown[1], completed=len(waited_for._order))
            shown[0].stop()


def _rich_bar(name: str, total: int) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    progress.start()
    return progress, progress.add_task(name, total=total)


@contextmanager
def spinner(name: str, state: Callable[[], str]) -> Iterator[Callable[[], None]]:
    """Show a line with the job's state; yields a function to call at every tick."""
    if not wanted():
        yield lambda: None
        return
    shown: list[Any] = []
    start = time.monotonic()

    def update() -> None:
        if not shown and time.monotonic() - start >= _SHOW_AFTER:
            from rich.console import Console

            shown.append(Console(stderr=True).status(name))
            shown[0].start()
        if shown:
            shown[0].update(f"{name}: {state()} ({time.monotonic() - start:.0f} s)")

    try:
        yield update
    finally:
        if shown:
            shown[0].stop()
