"""A gate on a paramiko channel: its end is not sent before what is being sent on it.

paramiko makes and sends a message in two steps, so that a CLOSE can overtake data or an EOF of another thread. OpenSSH
answers those with the end of the whole connection, and of the commands of all other threads with it (paramiko issues
1115 and 1705).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import paramiko


class Gate:
    """For one channel, on which one thread sends: what ends the channel waits while that thread is sending."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sending = False
        self._waiting: list[Callable[[], None]] = []

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Hold back the end of the channel for the length of the block, which must not wait for the window."""
        with self._lock:
            self._sending = True
        try:
            yield
        finally:
            with self._lock:
                self._sending = False
                waiting, self._waiting = self._waiting, []
            for end in waiting:
                end()

    def after(self, end: Callable[[], None]) -> None:
        """Call ``end`` now, or behind what is being sent. Does not wait."""
        with self._lock:
            if self._sending:
                self._waiting.append(end)
                return
        end()


def fit(channel: paramiko.Channel) -> Gate:
    """Put a gate on a channel of a transport of ``transport_class()`` and return it."""
    gate: Gate = channel.__dict__.setdefault("clustrix_gate", Gate())
    return gate


@cache
def transport_class() -> type[paramiko.Transport]:
    """Return paramiko's Transport with respect for gates."""
    import paramiko
    from paramiko.common import MSG_CHANNEL_CLOSE

    handlers = dict(getattr(paramiko.Transport, "_channel_handler_table", {}))
    handle_close = handlers.get(MSG_CHANNEL_CLOSE)

    def close_behind(channel: paramiko.Channel, message: paramiko.Message) -> None:
        assert handle_close
        gate = channel.__dict__.get("clustrix_gate")
        if gate:
            gate.after(partial(handle_close, channel, message))
        else:
            handle_close(channel, message)

    if handle_close:
        handlers[MSG_CHANNEL_CLOSE] = close_behind
    return type("Transport", (paramiko.Transport,), {"_channel_handler_table": handlers})


__all__ = ["Gate", "fit", "transport_class"]
