"""The thinner copy of a segment: what it holds, when there is none, and what it leaves behind."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from forebay.columnar import encode_anchor
from forebay.journal.catalog import read_index
from forebay.journal.entry import Entry, gap_entry
from forebay.journal.reader import Reader
from forebay.journal.rewrite import rewrite
from forebay.journal.thinning import thin
from forebay.model import Anchor, ClockState, Gap, GapCause, RecordKind
from forebay.testing.disk import FaultyDisk
from support.batches import batch_entry
from support.journal import PLENTY, START, T, entry, journal, read_all, segment_paths
from support.telemetry import batch_of, scans

if TYPE_CHECKING:
    from forebay.journal.catalog import Segment
    from forebay.journal.journal import Journal
    from forebay.model import Record

WIDE = replace(PLENTY, segment_bytes=1 << 20)
ANCHOR = Anchor("boot", 7, 8, ClockState.SYNCED, 9)


def anchor() -> Entry:
    return Entry(T, RecordKind.ANCHOR, encode_anchor(ANCHOR), 0, 7, 7)


async def sealed(disk: FaultyDisk, records: int = 60) -> None:
    """One segment of telemetry, with a gap and an anchor among it."""
    async with journal(disk, WIDE) as log:
        await log.submit([batch_entry(scans(n)) for n in range(records // 2)])
        await log.submit([gap_entry(T, Gap(GapCause.RING_OVERFLOW, 1, 2, 30, "press"))])
        await log.submit([gap_entry(T, Gap(GapCause.CORRUPT, 1, 2, 5, "", 1, 2, 3)), anchor()])
        await log.submit([batch_entry(scans(n)) for n in range(records // 2, records)])


def first(log: Journal) -> Segment:
    return log._catalog.segments(T)[0]  # noqa: SLF001 - no consumer sees segments


def put(log: Journal, disk: FaultyDisk, old: Segment, new: Segment) -> None:
    """Let the copy take its segment's place."""
    disk.rename(new.path.with_name(new.path.name + ".new"), new.path)
    log._catalog.replace(old, new)  # noqa: SLF001
    disk.unlink(old.path)


def batches(records: list[Record]) -> list[Record]:
    return [record for record in records if record.kind is RecordKind.BATCH]


@pytest.mark.parametrize("level_s", [10, 60, 600])
async def test_the_copy_says_what_it_kept_and_what_it_took(level_s: int) -> None:
    disk = FaultyDisk()
    await sealed(disk)
    async with journal(disk, WIDE) as log:
        before = await read_all(log)
        old = first(log)
        copy = rewrite(disk, old, level_s).copy
        assert copy is not None
        put(log, disk, old, copy)
        after = await read_all(log)
    assert [r.position for r in after] == [r.position for r in before]
    assert [r.hash for r in after] == [r.hash for r in before]
    assert [(r.time_min_ns, r.time_max_ns) for r in after] == [
        (r.time_min_ns, r.time_max_ns) for r in before
    ]
    changed = {r.position for r in after if r.revision}
    assert changed
    for one, two in zip(before, after, strict=True):
        if two.position in changed:
            assert (two.revision, two.kind) == (1, RecordKind.BATCH)
            assert two.samples + two.thinned == one.samples
            assert two.thinned > 0
            assert len(two.payload) < len(one.payload)
        else:
            assert two == one
    due = thin([batch_of(r) for r in batches(before)], level_s)
    for record, batch in zip(batches(after), due, strict=True):
        if record.revision:
            found = batch_of(record)
            assert found.times_ns.tolist() == batch.times_ns.tolist()
            assert found.index is not None
            assert batch.index is not None
            assert found.index.tolist() == batch.index.tolist()
            for mine, theirs in zip(found.values, batch.values, strict=True):
                assert mine.tolist() == theirs.tolist()
            assert record.samples == len(found.times_ns)


async def test_what_was_thinned_can_be_thinned_further() -> None:
    disk = FaultyDisk()
    async with journal(disk, WIDE) as log:
        await log.submit([batch_entry(scans(n, rows=40)) for n in range(60)])
    async with journal(disk, WIDE) as log:
        chain = await log.chain(first(log).last)
        counts = []
        for revision, level_s in enumerate((10, 60, 600), start=1):
            old = first(log)
            copy = rewrite(disk, old, level_s).copy
            assert copy is not None
            put(log, disk, old, copy)
            assert (copy.header.level_s, copy.header.revision) == (level_s, revision)
            counts.append((copy.summary.samples, copy.summary.samples + copy.summary.thinned))
            rows = read_index(disk, copy)
            assert int(rows["samples"][rows["kind"] == 1].sum()) == copy.summary.samples
            assert copy.summary.after == old.summary.after
        assert chain is not None
        assert await log.chain(first(log).last) == chain
        records = batches(await read_all(log))
        assert max(r.revision for r in records) == 3
    left, first_written = zip(*counts, strict=True)
    assert sorted(left, reverse=True) == list(left)
    assert len(set(first_written)) == 1
    async with journal(disk, WIDE) as log:
        assert batches(await read_all(log)) == records, "a start reads the same"


