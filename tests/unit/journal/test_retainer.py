"""Thinning under consumers: who got what stays exact, and nothing in flight ever changes."""

from __future__ import annotations

import errno
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from forebay.columnar import decode_gap
from forebay.errors import JournalFailed, JournalFull, StreamFull
from forebay.journal.entry import Overflow
from forebay.journal.journal import Journal, JournalLimits
from forebay.journal.retainer import FULL_PAUSE_S
from forebay.model import GapCause, Position, RecordKind, Stream
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from support.batches import batch_entry
from support.journal import DIRECTORY, START, T, calm, entry, journal, name_of, read_all, seams
from support.telemetry import scans

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.model import Record

LIMITS = JournalLimits(
    max_bytes=640 << 10, max_age_s=1e9, segment_bytes=48 << 10, ring_bytes=8 << 20
)
WIDE = replace(LIMITS, max_bytes=1 << 30)
ROWS = 24


class Consumer:
    """A destination that counts what it has got: the truth that the account is held against."""

    def __init__(self, log: Journal, name: str) -> None:
        self.log, self.cursor = log, log.cursor(name)
        self.got: dict[Position, tuple[int, int]] = {}

    async def take(self, max_bytes: int = 1 << 16, *, ack: bool = True) -> list[Record]:
        """Get the next records; with `ack` they are delivered."""
        records = await self.log.read(self.cursor.get(T), max_bytes, self.cursor)
        if ack:
            self.acked(records)
        return records

    def acked(self, records: list[Record]) -> None:
        for record in records:
            if record.kind is RecordKind.BATCH:
                self.got.setdefault(record.position, (record.samples, record.thinned))
        if records:
            self.cursor.advance(records[-1].position)

    async def take_all(self) -> None:
        while await self.take():
            pass

    @property
    def delivered(self) -> int:
        return sum(samples for samples, _ in self.got.values())

    @property
    def thinned(self) -> int:
        return sum(thinned for _, thinned in self.got.values())

    def check(self) -> None:
        """The account says what was got, and all of its terms are exact."""
        account = self.log.ledger(T, self.cursor)
        assert account.balanced, account
        assert account.delivered == self.delivered, account
        assert account.quarantined == 0
        position = self.cursor.get(T)
        segments = self.log._catalog.segments(T)  # noqa: SLF001 - summed up by hand
        if not any(s.first <= position < s.last for s in segments):
            left = sum(s.summary.samples for s in segments if s.first > position)
            assert account.pending == left


async def fill(log: Journal, first: int, count: int, *, watch: tuple[Consumer, ...] = ()) -> int:
    """Journal `count` records from the `first` on; give their samples."""
    samples = 0
    for number in range(first, first + count):
        batch = scans(number, rows=ROWS)
        samples += batch.samples
        await log.submit([batch_entry(batch)])
        if number % 20 == 0:
            await calm(log)
            for consumer in watch:
                consumer.check()
    await calm(log)
    return samples


async def fill_until(log: Journal, first: int, done: Callable[[], bool]) -> int:
    """Journal records from the `first` on until retention has come so far; give the next number."""
    for number in range(first, first + 2000):
        await fill(log, number, 1)
        if done():
            return number + 1
    raise AssertionError(levels(log))


def levels(log: Journal) -> list[int]:
    return [s.header.level_s for s in log._catalog.segments(T)]  # noqa: SLF001


async def test_an_outage_thins_what_is_oldest_and_every_account_is_exact() -> None:
    async with journal(FaultyDisk(), LIMITS) as log:
        lost, late = Consumer(log, "lost"), Consumer(log, "late")
        produced = await fill(log, 0, 300, watch=(lost, late))
        assert max(levels(log)) == 10
        assert levels(log)[-2:] == [0, 0], "the newest stays whole"
        assert levels(log) == sorted(levels(log), reverse=True)
        assert log.stats().thinned_samples > 0
        for _ in range(4):
            await late.take()
            late.check()
        produced += await fill(log, 300, 500, watch=(lost, late))
        assert max(levels(log)) == 60
        await late.take_all()
        produced += await fill(log, 800, 100, watch=(lost, late))
        for consumer in (late, lost):
            await consumer.take_all()
            consumer.check()
            account = log.ledger(T, consumer.cursor)
            assert (account.produced, account.pending) == (produced, 0)
            assert account.gapped >= consumer.thinned > 0
        gone = [decode_gap(r.payload) for r in await read_all(log) if r.kind is RecordKind.GAP]
        assert {g.cause for g in gone} <= {GapCause.RETENTION_BYTES}
        assert late.delivered > lost.delivered


