"""The intake hands over everything it accepted, or a Gap that counts it."""

from __future__ import annotations

import asyncio
import random
import string
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import structlog

from forebay.columnar import decode_anchor, decode_batch, decode_gap, decode_schema
from forebay.errors import JournalFailed, JournalFull, StreamFull
from forebay.events import CLOCK_STEPPED, DATA_LOST, RING_OVERFLOW, Events
from forebay.files import SystemDisk
from forebay.interfaces import Seams
from forebay.model import (
    MAX_BLOB_BYTES,
    Batch,
    ClockState,
    Gap,
    GapCause,
    Quality,
    RecordKind,
    Schema,
    Tag,
    ValueType,
)
from forebay.net import SystemNetwork
from forebay.pipeline.intake import BATCH_BYTES, ROOM_WAIT_S, Pipeline
from forebay.pipeline.shadow import Shadow
from forebay.pipeline.split import MAX_BATCH_BYTES
from forebay.pipeline.way import COMMIT_BYTES
from forebay.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.journal.journal import Entry

MANY = BATCH_BYTES // 40
"""Rows of SCHEMA that fill a batch."""
SCHEMA = Schema("press", "fast", tuple(Tag(f"t{i}", f"{i}", ValueType.INT32) for i in range(10)))


class ListJournal:
    """Keeps entries; full when told so, and durable when told so."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.commits = self.largest = 0
        self.full = self.stream_full = False
        self.hold = False
        self.held: list[asyncio.Future[None]] = []

    def submit(self, entries: Sequence[Entry]) -> asyncio.Future[None]:
        if self.full:
            raise JournalFull("no room", hint="wait")
        if self.stream_full and any(e.kind is RecordKind.BATCH for e in entries):
            raise StreamFull("not delivered", hint="wait")
        self.entries += entries
        self.commits += 1
        self.largest = max(self.largest, sum(len(e.payload) for e in entries))
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.hold:
            self.held.append(future)
        else:
            future.set_result(None)
        return future


class Doubler:
    """A stage that lets only even rows pass."""

    def apply(self, batch: Batch) -> Batch | None:
        return batch if batch.times_ns[0] % 2 == 0 else None


class World:
    def __init__(self, stages: dict[str, tuple[Doubler, ...]] | None = None) -> None:
        self.clock = FakeClock()
        self.journal = ListJournal()
        self.events = Events(structlog.get_logger())
        seams = Seams(self.clock, SystemDisk(), SystemNetwork(), random.Random(1), self.events)
        self.pipeline = Pipeline(
            self.journal, Shadow([SCHEMA]), stages or {}, seams, commit_interval_s=0.25
        )

    def kept(self) -> list[Entry]:
        """What the journal has beside anchors."""
        return [e for e in self.journal.entries if e.kind is not RecordKind.ANCHOR]

    def batches(self) -> list[Batch]:
        return [
            decode_batch(e.payload, SCHEMA)
            for e in self.journal.entries
            if e.kind is RecordKind.BATCH
        ]


def samples(entries: Sequence[Entry]) -> int:
    return sum(
        (decode_gap(e.payload).samples or 0) if e.kind is RecordKind.GAP else e.samples
        for e in entries
    )


def scan(number: int, rows: int = 1) -> Batch:
    times = np.arange(number, number + rows, dtype=np.int64)
    values = np.arange(rows * 10, dtype=np.int32).reshape(rows, 10) + number
    return Batch(SCHEMA, times, times + 1, (values,))


async def test_scans_of_one_interval_become_one_batch_and_one_commit() -> None:
    world = World()
    running = asyncio.create_task(world.pipeline.run(), name="pipeline")
    for number in range(5):
        await world.pipeline.accept(scan(number))
    assert world.pipeline.pending_samples() == 50
    await world.clock.advance(0.3)
    assert world.journal.commits == 1
    (batch,) = world.batches()
    assert batch.times_ns.tolist() == [0, 1, 2, 3, 4]
    assert world.pipeline.pending_samples() == 0
    (entry,) = world.kept()
    assert (entry.samples, entry.time_min_ns, entry.time_max_ns) == (50, 0, 4)
    assert entry.schema is not None
    assert decode_schema(entry.schema[1]) == SCHEMA
    running.cancel()


async def test_a_large_batch_does_not_wait_for_the_interval() -> None:
    world = World()
    rows = BATCH_BYTES // (10 * 4)
    await world.pipeline.accept(scan(0, rows))
    assert [b.rows for b in world.batches()] == [rows]


async def test_a_blob_over_the_limit_is_a_bad_sample() -> None:
    pictures = Schema("camera", "files", (Tag("data", "0", ValueType.BYTES),))
    times = np.arange(2, dtype=np.int64)
    blobs = np.array([[b"small"], [bytes(MAX_BLOB_BYTES + 1)]], object)
    for give in ("accept", "commit"):
        world = World()
        running = asyncio.create_task(world.pipeline.run(), name="pipeline")
        taken = asyncio.create_task(
            getattr(world.pipeline, give)(Batch(pictures, times, times, (blobs,))), name=give
        )
        await world.clock.advance(0.3)
        await taken
        (entry,) = world.kept()
        seen = [(s.value, s.quality) for s in decode_batch(entry.payload, pictures).iter_samples()]
        assert seen == [(b"small", Quality.GOOD), (None, Quality.BAD_OUT_OF_RANGE)], give
        running.cancel()


async def test_without_room_the_samples_become_a_gap_that_counts_them() -> None:
    world = World()
    world.journal.full = True
    accepting = asyncio.create_task(world.pipeline.accept(scan(100, MANY)), name="accept")
    await world.clock.advance(ROOM_WAIT_S - 0.1)
    assert not accepting.done()
    assert world.pipeline.lost_samples == 0
    await world.clock.advance(0.2)
    await accepting
    assert world.pipeline.pending_samples() == world.pipeline.lost_samples == MANY * 10
    assert world.events.count(RING_OVERFLOW) == 1
    world.journal.full = False
    await world.pipeline.accept(scan(900_000))
    await world.pipeline.close()
    first, second = world.kept()
    assert first.kind is RecordKind.GAP
    gap = decode_gap(first.payload)
    assert (gap.cause, gap.samples, gap.source) == (GapCause.RING_OVERFLOW, MANY * 10, "press")
    assert (gap.time_from_ns, gap.time_to_ns) == (100, 100 + MANY - 1)
    assert not gap.journaled
    assert second.kind is RecordKind.BATCH
    assert world.events.count(DATA_LOST, cause="RING_OVERFLOW") == 1
    assert world.pipeline.accepted_samples == samples(world.journal.entries)


async def test_a_long_shortage_is_told_once_and_its_gap_grows() -> None:
    world = World()
    world.journal.full = True
    for number in range(3):
        accepting = asyncio.create_task(world.pipeline.accept(scan(number, MANY)), name="accept")
        await world.clock.advance(ROOM_WAIT_S + 0.1)
        await accepting
    assert world.events.count(RING_OVERFLOW) == 1
    world.journal.full = False
    await world.pipeline.close()
    assert [e.kind for e in world.journal.entries] == [RecordKind.GAP, RecordKind.ANCHOR]
    assert samples(world.journal.entries) == 3 * MANY * 10


async def test_what_is_lost_is_told_as_soon_as_there_is_room_though_nothing_new_comes() -> None:
    world = World()
    running = asyncio.create_task(world.pipeline.run(), name="pipeline")
    world.journal.full = True
    accepting = asyncio.create_task(world.pipeline.accept(scan(1, MANY)), name="accept")
    await world.clock.advance(ROOM_WAIT_S + 0.1)
    await accepting
    await world.clock.advance(10.0)
    assert RecordKind.GAP not in {e.kind for e in world.journal.entries}
    world.journal.full = False
    await world.clock.advance(1.0)
    assert RecordKind.GAP in {e.kind for e in world.journal.entries}
    assert samples(world.journal.entries) == MANY * 10
    running.cancel()
    await asyncio.wait([running])


async def test_a_full_stream_makes_one_gap_and_says_why() -> None:
    """The journal would take a gap each second, which is no batch: it waits for the next one."""
    world = World()
    world.journal.stream_full = True
    for number in range(3):
        accepting = asyncio.create_task(world.pipeline.accept(scan(number, MANY)), name="accept")
        await world.clock.advance(ROOM_WAIT_S + 0.1)
        await accepting
    assert world.kept() == []
    assert world.pipeline.pending_samples() == 3 * MANY * 10
    world.journal.stream_full = False
    await world.pipeline.accept(scan(900_000, MANY))
    gap, batch = world.kept()
    told = decode_gap(gap.payload)
    assert (told.cause, told.samples) == (GapCause.STREAM_FULL, 3 * MANY * 10)
    assert batch.samples == MANY * 10
    assert world.events.count(DATA_LOST, cause="STREAM_FULL") == 1


async def test_a_stop_with_a_full_stream_leaves_the_gap() -> None:
    world = World()
    world.journal.stream_full = True
    await world.pipeline.accept(scan(1))
    await world.pipeline.close()
    (gap,) = world.kept()
    told = decode_gap(gap.payload)
    assert (told.cause, told.samples) == (GapCause.STREAM_FULL, 10)
    assert world.pipeline.pending_samples() == 0


async def test_a_stop_in_the_middle_of_a_shortage_loses_nothing() -> None:
    world = World()
    world.journal.full = True
    running = asyncio.create_task(world.pipeline.run(), name="pipeline")
    accepting = asyncio.create_task(world.pipeline.accept(scan(0, MANY)), name="accept")
    await world.pipeline.accept(scan(600_000))
    await world.clock.advance(0.5)
    for task in (accepting, running):
        task.cancel()
    await asyncio.wait([accepting, running])
    closing = asyncio.create_task(world.pipeline.close(), name="close")
    await world.clock.advance(5 * ROOM_WAIT_S)
    assert not closing.done()
    world.journal.full = False
    await world.clock.advance(1)
    await closing
    assert {e.kind for e in world.kept()} == {RecordKind.BATCH}
    assert sum(e.samples for e in world.journal.entries) == world.pipeline.accepted_samples


async def test_a_batch_that_is_cut_is_taken_whole_even_if_a_stop_interrupts_it() -> None:
    world = World()
    world.journal.full = True
    rows = 2 * MAX_BATCH_BYTES // 40
    accepting = asyncio.create_task(world.pipeline.accept(scan(0, rows)), name="accept")
    await world.clock.advance(0.1)
    accepting.cancel()
    await asyncio.wait([accepting])
    assert world.pipeline.pending_samples() == rows * 10
    world.journal.full = False
    await world.pipeline.close()
    assert sum(e.samples for e in world.journal.entries) == rows * 10


async def test_what_is_submitted_at_once_stays_below_the_least_memory() -> None:
    world = World()
    schemas = [Schema("press", f"g{n}", (Tag("t", "0", ValueType.STRING),) * 1) for n in range(40)]
    text = np.array([["".join(random.Random(1).choices(string.printable, k=60_000))]], object)
    times = np.array([1], np.int64)
    for schema in schemas:
        await world.pipeline.accept(Batch(schema, times, times, (text,)))
    await world.pipeline.close()
    assert len(world.kept()) == 40
    assert world.journal.commits > 1
    assert world.journal.largest <= COMMIT_BYTES


async def test_a_short_shortage_of_room_delays_and_loses_nothing() -> None:
    world = World()
    world.journal.hold = True
    await world.pipeline.accept(scan(0, BATCH_BYTES // 40))
    world.journal.full = True
    waiting = asyncio.create_task(world.pipeline.accept(scan(500_000, BATCH_BYTES // 40)), name="w")
    await world.clock.advance(0.1)
    assert not waiting.done()
    world.journal.full = world.journal.hold = False
    world.journal.held[0].set_result(None)
    await waiting
    assert [e.kind for e in world.kept()] == [RecordKind.BATCH] * 2


async def test_a_failed_disk_ends_the_pipeline() -> None:
    world = World()
    world.journal.hold = True
    await world.pipeline.accept(scan(0, BATCH_BYTES // 40))
    world.journal.held[0].set_exception(JournalFailed("EIO", hint="see dmesg"))
    running = asyncio.create_task(world.pipeline.run(), name="pipeline")
    await world.clock.advance(0.3)
    with pytest.raises(JournalFailed):
        await running


async def test_what_a_stage_drops_is_seen_by_the_shadow_and_not_produced() -> None:
    world = World({"press": (Doubler(),)})
    await world.pipeline.accept(scan(1))
    assert world.pipeline.accepted_samples == 0
    await world.pipeline.accept(scan(2))
    await world.pipeline.close()
    assert [b.times_ns.tolist() for b in world.batches()] == [[2]]


async def test_close_waits_until_everything_is_durable() -> None:
    world = World()
    world.journal.hold = True
    await world.pipeline.accept(scan(0))
    closing = asyncio.create_task(world.pipeline.close(), name="closing")
    await world.clock.advance(0)
    assert not closing.done()
    assert world.pipeline.pending_samples() == 10
    world.journal.held[0].set_result(None)
    await closing
    assert world.pipeline.pending_samples() == 0


YEARS_NS = 10 * 365 * 86_400 * 1_000_000_000
NOT_POLLED = Gap(GapCause.NOT_POLLED, 5, 9, 0, "press")


def stamped(clock: FakeClock) -> Batch:
    """One scan, stamped now."""
    now = np.array([clock.now_ns()], np.int64)
    return Batch(SCHEMA, now, now.copy(), (np.zeros((1, 10), np.int32),))


def explained(entries: Sequence[Entry]) -> list[tuple[int, int]]:
    """Give each row's time, and the boot time that the anchor before it makes of it."""
    found, offset_ns = [], 0
    for entry in entries:
        if entry.kind is RecordKind.ANCHOR:
            anchor = decode_anchor(entry.payload)
            offset_ns = anchor.wall_ns - anchor.monotonic_ns
        else:
            times = decode_batch(entry.payload, SCHEMA).times_ns.tolist()
            found += [(time_ns, time_ns - offset_ns) for time_ns in times]
    return found


