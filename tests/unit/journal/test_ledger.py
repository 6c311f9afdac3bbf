"""The account is a law that can fail: what is gone without a word is in none of its parts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from forebay.columnar import decode_gap
from forebay.journal.journal import Account, Journal, JournalLimits
from forebay.model import GapCause, Position, RecordKind
from forebay.testing.disk import FaultyDisk
from support.journal import START, T, entry, journal, read_all, segment_paths

if TYPE_CHECKING:
    from forebay.journal.catalog import Segment
    from forebay.model import Record

SMALL = JournalLimits(max_bytes=128 << 10, max_age_s=1e9, segment_bytes=8192, ring_bytes=1 << 20)


def lose_segment(log: Journal, number: int) -> Segment:
    """Take a segment away as a defect of retention would: no gap, nobody has passed it."""
    catalog = log._catalog  # noqa: SLF001 - behind the journal's back is the point
    segment = catalog.segments(T)[number]
    log._seams.disk.unlink(segment.path)  # noqa: SLF001
    catalog.drop(segment)
    return segment


def lose_record(log: Journal, number: int, at: int) -> int:
    """Take one record out of a sealed segment's index; give its samples."""
    segment = log._catalog.segments(T)[number]  # noqa: SLF001
    cache = log._cache  # noqa: SLF001
    rows = cache.load(segment)
    samples = int(rows[at]["samples"])
    summary = segment.summary
    segment.summary = replace(summary, count=summary.count - 1, samples=summary.samples - samples)
    cache.put(segment.path, rows[[n for n in range(len(rows)) if n != at]])
    return samples


def off(account: Account) -> int:
    """How many samples nobody accounts for."""
    parts = account.delivered + account.pending + account.gapped + account.quarantined
    return account.produced - parts


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_a_segment_that_is_gone_without_a_gap_shows(number: int) -> None:
    async with journal() as log:
        cursor = log.cursor("cloud")
        await log.submit([entry(n, size=1000, samples=n) for n in range(1, 61)])
        assert log.ledger(T, cursor).balanced
        lost = lose_segment(log, number).summary.samples
        account = log.ledger(T, cursor)
        assert (account.balanced, account.gapped, off(account)) == (False, 0, lost)
        cursor.advance((await read_all(log))[-1].position)
        passed = log.ledger(T, cursor)
        assert (passed.delivered, passed.pending) == (account.pending, 0)
        assert (passed.balanced, off(passed)) == (False, lost)


async def test_a_loss_stays_to_be_seen_after_a_restart() -> None:
    disk = FaultyDisk()
    async with journal(disk) as log:
        cursor = log.cursor("cloud")
        await log.submit([entry(n, size=1000, samples=n) for n in range(1, 61)])
        lost = lose_segment(log, 0).summary.samples
        cursor.advance((await read_all(log))[-1].position)
    async with journal(disk) as log:
        assert off(log.ledger(T, log.cursor("cloud"))) == lost


@pytest.mark.parametrize("at", [0, 3])
async def test_a_record_that_is_gone_without_a_gap_shows(at: int) -> None:
    async with journal() as log:
        cursor = log.cursor("cloud")
        await log.submit([entry(n, size=1000, samples=n) for n in range(1, 61)])
        lost = lose_record(log, 1, at)
        account = log.ledger(T, cursor)
        assert (account.balanced, off(account)) == (False, lost)
        cursor.advance((await read_all(log))[-1].position)
        assert off(log.ledger(T, cursor)) == lost


