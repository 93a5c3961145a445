"""References: a job among the arguments of a call travels as what finds its value over there, not as itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from types import FunctionType
from typing import Any

from clustrix_core.errors import CannotTravel

Refer = Callable[[Any], Any]
_refer: ContextVar[Refer | None] = ContextVar("refer", default=None)  # None: nothing is being packed


class Standing:
    """What stands for its value among the arguments of a call; a job does, too."""


@contextmanager
def by(refer: Refer | None) -> Iterator[None]:
    """Within this context a job is pickled as what ``refer(job)`` returns, as ``__reduce__`` would; None: refused."""
    before = _refer.set(refer or _refused)
    try:
        yield
    finally:
        _refer.reset(before)


def reduce(job: Any) -> Any:
    """Return how to pickle a job. Raises CannotTravel where it is no argument of a call."""
    return (_refer.get() or _refused)(job)


def packing() -> bool:
    """Return whether what is pickled now is to travel: else it is somebody's own business."""
    return _refer.get() is not None


def _refused(job: Any) -> Any:
    raise CannotTravel(f"{job!r} is a job of this process", hint="Send its result instead: job.result().")


def check(function: FunctionType) -> None:
    """Raise CannotTravel for a function among the arguments that uses a job by itself: it would find a value there."""
    if _refer.get() in (None, _refused):  # a job is refused wherever it is
        return
    try:
        scope = inspect.getclosurevars(function)
    except ValueError:  # a variable that is not set yet
        return
    for name, value in [*scope.nonlocals.items(), *scope.globals.items()]:
        if isinstance(value, (Future, Standing)):
            raise CannotTravel(
                f"{name!r}, which {function.__qualname__} uses, is a job", hint="Make it an argument of its own."
            )


__all__ = ["Refer", "Standing", "by", "check", "packing", "reduce"]
