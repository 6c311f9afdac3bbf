"""A forwarder under test: real gRPC uplink and server, a journal in memory, a hurrying clock."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog

from forebay.clock import SystemClock
from forebay.events import Events
from forebay.files import SystemDisk
from forebay.forwarding.forwarder import Forwarder
from forebay.interfaces import Seams
from forebay.net import SystemNetwork
from forebay.uplinks.grpc import SPEC
from forebay.uplinks.grpc.config import GrpcSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from forebay.clock import Clock
    from forebay.forwarding.journal_view import JournalView
    from forebay.testing.uplink_server import UplinkServer

PATIENCE_S = 60.0


class HurryingClock(SystemClock):
    """The machine's clock, `speed` times as fast for everything that is waited for."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def monotonic_s(self) -> float:
        return super().monotonic_s() * self._speed

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / self._speed)


def make_seams(clock: Clock | None = None) -> Seams:
    """Give the machine's seams with a fixed seed, the clock twenty times as fast."""
    events = Events(structlog.wrap_logger(structlog.ReturnLogger()))
    clock = HurryingClock(20) if clock is None else clock
    return Seams(clock, SystemDisk(), SystemNetwork(), random.Random(1), events)


def make_forwarder(
    server: UplinkServer, journal: JournalView, *, seams: Seams | None = None, **settings: Any
) -> Forwarder:
    """Give a forwarder to `server` over plain text."""
    seams = seams or make_seams()
    values = {"kind": "grpc", "address": server.address, "plaintext": True, **settings}
    checked = GrpcSettings.model_validate(values)
    uplink = SPEC.build("cloud", checked, seams)
    return Forwarder("cloud", uplink, checked, journal, "gateway-1", seams)


@asynccontextmanager
async def running(forwarder: Forwarder) -> AsyncIterator[asyncio.Task[None]]:
    """Run `forwarder`; at the end cancel it and see that nothing of it is left."""
    before = asyncio.all_tasks()
    task: asyncio.Task[None] = asyncio.create_task(forwarder.run(), name="forwarder")
    try:
        yield task
    finally:
        ended = task.done()
        task.cancel()
        await asyncio.wait({task})
        assert ended or task.cancelled(), "a cancelled forwarder must end as cancelled"
    left = {t for t in asyncio.all_tasks() - before if t.get_name().startswith("forwarder")}
    assert not left, f"orphans: {left}"


async def until(condition: Callable[[], object]) -> None:
    """Wait until `condition()` holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - nothing on the server's side could set an event
            await asyncio.sleep(0.002)