async def test_a_loss_next_to_what_retention_named_shows() -> None:
    """Gap records of other holes must not pay for it."""
    async with journal(FaultyDisk(), SMALL) as log:
        slow, fast = log.cursor("slow"), log.cursor("fast")
        for n in range(1, 200):
            await log.submit([entry(n, size=1000, samples=n)])
            fast.advance((await log.read(fast.get(T), 1 << 20))[-1].position)
        assert log.ledger(T, slow).balanced
        assert log.ledger(T, slow).gapped
        assert log.ledger(T, fast).balanced
        middle = len(log.segments()) // 2
        slow.advance((await log.read(START, 1))[0].position)
        assert log.ledger(T, slow).balanced
        lost = lose_segment(log, middle).summary.samples
        assert off(log.ledger(T, slow)) == lost
        assert log.ledger(T, fast).balanced, "had it before"


async def test_a_file_that_somebody_removed_is_named_when_a_reader_meets_the_hole() -> None:
    disk = FaultyDisk()
    async with journal(disk) as log:
        cursor = log.cursor("cloud")
        await log.submit([entry(n, size=1000, samples=n) for n in range(1, 61)])
        segment = log.segments()[1]
        disk.unlink(segment_paths(disk)[1])
        records = await read_all(log)
        (gap,) = [decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP]
        assert (gap.cause, gap.seq_from, gap.seq_to, gap.samples) == (
            GapCause.CORRUPT,
            segment.first_seq,
            segment.last_seq,
            segment.samples,
        )
        account = log.ledger(T, cursor)
        assert (account.balanced, account.gapped) == (True, segment.samples)
        cursor.advance(records[-1].position)
        after = log.ledger(T, cursor)
        assert (after.balanced, after.gapped, after.pending) == (True, segment.samples, 0)


async def test_who_comes_later_was_never_given_what_is_gone() -> None:
    """An uplink that is added, or whose file is damaged, has no proof of delivery."""
    disk = FaultyDisk()
    async with journal(disk, SMALL) as log:
        first = log.cursor("first")
        for n in range(1, 200):
            await log.submit([entry(n, size=1000, samples=n)])
            first.advance((await log.read(first.get(T), 1 << 20))[-1].position)
            log._cursors.save()  # noqa: SLF001 - the save that happens each second
        for _ in range(3):
            await log.submit([])  # retention, which follows each commit, has come to its end
        produced = log.ledger(T, first).delivered
        late = log.ledger(T, log.cursor("late"))
        there = sum(s.samples for s in log.segments())
        assert late == Account(produced, 0, there, produced - there, 0)
        assert there < produced
    disk.write_atomic(log.directory / "cursors" / "first.json", b"{")
    async with journal(disk, SMALL) as log:
        assert log.ledger(T, log.cursor("late")) == late
        assert log.ledger(T, log.cursor("first")) == late


async def test_an_uplink_that_is_gone_asks_for_nothing_and_may_come_back() -> None:
    disk = FaultyDisk()
    async with journal(disk, SMALL) as log:
        await log.submit([entry(1, samples=7)])
        log.cursor("old").advance((await read_all(log))[-1].position)
    old = disk.read_bytes(log.directory / "cursors" / "old.json", 1 << 20)
    async with journal(disk, SMALL) as log:
        cursor = log.cursor("new")
        for n in range(1, 200):
            await log.submit([entry(n, size=1000, samples=n)])
            cursor.advance((await log.read(cursor.get(T), 1 << 20))[-1].position)
            log._cursors.save()  # noqa: SLF001
        assert RecordKind.GAP not in {r.kind for r in await read_all(log)}
        account = log.ledger(T, cursor)
        assert (account.balanced, account.gapped) == (True, 0)
    assert disk.read_bytes(log.directory / "cursors" / "old.json", 1 << 20) == old
    async with journal(disk, SMALL) as log:
        account = log.ledger(T, log.cursor("old"))
        there = sum(s.samples for s in log.segments())
        assert (account.balanced, account.delivered, account.pending) == (True, 7, there)


