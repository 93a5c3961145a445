"""References: a job among the arguments of a call travels as what finds its value over there, not as itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from clustrix_core.errors import CannotTravel

Refer = Callable[[Any], Any]
_refer: ContextVar[Refer | None] = ContextVar("refer", default=None)


@contextmanager
def by(refer: Refer | None) -> Iterator[None]:
    """Within this context a job is pickled as what ``refer(job)`` returns, as ``__reduce__`` would; None: refused."""
    before = _refer.set(refer)
    try:
        yield
    finally:
        _refer.reset(before)


def reduce(job: Any) -> Any:
    """Return how to pickle a job. Raises CannotTravel where it is no argument of a call."""
    refer = _refer.get()
    if refer is None:
        raise CannotTravel(f"{job!r} is a job of this process", hint="Send its result instead: job.result().")
    return refer(job)


__all__ = ["Refer", "by", "reduce"]
