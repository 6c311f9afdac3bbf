"""What is on its way to the journal is there at once, in the journal's own order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest

from forebay.errors import JournalFull
from forebay.model import Batch, RecordKind, Schema, Stream, Tag, ValueType
from forebay.pipeline.intake import Pipeline
from forebay.pipeline.shadow import Shadow
from forebay.pipeline.tail import RING_BYTES, Tail
from forebay.testing.clock import FakeClock
from support.journal import seams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.journal.entry import Entry
    from forebay.pipeline.tail import Item

FAST, SLOW = (
    Schema("press", name, (Tag("t", "1", ValueType.FLOAT64),)) for name in ("fast", "slow")
)


class World:
    """A pipeline before a journal that has room, and is durable, when told so."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.entries: list[Entry] = []
        self.held: list[asyncio.Future[None]] = []
        self.hold = self.full = False
        self.pipeline = Pipeline(
            self, Shadow([]), {}, seams(clock=self.clock), commit_interval_s=0.25
        )

    def submit(self, entries: Sequence[Entry]) -> asyncio.Future[None]:
        if self.full:
            raise JournalFull("no room", hint="wait")
        self.entries += entries
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.held.append(future)
        if not self.hold:
            future.set_result(None)
        return future

    def batches(self) -> list[bytes]:
        return [e.payload for e in self.entries if e.kind is RecordKind.BATCH]


def row(schema: Schema, number: int, *, stream: Stream = Stream.TELEMETRY) -> Batch:
    times = np.array([number], np.int64)
    return Batch(schema, times, times, (np.array([[number]], np.float64),), stream=stream)


def numbers(items: list[Item]) -> list[int]:
    return [int(batch.times_ns[0]) for item in items for batch in item.batches]


async def test_what_is_wanted_is_there_before_the_disk_has_it_and_as_it_will_stand() -> None:
    world = World()
    tail = world.pipeline.tail
    more = tail.subscribe("me", lambda _, schema: schema.group == "fast")
    for number in range(5):
        await world.pipeline.accept(row(FAST, 2 * number))
        await world.pipeline.accept(row(SLOW, 2 * number + 1))
        assert more.is_set()
        await world.clock.advance(0.03)
    assert world.batches() == []
    items = tail.since(0)
    assert numbers(items) == [0, 2, 4, 6, 8]
    await world.pipeline.close()
    assert [payload for payload in world.batches() if tail.find(payload) is not None] == [
        item.payload for item in items
    ]


async def test_fast_polls_are_joined_between_two_looks() -> None:
    world = World()
    tail = world.pipeline.tail
    tail.subscribe("me", lambda *_: True)
    for number in range(6):
        await world.pipeline.accept(row(FAST, number))
        await world.clock.advance(0.008)
    assert [len(item.batches) for item in tail.since(0)] == [1, 3]


async def test_what_is_committed_is_there_in_its_place_and_what_found_no_room_is_not() -> None:
    world = World()
    tail = world.pipeline.tail
    tail.subscribe("me", lambda *_: True)
    await world.pipeline.accept(row(FAST, 0))
    await world.pipeline.commit(row(FAST, 1))
    world.full = True
    with pytest.raises(JournalFull):
        await world.pipeline.commit(row(FAST, 2))
    world.full = False
    await world.pipeline.commit(row(FAST, 3))
    items = tail.since(0)
    assert numbers(items) == [0, 1, 3]
    assert [item.payload for item in items] == world.batches()


async def test_nobody_wants_anything_and_nothing_is_kept() -> None:
    world = World()
    await world.pipeline.accept(row(FAST, 1))
    await world.pipeline.close()
    tail = world.pipeline.tail
    assert (tail.next, tail.first, tail.since(0)) == (0, 0, [])
    tail.subscribe("me", lambda *_: True)
    tail.put([row(FAST, 2)], b"x")
    tail.unsubscribe("me")
    assert (tail.next, tail.first, tail.find(b"x")) == (1, 1, None)


def test_the_ring_is_bounded() -> None:
    tail = Tail()
    tail.subscribe("me", lambda *_: True)
    big = Schema("press", "big", tuple(Tag(f"t{n}", "", ValueType.FLOAT64) for n in range(1000)))
    times = np.arange(100, dtype=np.int64)
    batch = Batch(big, times, times, (np.zeros((100, 1000)),))
    for number in range(30):
        tail.put([batch], b"%d" % number)
    assert tail.next - tail.first == RING_BYTES // batch.nbytes
    assert tail.find(b"0") is None
    assert tail.find(b"29") == 29
    assert next(item.number for item in tail.since(0)) == tail.first


async def test_settled_waits_for_the_commit_and_for_room() -> None:
    world = World()
    running = asyncio.create_task(world.pipeline.run(), name="pipeline")
    world.hold = True
    await world.pipeline.accept(row(FAST, 1))
    waiting = asyncio.create_task(world.pipeline.settled(), name="settled")
    await world.clock.advance(1)
    assert not waiting.done()
    for future in world.held:
        future.set_result(None)
    await asyncio.wait([waiting], timeout=5)
    assert waiting.done()
    world.hold, world.full = False, True
    await world.pipeline.accept(row(FAST, 2))
    waiting = asyncio.create_task(world.pipeline.settled(), name="settled")
    await world.clock.advance(5)
    assert not waiting.done()
    world.full = False
    await world.clock.advance(1)
    await asyncio.wait([waiting], timeout=5)
    assert waiting.done()
    running.cancel()
    await asyncio.wait([running])
