"""The network seam: how drivers of our own open a TCP connection.

Owns socket options that every field connection wants. Must not know any protocol. Libraries that
open their own sockets (grpc, asyncua, paho) are tested against real servers and proxies instead.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Protocol, TypeVar

P = TypeVar("P", bound=asyncio.Protocol)


class Network(Protocol):
    """Opens connections."""

    async def connect_tcp(self, host: str, port: int, protocol: P) -> P:
        """Connect `protocol` to host and port and give it back; OSError if that fails.

        The caller sets the deadline.
        """
        ...


class SystemNetwork:
    """The machine's TCP."""

    async def connect_tcp(self, host: str, port: int, protocol: P) -> P:
        """See `Network.connect_tcp`.

        Nagle's delay is off; keep-alive finds a dead peer while nothing is polled.
        """
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: protocol, host, port)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return protocol