@pytest.mark.parametrize("step_s", [3600, -3600, YEARS_NS / 1e9, -YEARS_NS / 1e9, 0.02, -0.02])
async def test_an_anchor_stands_exactly_where_the_wall_clock_was_set(step_s: float) -> None:
    world = World()
    for _ in range(3):
        await world.pipeline.accept(stamped(world.clock))
        await world.clock.advance(0.01)
    in_flight = stamped(world.clock)
    world.clock.step_wall(step_s)
    await world.clock.advance(0.001)
    await world.pipeline.accept(in_flight)
    for _ in range(3):
        await world.clock.advance(0.01)
        await world.pipeline.accept(stamped(world.clock))
    await world.pipeline.close()
    kinds = [e.kind for e in world.journal.entries]
    assert kinds == [RecordKind.ANCHOR, RecordKind.BATCH] * 2
    rows = explained(world.journal.entries)
    assert [boot for _, boot in rows] == [
        0,
        10**7,
        2 * 10**7,
        3 * 10**7,
        41_000_000,
        51_000_000,
        61_000_000,
    ]
    assert abs(rows[-1][0] - rows[0][0] - 61_000_000 - step_s * 1e9) < 1000
    assert world.events.count(CLOCK_STEPPED) == 1


async def test_a_clock_that_nobody_reads_is_looked_at_every_second() -> None:
    world = World()
    world.clock.synced = False
    watching = asyncio.create_task(world.pipeline.watch_clock(), name="clock")
    await world.clock.advance(5)
    world.clock.synced = True
    await world.clock.advance(1)
    watching.cancel()
    await world.pipeline.close()
    states = [decode_anchor(e.payload).state for e in world.journal.entries]
    assert states == [ClockState.SYNCED, ClockState.HOLDOVER, ClockState.SYNCED]
    assert world.pipeline.anchors.state is ClockState.SYNCED


