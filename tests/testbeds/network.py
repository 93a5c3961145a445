"""A bad network: a way through loopback to a port of this machine that delays, loses, breaks and refuses on demand.

    with Network(22) as network:
        network.delay = 0.1     # seconds in each direction
        network.reset()         # all connections, at once

What a test sets holds from the next byte on.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any, cast

RETRANSMISSION = 0.2  # seconds that a lost segment costs, and all that comes behind it
_ABRUPT = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a RST


class Network:
    """A way to the port ``server``, which may change for connections to come.

    ``up`` and ``down`` count the bytes that went there and back, ``trips`` how often the client has waited for an
    answer, ``connections`` those that were made, refused ones included. ``host``: the address that it listens on.
    """

    def __init__(self, server: int, host: str = "127.0.0.1") -> None:
        self.delay = 0.0
        self.loss = 0.0  # the share of segments
        self.refused: Callable[[int], bool] = lambda number: False
        self.up = self.down = self.trips = self.connections = 0
        self.server = server
        self.host = host
        self._chance = random.Random(1)
        self._limits: dict[str, int] = {}
        self._legs: set[_Leg] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        with socket.create_server((host, 0)) as free:
            self.port = int(free.getsockname()[1])
        self._listener: asyncio.Server | None = None

    def __enter__(self) -> Network:
        self._thread.start()
        self.open()
        return self

    def __exit__(self, *raised: object) -> None:
        self.shut()
        self.reset()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open(self) -> None:
        """Take connections (again)."""

        async def listen() -> None:
            self._listener = await self._loop.create_server(
                lambda: _Leg(self, "up"), self.host, self.port, reuse_address=True
            )

        self._do(listen())

    def shut(self) -> None:
        """Refuse connections: nobody listens. Those that there are go on."""

        async def close() -> None:
            if self._listener:
                self._listener.close()
                self._listener = None

        self._do(close())

    def reset(self) -> None:
        """Break all connections at once, in both directions."""

        async def abort() -> None:
            for leg in list(self._legs):
                leg.abort()

        self._do(abort())

    def reset_after(self, **limits: int) -> None:
        """Break all connections once, when so many more bytes have gone ``up=`` or ``down=``."""
        self._limits = {way: getattr(self, way) + more for way, more in limits.items()}

    @property
    def broke(self) -> bool:
        """Whether the connections broke that were to."""
        return not self._limits

    def _passed(self, way: str, size: int) -> None:
        setattr(self, way, getattr(self, way) + size)
        if any(getattr(self, limited) >= limit for limited, limit in self._limits.items()):
            self._limits = {}
            for leg in list(self._legs):
                leg.abort()

    def _pause(self) -> float:
        return self.delay + (RETRANSMISSION + 2 * self.delay if self._chance.random() < self.loss else 0.0)

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # for the transports to close

    def _do(self, what: Any) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)


class _Leg(asyncio.Protocol):
    """One end of a connection: what arrives here leaves at the other end, later."""

    def __init__(self, network: Network, way: str, other: _Leg | None = None) -> None:
        self.network, self.way, self.other = network, way, other
        self.transport: asyncio.Transport | None = None
        self.waiting: list[bytes | None] = []  # until there is another end
        self.due = 0.0
        self.answered = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.network._legs.add(self)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.other is None:
            self.network.connections += 1
            if self.network.refused(self.network.connections):
                self.abort()
            else:
                self.connecting = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        try:
            _, leg = await self.network._loop.create_connection(
                lambda: _Leg(self.network, "down", self), "127.0.0.1", self.network.server
            )
        except OSError:
            self.abort()
            return
        self.other = leg
        for data in self.waiting:
            self._pass_on(data)
        if self.transport is None or self.transport.is_closing():
            leg.abort()

    def data_received(self, data: bytes) -> None:
        if self.way == "up":
            self.answered = False
        elif self.other and not self.other.answered:
            self.other.answered = True
            self.network.trips += 1
        self._later(data)
        self.network._passed(self.way, len(data))

    def eof_received(self) -> bool:
        self._later(None)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.network._legs.discard(self)
        if self.other:
            self.other.abort()

    def abort(self) -> None:
        """End it as a firewall does that has had enough."""
        if self.transport and not self.transport.is_closing():
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABRUPT)
            self.transport.abort()

    def _later(self, data: bytes | None) -> None:
        loop = self.network._loop
        self.due = max(self.due, loop.time() + self.network._pause()) + 1e-9  # nothing overtakes
        loop.call_at(self.due, self._pass_on, data)

    def _pass_on(self, data: bytes | None) -> None:
        if self.other is None:
            self.waiting.append(data)
        elif self.other.transport and not self.other.transport.is_closing():
            if data is None:
                self.other.transport.close()  # behind what is on its way
            else:
                self.other.transport.write(data)