async def test_what_a_consumer_has_got_in_full_is_not_gapped_for_it() -> None:
    """One has passed a segment before it is thinned for the other: each has its own account."""
    async with journal(FaultyDisk(), LIMITS) as log:
        fast, slow = Consumer(log, "fast"), Consumer(log, "slow")
        produced = 0
        for n in range(0, 300, 10):
            produced += await fill(log, n, 10)
            await fast.take_all()
            log._cursors.save()  # noqa: SLF001 - the save that happens each second
        fast.check()
        assert log.ledger(T, fast.cursor).delivered == produced
        assert log.ledger(T, fast.cursor).gapped == 0
        await slow.take_all()
        slow.check()
        assert slow.thinned > 0
        assert log.ledger(T, slow.cursor).gapped == produced - slow.delivered


async def test_what_is_in_flight_is_never_thinned() -> None:
    async with journal(FaultyDisk(), LIMITS) as log:
        consumer = Consumer(log, "cloud")
        await fill(log, 0, 40)
        oldest = log._catalog.segments(T)[0]  # noqa: SLF001
        sent = await consumer.take(1, ack=False)
        number = await fill_until(log, 40, lambda: 10 in levels(log))
        assert log._catalog.segments(T)[0] is oldest  # noqa: SLF001
        assert levels(log)[:2] == [0, 10]
        assert await consumer.take(1, ack=False) == sent
        consumer.cursor.begin(T, START)
        assert await fill_until(log, number, lambda: levels(log)[0] == 10) < number + 30
        assert log._catalog.segments(T)[0].first == oldest.first, "nothing of it arrived"  # noqa: SLF001
        await consumer.take_all()
        consumer.check()


async def test_what_came_ahead_of_the_rest_is_never_thinned() -> None:
    """Islands: a destination says at the start of a session that it has them."""
    async with journal(FaultyDisk(), LIMITS) as log:
        consumer = Consumer(log, "cloud")
        await fill(log, 0, 100)
        island = log._catalog.segments(T)[1]  # noqa: SLF001
        middle = island.first._replace(seq=island.first.seq + 3)
        consumer.cursor.begin(T, START, [(middle, middle)])
        await fill_until(log, 100, lambda: levels(log)[2:3] == [10])
        assert log._catalog.segments(T)[1] is island  # noqa: SLF001
        assert levels(log)[:3] == [10, 0, 10]


@pytest.mark.parametrize("orderly", [True, False])
async def test_what_was_given_is_remembered_over_a_restart(orderly: bool) -> None:  # noqa: FBT001
    """Nobody knows whether it arrived before the destination says so."""
    disk = FaultyDisk()
    async with journal(disk, LIMITS) as log:
        consumer = Consumer(log, "cloud")
        await fill(log, 0, 60)
        await consumer.take(1, ack=False)
        if not orderly:
            log._writer.fail(OSError("crash"))  # noqa: SLF001 - a crash has no interface
    async with journal(disk, LIMITS) as log:
        oldest = log._catalog.segments(T)[0]  # noqa: SLF001
        consumer = Consumer(log, "cloud")
        number = await fill_until(log, 60, lambda: 10 in levels(log))
        assert log._catalog.segments(T)[0] is oldest  # noqa: SLF001
        assert levels(log)[:2] == [0, 10]
        consumer.cursor.begin(T, START)
        assert await fill_until(log, number, lambda: levels(log)[0] == 10) < number + 30


