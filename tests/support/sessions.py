"""Real sessions on the real clock, wired as the agent wires them: what they give and tell."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog

from forebay.acquisition.session import Session
from forebay.acquisition.standstill import Pulse
from forebay.acquisition.wires import wires
from forebay.clock import SystemClock
from forebay.config.devices import Device
from forebay.drivers.modbus import SPEC as MODBUS
from forebay.drivers.modbus.config import ModbusSettings
from forebay.events import Events
from forebay.files import SystemDisk
from forebay.interfaces import DeviceSpec, Seams
from forebay.model import Schema
from forebay.net import SystemNetwork
from forebay.settings import BackoffSettings, GroupSettings
from forebay.testing.driver import CollectingIntake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from forebay.drivers.modbus.tag import ModbusTag
    from forebay.model import Batch

S = 1_000_000_000


class Watched(CollectingIntake):
    """An intake that keeps what came, newest last, and wakes who waits for more."""

    def __init__(self) -> None:
        super().__init__()
        self.came = asyncio.Event()

    async def accept(self, batch: Batch) -> None:
        """See `Intake.accept`."""
        await super().accept(batch)
        self.came.set()

    def rows(self, device: str) -> list[Batch]:
        """Give the rows of one device, oldest first."""
        return [batch for batch in self.batches if batch.schema.source == device]


class Site:
    """Some Modbus devices and their sessions, while `running`; `lines` is their log."""

    def __init__(self) -> None:
        """Begin with no device and an empty log."""
        self.lines: list[dict[str, Any]] = []

        def keep(_log: Any, _level: str, line: Any) -> str:
            self.lines.append(dict(line))
            raise structlog.DropEvent

        self.events = Events(structlog.wrap_logger(None, processors=[keep]))
        self.seams = Seams(
            SystemClock(), SystemDisk(), SystemNetwork(), random.Random(1), self.events
        )
        self.intake = Watched()
        self.sessions: dict[str, Session] = {}
        self._devices: list[Device] = []

    def add(
        self, name: str, port: int, tags: Sequence[ModbusTag], period_s: float, **settings: Any
    ) -> None:
        """Put a device on the loopback, with one polled group of `tags`."""
        given = ModbusSettings(
            protocol="modbus",
            host="127.0.0.1",
            port=port,
            tags=(),
            groups={"fast": GroupSettings(period=period_s)},
            **{"timeout": 1.0, "backoff": BackoffSettings(first=0.2, most=2.0), **settings},
        )
        schema = Schema(name, "fast", tuple(tag.to_tag() for tag in tags))
        spec = DeviceSpec(name, given, (schema,), {tag.name: tag for tag in tags})
        self._devices.append(Device(spec, MODBUS, ()))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Site]:
        """Serve the devices while entered; a task that ends is an error."""
        pulse, seams = Pulse(self.seams), self.seams
        sessions = [
            Session(d.spec, d.driver.build, w.line, self.intake, seams, pulse, place=w)
            for d, w in zip(self._devices, wires(self._devices, seams), strict=True)
        ]
        self.sessions = {session.name: session for session in sessions}
        parts = {"pulse": pulse.run()} | {f"session[{s.name}]": s.run() for s in sessions}
        told = {session.news: None for session in sessions}
        parts |= {f"line[{news.line}]": news.run() for news in told if news.shared}
        tasks = [asyncio.create_task(part, name=name) for name, part in parts.items()]
        try:
            yield self
            assert not [task for task in tasks if task.done()]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def until(self, true: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Wait until `true` after some row; AssertionError if that takes too long."""
        try:
            async with asyncio.timeout(timeout_s):
                while not true():
                    self.intake.came.clear()
                    await self.intake.came.wait()
        except TimeoutError:
            raise AssertionError(self.lines[-20:]) from None

    async def rows(self, device: str, count: int, timeout_s: float = 60.0) -> list[Batch]:
        """Wait for `count` more rows of a device; give them."""
        had = len(self.intake.rows(device))
        await self.until(lambda: len(self.intake.rows(device)) >= had + count, timeout_s)
        return self.intake.rows(device)[had : had + count]

    def told(self, event: str) -> list[dict[str, Any]]:
        """Give the log's lines of this event."""
        return [line for line in self.lines if line["event"] == event]


def statuses(row: Batch) -> set[int]:
    """Give the qualities of a row."""
    return {0} if row.quality is None else set(row.quality[0].tolist())


def began_s(row: Batch) -> float:
    """Give when the read of a row began, wall time in seconds."""
    return int(row.times_ns[0]) / S