async def test_what_does_not_shrink_by_a_quarter_stays() -> None:
    """Two scans a minute: every one of them is the first or the last of its bucket."""
    disk = FaultyDisk()
    async with journal(disk, WIDE) as log:
        slow = [scans(n, rows=2, period_ns=30_000_000_000) for n in range(40)]
        await log.submit([batch_entry(batch) for batch in slow])
    async with journal(disk, WIDE) as log:
        names = disk.paths()
        outcome = rewrite(disk, first(log), 10)
        assert (outcome.copy, outcome.full, outcome.error) == (None, False, None)
        assert disk.paths() == names


async def test_payloads_of_a_newer_version_stay_as_they_are() -> None:
    disk = FaultyDisk()
    async with journal(disk, WIDE) as log:
        odd = [entry(n, size=40) for n in range(3)]
        await log.submit([*(batch_entry(scans(n)) for n in range(60)), *odd])
    async with journal(disk, WIDE) as log:
        before = batches(await read_all(log))
        copy = rewrite(disk, old := first(log), 60).copy
        assert copy is not None
        put(log, disk, old, copy)
        after = batches(await read_all(log))
    assert after[-3:] == before[-3:]
    assert any(record.revision for record in after)


@pytest.mark.parametrize("bit", [8 * 200, 8 * 3000, 8 * 9000 + 5])
async def test_a_damaged_segment_is_left_to_its_readers(bit: int) -> None:
    disk = FaultyDisk()
    await sealed(disk)
    disk.flip(segment_paths(disk)[0], bit)
    async with journal(disk, WIDE) as log:
        outcome = rewrite(disk, first(log), 60)
        assert (outcome.copy, outcome.full, outcome.error) == (None, False, None)


async def test_a_disk_without_room_is_no_failure_and_keeps_nothing() -> None:
    disk = FaultyDisk()
    await sealed(disk)
    async with journal(disk, WIDE) as log:
        old = first(log)
        disk.fail("allocate", errno.ENOSPC)
        outcome = rewrite(disk, old, 60)
        assert (outcome.copy, outcome.full, outcome.error) == (None, True, None)
        assert not [path for path in disk.paths() if path.suffix == ".new"]
        assert rewrite(disk, old, 60).copy is not None


@pytest.mark.parametrize("call", ["pwrite", "datasync"])
async def test_a_refused_write_is_a_failure(call: str) -> None:
    disk = FaultyDisk()
    await sealed(disk)
    async with journal(disk, WIDE) as log:
        disk.fail(call, errno.EIO)
        error = rewrite(disk, first(log), 60).error
        assert error is not None
        assert error.errno == errno.EIO


async def test_a_stop_ends_it_at_once() -> None:
    disk = FaultyDisk()
    await sealed(disk)
    async with journal(disk, WIDE) as log:
        looked = iter([False, False, True])
        outcome = rewrite(disk, first(log), 60, stopping=lambda: next(looked))
        assert (outcome.copy, outcome.error) == (None, None)


async def test_a_reader_that_meets_the_swap_reads_again() -> None:
    """The file that its picture names is gone: no damage, and no record twice or missing."""
    disk = FaultyDisk()
    await sealed(disk)
    async with journal(disk, WIDE) as log:
        catalog, cache = log._catalog, log._cache  # noqa: SLF001
        old = first(log)
        copy = rewrite(disk, old, 60).copy
        assert copy is not None
        reader = Reader(disk, catalog, cache)
        due = [r.position for r in reader.read(START, 1 << 20).records]
        told = []

        def swap(segment: Segment) -> bool:
            told.append(segment)
            if segment is old:
                put(log, disk, old, copy)
            return True

        found = reader.read(START, 1 << 20, swap)
        assert told == [old, copy]
        assert found.damage == []
        assert [r.position for r in found.records] == due
        assert any(r.thinned for r in found.records)
