"""The gRPC uplink without gRPC: its own messages over a simulated connection."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from forebay import uplinkproto
from forebay._proto import uplink_pb2 as pb
from forebay.errors import UplinkUnavailable
from sim.net import Broken, Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from forebay.clock import Clock
    from forebay.interfaces import Offer, Receipt, Resume, Terms
    from forebay.model import Record
    from sim.net import Net
    from sim.server import SimServer

CONNECT_S = 10.0


def _gone() -> UplinkUnavailable:
    return UplinkUnavailable("the connection is gone", hint="wait")


class SimUplink:
    """Implements `interfaces.Uplink` between one gateway and one server."""

    def __init__(
        self,
        there: tuple[Net, SimServer],
        gateway: str,
        clock: Clock,
        told: Callable[[Sequence[Resume]], None],
    ) -> None:
        """Reach the server over the net; `told` hears all that it says it has."""
        self._net, self._server = there
        self._gateway, self._clock, self._told = gateway, clock, told
        self._connection: Connection | None = None

    async def connect(self, offer: Offer) -> Terms:
        """See `Uplink.connect`."""
        await asyncio.sleep(0.001)
        if self._net.silent:
            await asyncio.sleep(CONNECT_S)
        if not (self._net.up and self._server.running) or self._net.silent:
            raise _gone()
        self._connection = Connection(self._net)
        self._server.serve(self._connection, self._gateway)
        await self._write(uplinkproto.hello(offer, self._clock.now_ns(), "sim"))
        try:
            async with asyncio.timeout(CONNECT_S):
                terms = uplinkproto.terms((await self._read()).welcome)
        except TimeoutError:
            raise _gone() from None
        self._told(terms.resume)
        return terms

    async def send(
        self, records: Sequence[Record], *, historical: bool, absent_from: Sequence[int] = ()
    ) -> None:
        """See `Uplink.send`."""
        await self._write(
            uplinkproto.group(records, historical=historical, absent_from=absent_from)
        )

    async def receipts(self) -> AsyncIterator[Receipt]:
        """See `Uplink.receipts`."""
        while True:
            message = await self._read()
            if message.WhichOneof("message") == "ack":
                receipt = uplinkproto.receipt(message.ack)
                if not self._server.counts:
                    receipt = replace(receipt, answered=None)
                self._told((receipt.resume,))
                yield receipt

    async def close(self) -> None:
        """See `Uplink.close`."""
        if self._connection is not None:
            self._connection.break_now()
            self._connection = None

    async def _write(self, message: pb.FromGateway) -> None:
        if self._connection is None:
            raise _gone()
        try:
            await self._connection.to_server.write(message.SerializeToString())
        except Broken:
            raise _gone() from None

    async def _read(self) -> pb.FromServer:
        if self._connection is None:
            raise _gone()
        try:
            return pb.FromServer.FromString(await self._connection.to_gateway.read())
        except Broken:
            raise _gone() from None
