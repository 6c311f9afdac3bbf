"""One session over a scripted driver, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog

from forebay.acquisition.line import SharedLine
from forebay.acquisition.session import Session
from forebay.acquisition.standstill import Pulse
from forebay.events import (
    Events,
)
from forebay.files import SystemDisk
from forebay.interfaces import DeviceSpec, Seams
from forebay.model import Batch, Schema, Tag, ValueType
from forebay.net import SystemNetwork
from forebay.settings import BackoffSettings, DeviceSettings, GroupSettings
from forebay.testing.clock import FakeClock
from forebay.testing.driver import CollectingIntake, ScriptedDriver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

S = 1_000_000_000


def schema(count: int = 4, group: str = "fast") -> Schema:
    return Schema(
        "press", group, tuple(Tag(f"t{i}", f"{i}", ValueType.INT32) for i in range(count))
    )


class World:
    """One session over a scripted driver, on a clock that the test moves."""

    def __init__(
        self, schemas: tuple[Schema, ...], groups: dict[str, GroupSettings], **settings: Any
    ) -> None:
        self.clock, self.intake = FakeClock(), CollectingIntake()
        self.events = Events(structlog.get_logger())
        self.driver = ScriptedDriver(self.clock)
        seams = Seams(self.clock, SystemDisk(), SystemNetwork(), random.Random(1), self.events)
        config = DeviceSettings(
            protocol="scripted",
            tags=(),
            groups=groups,
            backoff=BackoffSettings(first=0.5, most=4.0),
            **settings,
        )
        spec = DeviceSpec("press", config, schemas, {})
        self.pulse = Pulse(seams)
        self.session = Session(
            spec,
            lambda _spec, _seams, _line: self.driver,
            SharedLine("press", self.clock),
            self.intake,
            seams,
            self.pulse,
        )

    @property
    def rows(self) -> list[Batch]:
        return self.intake.batches

    def times_s(self) -> list[float]:
        start = 1_700_000_000 * S
        return [(int(b.times_ns[0]) - start) / S for b in self.rows]


@asynccontextmanager
async def running(world: World) -> AsyncIterator[World]:
    task = asyncio.create_task(world.session.run(), name="session")
    beating = asyncio.create_task(world.pulse.run(), name="pulse")
    try:
        await world.clock.advance(0)
        yield world
        assert not task.done(), task
    finally:
        for each in (task, beating):
            each.cancel()
        await asyncio.wait([task, beating])


def polled(count: int = 4, period: float = 1.0, **settings: Any) -> World:
    return World((schema(count),), {"fast": GroupSettings(period=period)}, **settings)


def bad(batch: Batch | None) -> set[int]:
    return set() if batch is None or batch.quality is None else set(batch.quality[0].tolist())
