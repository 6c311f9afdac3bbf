"""One stream of one box: the order of its messages, shared by the parts of the server.

Owns the order of messages of `Fleet.Connect`, and what ends a stream. Must not know who may come
(`identity.door`), nor what is said (`parts`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc.aio
from google.protobuf.message import DecodeError

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.desired.reports import Reporting

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay_fleet.desired.hub import Hub
    from forebay_fleet.desired.parts import Part
    from forebay_fleet.registry import Registry

    Context = grpc.aio.ServicerContext[bytes, fleet_pb2.ServerToAgent]

SILENCE_S = 60.0
"""A box that says nothing for so long is gone: it reports every 10 s."""
MAX_REPORT_BYTES = 4 << 20
"""Before it is parsed: what is parsed may take twenty times as much."""
LEAST_S = 0.2
"""What a box may take of a server on the long run: a report in so much time."""
AT_ONCE = 20
"""Reports that may come at once."""


class LinkEnded(Exception):
    """Why a stream ends: a gRPC status, and when to come back, s."""

    def __init__(self, status: str, message: str, wait_s: float = 0.0) -> None:
        """Keep them."""
        super().__init__(message)
        self.status, self.wait_s = status, wait_s


class Link:
    """Serves one stream. `run` raises LinkEnded unless the box says that it goes."""

    def __init__(
        self, hub: Hub, context: Context, gateway: str, behind: Callable[[Registry], bool]
    ) -> None:
        """`behind` says whether the box is to renew its certificate now."""
        self._hub, self._context, self._gateway, self._behind = hub, context, gateway, behind
        self._acked = self._expected = 0
        self._full = False
        self._reporting = Reporting(hub.reports, gateway)
        self._parts: list[Part] = [self._reporting, *(make(gateway) for make in hub.makes)]

    async def run(self) -> None:
        """Talk until either side ends."""
        wake = self._hub.enter(self._gateway)
        reading = asyncio.create_task(self._read(wake), name="link.read")
        writing = asyncio.create_task(self._write(wake), name="link.write")
        try:
            await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
            for task in (writing, reading):
                if task.done():
                    task.result()
        finally:
            for task in (reading, writing):
                task.cancel()
            await asyncio.wait((reading, writing))
            if self._hub.leave(self._gateway, wake):
                self._reporting.left()

    async def _read(self, wake: asyncio.Event) -> None:
        clock = asyncio.get_running_loop().time
        credit_s = clock() - AT_ONCE * LEAST_S
        while True:
            message = await self._next()
            if message is None or message.disconnecting:
                return
            self._heard(message)
            for part in self._parts:
                await part.take(message)
            self._acked = message.sequence_num
            wake.set()
            credit_s = max(credit_s, clock() - AT_ONCE * LEAST_S) + LEAST_S
            if (ahead_s := credit_s - clock()) > 0:
                await asyncio.sleep(ahead_s)

    def _heard(self, message: fleet_pb2.AgentToServer) -> None:
        """Note whether all is known: if not, all is asked for until it comes."""
        if message.full_state:
            self._full = False
        elif self._expected == 0 or message.sequence_num != self._expected + 1:
            self._full = True
        self._expected = message.sequence_num

    async def _next(self) -> fleet_pb2.AgentToServer | None:
        """Give what the box says next; None: no more."""
        try:
            data: Any = await asyncio.wait_for(self._context.read(), SILENCE_S)
        except TimeoutError:
            raise LinkEnded("DEADLINE_EXCEEDED", "no report for too long") from None
        if data is grpc.aio.EOF:
            return None
        if len(data) > MAX_REPORT_BYTES:
            raise LinkEnded("INVALID_ARGUMENT", "a report is larger than 4 MiB")
        try:
            return fleet_pb2.AgentToServer.FromString(data)
        except DecodeError:
            raise LinkEnded("INVALID_ARGUMENT", "a report cannot be read") from None

    async def _write(self, wake: asyncio.Event) -> None:
        while True:
            await wake.wait()
            wake.clear()
            if not self._hub.newest(self._gateway, wake):
                raise LinkEnded("ABORTED", "this gateway has connected anew")
            if self._hub.stopping.is_set():
                raise LinkEnded("UNAVAILABLE", "the server stops", self._hub.returns.wait_s())
            answer = fleet_pb2.ServerToAgent(acked=self._acked)
            answer.flags |= fleet_pb2.REPORT_FULL_STATE if self._full else 0
            behind = await self._hub.registry(self._behind)
            answer.flags |= fleet_pb2.RENEW_CERTIFICATE if behind else 0
            for part in self._parts:
                if await part.answer(answer):
                    wake.set()
            await self._context.write(answer)
