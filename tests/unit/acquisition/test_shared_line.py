"""Sessions on one line: who waits for whom, what a row says of it, one dead unit among eight."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import structlog

from forebay.acquisition.line import SharedLine
from forebay.acquisition.news import LineNews
from forebay.acquisition.schedule import Stagger
from forebay.acquisition.session import Session
from forebay.acquisition.standstill import Pulse
from forebay.acquisition.wires import Place
from forebay.errors import DeviceUnreachable
from forebay.events import DEVICE_CONNECTED, DEVICE_LOST, LINE_LOST, POLL_OVERRUN, Events
from forebay.files import SystemDisk
from forebay.interfaces import DeviceSpec, Seams, Urgency
from forebay.model import Batch, Quality, Schema, Tag, ValueType
from forebay.net import SystemNetwork
from forebay.settings import BackoffSettings, DeviceSettings, GroupSettings
from forebay.testing.clock import FakeClock
from forebay.testing.driver import CollectingIntake, ScriptedDriver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

S = 1_000_000_000
START_NS = 1_700_000_000 * S
UNITS = 8
REQUEST_S = 0.02
SILENT_S = 0.5
"""How long a driver waits for an answer before it says that its unit is silent."""
PROBE_S = 0.05


class Unit:
    """One device of the line: `requests` round trips a scan, between which it gives way.

    While `silent` it answers nothing: a scan then costs SILENT_S of the line, a probe PROBE_S.
    """

    def __init__(self, world: World, name: str, period_s: float, requests: int) -> None:
        self.world, self.requests, self.silent = world, requests, False
        self.driver = ScriptedDriver(world.clock)
        self.driver.on_read, self.driver.on_connect = self.scan, self.probe
        schema = Schema(name, "fast", (Tag("t", "0", ValueType.INT32),))
        settings = DeviceSettings(
            protocol="scripted",
            tags=(),
            groups={"fast": GroupSettings(period=period_s)},
            backoff=BackoffSettings(first=0.5, most=8.0),
        )
        self.spec = DeviceSpec(name, settings, (schema,), {})

    async def scan(self) -> None:
        for _ in range(self.requests):
            await self.ask(SILENT_S)
            if self.world.line.wanted:
                await self.world.line.give_way()

    async def probe(self) -> None:
        async with self.world.line.turn(Urgency.PROBE):
            await self.ask(PROBE_S)

    async def ask(self, patience_s: float) -> None:
        await self.world.clock.sleep(patience_s if self.silent else REQUEST_S)
        if self.silent:
            raise DeviceUnreachable("no answer", hint="h", status=Quality.BAD_TIMEOUT)


class World:
    """Sessions that share a line, each with the place that the composition would give it."""

    def __init__(self, *units: tuple[float, int]) -> None:
        self.clock, self.intake = FakeClock(), CollectingIntake()
        self.events = Events(structlog.get_logger())
        seams = Seams(self.clock, SystemDisk(), SystemNetwork(), random.Random(1), self.events)
        self.line, self.pulse = SharedLine("wire", self.clock), Pulse(seams)
        self.news = LineNews("wire", len(units), seams)
        self.units = [Unit(self, f"u{n}", *unit) for n, unit in enumerate(units)]
        self.sessions = [
            Session(
                unit.spec,
                self.build(unit),
                self.line,
                self.intake,
                seams,
                self.pulse,
                place=Place(self.line, self.news, Stagger(0, number, len(units))),
            )
            for number, unit in enumerate(self.units)
        ]

    @staticmethod
    def build(unit: Unit) -> Callable[..., ScriptedDriver]:
        return lambda *_: unit.driver

    def rows(self, name: str) -> list[Batch]:
        return [row for row in self.intake.batches if row.schema.source == name]

    def times_s(self, name: str) -> list[float]:
        return [(int(row.times_ns[0]) - START_NS) / S for row in self.rows(name)]


@asynccontextmanager
async def running(world: World) -> AsyncIterator[World]:
    running = [asyncio.create_task(session.run()) for session in world.sessions]
    running += [asyncio.create_task(world.news.run()), asyncio.create_task(world.pulse.run())]
    try:
        await world.clock.advance(0)
        yield world
        assert not any(task.done() for task in running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)


def status(row: Batch) -> int:
    return 0 if row.quality is None else int(row.quality[0, 0])


async def test_the_polls_of_a_line_lie_evenly_over_the_period() -> None:
    world = World(*[(1.0, 2)] * UNITS)
    async with running(world):
        await world.clock.advance(100)
        phases = sorted(world.times_s(f"u{n}")[50] % 1.0 for n in range(UNITS))
        gaps = [b - a for a, b in pairwise([*phases, phases[0] + 1])]
        assert min(gaps) > 0.9 / UNITS
        for number in range(UNITS):
            times = world.times_s(f"u{number}")[2:]
            assert max(abs(b - a - 1.0) for a, b in pairwise(times)) < REQUEST_S * 2


async def test_one_silent_unit_costs_the_others_a_probe_now_and_then() -> None:
    world = World(*[(1.0, 2)] * UNITS)
    async with running(world):
        await world.clock.advance(20)
        world.units[3].silent = True
        await world.clock.advance(300)
        for number in range(UNITS):
            times = [t for t in world.times_s(f"u{number}") if 30 < t < 310]
            assert abs((times[-1] - times[0]) / (len(times) - 1) - 1.0) < 0.001
            if number != 3:
                off = sorted(abs(b - a - 1.0) for a, b in pairwise(times))
                assert off[int(len(off) * 0.95)] < 0.05, "the period's error"
                assert off[-1] < 2 * PROBE_S + 2 * REQUEST_S
                assert not any(status(row) for row in world.rows(f"u{number}"))
        dark = [row for row in world.rows("u3") if status(row)]
        assert {status(row) for row in dark} == {Quality.BAD_TIMEOUT}
        assert len(dark) >= 299, "an outage is data"
        world.units[3].silent = False
        await world.clock.advance(10)
        assert status(world.rows("u3")[-1]) == 0
        assert world.events.count(DEVICE_LOST) == world.events.count(DEVICE_LOST, device="u3") == 1
        assert world.events.count(DEVICE_CONNECTED) == UNITS + 1


async def test_a_whole_line_that_dies_is_told_once_and_comes_back() -> None:
    world = World(*[(1.0, 2)] * UNITS)
    async with running(world):
        await world.clock.advance(20)
        for unit in world.units:
            unit.silent = True
        await world.clock.advance(100)
        assert 1 <= world.events.count(LINE_LOST, line="wire") <= 2, "each costs its own wait"
        assert world.events.count(DEVICE_LOST) == UNITS
        for unit in world.units:
            unit.silent = False
        await world.clock.advance(30)
        assert all(status(world.rows(f"u{n}")[-1]) == 0 for n in range(UNITS))


async def test_a_fast_group_does_not_wait_for_the_long_scan_of_a_slow_one() -> None:
    world = World((30.0, 500), (0.5, 1))
    async with running(world):
        await world.clock.advance(120)
        fast = world.times_s("u1")[3:]
        assert max(abs(b - a - 0.5) for a, b in pairwise(fast)) <= 2 * REQUEST_S
        assert world.sessions[1].status.overruns == 0
        slow = [row for row in world.rows("u0") if int(row.received_ns[0]) - int(row.times_ns[0])]
        took_s = (int(slow[-1].received_ns[0]) - int(slow[-1].times_ns[0])) / S
        assert took_s > 500 * REQUEST_S, "it gave way"
        assert not any(status(row) for row in slow), "and that is no fault"
        values = [int(row.values[0][0, 0]) for row in slow]
        assert values == sorted(set(values)), "each row is one scan"


async def test_a_turn_that_comes_after_the_period_is_late_and_the_row_is_of_the_next() -> None:
    world = World((1.0, 1), (1.0, 1))
    async with running(world):
        await world.clock.advance(10.1)
        async with world.line.turn(Urgency.WRITE):
            await world.clock.advance(3.6)
        await world.clock.advance(3.3)
        for name in ("u0", "u1"):
            times = world.times_s(name)
            before, after = [t for t in times if t < 10.2], [t for t in times if t > 10.2]
            assert 13.6 < after[0] < 13.8, "dated by when it was read"
            assert len(before) + len(after) == len(set(times)), "and told once"
        assert [s.status.overruns for s in world.sessions] in ([2, 3], [3, 2], [3, 3])
        assert world.events.count(POLL_OVERRUN) == 2
        assert {status(row) for row in world.intake.batches} == {0}, "once is an accident"


async def test_a_line_that_is_always_late_shows_its_overload() -> None:
    world = World(*[(0.5, 10)] * UNITS)
    async with running(world):
        await world.clock.advance(60)
        for number in range(UNITS):
            rows = world.rows(f"u{number}")
            assert status(rows[-1]) == Quality.GOOD_OVERLOAD
            assert world.sessions[number].status.overruns > 10
            times = world.times_s(f"u{number}")
            assert 30 < len(times) < 50, "every device has its share"
            assert max(b - a for a, b in pairwise(times[5:])) < 2.5
        assert world.line.load() > 0.95


async def test_a_scan_that_was_interrupted_for_longer_than_its_period_is_uncertain() -> None:
    world = World((1.0, 5))
    async with running(world):
        await world.clock.advance(10 + REQUEST_S / 2)
        asked = asyncio.create_task(hold(world, 1.5))
        await world.clock.advance(5)
        assert asked.done()
        odd = [row for row in world.rows("u0") if status(row)]
        assert [status(row) for row in odd] == [Quality.UNCERTAIN]
        assert int(odd[0].times_ns[0]) == START_NS + 10 * S
        assert int(odd[0].received_ns[0]) > START_NS + round(11.5 * S)
        assert world.events.count(POLL_OVERRUN) == 1
        assert world.events.count(DEVICE_LOST) == 0


async def test_a_scan_that_others_interrupt_shortly_is_whole_and_good() -> None:
    world = World((1.0, 5))
    async with running(world):
        await world.clock.advance(10 + REQUEST_S / 2)
        asked = asyncio.create_task(hold(world, 0.3))
        await world.clock.advance(5.2)
        assert asked.done()
        assert {status(row) for row in world.rows("u0")} == {0}
        assert world.times_s("u0") == [float(n) for n in range(1, 16)], "and the grid does not move"


async def hold(world: World, seconds: float) -> None:
    async with world.line.turn(Urgency.WRITE):
        await world.clock.sleep(seconds)


async def test_a_link_lost_while_its_poll_waited_for_the_line_is_not_read() -> None:
    world = World((1.0, 1), (1.0, 1))
    async with running(world):
        await world.clock.advance(10.1)
        async with world.line.turn(Urgency.WRITE):
            await world.clock.advance(1.5)
            reads = world.units[0].driver.reads
            cut = DeviceUnreachable("cut", hint="h", status=Quality.BAD_NO_COMMUNICATION)
            world.sessions[0]._link.fail(cut)  # noqa: SLF001 - as a write does that finds it dead
            await world.clock.advance(0.1)
        await world.clock.advance(0.1)
        assert world.units[0].driver.reads == reads
        assert status(world.rows("u0")[-1]) == Quality.BAD_NO_COMMUNICATION
        await world.clock.advance(10)
        assert status(world.rows("u0")[-1]) == 0
