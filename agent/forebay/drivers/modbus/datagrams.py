"""UDP under a `Connection`: each datagram holds one frame, and what is lost is an answer late.

Owns the seam between datagrams and a stream of bytes. Must not know requests.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from forebay.drivers.modbus.codec import HEADER_BYTES, SHORTEST_BYTES

if TYPE_CHECKING:
    from forebay.drivers.modbus.connection import Connection


class Datagrams(asyncio.DatagramProtocol):
    """Passes to `connection` what it waits for and drops all else.

    A network may double datagrams, and anybody may send one.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give the connection something to write to (asyncio.BaseProtocol)."""
        sender = _Sender(cast("asyncio.DatagramTransport", transport))
        self._connection.connection_made(sender)

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Pass on what is one frame (asyncio.DatagramProtocol)."""
        del addr  # the socket is connected: it is the device's
        whole = len(data) >= SHORTEST_BYTES and len(data) == HEADER_BYTES + (data[4] << 8 | data[5])
        if whole and self._connection.expects(data):
            self._connection.data_received(data)

    def error_received(self, exc: Exception) -> None:
        """End the connection: nobody listens there (asyncio.DatagramProtocol)."""
        self._connection.connection_lost(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the connection (asyncio.BaseProtocol)."""
        self._connection.connection_lost(exc)


class _Sender(asyncio.Transport):
    """Sends each frame in a datagram of its own."""

    def __init__(self, transport: asyncio.DatagramTransport) -> None:
        super().__init__()
        self._transport = transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send whole frames."""
        data, at = bytes(data), 0
        while at < len(data):
            end = at + HEADER_BYTES + (data[at + 4] << 8 | data[at + 5])
            self._transport.sendto(data[at:end])
            at = end

    def abort(self) -> None:
        """Close the socket."""
        self._transport.abort()
