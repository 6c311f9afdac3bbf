"""The network seam: how drivers of our own open a TCP connection or a UDP socket.

Owns socket options that every field connection wants. Must not know any protocol. Libraries that
open their own sockets (grpc, asyncua, paho) are tested against real servers and proxies instead.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    import ssl

P = TypeVar("P", bound=asyncio.Protocol)
D = TypeVar("D", bound=asyncio.DatagramProtocol)


class Network(Protocol):
    """Opens connections."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        protocol: P,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> P:
        """Connect `protocol` to host and port and give it back; OSError if that fails.

        With `tls`, its handshake is done and the peer has shown to be `server_name`. The caller
        sets the deadline.
        """
        ...

    async def connect_udp(self, host: str, port: int, protocol: D) -> D:
        """Give `protocol` a socket that sends to and hears from host and port alone.

        OSError if that fails; that nobody is there shows later.
        """
        ...


class SystemNetwork:
    """The machine's TCP and UDP."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        protocol: P,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> P:
        """See `Network.connect_tcp`.

        Nagle's delay is off; keep-alive finds a dead peer while nothing is polled.
        """
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(
            lambda: protocol, host, port, ssl=tls, server_hostname=server_name
        )
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return protocol

    async def connect_udp(self, host: str, port: int, protocol: D) -> D:
        """See `Network.connect_udp`."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: protocol, remote_addr=(host, port))
        return protocol
