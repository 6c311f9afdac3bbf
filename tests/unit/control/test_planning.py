"""The account of a plan: requests, unneeded places, predicted times and loads, lessons."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import structlog

from forebay.acquisition.lengths import Length
from forebay.acquisition.line import SharedLine
from forebay.acquisition.plan import Learned, Refused, Unit
from forebay.acquisition.session import Session
from forebay.acquisition.standstill import Pulse
from forebay.control.planning import PlannedGroup, PlannedRequest, PlanReply, RefusedTag, explain
from forebay.events import Events
from forebay.files import SystemDisk
from forebay.interfaces import Cost, DeviceSpec, Seams, Span, SpanLimits
from forebay.model import Quality, Schema, Tag, ValueType
from forebay.net import SystemNetwork
from forebay.settings import DeviceSettings, GroupSettings
from forebay.testing.clock import FakeClock
from forebay.testing.driver import CollectingIntake, ScriptedDriver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

APART = 3


class Measured(ScriptedDriver):
    """Column i lies at 3 i; holes of two places are bridged; requests take 10 ms and 1 ms each."""

    measured = True

    def spans(self, schema: Schema) -> Sequence[Span]:
        """See `PolledDriver.spans`."""
        return [Span("words", APART * column, 1) for column in range(len(schema.tags))]

    def limits(self, area: str) -> SpanLimits:
        """See `PolledDriver.limits`."""
        del area
        return SpanLimits(10, APART - 1)

    def cost(self, area: str) -> Cost | None:
        """See `MeasuredDriver.cost`."""
        return Cost(0.01, 0.001) if self.measured and area == "words" else None


def session(driver: ScriptedDriver, clock: FakeClock) -> Session:
    schemas = tuple(
        Schema(
            "press",
            group,
            tuple(Tag(f"{group}{i}", f"w{APART * i}", ValueType.INT32) for i in range(count)),
        )
        for group, count in (("fast", 6), ("slow", 1))
    )
    groups = {"fast": GroupSettings(period=0.5), "slow": GroupSettings(period=60.0)}
    config = DeviceSettings(protocol="scripted", tags=(), groups=groups)
    seams = Seams(
        clock, SystemDisk(), SystemNetwork(), random.Random(1), Events(structlog.get_logger())
    )
    line = SharedLine("192.0.2.10:502", clock)
    spec = DeviceSpec("press", config, schemas, {})
    return Session(
        spec, lambda _spec, _seams, _line: driver, line, CollectingIntake(), seams, Pulse(seams)
    )


@asynccontextmanager
async def running(one: Session, clock: FakeClock) -> AsyncIterator[None]:
    task = asyncio.create_task(one.run(), name="session")
    try:
        await clock.advance(2)
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_requests_times_and_loads() -> None:
    clock = FakeClock()
    driver = Measured(clock)
    driver.on_read = lambda: clock.sleep(0.1)
    one = session(driver, clock)
    async with running(one, clock):
        found = explain(one)
    assert found.requests == (
        PlannedRequest("fast", "words", 0, 10, 4, 6, "first of words", 20.0),
        PlannedRequest("fast", "words", 12, 4, 2, 2, "the block before is full (10)", 14.0),
        PlannedRequest("slow", "words", 0, 1, 1, 0, "first of words", 11.0),
    )
    fast, slow = found.groups
    assert (fast.group, fast.period_s, fast.requests) == ("fast", 0.5, 2)
    assert fast.load == pytest.approx(0.034 / 0.5)
    assert slow.load == pytest.approx(0.011 / 60)
    assert (found.device, found.line) == ("press", "192.0.2.10:502")
    assert found.line_load == pytest.approx(one.line.load())
    assert found.learned == ()


async def test_what_was_not_measured_is_told_apart_from_nothing() -> None:
    clock = FakeClock()
    driver = Measured(clock)
    driver.measured = False
    one = session(driver, clock)
    async with running(one, clock):
        found = explain(one)
    assert {request.predicted_ms for request in found.requests} == {-1.0}
    assert [group.load for group in found.groups] == [-1.0, -1.0]
    plain = session(ScriptedDriver(clock), clock)
    async with running(plain, clock):
        assert {request.predicted_ms for request in explain(plain).requests} == {-1.0}


async def test_a_device_that_was_never_reached_has_no_plan() -> None:
    clock = FakeClock()
    assert explain(session(Measured(clock), clock)) == PlanReply(
        "press", "192.0.2.10:502", line_load=0.0
    )


async def test_a_refused_tag_is_named() -> None:
    clock = FakeClock()
    driver = Measured(clock)
    driver.refused = {4}
    one = session(driver, clock)
    async with running(one, clock):
        found = explain(one)
    assert found.refused == (RefusedTag("fast", "fast4", "w12", "BadOutOfRange"),)
    assert found.learned == ("fast: 1 tag is refused, and asked alone again every 60 polls",)
    assert PlannedGroup("slow", 60.0, 1, found.groups[1].load) == found.groups[1]


async def test_what_the_device_taught_is_said_in_sentences() -> None:
    clock = FakeClock()
    one = session(Measured(clock), clock)
    async with running(one, clock):
        unit = [Unit("words", APART * n, 1) for n in range(6)]
        one.planned[0].learned = Learned(
            {unit[0]: Refused(Quality.BAD_OUT_OF_RANGE, (0, 1))},
            frozenset({unit[2]}),
            {unit[4]: frozenset(unit[3:6])},
            lengths={"words": Length(5, 9), "coils": Length(100, 101)},
        )
        found = explain(one).learned
    assert found == (
        "fast: 2 tags are refused, and asked alone again every 60 polls",
        "fast: requests of 101 and more in coils are refused",
        (
            "fast: requests of 9 and more in words are refused, of up to 5 are not; "
            "between them it is still tried"
        ),
        "fast: no request may reach across the beginning of words:6",
        "fast: what is refused in words:9 to 15 is still searched for",
    )