async def test_retention_waits_for_the_consumers_to_come() -> None:
    """What one of them has not got must not go silently while the first is being asked for."""
    disk = FaultyDisk()
    async with journal(disk, SMALL) as log:
        one, two = log.cursor("one"), log.cursor("two")
        await log.submit([entry(n, size=1000, samples=n) for n in range(1, 60)])
        one.advance((await read_all(log))[-1].position)
        assert two.get(T) == START
    tight = replace(SMALL, max_bytes=64 << 10)
    async with journal(disk, tight) as log:
        await log.submit([entry(n, size=1000, samples=n) for n in range(60, 90)])
        one, two = log.cursor("one"), log.cursor("two")
        for n in range(90, 120):
            await log.submit([entry(n, size=1000, samples=n)])
        records: list[Record] = await read_all(log)
        gaps = [decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP]
        named = {seq for g in gaps for seq in range(g.seq_from, g.seq_to + 1)}
        assert set(range(1, records[0].position.seq)) <= named
        assert log.ledger(T, one).balanced
        assert log.ledger(T, two).balanced
        assert log.ledger(T, two).delivered == 0


async def test_a_place_before_an_epochs_first_record_has_passed_the_end_of_the_one_before() -> None:
    """A session that has the new epoch's first record in flight is done with all of the old one."""
    disk = FaultyDisk()
    async with journal(disk, SMALL) as log:
        cursor = log.cursor("cloud")
        await log.submit([entry(n, size=1000, samples=n) for n in range(1, 11)])
        records = await read_all(log)
        cursor.advance(records[8].position)
    async with journal(disk, SMALL, seed=2) as log:
        cursor = log.cursor("cloud")
        while log.heads()[0].epoch == records[0].position.epoch:
            await log.submit([entry(100, size=1000, samples=100)])
        newest = log.newest(T)
        assert log.heads()[0].first_seq == 1
        cursor.advance(newest._replace(seq=0))
        assert log.ledger(T, cursor).balanced
    async with journal(disk, SMALL, seed=3) as log:
        cursor = log.cursor("cloud")
        for n in range(201, 280):
            await log.submit([entry(n, size=1000, samples=n)])
        assert next(iter(log.heads())).epoch > newest.epoch, "and so has the next"
        cursor.advance(log.newest(T))
        account = log.ledger(T, cursor)
        assert (account.balanced, account.pending) == (True, 0)
        assert account.delivered < account.produced - 10, "the tenth went before anybody got it"


async def test_going_back_to_just_before_what_is_left_forgets_nothing() -> None:
    async with journal(FaultyDisk(), SMALL) as log:
        cursor = log.cursor("cloud")
        for n in range(1, 200):
            await log.submit([entry(n, size=1000, samples=n)])
            cursor.advance((await log.read(cursor.get(T), 1 << 20))[-1].position)
            log._cursors.save()  # noqa: SLF001 - the save that happens soon
        before = log.ledger(T, cursor)
        (head,) = log.heads()
        assert head.first_seq > 1
        cursor.rewind(Position(T, head.epoch, head.first_seq - 1))
        log._cursors.settle()  # noqa: SLF001 - as above
        account = log.ledger(T, cursor)
        assert (account.balanced, account.gapped) == (True, before.gapped)
        assert account.delivered + account.pending == before.delivered
        assert account.delivered > 0


@pytest.mark.parametrize("where", [8, 50, 60, 100])
async def test_the_oldest_segments_header_is_not_needed_for_what_went_before(where: int) -> None:
    """A bit of it turned; its first record still tells what was counted before."""
    disk = FaultyDisk()
    async with journal(disk, SMALL) as log:
        cursor = log.cursor("cloud")
        for n in range(1, 200):
            await log.submit([entry(n, size=1000, samples=n)])
            if n == 20:
                cursor.advance(log.newest(T))
        for _ in range(3):
            await log.submit([])  # retention, which follows each commit, has come to its end
        before = log.ledger(T, cursor)
        assert before.gapped
        assert before.balanced
    disk.flip(segment_paths(disk)[0], where * 8)
    async with journal(disk) as log:
        assert log.ledger(T, log.cursor("cloud")) == before
