"""When to look and when to ask: fast at first, slow later, faster again near an expected end. Pure functions.

Looking reads marker files and costs the cluster a directory listing. Asking costs the scheduler a query, so it is rare.
All times in seconds.
"""

from __future__ import annotations

LOOK_FIRST, LOOK_LAST = 0.02, 10.0
ASK_FIRST, ASK_LAST = 1.0, 60.0
PATIENCE = 0.1  # of the time that has gone by since the last news


def next_look(quiet: float) -> float:
    """Return the pause before the next look, ``quiet`` seconds after the last news of any job."""
    return min(max(PATIENCE * quiet, LOOK_FIRST), LOOK_LAST)


def next_ask(age: float, to_end: float | None) -> float:
    """Return the pause between questions to the scheduler about a job of this age.

    ``to_end`` is the time to its expected end, negative after it, None where it is unknown.
    """
    pause = min(max(PATIENCE * age, ASK_FIRST), ASK_LAST)
    if to_end is not None and -ASK_LAST < to_end < pause:
        return min(pause, max(to_end, 4.0))
    return pause
