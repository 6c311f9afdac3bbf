"""The path between a gateway and a server: ordered, slow, and sometimes gone without a word."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

QUEUE_MOST = 4096
CONNECT_DEADLINE_S = 10.0


class Broken(Exception):
    """The connection is gone, and this end knows it."""


@dataclass
class Net:
    """What the path is like now.

    `up`: connections can be made and live. `silent`: bytes vanish and nobody is told (half open).
    """

    rng: random.Random
    up: bool = True
    silent: bool = False
    delay_most_s: float = 0.02
    bytes_per_s: float = 1e9
    connections: list[Connection] = field(default_factory=list)

    def cut(self) -> None:
        """Break every connection and refuse new ones until `up` is set."""
        self.up = False
        self.reset()

    def reset(self) -> None:
        """Break every connection."""
        for connection in self.connections:
            connection.break_now()
        self.connections.clear()


class Pipe:
    """One direction. What is written comes out later, in order, or never."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._arrived: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_MOST)
        self._free_at_s = 0.0
        self.broken = False

    async def write(self, data: bytes) -> None:
        """Hand over; waits while the line is busy."""
        loop = asyncio.get_running_loop()
        if self.broken:
            raise Broken
        begin_s = max(loop.time(), self._free_at_s)
        self._free_at_s = begin_s + len(data) / self._net.bytes_per_s
        arrives_s = self._free_at_s + self._net.rng.uniform(0, self._net.delay_most_s)
        self._free_at_s = max(self._free_at_s, arrives_s)  # in order
        if not self._net.silent:
            loop.call_at(arrives_s, self._arrive, data)
        await asyncio.sleep(max(0.0, begin_s - loop.time()))

    async def read(self) -> bytes:
        """Give the next message; Broken when none can come."""
        if self.broken and self._arrived.empty():
            raise Broken
        data = await self._arrived.get()
        if data is None:
            raise Broken
        return data

    def _arrive(self, data: bytes) -> None:
        if not self.broken and not self._net.silent:
            self._arrived.put_nowait(data)

    def break_now(self) -> None:
        """End it; what has not arrived is lost."""
        if not self.broken:
            self.broken = True
            self._arrived.put_nowait(None)


class Connection:
    """Both directions of one session."""

    def __init__(self, net: Net) -> None:
        self.to_server, self.to_gateway = Pipe(net), Pipe(net)
        net.connections.append(self)

    def break_now(self) -> None:
        """End both directions."""
        self.to_server.break_now()
        self.to_gateway.break_now()