async def test_the_chain_holds_over_thinned_segments() -> None:
    async with journal(FaultyDisk(), LIMITS) as log:
        consumer = Consumer(log, "cloud")
        await fill(log, 0, 100)
        position = (await read_all(log))[-1].position
        chain = await log.chain(position)
        somewhere = Position(T, position.epoch, 7)
        early = await log.chain(somewhere)
        assert None not in (chain, early)
        await fill(log, 100, 150)
        assert levels(log)[0] == 10
        assert await log.chain(position) == chain
        assert early is not None
        assert await log.chain(position, (somewhere, early)) == chain
        assert consumer.cursor.get(T) == START


async def test_a_damaged_record_of_a_thinned_segment_is_accounted_for() -> None:
    disk = FaultyDisk()
    async with journal(disk, LIMITS) as log:
        consumer = Consumer(log, "cloud")
        produced = await fill(log, 0, 200)
        assert levels(log)[0] == 10
        segment = log._catalog.segments(T)[0]  # noqa: SLF001
        row = log._cache.load(segment)[5]  # noqa: SLF001
        disk.flip(segment.path, (int(row["offset"]) + 130) * 8)
        records = await read_all(log)
        (gap,) = [decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP]
        assert (gap.cause, gap.seq_from) == (GapCause.CORRUPT, segment.first.seq + 5)
        assert gap.samples == int(row["samples"]) + int(row["thinned"])
        assert log.ledger(T, consumer.cursor).balanced
        await consumer.take_all()
        account = log.ledger(T, consumer.cursor)
        assert account.balanced
        assert (account.produced, account.pending) == (produced, 0)
        assert account.delivered == consumer.delivered
        assert account.gapped == consumer.thinned + gap.samples
    async with journal(disk, LIMITS) as log:
        again = log.ledger(T, log.cursor("cloud"))
        assert again == account


async def test_a_disk_without_room_for_the_copy_is_asked_again_after_a_while() -> None:
    disk, clock = FaultyDisk(), FakeClock()
    async with journal(disk, LIMITS, clock=clock) as log:
        consumer = Consumer(log, "cloud")
        await fill(log, 0, 60)
        for _ in range(2):
            disk.fail("allocate", errno.ENOSPC, part=".1.seg.new")
        await fill_until(log, 60, lambda: len(disk._failures) == 1)  # noqa: SLF001
        await fill(log, 500, 60)
        assert len(disk._failures) == 1, "it asked again at once"  # noqa: SLF001
        assert 10 not in levels(log)
        disk._failures.clear()  # noqa: SLF001
        await clock.advance(FULL_PAUSE_S)
        await fill_until(log, 600, lambda: 10 in levels(log))
        consumer.check()


async def test_a_flush_that_fails_under_a_copy_ends_the_journal() -> None:
    disk = FaultyDisk()
    async with journal(disk, LIMITS) as log:
        Consumer(log, "cloud")
        await fill(log, 0, 60)
        disk.fail("datasync", errno.EIO, part=".1.seg.new")
        with pytest.raises(JournalFailed):
            await fill(log, 60, 200)


# --- going back -----------------------------------------------------------------------------------


def gone_back(consumer: Consumer, position: Position) -> None:
    """The destination was restored from a backup that ends at `position`."""
    consumer.cursor.rewind(position)
    consumer.cursor.begin(T, position)
    consumer.got = {at: counts for at, counts in consumer.got.items() if at <= position}


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.99])
async def test_what_the_destination_lost_is_pending_again(share: float) -> None:
    async with journal(FaultyDisk(), WIDE) as log:
        consumer = Consumer(log, "cloud")
        produced = await fill(log, 0, 100)
        await consumer.take_all()
        log._cursors.save()  # noqa: SLF001
        records = await read_all(log)
        back = records[int(share * len(records))].position if share else START
        gone_back(consumer, back)
        log._cursors.save()  # noqa: SLF001
        consumer.check()
        account = log.ledger(T, consumer.cursor)
        assert (account.produced, account.gapped) == (produced, 0)
        assert account.pending == produced - consumer.delivered > 0
        await consumer.take_all()
        consumer.check()
        assert log.ledger(T, consumer.cursor).delivered == produced


