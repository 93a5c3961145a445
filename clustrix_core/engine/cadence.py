"""When to look and when to ask: fast at first, slow later, faster again near an expected end.

Looking reads marker files and costs the cluster a directory listing. Asking costs the scheduler a query, so it is rare.
All times in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

LOOK_FIRST, LOOK_LAST = 0.02, 3.0  # every end that leaves a marker is in the caller's hand within 5 s
ASK_FIRST, ASK_LAST = 1.0, 60.0
ASK_NEAR = 2.5  # at the expected end, which a job that runs out of its walltime may reach without a marker
LOOK_PATIENCE = 0.1  # of the time that has gone by since the last news
ASK_PATIENCE = 0.05  # of the job's age


def next_look(quiet: float) -> float:
    """Return the pause before the next look, ``quiet`` seconds after the last news of any job."""
    return min(max(LOOK_PATIENCE * quiet, LOOK_FIRST), LOOK_LAST)


def next_ask(age: float, to_end: float | None) -> float:
    """Return the pause between questions to the scheduler about a job of this age.

    ``to_end`` is the time to its expected end, negative after it, None where it is unknown.
    """
    pause = min(max(ASK_PATIENCE * age, ASK_FIRST), ASK_LAST)
    if to_end is not None and -ASK_LAST < to_end < pause:
        return min(pause, max(to_end, ASK_NEAR))
    return pause


@dataclass
class Allowance:
    """So many at once, then one every so many seconds: what a client costs at most, whatever it watches."""

    burst: int
    every: float
    _due: float = 0.0

    def wait(self, now: float) -> float:
        """Return the seconds until the next one may be had."""
        return max(self._due - self.burst * self.every - now, 0.0)

    def spend(self, now: float) -> None:
        """Take one."""
        self._due = max(self._due, now) + self.every


def looks(here: bool) -> Allowance:
    """Return what one client may look at one cluster: some dozens of short jobs are seen at once, a stream is not.

    ``here``: the cluster's files are this machine's, where a look opens no session on somebody else's login node.
    """
    return Allowance(600, 0.02 if here else 1.0)


def asks() -> Allowance:
    """Return how often one client may ask one scheduler without a reason."""
    return Allowance(60, 10.0)
