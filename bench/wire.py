"""How many bytes cross the line for what a journal holds: TLS, HTTP/2 and gRPC included.

Sends through the real uplink to a real fleet server, by way of a relay that counts.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from bench.figures import seams
from forebay.interfaces import Offer
from forebay.model import Position, Stream
from forebay.uplinks.grpc.config import GrpcSettings
from forebay.uplinks.grpc.uplink import GrpcUplink
from support.fleet import FleetServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from forebay.journal.journal import Journal

GROUP_BYTES = 256 << 10
"""As the forwarder hands records over."""
DEADLINE_S = 60.0


class Relay:
    """Passes connections on to a port of this machine and counts the bytes of both directions."""

    def __init__(self, port: int) -> None:
        """Name the port behind it."""
        self._behind = port
        self.passed_bytes = 0

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Relay until the end of the block; gives the port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield int(server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        beyond, back = await asyncio.open_connection("127.0.0.1", self._behind)
        await asyncio.gather(self._pass(reader, back), self._pass(beyond, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 18):
                self.passed_bytes += len(data)
                writer.write(data)
                await writer.drain()
        writer.close()


async def sent_bytes(journal: Journal, directory: Path) -> int:
    """Send all telemetry of `journal` to a server whose files come into `directory`.

    Give the bytes that crossed, those of the handshake too.
    """
    with FleetServer(directory) as server:
        files = server.issue("bench")
        relay = Relay(server.port)
        async with relay.listening() as port, asyncio.timeout(DEADLINE_S):
            settings = GrpcSettings(
                kind="grpc",
                address=f"127.0.0.1:{port}",
                ca=files.ca,
                cert=files.certificate,
                key=files.key,
            )
            uplink = GrpcUplink("bench", settings, seams())
            try:
                await _send(journal, uplink)
            finally:
                await uplink.close()
    return relay.passed_bytes


async def _send(journal: Journal, uplink: GrpcUplink) -> None:
    heads = tuple(head for head in journal.heads() if head.stream is Stream.TELEMETRY)
    await uplink.connect(Offer("bench", "boot", 1, heads, schema=journal.schema))
    (head,) = heads
    at = Position(head.stream, head.epoch, 0)
    receipts = uplink.receipts()
    while at.seq < head.next_seq - 1:
        records = await journal.read(at, GROUP_BYTES)
        await uplink.send(records, historical=False)
        at = records[-1].position
        async for receipt in receipts:  # each group before the next: no batching flatters this
            if receipt.resume.committed_seq >= at.seq:
                break
