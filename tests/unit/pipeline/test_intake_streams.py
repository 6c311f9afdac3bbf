"""What belongs to another stream than telemetry goes there, explained, counted and in its order."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
import structlog

from forebay.columnar import decode_anchor, decode_batch, decode_gap
from forebay.errors import JournalFailed, JournalFull, StreamFull
from forebay.events import Events
from forebay.files import SystemDisk
from forebay.interfaces import Seams
from forebay.model import Batch, GapCause, RecordKind, Schema, Stream, Tag, ValueType
from forebay.net import SystemNetwork
from forebay.pipeline.intake import ROOM_WAIT_S, Pipeline
from forebay.pipeline.shadow import Shadow
from forebay.pipeline.way import COMMIT_BYTES
from forebay.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.journal.journal import Entry

READINGS = Schema("press", "fast", (Tag("t", "1", ValueType.INT64),))
DEEDS = Schema("_writes", "audit", (Tag("what", "", ValueType.STRING),))


class StreamsJournal:
    """Keeps entries; `full` streams take no batch, and with `no_room` nothing is taken."""

    def __init__(self) -> None:
        self.commits: list[list[Entry]] = []
        self.full: set[Stream] = set()
        self.no_room = self.hold = False
        self.held: list[asyncio.Future[None]] = []

    @property
    def entries(self) -> list[Entry]:
        return [entry for commit in self.commits for entry in commit]

    def submit(self, entries: Sequence[Entry]) -> asyncio.Future[None]:
        if self.no_room:
            raise JournalFull("no room", hint="wait")
        if any(e.stream in self.full and e.kind is RecordKind.BATCH for e in entries):
            raise StreamFull("not delivered", hint="wait")
        self.commits.append(list(entries))
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.hold:
            self.held.append(future)
        else:
            future.set_result(None)
        return future


class Refuses:
    """A stage that lets nothing pass."""

    def apply(self, batch: Batch) -> Batch | None:
        del batch
        return None


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.journal = StreamsJournal()
        seams = Seams(
            self.clock,
            SystemDisk(),
            SystemNetwork(),
            random.Random(1),
            Events(structlog.get_logger()),
        )
        self.shadow = Shadow([READINGS])
        self.pipeline = Pipeline(
            self.journal, self.shadow, {"_writes": (Refuses(),)}, seams, commit_interval_s=0.25
        )

    def of(self, stream: Stream) -> list[RecordKind]:
        return [entry.kind for entry in self.journal.entries if entry.stream is stream]

    def deeds(self) -> list[str]:
        """What stands in the audit stream, in its order."""
        return [
            decode_batch(entry.payload, DEEDS).values[0][row, 0]
            for entry in self.journal.entries
            if entry.stream is Stream.AUDIT and entry.kind is RecordKind.BATCH
            for row in range(entry.samples)
        ]

    def reading(self, number: int = 1) -> Batch:
        now = np.array([self.clock.now_ns()], np.int64)
        return Batch(READINGS, now, now, (np.array([[number]], np.int64),))

    def deed(self, text: str, stream: Stream = Stream.AUDIT) -> Batch:
        now = np.array([self.clock.now_ns()], np.int64)
        boot = np.array([self.clock.boottime_ns()], np.int64)
        values = np.array([[text]], object)
        return Batch(DEEDS, now, now, (values,), boottime_ns=boot, stream=stream)


async def test_a_stream_gets_what_is_its_own_behind_the_anchor_in_force() -> None:
    world = World()
    await world.pipeline.accept(world.deed("one"))
    await world.pipeline.accept(world.reading())
    assert world.pipeline.pending_samples(Stream.AUDIT) == 1
    assert world.pipeline.pending_samples(Stream.TELEMETRY) == 1
    assert world.pipeline.pending_samples(Stream.EVENTS) == 0
    await world.pipeline.close()
    assert world.of(Stream.AUDIT) == [RecordKind.ANCHOR, RecordKind.BATCH]
    assert world.of(Stream.TELEMETRY) == [RecordKind.ANCHOR, RecordKind.BATCH]
    assert world.of(Stream.EVENTS) == []
    anchors = [
        decode_anchor(e.payload) for e in world.journal.entries if e.kind is RecordKind.ANCHOR
    ]
    assert anchors[0] == anchors[1]


async def test_stages_and_shadow_are_for_telemetry() -> None:
    world = World()
    await world.pipeline.accept(world.deed("kept, though a stage of that source takes all"))
    await world.pipeline.close()
    assert len(world.deeds()) == 1
    assert world.shadow.get("_writes", "what") is None


async def test_a_step_of_the_clock_is_told_in_every_stream_that_has_begun() -> None:
    world = World()
    await world.pipeline.commit(world.deed("before"))
    world.clock.step_wall(3600.0)
    await world.pipeline.commit(world.deed("after"))
    await world.pipeline.close()
    wanted = [RecordKind.ANCHOR, RecordKind.BATCH, RecordKind.ANCHOR, RecordKind.BATCH]
    assert world.of(Stream.AUDIT) == wanted
    assert world.of(Stream.TELEMETRY) == [RecordKind.ANCHOR, RecordKind.ANCHOR]
    assert world.of(Stream.BULK) == []


async def test_a_commit_returns_when_it_is_durable() -> None:
    world = World()
    world.journal.hold = True
    committing = asyncio.create_task(world.pipeline.commit(world.deed("one")), name="commit")
    await world.clock.advance(0.0)
    assert len(world.journal.held) == 2, "the anchor, then the deed"
    assert not committing.done()
    assert world.pipeline.pending_samples(Stream.AUDIT) == 1
    for future in world.journal.held:
        future.set_result(None)
    await committing
    assert world.pipeline.pending_samples() == 0


async def test_a_commit_stands_behind_what_was_accepted_before_it() -> None:
    world = World()
    await world.pipeline.accept(world.deed("first"))
    await world.pipeline.commit(world.deed("second"))
    await world.pipeline.accept(world.deed("third"))
    await world.pipeline.close()
    assert world.deeds() == ["first", "second", "third"]


async def test_a_commit_without_room_takes_nothing() -> None:
    world = World()
    world.journal.no_room = True
    with pytest.raises(JournalFull):
        await world.pipeline.commit(world.deed("never"))
    assert world.pipeline.pending_samples() == world.pipeline.accepted_samples == 0
    world.journal.no_room = False
    await world.pipeline.commit(world.deed("once"))
    assert world.deeds() == ["once"]


async def test_a_commit_into_a_full_stream_is_refused_and_does_not_hold_up_telemetry() -> None:
    world = World()
    world.journal.full = {Stream.AUDIT}
    with pytest.raises(StreamFull):
        await world.pipeline.commit(world.deed("never"))
    await world.pipeline.accept(world.reading())
    running = asyncio.create_task(world.pipeline.run(), name="pipeline")
    await world.clock.advance(0.3)
    assert world.of(Stream.TELEMETRY)[-1] is RecordKind.BATCH
    running.cancel()


async def test_a_cancelled_commit_is_pending_until_it_is_durable() -> None:
    world = World()
    world.journal.hold = True
    committing = asyncio.create_task(world.pipeline.commit(world.deed("one")), name="commit")
    await world.clock.advance(0.0)
    assert len(world.journal.held) == 2, "the anchor, then the deed"
    committing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await committing
    assert world.pipeline.pending_samples(Stream.AUDIT) == 1
    for future in world.journal.held:
        future.set_result(None)
    assert world.pipeline.pending_samples(Stream.AUDIT) == 0
    assert world.deeds() == ["one"]


async def test_a_failed_disk_fails_the_commit() -> None:
    world = World()
    world.journal.hold = True
    committing = asyncio.create_task(world.pipeline.commit(world.deed("one")), name="commit")
    await world.clock.advance(0.0)
    assert len(world.journal.held) == 2, "the anchor, then the deed"
    for future in world.journal.held:
        future.set_exception(JournalFailed("EIO", hint="look at the disk"))
    with pytest.raises(JournalFailed):
        await committing
    with pytest.raises(JournalFailed):
        world.pipeline.pending_samples()


async def test_a_batch_too_large_for_one_commit_is_refused() -> None:
    world = World()
    with pytest.raises(ValueError, match="too large"):
        await world.pipeline.commit(world.deed("x" * COMMIT_BYTES))


async def test_what_finds_no_room_leaves_its_gap_in_its_own_stream() -> None:
    world = World()
    world.journal.no_room = True
    await world.pipeline.accept(world.deed("lost"))
    await world.pipeline.accept(world.reading())
    running = asyncio.create_task(world.pipeline.run(), name="pipeline")
    await world.clock.advance(0.3)
    await world.clock.advance(2 * ROOM_WAIT_S + 0.3)
    await world.clock.advance(ROOM_WAIT_S)
    world.journal.no_room = False
    running.cancel()
    await world.pipeline.close()
    assert world.pipeline.lost_samples == 2
    for stream, source in ((Stream.AUDIT, "_writes"), (Stream.TELEMETRY, "press")):
        gaps = [
            decode_gap(entry.payload)
            for entry in world.journal.entries
            if entry.stream is stream and entry.kind is RecordKind.GAP
        ]
        (gap,) = gaps
        assert (gap.cause, gap.source, gap.samples) == (GapCause.RING_OVERFLOW, source, 1)


async def test_a_full_stream_does_not_hold_up_another() -> None:
    world = World()
    world.journal.full = {Stream.EVENTS}
    await world.pipeline.accept(world.deed("an event", Stream.EVENTS))
    await world.pipeline.accept(world.reading())
    running = asyncio.create_task(world.pipeline.run(), name="pipeline")
    await world.clock.advance(0.3)
    assert world.of(Stream.TELEMETRY) == [RecordKind.ANCHOR, RecordKind.BATCH]
    running.cancel()
    await world.pipeline.close()
    assert sorted(world.of(Stream.EVENTS)) == [RecordKind.GAP, RecordKind.ANCHOR]