async def test_anchors_do_not_pile_up_while_there_is_no_room() -> None:
    world = World()
    world.journal.full = True
    running = asyncio.create_task(world.pipeline.run(), name="pipeline")
    for _ in range(20):
        await world.pipeline.accept(stamped(world.clock))
        await world.clock.advance(ROOM_WAIT_S + 0.5)
        world.clock.step_wall(60)
    world.journal.full = False
    await world.clock.advance(1)
    running.cancel()
    await asyncio.wait([running])
    await world.pipeline.close()
    kinds = [e.kind for e in world.journal.entries]
    assert kinds[0] is RecordKind.GAP
    assert kinds.count(RecordKind.ANCHOR) <= 3
    assert samples(world.journal.entries) == world.pipeline.accepted_samples


async def test_what_was_not_polled_stands_behind_what_was() -> None:
    world = World()
    await world.pipeline.accept(scan(0))
    world.pipeline.account(NOT_POLLED)
    await world.pipeline.accept(scan(1))
    await world.pipeline.close()
    kinds = [e.kind for e in world.kept()]
    assert kinds == [RecordKind.BATCH, RecordKind.GAP, RecordKind.BATCH]
    assert decode_gap(world.kept()[1].payload) == NOT_POLLED
    assert world.events.count(DATA_LOST) == 0
    assert samples(world.kept()) == world.pipeline.accepted_samples


@pytest.mark.parametrize("cause", [GapCause.NOT_POLLED, GapCause.NOT_COMPUTED])
async def test_what_was_not_done_is_told_although_there_was_no_room_for_it(
    cause: GapCause,
) -> None:
    untold = replace(NOT_POLLED, cause=cause)
    world = World()
    world.journal.full = True
    running = asyncio.create_task(world.pipeline.run(), name="pipeline")
    for number in range(5):
        world.pipeline.account(replace(untold, time_to_ns=10 + number))
        await world.clock.advance(2 * ROOM_WAIT_S)
    world.journal.full = False
    await world.clock.advance(1)
    running.cancel()
    await asyncio.wait([running])
    (gap,) = [decode_gap(e.payload) for e in world.kept()]
    assert gap == replace(untold, time_to_ns=14)
    assert world.events.count(DATA_LOST) == 0