async def test_going_back_survives_a_restart() -> None:
    disk = FaultyDisk()
    async with journal(disk, WIDE) as log:
        consumer = Consumer(log, "cloud")
        produced = await fill(log, 0, 60)
        await consumer.take_all()
        log._cursors.save()  # noqa: SLF001
        back = (await read_all(log))[20].position
        gone_back(consumer, back)
        left = consumer.delivered
    async with journal(disk, WIDE) as log:
        cursor = log.cursor("cloud")
        assert cursor.get(T) == back
        account = log.ledger(T, cursor)
        assert account.balanced
        assert (account.produced, account.delivered) == (produced, left)


async def test_retention_holds_what_is_to_be_delivered_again() -> None:
    """Not silently gone, as what was passed would be: a gap tells what had to go."""
    async with journal(FaultyDisk(), LIMITS) as log:
        consumer = Consumer(log, "cloud")
        produced = await fill(log, 0, 60)
        await consumer.take_all()
        log._cursors.save()  # noqa: SLF001
        back = (await read_all(log))[10].position
        gone_back(consumer, back)
        produced += await fill(log, 60, 900)
        await consumer.take_all()
        consumer.check()
        records = await read_all(log)
        gaps = [decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP]
        account = log.ledger(T, consumer.cursor)
        assert account.produced == produced
        assert account.gapped == produced - consumer.delivered
        named = {seq for g in gaps for seq in range(g.seq_from, g.seq_to + 1)}
        assert {back.seq + 1, records[0].position.seq - 1} <= named
        assert log.stats().dropped_samples == max(gap.samples or 0 for gap in gaps) > 0


async def test_what_a_destination_says_it_lacks_is_held_before_it_is_sent_again() -> None:
    """A session begins behind the cursor, which goes back with the first record that is sent."""
    async with journal(FaultyDisk(), LIMITS) as log:
        consumer = Consumer(log, "cloud")
        await fill(log, 0, 60)
        await consumer.take_all()
        log._cursors.save()  # noqa: SLF001
        records = await read_all(log)
        back = records[3].position
        consumer.cursor.begin(T, back)
        consumer.got = {at: counts for at, counts in consumer.got.items() if at <= back}
        oldest = log._catalog.segments(T)[0]  # noqa: SLF001
        assert await log.read(back, 1 << 16, consumer.cursor)
        assert not consumer.cursor.may_thin(oldest), "it may be on its way"
        assert consumer.cursor.passed(T) == back
        log._cursors.save()  # noqa: SLF001
        assert consumer.cursor.passed(T) == back
        consumer.cursor.rewind(back)
        log._cursors.save()  # noqa: SLF001
        assert not consumer.cursor.may_thin(oldest)
        consumer.check()
        await fill_until(log, 60, lambda: 10 in levels(log))
        assert log._catalog.segments(T)[0] is oldest  # noqa: SLF001
        await consumer.take_all()
        consumer.check()


async def test_what_is_gone_when_a_destination_goes_back_is_gapped() -> None:
    async with journal(FaultyDisk(), LIMITS) as log:
        consumer = Consumer(log, "cloud")
        produced, half = 0, START
        for n in range(0, 400, 10):
            produced += await fill(log, n, 10)
            await consumer.take_all()
            log._cursors.save()  # noqa: SLF001
            half = consumer.cursor.get(T) if n == 100 else half
        first = log._catalog.segments(T)[0].first  # noqa: SLF001
        assert half < first, "retention has taken what was passed"
        gone_back(consumer, half)
        log._cursors.save()  # noqa: SLF001
        account = log.ledger(T, consumer.cursor)
        there = sum(s.samples for s in log.segments())
        assert account.balanced
        assert (account.produced, account.pending) == (produced, there)
        assert account.delivered <= consumer.delivered
        assert consumer.delivered - account.delivered < 0.2 * consumer.delivered
        await consumer.take_all()
        account = log.ledger(T, consumer.cursor)
        assert account.balanced
        assert account.pending == 0


