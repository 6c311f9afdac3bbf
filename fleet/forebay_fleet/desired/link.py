"""One stream of one box: what it says is kept, and its newest state goes to it.

Owns the order of messages of `Fleet.Connect`. Must not know who may come (`identity.door`).
"""

from __future__ import annotations

import asyncio
import random
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc.aio

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.desired import commands, reports, states

if TYPE_CHECKING:
    from forebay_fleet.desired.hub import Hub

    Context = grpc.aio.ServicerContext[fleet_pb2.AgentToServer, fleet_pb2.ServerToAgent]

SILENCE_S = 60.0
"""A box that says nothing for so long is gone: it reports every 10 s."""
MAX_REPORT_BYTES = 4 << 20
RETURNS_PER_S = 200


class LinkEnded(Exception):
    """Why a stream ends: a gRPC status, and when to come back, s."""

    def __init__(self, status: str, message: str, wait_s: float = 0.0) -> None:
        """Keep them."""
        super().__init__(message)
        self.status, self.wait_s = status, wait_s


class Link:
    """Serves one stream. `run` raises LinkEnded unless the box says that it goes."""

    def __init__(self, hub: Hub, context: Context, gateway: str, *, renew: bool) -> None:
        """`renew`: the box is to renew its certificate."""
        self._hub, self._context, self._gateway, self._renew = hub, context, gateway, renew
        self._acked = self._expected = 0
        self._full = False
        self._kept: list[str] = []
        self._asked: set[str] = set()

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
                await self._note(fleet_pb2.AgentToServer(), online=False)

    async def _read(self, wake: asyncio.Event) -> None:
        while True:
            try:
                message: Any = await asyncio.wait_for(self._context.read(), SILENCE_S)
            except TimeoutError:
                raise LinkEnded("DEADLINE_EXCEEDED", "no report for too long") from None
            if message is grpc.aio.EOF or message.disconnecting:
                return
            if message.ByteSize() > MAX_REPORT_BYTES:
                raise LinkEnded("INVALID_ARGUMENT", "a report is larger than 4 MiB")
            self._full = message.sequence_num != self._expected + 1 and not message.full_state
            self._expected = message.sequence_num
            await self._note(message, online=True)
            if message.results:
                self._kept += await self._hub.registry(
                    partial(commands.note, gateway=self._gateway, results=tuple(message.results))
                )
            self._acked = message.sequence_num
            wake.set()

    async def _note(self, message: fleet_pb2.AgentToServer, *, online: bool) -> None:
        report = reports.Report(
            *(self._gateway, int(online), time.time_ns(), message.description.version[:64]),
            message.health.SerializeToString() if message.HasField("health") else b"",
            message.config.SerializeToString() if message.HasField("config") else b"",
        )
        await self._hub.registry(lambda registry: reports.note(registry, report))

    async def _write(self, wake: asyncio.Event) -> None:
        sent = 0
        while True:
            await wake.wait()
            wake.clear()
            if not self._hub.newest(self._gateway, wake):
                raise LinkEnded("ABORTED", "this gateway has connected anew")
            if self._hub.stopping.is_set():
                wait_s = random.random() * self._hub.streams / RETURNS_PER_S
                raise LinkEnded("UNAVAILABLE", "the server stops", wait_s)
            answer = fleet_pb2.ServerToAgent(acked=self._acked)
            answer.flags |= fleet_pb2.REPORT_FULL_STATE if self._full else 0
            answer.flags |= fleet_pb2.RENEW_CERTIFICATE if self._renew else 0
            found = await self._hub.registry(lambda r: states.newest(r, self._gateway))
            if found is not None and found[0] > sent:
                sent = found[0]
                answer.desired.ParseFromString(found[1])
            kept, self._kept = self._kept, []
            answer.accepted_results.extend(kept)
            await self._command(answer, wake)
            await self._context.write(answer)

    async def _command(self, answer: fleet_pb2.ServerToAgent, wake: asyncio.Event) -> None:
        """Add commands that were not sent on this stream yet."""
        waiting = await self._hub.registry(
            lambda r: commands.pending(r, self._gateway, time.time_ns())
        )
        fresh = [one for one in waiting if one[0] not in self._asked]
        for id_, signed in fresh[: commands.AT_ONCE]:
            self._asked.add(id_)
            answer.commands.add().ParseFromString(signed)
        self._asked &= {id_ for id_, _ in waiting}
        if len(fresh) > commands.AT_ONCE:
            wake.set()
