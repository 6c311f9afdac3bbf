"""What devices taught is there after a restart; a file that is not sound costs the memory only."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from forebay.acquisition.lengths import Length
from forebay.acquisition.line import SharedLine
from forebay.acquisition.memory import MAX_FILE_BYTES, SAVE_EVERY_S, PlanMemory, Recollection
from forebay.acquisition.plan import Learned, Refused, Unit
from forebay.acquisition.refine import PROBE_EVERY
from forebay.acquisition.session import Session
from forebay.acquisition.standstill import Pulse
from forebay.events import PLAN_FORGOTTEN, TAGS_REFUSED, Events
from forebay.interfaces import DeviceSpec, Seams, Span
from forebay.model import Quality, Schema, Tag, ValueType
from forebay.net import SystemNetwork
from forebay.settings import DeviceSettings, GroupSettings
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from forebay.testing.driver import CollectingIntake, ScriptedDriver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PLANS = Path("/state/plans")
FILE = PLANS / "press.json"


def schema(count: int = 100, first: int = 0) -> Schema:
    tags = (Tag(f"t{i}", f"{i}", ValueType.INT32) for i in range(first, first + count))
    return Schema("press", "fast", tuple(tags))


def settings(**more: Any) -> DeviceSettings:
    groups = {"fast": GroupSettings(period=1.0)}
    return DeviceSettings(**{"protocol": "scripted", "tags": (), "groups": groups, **more})


def seams(disk: FaultyDisk) -> Seams:
    clock = FakeClock()
    return Seams(clock, disk, SystemNetwork(), random.Random(1), Events(structlog.get_logger()))


def recollection(disk: FaultyDisk, of: DeviceSettings | None = None) -> tuple[Recollection, Events]:
    """One that has read its file, and the events that this brought."""
    given = seams(disk)
    found = Recollection(FILE, DeviceSpec("press", of or settings(), (), {}), given)
    found.load()
    return found, given.events


def spans(count: int = 100, first: int = 0) -> list[Span]:
    return [Span("words", place, 1) for place in range(first, first + count)]


class Life:
    """One run of an agent with one session, over a disk that outlives it."""

    def __init__(self, disk: FaultyDisk, refused: set[int]) -> None:
        self.seams = seams(disk)
        self.clock: Any = self.seams.clock
        self.events, self.intake = self.seams.events, CollectingIntake()
        self.driver = ScriptedDriver(self.clock)
        self.driver.refused = refused
        spec = DeviceSpec("press", settings(), (schema(),), {})
        self.memory = PlanMemory(PLANS, [spec], self.seams)
        self.session = Session(
            spec,
            lambda _spec, _seams, _line: self.driver,
            SharedLine("press", self.clock),
            self.intake,
            self.seams,
            Pulse(self.seams),
        )
        self.session.remember(self.memory.of("press"))

    def bad(self) -> set[int]:
        """The columns that were bad in the newest row."""
        quality = self.intake.batches[-1].quality
        return set() if quality is None else set(np.flatnonzero(quality[0] >> 31).tolist())


@asynccontextmanager
async def living(disk: FaultyDisk, refused: set[int]) -> AsyncIterator[Life]:
    life = Life(disk, refused)
    await life.memory.load()
    tasks = [
        asyncio.create_task(life.session.run(), name="session"),
        asyncio.create_task(life.memory.run(), name="plans"),
    ]
    try:
        await life.clock.advance(0)
        yield life
        assert not any(task.done() for task in tasks), tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def saved(disk: FaultyDisk, life: Life) -> None:
    """Let time pass until the file is there."""
    async with asyncio.timeout(30):
        while not disk.exists(FILE) or life.memory.of("press").changed:
            await life.clock.advance(SAVE_EVERY_S)
            await asyncio.sleep(0.01)  # the file is written in a thread, not on the fake clock


async def test_after_a_restart_the_first_scan_asks_for_no_more_than_the_last_one_did() -> None:
    disk, refused = FaultyDisk(), {7, 42, 43}
    async with living(disk, refused) as life:
        await life.clock.advance(3)
        assert life.bad() == refused
        searched = life.driver.reads
        await saved(disk, life)
        life.driver.requests.clear()
        await life.clock.advance(1)
        settled = list(life.driver.requests)
    assert searched > 6
    async with living(disk, refused) as life:
        await life.clock.advance(0.5)
        assert life.driver.reads == 1
        assert life.driver.requests == settled
        assert life.bad() == refused
        assert life.events.count(TAGS_REFUSED, device="press") == 0


async def test_what_the_device_has_since_a_download_is_noticed_after_a_restart_too() -> None:
    disk = FaultyDisk()
    async with living(disk, {7, 42}) as life:
        await saved(disk, life)
    async with living(disk, set()) as life:
        await life.clock.advance(2)
        assert life.bad() == {7, 42}
        await life.clock.advance(PROBE_EVERY + 1)
        assert life.bad() == set()
        life.driver.requests.clear()
        await life.clock.advance(1)
        assert life.driver.requests == [tuple(range(100))]
        await saved(disk, life)
    found, _ = recollection(disk)
    assert found.recall(schema(), spans()) == Learned()


async def test_the_end_of_a_run_waits_for_no_write_time() -> None:
    disk = FaultyDisk()
    async with living(disk, {7}) as life:
        await life.clock.advance(1)
        assert not disk.exists(FILE)
    await life.memory.close()
    found, _ = recollection(disk)
    assert found.recall(schema(), spans()).refused_columns == {7}


async def test_nothing_is_written_where_nothing_was_learned() -> None:
    disk = FaultyDisk()
    async with living(disk, set()) as life:
        await life.clock.advance(100 * SAVE_EVERY_S)
    assert not disk.exists(PLANS)


units = st.builds(Unit, st.just("words"), st.integers(0, 99), st.just(1))


@st.composite
def lessons(draw: st.DrawFn) -> Learned:
    """Anything that a device with `spans()` may have taught."""
    refused = draw(st.frozensets(units, max_size=20))
    trials = draw(st.dictionaries(units, st.frozensets(units, max_size=9), max_size=5))
    good = draw(st.integers(0, 100))
    return Learned(
        {unit: Refused(Quality.BAD_OUT_OF_RANGE, (unit.start,)) for unit in sorted(refused)},
        draw(st.frozensets(units, max_size=9)),
        {wall: divided | {wall} for wall, divided in trials.items()},
        lengths=draw(st.sampled_from([{}, {"words": Length(good, good + 9)}])),
    )


@given(lessons())
def test_all_that_was_learned_is_remembered(learned: Learned) -> None:
    async def remembered() -> Learned:
        disk = FaultyDisk()
        before, _ = recollection(disk)
        before.note(schema(), learned)
        await before.save()
        assert not before.changed
        after, events = recollection(disk)
        assert events.count(PLAN_FORGOTTEN) == 0
        return after.recall(schema(), spans())

    found = asyncio.run(remembered())
    assert found == learned
    assert list(found.refused) == list(learned.refused)


async def noted(disk: FaultyDisk, learned: Learned) -> bytes:
    """Have it on disk; give the file."""
    one, _ = recollection(disk)
    one.note(schema(), learned)
    await one.save()
    return disk.read_bytes(FILE, MAX_FILE_BYTES)


LEARNED = Learned(
    {Unit("words", 7, 1): Refused(Quality.BAD_OUT_OF_RANGE, (7,))},
    frozenset({Unit("words", 50, 1)}),
    lengths={"words": Length(30, 31)},
)


async def test_with_another_tag_list_only_refused_places_are_known_at_their_new_columns() -> None:
    disk = FaultyDisk()
    await noted(disk, LEARNED)
    found, _ = recollection(disk)
    got = found.recall(schema(10, first=5), spans(10, first=5))
    assert got == Learned({Unit("words", 7, 1): Refused(Quality.BAD_OUT_OF_RANGE, (2,))})
    assert found.recall(schema(5, first=50), spans(5, first=50)) == Learned()


@pytest.mark.parametrize("other", [{"protocol": "else"}, {"protocol": "scripted", "timeout": 9.0}])
async def test_the_memory_is_of_the_device_and_not_of_its_name(other: dict[str, Any]) -> None:
    disk = FaultyDisk()
    await noted(disk, LEARNED)
    found, events = recollection(disk, settings(**other))
    same = other["protocol"] == "scripted"
    assert found.recall(schema(), spans()) == (LEARNED if same else Learned())
    assert events.count(PLAN_FORGOTTEN, device="press") == (0 if same else 1)


def damaged(data: bytes) -> dict[str, bytes]:
    """Ways in which the file may be unsound."""
    good: dict[str, Any] = json.loads(data)
    group = good["groups"]["fast"]

    def but(**changes: Any) -> bytes:
        return json.dumps({**good, "groups": {"fast": {**group, **changes}}}).encode()

    return {
        "empty": b"",
        "cut": data[:-9],
        "no text": b"\xff" * 100,
        "deep": b"[" * 100_000,
        "another format": json.dumps({**good, "format": 2}).encode(),
        "more than there is": json.dumps({**good, "more": 1}).encode(),
        "too large": data + b" " * MAX_FILE_BYTES,
        "a place below zero": but(walls=[["words", -1, 1]]),
        "no place": but(refused=[["words", 7]]),
        "a status of 33 bits": but(refused=[["words", 7, 1, 1 << 32]]),
        "text for a number": but(schema_id="1"),
    }


@pytest.mark.parametrize("how", damaged(b'{"groups": {"fast": {}}}').keys())
async def test_a_damaged_file_is_told_of_and_costs_only_the_memory(how: str) -> None:
    disk = FaultyDisk()
    data = damaged(await noted(disk, LEARNED))[how]
    disk.write_atomic(FILE, data)
    found, events = recollection(disk)
    assert events.count(PLAN_FORGOTTEN, device="press") == 1
    assert found.recall(schema(), spans()) == Learned()
    found.note(schema(), LEARNED)
    await found.save()
    again, events = recollection(disk)
    assert events.count(PLAN_FORGOTTEN) == 0
    assert again.recall(schema(), spans()) == LEARNED


async def test_what_is_not_bad_is_never_taken_for_the_status_of_a_refused_tag() -> None:
    disk = FaultyDisk()
    text = (await noted(disk, LEARNED)).decode()
    for status in (Quality.GOOD, Quality.UNCERTAIN):
        changed = text.replace(str(int(Quality.BAD_OUT_OF_RANGE)), str(int(status)))
        assert changed != text
        disk.write_atomic(FILE, changed.encode())
        found, _ = recollection(disk)
        assert found.recall(schema(), spans()).refused == {}


async def test_a_disk_that_takes_nothing_is_told_of_once_and_tried_again() -> None:
    disk = FaultyDisk()
    one, events = recollection(disk)
    one.note(schema(), LEARNED)
    disk.others_bytes = 1 << 40
    for _ in range(3):
        await one.save()
        assert one.changed
    disk.others_bytes = 0
    assert events.count(PLAN_FORGOTTEN, device="press") == 1
    await one.save()
    assert not one.changed
    found, _ = recollection(disk)
    assert found.recall(schema(), spans()) == LEARNED