async def test_what_was_thinned_after_it_was_delivered_is_gapped_when_it_is_lost() -> None:
    async with journal(FaultyDisk(), LIMITS) as log:
        consumer, other = Consumer(log, "cloud"), Consumer(log, "other")
        produced = 0
        for n in range(0, 200, 10):
            produced += await fill(log, n, 10)
            await consumer.take_all()
            log._cursors.save()  # noqa: SLF001
        assert levels(log)[0] == 10
        consumer.check()
        target = log._catalog.segments(T)[0].last  # noqa: SLF001
        gone_back(consumer, target)
        log._cursors.save()  # noqa: SLF001
        account = log.ledger(T, consumer.cursor)
        assert account.balanced
        assert account.delivered == consumer.delivered, "that it still has, in full"
        thinned = sum(s.summary.thinned for s in log._catalog.segments(T) if s.first > target)  # noqa: SLF001
        assert account.gapped == thinned
        await consumer.take_all()
        consumer.check()
        assert log.ledger(T, consumer.cursor).gapped == consumer.thinned == thinned
        assert other.cursor.get(T) == START


# --- streams that keep their oldest ---------------------------------------------------------------


async def fill_bulk(log: Journal) -> None:
    for n in range(1000):
        await log.submit([entry(n, stream=Stream.BULK, size=2000)])
        await calm(log)


async def test_what_only_a_plugin_has_seen_is_not_delivered() -> None:
    stream = Stream.BULK
    limits = replace(LIMITS, overflow={**LIMITS.overflow, stream: Overflow.BLOCK})
    async with Journal(DIRECTORY, limits, seams(FaultyDisk())) as log:
        plugin = log.cursor("plugin.score")
        with pytest.raises(JournalFull):
            await fill_bulk(log)
        records = await read_all(log, stream, 1 << 20)
        plugin.advance(records[-1].position)
        log._cursors.save()  # noqa: SLF001
        log._writer.retain()  # noqa: SLF001 - what a save asks for while a stream is full
        await calm(log)
        with pytest.raises(JournalFull):
            await log.submit([entry(6000, stream=stream, size=2000)])
        assert [name_of(r) for r in await read_all(log, stream, 1 << 20)] == list(
            range(len(records))
        )


async def test_what_a_plugin_has_not_seen_goes_with_a_gap_like_what_an_uplink_has_not() -> None:
    async with Journal(DIRECTORY, LIMITS, seams(FaultyDisk())) as log:
        plugin, uplink = log.cursor("plugin.score"), Consumer(log, "cloud")
        for number in range(160):
            await log.submit([entry(number, size=8000)])
            await uplink.take_all()
            log._cursors.save()  # noqa: SLF001
        await calm(log)
        kinds = {record.kind for record in await read_all(log)}
        assert RecordKind.GAP in kinds
        assert plugin.get(T) == START
        assert log.ledger(T, uplink.cursor).delivered == uplink.delivered


@pytest.mark.parametrize(
    ("how", "kind"), [(Overflow.DROP_NEWEST, StreamFull), (Overflow.BLOCK, JournalFull)]
)
async def test_a_full_stream_refuses_batches_until_some_are_delivered(
    how: Overflow, kind: type[JournalFull]
) -> None:
    stream = Stream.BULK
    limits = replace(LIMITS, overflow={**LIMITS.overflow, stream: how})
    async with Journal(DIRECTORY, limits, seams(FaultyDisk())) as log:
        cursor = log.cursor("cloud")
        with pytest.raises(JournalFull) as refused:
            await fill_bulk(log)
        assert type(refused.value) is kind
        assert log.stats().stream_bytes[stream] <= log.stats().max_bytes[stream] // 2
        await log.submit([entry(5000, size=2000)])
        records = await read_all(log, stream, 1 << 20)
        assert [name_of(r) for r in records] == list(range(len(records))), "nothing was dropped"
        cursor.advance(records[-1].position)
        log._cursors.save()  # noqa: SLF001
        log._writer.retain()  # noqa: SLF001 - what a save asks for while a stream is full
        await calm(log)
        await log.submit([entry(6000, stream=stream, size=2000)])
        kept: dict[RecordKind, int] = defaultdict(int)
        for record in await read_all(log, stream, 1 << 20):
            kept[record.kind] += 1
        assert kept[RecordKind.GAP] == 0
