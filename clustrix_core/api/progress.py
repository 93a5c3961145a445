"""What a person at a terminal or in a notebook sees while waiting; everybody else sees nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from clustrix_core.transport.terminal import showing

if TYPE_CHECKING:
    from clustrix_core.api.map import Map
    from clustrix_core.engine import Flight

TICK = 0.2  # seconds between updates
_SHOW_AFTER = 0.5


def wanted() -> bool:
    """Return whether somebody watches: stderr is a terminal, or this is a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def standing(flight: Flight) -> str:
    """Return what is waited for: a host that does not answer, else a job in its state, and how far it says it is."""
    said = flight.inbox.progress().get(0) if flight.spec.calls == 1 else None
    return _outage(flight) or ", ".join(filter(None, [str(flight.status.state).lower(), said and str(said)]))


def _outage(flight: Flight) -> str:
    trouble = getattr(flight.cluster.transport, "trouble", "")
    words = "".join(c if c.isprintable() else " " for c in trouble).split()  # a host has said some of them
    return f"{flight.cluster.name} does not answer, trying again: {' '.join(words)}" if words else ""


@contextmanager
def bar(waited_for: Map[Any]) -> Iterator[Callable[[int], None]]:
    """Show how many calls have finished; yields a function that is told the number."""
    if not wanted():
        yield lambda done: None
        return
    shown: list[Any] = []
    start = time.monotonic()
    flight = waited_for._flight

    def update(done: int) -> None:
        if not shown and time.monotonic() - start >= _SHOW_AFTER:
            shown.extend(_rich_bar(len(waited_for)))
            stack.enter_context(showing(shown[0]))
        if shown:
            outage = flight and _outage(flight)
            shown[0].update(shown[1], completed=done, description=f"{waited_for.name}{f': {outage}' if outage else ''}")

    with ExitStack() as stack:
        try:
            yield update
        finally:
            if shown:
                shown[0].update(shown[1], completed=len(waited_for._order))


def _rich_bar(total: int) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    return progress, progress.add_task("", total=total)


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

            shown.append(Console(stderr=True).status(""))
            stack.enter_context(showing(shown[0]))
        if shown:
            from rich.text import Text  # plain: an outage may be told in brackets

            shown[0].update(Text(f"{name}: {state()} ({time.monotonic() - start:.0f} s)"))

    with ExitStack() as stack:
        yield update
