"""What leaves the quarantine undelivered: a gap says so first, and the account says `gapped`."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from forebay.columnar import decode_gap
from forebay.errors import JournalFailed, QuarantineError
from forebay.journal.entry import JournalLimits, aside_gap
from forebay.journal.quarantine import MAX_AGE_S
from forebay.model import GapCause, RecordKind
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from forebay.testing.records import make_record
from support.journal import T, entry, journal, read_all
from support.quarantine import set_aside

if TYPE_CHECKING:
    from forebay.journal.journal import Journal
    from forebay.model import Gap, Record

SMALL = JournalLimits(
    max_bytes=400 << 10, max_age_s=1e9, segment_bytes=16 << 10, ring_bytes=1 << 20
)
"""The quarantine has 20 KiB of it."""


async def refused(log: Journal, count: int, size: int = 64) -> list[Record]:
    """Write `count` batches of 10 samples, all of which a destination refuses and has passed."""
    await log.submit([entry(n, size=size) for n in range(count)])
    records = [r for r in await read_all(log) if r.kind is RecordKind.BATCH]
    await set_aside(log, *records)
    log.cursor("cloud").advance(records[-1].position)
    return records


async def gaps(log: Journal) -> list[Gap]:
    """The gaps in the stream, as a destination gets them."""
    found = [decode_gap(r.payload) for r in await read_all(log) if r.kind is RecordKind.GAP]
    return [gap for gap in found if gap.cause is GapCause.QUARANTINED]


def parts(log: Journal) -> tuple[int, int, int]:
    """Give delivered, gapped and quarantined."""
    account = log.ledger(T, log.cursor("cloud"))
    assert account.balanced
    return account.delivered, account.gapped, account.quarantined


async def test_what_goes_for_want_of_room_is_gapped() -> None:
    disk = FaultyDisk()
    async with journal(disk, SMALL) as log:
        records = await refused(log, 60, size=600)
        kept = len(log.quarantine.copies())
        assert 10 < kept < 50
        assert parts(log) == (0, 10 * (60 - kept), 10 * kept)
        told = await gaps(log)
        assert [gap.seq_from for gap in told] == [r.position.seq for r in records[: 60 - kept]]
        assert sum(gap.samples or 0 for gap in told) == 10 * (60 - kept)
        before = parts(log)
    async with journal(disk.reboot(random.Random(1)), SMALL) as log:
        assert parts(log) == before


async def test_what_goes_for_its_age_is_gapped_and_neighbours_share_a_gap() -> None:
    clock = FakeClock()
    async with journal(FaultyDisk(), clock=clock) as log:
        records = await refused(log, 5)
        await clock.advance(MAX_AGE_S + 86_400)
        while log.quarantine.copies():
            await clock.advance(1)
        assert parts(log) == (0, 50, 0)
        (told,) = await gaps(log)
        assert (told.seq_from, told.seq_to, told.samples) == (
            records[0].position.seq,
            records[-1].position.seq,
            50,
        )


async def test_what_a_person_drops_is_gapped_once() -> None:
    async with journal() as log:
        records = await refused(log, 3)
        first, second, _ = log.quarantine.copies()
        await log.quarantine.drop(first.id)
        assert parts(log) == (0, 10, 20)
        await set_aside(log, records[0])  # the destination is put back, gets it again, refuses it
        assert parts(log) == (0, 0, 30)
        await log.quarantine.drop(first.id)
        await log.quarantine.drop(second.id)
        assert parts(log) == (0, 20, 10)
        assert [gap.seq_from for gap in await gaps(log)] == [r.position.seq for r in records[:2]]


def test_a_gap_has_what_thinning_took_before_too() -> None:
    """A destination without the record has not heard of that."""
    record = replace(make_record(7, samples=6), thinned=4, revision=1)
    gap = aside_gap(record)
    assert (gap.seq_from, gap.seq_to, gap.samples) == (7, 7, 10)
    assert aside_gap(replace(record, kind=RecordKind.GAP)).samples == 0


async def test_one_that_the_cursor_has_not_passed_is_gapped_when_it_has() -> None:
    async with journal() as log:
        await log.submit([entry(n) for n in range(3)])
        records = [r for r in await read_all(log) if r.kind is RecordKind.BATCH]
        await set_aside(log, records[2])
        await log.quarantine.drop(log.quarantine.copies()[0].id)
        assert log.ledger(T, log.cursor("cloud")).pending == 30
        log.cursor("cloud").advance(records[2].position)
        assert parts(log) == (20, 10, 0)


async def test_one_that_is_sent_again_since_nothing_has_it_may_be_delivered() -> None:
    """Dropped, and the next session's destination has not heard of it."""
    async with journal() as log:
        await log.submit([entry(n) for n in range(3)])
        records = [r for r in await read_all(log) if r.kind is RecordKind.BATCH]
        await set_aside(log, *records[1:])
        cursor = log.cursor("cloud")
        await log.quarantine.drop(log.quarantine.copies()[0].id)
        at = records[2].position
        cursor.begin(T, cursor.get(T), [(at, at)])
        cursor.advance(at)
        assert parts(log) == (20, 0, 10)


@pytest.mark.parametrize("step", range(8))
async def test_a_cut_between_any_two_steps_counts_each_sample_once(step: int) -> None:
    """Power fails at each call of the disk in turn; the copy that is left is dropped then."""
    disk = FaultyDisk()
    async with journal(disk) as log:
        await refused(log, 3)
        log._cursors.save()  # noqa: SLF001 - what happens each second
        disk.cut_after(step)
        first = log.quarantine.copies()[0]
        with contextlib.suppress(JournalFailed, QuarantineError):
            await log.quarantine.drop(first.id)
    async with journal(disk.reboot(random.Random(step))) as log:
        copies = len(log.quarantine.copies())
        told = await gaps(log)
        assert parts(log) == (0, 30 - 10 * copies, 10 * copies)
        assert told or copies == 3
        for copy in log.quarantine.copies():
            await log.quarantine.drop(copy.id)
        assert parts(log) == (0, 30, 0)
        assert sum(gap.samples or 0 for gap in await gaps(log)) == 30
