"""Faults are told together: one line for one cause, by transitions, and in the end what is true."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from forebay.acquisition.news import (
    AT_ONCE,
    HOLD_S,
    LINE_SETTLE_S,
    NAMES_TOLD,
    SETTLE_S,
    LineNews,
    TagNews,
)
from forebay.errors import DeviceUnreachable
from forebay.events import DEVICE_CONNECTED, DEVICE_LOST, Events
from forebay.files import SystemDisk
from forebay.interfaces import Refusal, Seams
from forebay.model import Batch, Quality, Schema, Tag, ValueType
from forebay.net import SystemNetwork
from forebay.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BAD = int(Quality.BAD_DEVICE_FAILURE)


class World:
    """A device of many tags in two groups, on a clock that the test moves, and its log."""

    def __init__(self, count: int = 10_000) -> None:
        self.clock = FakeClock()
        self.lines: list[dict[str, Any]] = []

        def keep(_log: Any, _level: str, line: Any) -> str:
            self.lines.append(dict(line))
            raise structlog.DropEvent

        self.events = Events(structlog.wrap_logger(None, processors=[keep]))
        self.seams = Seams(self.clock, SystemDisk(), SystemNetwork(), random.Random(1), self.events)
        self.fast, self.slow = self.schema("fast", count), self.schema("slow", 3)
        self.news = TagNews("press", (self.fast, self.slow), self.seams)

    @staticmethod
    def schema(group: str, count: int) -> Schema:
        tags = (Tag(f"{group}{i}", f"{i}", ValueType.INT32) for i in range(count))
        return Schema("press", group, tuple(tags))

    def told(self) -> list[dict[str, Any]]:
        """Give what was told since the last time, without the hints, which must be there."""
        lines, self.lines = self.lines, []
        return [{k: v for k, v in line.items() if k not in ("hint", "device")} for line in lines]


@asynccontextmanager
async def running(world: World, news: TagNews | LineNews) -> AsyncIterator[World]:
    task = asyncio.create_task(news.run(), name="news")
    try:
        yield world
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait([task])


def row(schema: Schema, bad: dict[int, int] | None = None) -> Batch:
    """One scan; `bad` are the qualities that are not good."""
    times, count = np.array([1], np.int64), len(schema.tags)
    quality = None
    if bad is not None:
        quality = np.zeros((1, count), np.uint32)
        quality[0, list(bad)] = list(bad.values())
    return Batch(schema, times, times, (np.zeros((1, count), np.int32),), quality)


def change(schema: Schema, columns: list[int], status: int | None) -> Batch:
    """A notification."""
    times = np.arange(len(columns), dtype=np.int64)
    quality = None if status is None else np.full(len(columns), status, np.uint32)
    values = (np.zeros(len(columns), np.int32),)
    return Batch(schema, times, times, values, quality, np.array(columns, np.uint32))


async def test_ten_thousand_tags_that_fail_together_are_one_line_and_one_when_they_come_back() -> (
    None
):
    world = World()
    async with running(world, world.news):
        world.news.read(row(world.fast))
        await world.clock.advance(60)
        assert world.told() == []
        failure = Refusal(0, BAD, "exception 4, server device failure", permanent=False)
        for _ in range(60):
            world.news.read(row(world.fast, dict.fromkeys(range(10_000), BAD)), [failure])
            world.news.read(row(world.slow, {1: int(Quality.BAD_TIMEOUT)}))
            await world.clock.advance(1)
        assert world.told() == [
            {
                "event": "tags_bad",
                "count": 10_001,
                "bad": 10_001,
                "tags": [f"fast{n}" for n in range(NAMES_TOLD)],
                "status": "BadDeviceFailure",
                "statuses": 2,
                "error": "exception 4, server device failure",
            }
        ]
        for _ in range(60):
            world.news.read(row(world.fast))
            world.news.read(row(world.slow, {1: BAD}))
            await world.clock.advance(1)
        names = [f"fast{n}" for n in range(NAMES_TOLD)]
        assert world.told() == [{"event": "tags_good", "count": 10_000, "tags": names, "bad": 1}]


async def test_what_comes_in_pieces_is_told_whole() -> None:
    world = World()
    async with running(world, world.news):
        for first in range(0, 10_000, 500):
            world.news.read(change(world.fast, list(range(first, first + 500)), BAD))
            await world.clock.advance(SETTLE_S / 30)
        await world.clock.advance(60)
        assert [line["count"] for line in world.told()] == [10_000]
        world.news.read(change(world.fast, [7, 8], None))
        await world.clock.advance(60)
        assert [(line["event"], line["tags"]) for line in world.told()] == [
            ("tags_good", ["fast7", "fast8"])
        ]


async def test_what_flaps_is_told_now_and_then_and_how_it_ended() -> None:
    world = World(10)
    async with running(world, world.news):
        for number in range(1001):
            world.news.read(row(world.fast, {3: BAD} if number % 2 == 0 else None))
            await world.clock.advance(1)
        await world.clock.advance(60)
        told = world.told()
        assert 1 <= len(told) <= 1001 / HOLD_S + 2
        assert told[-1]["event"] == "tags_bad", "it ended bad"
        assert all(a["event"] != b["event"] for a, b in pairwise(told))


async def test_a_blip_within_the_second_is_told_by_its_data_alone() -> None:
    world = World(10)
    async with running(world, world.news):
        world.news.read(row(world.fast, {3: BAD}))
        await world.clock.advance(SETTLE_S / 2)
        world.news.read(row(world.fast))
        await world.clock.advance(60)
        assert world.told() == []


async def test_refused_tags_are_one_line_and_not_told_as_bad_too() -> None:
    world = World(100)
    async with running(world, world.news):
        refused = int(Quality.BAD_OUT_OF_RANGE)
        for column in range(50):
            world.news.refused(world.fast, [column], "exception 3")
        world.news.read(row(world.fast, dict.fromkeys(range(50), refused) | {60: BAD}))
        await world.clock.advance(60)
        assert [(line["event"], line["count"]) for line in world.told()] == [
            ("tags_refused", 50),
            ("tags_bad", 1),
        ]
        world.news.read(row(world.fast, dict.fromkeys(range(49), refused)))
        await world.clock.advance(60)
        (back,) = world.told()
        assert (back["event"], back["tags"], back["bad"]) == ("tags_good", ["fast49", "fast60"], 49)


async def test_what_waits_for_its_first_value_has_not_failed() -> None:
    world = World(10)
    async with running(world, world.news):
        waiting = int(Quality.BAD_WAITING_FOR_INITIAL_DATA)
        world.news.read(row(world.fast, dict.fromkeys(range(10), waiting)))
        await world.clock.advance(60)
        world.news.read(row(world.fast))
        await world.clock.advance(60)
        assert world.told() == []


# --- lines ----------------------------------------------------------------------------------------


def cut(reason: str = "connection reset") -> DeviceUnreachable:
    return DeviceUnreachable(reason, hint="look", status=Quality.BAD_NO_COMMUNICATION)


async def test_a_line_that_dies_is_one_line_of_the_log_and_counted_for_each_device() -> None:
    world = World(1)
    news, devices = LineNews("192.0.2.7:502", 30, world.seams), [f"d{n:02}" for n in range(30)]
    async with running(world, news):
        for device in devices:
            news.back(device)
        await world.clock.advance(10)
        assert [(line["event"], line["count"]) for line in world.told()] == [("line_restored", 30)]
        for number, device in enumerate(devices):
            for _ in range(3):
                news.lost(device, cut("no answer" if number == 0 else "connection reset"))
            await world.clock.advance(LINE_SETTLE_S / 40)
        await world.clock.advance(60)
        assert world.told() == [
            {
                "event": "line_lost",
                "line": "192.0.2.7:502",
                "count": 30,
                "devices": devices[:NAMES_TOLD],
                "error": "connection reset",
                "errors": 2,
            }
        ]
        assert world.events.count(DEVICE_LOST) == world.events.count(DEVICE_CONNECTED) == 30


async def test_one_unit_of_a_line_is_told_by_its_name() -> None:
    world = World(1)
    news = LineNews("/dev/ttyS0", 8, world.seams)
    async with running(world, news):
        news.back("d0")
        await world.clock.advance(60)
        news.lost("d3", cut())
        await world.clock.advance(60)
        news.lost("d3", cut("still"))
        news.back("d0")
        await world.clock.advance(60)
        assert [line["event"] for line in world.lines] == ["device_connected", "device_lost"]
        assert [line["device"] for line in world.lines] == ["d0", "d3"]
        assert {line["line"] for line in world.told()} == {"/dev/ttyS0"}


async def test_a_device_lost_and_back_at_once_is_told_of_both() -> None:
    world = World(1)
    news = LineNews("/dev/ttyS0", 8, world.seams)
    async with running(world, news):
        news.back("d0")
        await world.clock.advance(60)
        news.lost("d0", cut())
        news.back("d0")
        await world.clock.advance(60)
        events = [line["event"] for line in world.told()]
        assert events == ["device_connected", "device_lost", "device_connected"]


async def test_who_has_a_line_alone_is_told_of_at_once() -> None:
    world = World(1)
    news = LineNews("press", 1, world.seams)
    news.lost("press", cut())
    news.lost("press", cut())
    news.back("press")
    assert world.told() == [
        {"event": "device_lost", "error": "connection reset"},
        {"event": "device_connected"},
    ]


async def test_a_lone_device_that_flaps_is_told_now_and_then_and_how_it_ended() -> None:
    world = World(1)
    news = LineNews("press", 1, world.seams)
    async with running(world, news):
        began_s = world.clock.monotonic_s()
        for _ in range(600):
            news.lost("press", cut())
            await world.clock.advance(0.5)
            news.back("press")
            await world.clock.advance(0.5)
        news.lost("press", cut("gone"))
        await world.clock.advance(HOLD_S)
        told = world.told()
        lasted_s = world.clock.monotonic_s() - began_s
        assert [line["event"] for line in told[:2]] == ["device_lost", "device_connected"]
        assert AT_ONCE + 10 < len(told) <= AT_ONCE + lasted_s / HOLD_S + 1
        assert told[-1]["event"] == "device_lost"
        assert told[-1]["error"] == "gone"
        changes = [line["changes"] for line in told[AT_ONCE:]]
        assert AT_ONCE + sum(changes) == 1201, "every change is in some line"
        assert world.events.count(DEVICE_LOST, device="press") == 601
        assert world.events.count(DEVICE_CONNECTED, device="press") == 600

        await world.clock.advance(60)
        assert world.told() == []
        news.back("press")
        assert world.told() == [{"event": "device_connected"}], "after a rest it is told at once"
