"""A log as it grows."""

from __future__ import annotations

import time
from collections.abc import Callable

from clustrix_core.cli import output
from clustrix_core.errors import ClustrixError
from clustrix_core.model import LogChunk

FIRST, LAST = 0.1, 2.0  # seconds between two looks: at a log that grows, at one that is quiet
ASK = 1.0  # seconds between two questions whether a job is over
OUTAGES = 5  # failures in a row that are waited out

Read = Callable[[int], LogChunk]
Over = Callable[[float], bool]
Write = Callable[[str], object]


def follow(read: Read, over: Over, write: Write = output.write, *, once: bool = False) -> None:
    """Write a log until its job is over; ``once``: what is there now.

    ``over(pause)`` waits that long, or until the job is over, and returns whether it is.
    """
    since, pause, failures, done = 0, FIRST, 0, once
    while True:
        try:
            pause = min(pause * 1.5, LAST)
            while (chunk := read(since)).text:
                write(chunk.text)
                since, pause = chunk.next, FIRST
            failures = 0
            if done:
                return
            done = over(pause)
        except ClustrixError as error:
            failures += 1
            if not error.transient or failures > OUTAGES or once:
                raise
            output.note(f"clustrix: {error}; trying again")
            time.sleep(failures)


def asking(is_over: Callable[[], bool]) -> Over:
    """Return an ``over`` for ``follow`` that asks now and then."""
    last = 0.0

    def over(pause: float) -> bool:
        nonlocal last
        if last:
            time.sleep(pause)
        if time.monotonic() - last < ASK:
            return False
        last = time.monotonic()
        return is_over()

    return over
