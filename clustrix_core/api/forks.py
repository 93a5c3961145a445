"""What a forked child inherits and cannot use: the threads that look after its parent's jobs are not there."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

from clustrix_core.errors import CannotTravel


class Holder(Protocol):
    """What callers wait for."""

    def _leave(self) -> None: ...


_holders: WeakSet[Holder] = WeakSet()


def remember(holder: Holder) -> None:
    """Have ``holder._leave()`` called in every child that this process forks, before anything else can wait for it."""
    _holders.add(holder)


def left(holder: Holder, job: str | None) -> CannotTravel:
    """Return what is raised in a child that asks for the outcome of its parent's job."""
    hint = f"Ask for it here: clustrix.get_job({job!r})." if job else "Submit it here."
    return CannotTravel(f"{holder!r} belongs to the process that this one was forked from", hint=hint)


def _leave_all() -> None:
    for holder in list(_holders):
        holder._leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all)


__all__ = ["Holder", "left", "remember"]
