"""What a start makes of every kind of leftover: it always starts, and accounts for what is gone."""

from __future__ import annotations

import contextlib
import errno
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.columnar import decode_gap
from forebay.errors import JournalFailed
from forebay.journal.entry import gap_entry
from forebay.journal.ledger import Account
from forebay.journal.record import HEADER_BYTES as RECORD_HEADER_BYTES
from forebay.journal.record import record_bytes
from forebay.journal.segment import HEADER_BYTES, TRAILER_BYTES
from forebay.model import Gap, GapCause, Position, Record, RecordKind
from forebay.testing.disk import FaultyDisk, FaultyFile
from support.fuzz import examples
from support.journal import (
    DIRECTORY,
    PLENTY,
    START,
    T,
    calm,
    entry,
    journal,
    name_of,
    names,
    read_all,
    segment_paths,
)

if TYPE_CHECKING:
    from pathlib import Path

RECORD = record_bytes(64)


async def crashed(disk: FaultyDisk, count: int, size: int = 64) -> list[Record]:
    """Fill a journal and leave it as `kill -9` does: nothing is sealed; give what was durable."""
    log = journal(disk)
    await log.__aenter__()
    await log.submit([entry(n, size=size, samples=n) for n in range(1, count + 1)])
    records = await read_all(log)
    writer = log._writer  # noqa: SLF001 - a crash has no interface
    writer.fail(OSError("crash"))
    await log.__aexit__(None, None, None)
    return records


async def filled(disk: FaultyDisk, count: int, size: int = 1000) -> list[Record]:
    """Fill a journal and stop it in order; give its records."""
    async with journal(disk) as log:
        await log.submit([entry(n, size=size, samples=n) for n in range(1, count + 1)])
        return await read_all(log)


async def gaps(disk: FaultyDisk) -> list[Gap]:
    """Start once more and give all gaps."""
    async with journal(disk) as log:
        return [decode_gap(r.payload) for r in await read_all(log) if r.kind is RecordKind.GAP]


def overwrite(disk: FaultyDisk, path: Path, offset: int, data: bytes) -> None:
    file = disk.open(path, write=True)
    file.pwrite([data], offset)
    file.datasync()


def content(disk: FaultyDisk, path: Path) -> bytes:
    return disk.read_bytes(path, 1 << 30)


async def test_an_orderly_stop_leaves_no_gap() -> None:
    disk = FaultyDisk()
    await filled(disk, 5)
    assert await gaps(disk) == []


async def test_a_crash_leaves_one_gap_of_unknown_size() -> None:
    disk = FaultyDisk()
    before = await crashed(disk, 5)
    async with journal(disk) as log:
        records = await read_all(log)
        assert records[:5] == before
        (gap,) = [decode_gap(r.payload) for r in records[5:]]
        assert (gap.cause, gap.samples, gap.journaled) == (GapCause.UNCLEAN_SHUTDOWN, None, False)
        assert gap.time_from_ns <= gap.time_to_ns
        assert records[5].position.epoch > before[-1].position.epoch
        assert records[5].position.seq == 1
    assert len(await gaps(disk)) == 1, "told again after an orderly stop"


@pytest.mark.parametrize("zeros", [True, False])
async def test_the_last_record_cut_at_every_byte(*, zeros: bool) -> None:
    """Whatever a cut leaves of the last record, the others stay; its number is not used again."""
    whole = FaultyDisk()
    before = await crashed(whole, 3)
    path = segment_paths(whole)[0]
    data = content(whole, path)
    start = HEADER_BYTES + 2 * RECORD
    for cut in range(RECORD_HEADER_BYTES + 64):
        disk = FaultyDisk()
        disk.makedirs(path.parent)
        file = disk.open(path, create=True)
        tail = bytes(len(data) - start - cut) if zeros else b""
        file.pwrite([data[: start + cut] + tail], 0)
        async with journal(disk) as log:
            await log.submit([entry(9)])
            records = await read_all(log)
        kept = [r for r in records if r.kind is RecordKind.BATCH]
        assert kept[:2] == before[:2]
        assert name_of(kept[2]) == 9
        if cut:
            assert kept[2].position > before[2].position
            assert kept[2].position.epoch > before[2].position.epoch
        assert kept[2].position != before[2].position or not cut


async def test_damage_to_the_last_durable_record_never_lets_its_number_name_other_bytes() -> None:
    for bit in range(0, RECORD * 8, 37):
        disk = FaultyDisk()
        before = await crashed(disk, 3)
        disk.flip(segment_paths(disk)[0], (HEADER_BYTES + 2 * RECORD) * 8 + bit)
        async with journal(disk) as log:
            await log.submit([entry(n) for n in range(10, 20)])
            for record in await read_all(log):
                assert record.position != before[2].position or record == before[2]
            cursor = log.cursor("cloud")
            account = log.ledger(T, cursor)
            assert account.pending == 1 + 2 + 100 + (3 if before[2] in await read_all(log) else 0)


async def test_a_torn_record_with_a_whole_header_is_named_and_counted() -> None:
    disk = FaultyDisk()
    await crashed(disk, 3)
    disk.flip(segment_paths(disk)[0], (HEADER_BYTES + 2 * RECORD + RECORD_HEADER_BYTES) * 8)
    async with journal(disk) as log:
        found = [decode_gap(r.payload) for r in await read_all(log) if r.kind is RecordKind.GAP]
        account = log.ledger(T, log.cursor("cloud"))
    torn = [g for g in found if g.journaled]
    assert [(g.cause, g.seq_from, g.seq_to, g.samples) for g in torn] == [
        (GapCause.UNCLEAN_SHUTDOWN, 3, 3, 3)
    ]
    assert (account.produced, account.pending, account.gapped) == (6, 3, 3)


async def test_a_start_that_dies_before_its_gap_is_durable_leaves_it_to_the_next() -> None:
    """At every change of the disk that the second start makes: the torn record stays accounted."""
    cuts = 0
    for changes in range(1, 40):
        disk = FaultyDisk()
        await crashed(disk, 3)
        disk.flip(segment_paths(disk)[0], (HEADER_BYTES + 2 * RECORD + RECORD_HEADER_BYTES) * 8)
        disk.cut_after(changes)
        with contextlib.suppress(JournalFailed):
            async with journal(disk):
                pass
        cuts += disk.off
        disk = disk.reboot(random.Random(changes))
        for _ in range(2):
            async with journal(disk) as log:
                account = log.ledger(T, log.cursor("cloud"))
                assert account.balanced, (changes, account)
                assert account.pending == 3, changes
    assert cuts > 10, "the cuts hit what they are meant for"


@pytest.mark.parametrize("where", [0, 9, 50, RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + 63])
async def test_damage_in_the_middle_of_the_active_segment_costs_one_record(where: int) -> None:
    disk = FaultyDisk()
    before = await crashed(disk, 9)
    disk.flip(segment_paths(disk)[0], (HEADER_BYTES + 4 * RECORD + where) * 8)
    async with journal(disk) as log:
        records = await read_all(log)
        account = log.ledger(T, log.cursor("cloud"))
    assert [r for r in records if r.kind is RecordKind.BATCH] == before[:4] + before[5:]
    named = [g for g in map(decode_gap, (r.payload for r in records[8:])) if g.journaled]
    assert [(g.cause, g.epoch, g.seq_from, g.seq_to, g.samples) for g in named] == [
        (GapCause.CORRUPT, before[0].position.epoch, 5, 5, 5)
    ]
    assert (account.produced, account.pending, account.gapped) == (45, 40, 5)


async def test_damage_found_while_reading_is_accounted_for_before_the_read_returns() -> None:
    disk = FaultyDisk()
    before = await filled(disk, 40)
    async with journal(disk) as log:
        cursor = log.cursor("cloud")
        path = segment_paths(disk)[0]
        disk.flip(path, (HEADER_BYTES + RECORD_HEADER_BYTES + 17) * 8)
        (second,) = await log.read(START, 1)
        assert second == before[1]
        gap = (await read_all(log))[-1]
        assert decode_gap(gap.payload).seq_from == 1
        cursor.advance(gap.position)
        account = log.ledger(T, cursor)
        assert account.produced == sum(r.samples for r in before)
        assert (account.gapped, account.pending) == (1, 0)
        await read_all(log)
        assert (await read_all(log))[-1] == gap, "told twice"


async def test_a_medium_that_fails_on_read_costs_what_it_hides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = FaultyDisk()
    before = await filled(disk, 40)
    async with journal(disk) as log:
        real = FaultyFile.pread
        bad = range(HEADER_BYTES + 3 * record_bytes(1000), HEADER_BYTES + 4 * record_bytes(1000))

        def pread(self: FaultyFile, size: int, offset: int) -> bytes:
            first = self.path == segment_paths(disk)[0]
            if first and offset < bad.stop and offset + size > bad.start:
                raise OSError(errno.EIO, "medium error")
            return real(self, size, offset)

        monkeypatch.setattr(FaultyFile, "pread", pread)
        records = await read_all(log)
    assert [r for r in records if r.kind is RecordKind.BATCH] == before[:3] + before[4:]
    (gap,) = [decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP]
    assert (gap.cause, gap.seq_from, gap.seq_to, gap.samples) == (GapCause.CORRUPT, 4, 4, 4)


async def test_the_end_of_an_epoch_that_is_missing_is_named_once_the_next_one_shows_it() -> None:
    disk = FaultyDisk()
    before = await filled(disk, 60)
    async with journal(disk) as log:
        await log.submit([entry(61, samples=1)])
    gone = segment_paths(disk)[-2]
    disk.unlink(gone)
    for _ in range(2):
        (gap,) = await gaps(disk)
        there = {r.position for r in await _all(disk)}
        lost = [r.position for r in before if r.position not in there]
        assert (gap.cause, gap.epoch) == (GapCause.CORRUPT, before[0].position.epoch)
        assert (gap.seq_from, gap.seq_to) == (lost[0].seq, lost[-1].seq)
        assert gap.samples == sum(r.samples for r in before if r.position in lost)
        async with journal(disk) as log:
            account = log.ledger(T, log.cursor("cloud"))
            assert account.balanced
            assert account.gapped == gap.samples


async def test_an_epoch_that_is_missing_whole_is_counted_once() -> None:
    disk = FaultyDisk()
    for n in range(3):
        async with journal(disk, seed=n) as log:
            await log.submit([entry(n * 10 + m, samples=10) for m in range(4)])
    disk.unlink(segment_paths(disk)[1])
    for _ in range(2):
        (gap,) = await gaps(disk)
        assert (gap.cause, gap.seq_to - gap.seq_from + 1, gap.samples) == (GapCause.CORRUPT, 4, 40)
        async with journal(disk) as log:
            assert log.ledger(T, log.cursor("cloud")) == Account(120, 0, 80, 40, 0)


async def test_a_missing_segment_is_named() -> None:
    disk = FaultyDisk()
    before = await filled(disk, 60)
    gone = segment_paths(disk)[1]
    disk.unlink(gone)
    async with journal(disk) as log:
        records = await read_all(log)
        account = log.ledger(T, log.cursor("cloud"))
    there = {r.position for r in records}
    lost = [r for r in before if r.position not in there]
    (gap,) = [decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP]
    assert (gap.seq_from, gap.seq_to) == (lost[0].position.seq, lost[-1].position.seq)
    assert gap.samples == sum(r.samples for r in lost) == account.gapped
    assert len(await gaps(disk)) == 1


async def test_a_segment_without_any_record_left_is_set_aside() -> None:
    disk = FaultyDisk()
    before = await filled(disk, 60)
    path = segment_paths(disk)[1]
    overwrite(disk, path, 0, b"\xff" * len(content(disk, path)))
    found = await gaps(disk)
    assert [g.cause for g in found] == [GapCause.CORRUPT]
    assert disk.exists(path.with_name(path.name + ".bad"))
    assert sum(g.samples or 0 for g in found) + sum(r.samples for r in await _all(disk)) == sum(
        r.samples for r in before
    )


async def _all(disk: FaultyDisk) -> list[Record]:
    async with journal(disk) as log:
        return await read_all(log)


async def test_the_newest_segment_destroyed_starts_a_new_epoch() -> None:
    disk = FaultyDisk()
    before = await filled(disk, 60)
    path = segment_paths(disk)[-1]
    overwrite(disk, path, 0, b"\xff" * len(content(disk, path)))
    async with journal(disk) as log:
        await log.submit([entry(99)])
        last = (await read_all(log))[-1]
    assert last.position.epoch > before[-1].position.epoch
    assert name_of(last) == 99


async def test_an_emptied_directory_starts_an_epoch_younger_than_any_cursor() -> None:
    disk = FaultyDisk()
    before = await filled(disk, 60)
    async with journal(disk) as log:
        log.cursor("cloud").advance(before[-1].position)
    for path in (*segment_paths(disk), DIRECTORY / "tip"):
        disk.unlink(path)
    async with journal(disk) as log:
        await log.submit([entry(1)])
        (record,) = await read_all(log)
        assert log.cursor("cloud").get(T) < record.position
    assert record.position.epoch > before[0].position.epoch
    assert record.position.seq == 1


async def test_a_segment_that_was_never_filled_goes() -> None:
    disk = FaultyDisk()
    log = journal(disk)
    async with log:
        disk.fail("pwrite", errno.EIO, part="telemetry", after=1)
        with pytest.raises(JournalFailed):
            await log.submit([entry(1)])
    (path,) = segment_paths(disk)
    async with journal(disk) as again:
        await again.submit([entry(2)])
        assert await names(again) == [2]
        assert (await again.read(START, 1))[0].position.seq == 1
    assert path not in segment_paths(disk)


async def test_a_drop_that_was_interrupted_is_finished_and_told_once() -> None:
    """The gap is durable, the segment still there: it goes before anybody reads it."""
    disk = FaultyDisk()
    before = await filled(disk, 60)
    first = before[0].position
    async with journal(disk) as log:
        head = next(s for s in log.segments() if s.first_seq == 1)
        gap = Gap(GapCause.RETENTION_BYTES, 0, 0, 1, "", first.epoch, 1, head.last_seq)
        await log.submit([gap_entry(T, gap)])
    async with journal(disk) as log:
        assert (await log.read(START, 1))[0].position.seq == head.last_seq + 1
        assert log.segments()[0].first_seq == head.last_seq + 1
    assert len(await gaps(disk)) == 1


async def test_a_seal_that_was_interrupted_is_finished() -> None:
    """The footer is whole, the size is not: nothing needs to be scanned."""
    disk = FaultyDisk()
    before = await filled(disk, 5)
    (path,) = segment_paths(disk)
    size = len(content(disk, path))
    overwrite(disk, path, size, bytes(4096))
    async with journal(disk) as log:
        assert await read_all(log) == before
    assert len(content(disk, path)) == size
    assert content(disk, path)[-TRAILER_BYTES:].endswith(b"FbSEALED")


async def test_leftovers_are_removed_and_foreign_files_left_alone() -> None:
    disk = FaultyDisk()
    before = await filled(disk, 5)
    directory = segment_paths(disk)[0].parent
    for name in ("0000000000000009-0000000000000001.seg.new", "notes.txt", "0-1.seg"):
        disk.open(directory / name, create=True).pwrite([b"x" * 200], 0)
    async with journal(disk) as log:
        assert await read_all(log) == before
    assert "notes.txt" in disk.listdir(directory)
    assert not [n for n in disk.listdir(directory) if n.endswith(".new")]


@examples(40)
@given(st.binary(max_size=600), st.integers(0, 5000))
async def test_rubbish_over_a_segment_never_stops_a_start(rubbish: bytes, offset: int) -> None:
    disk = FaultyDisk()
    before = await crashed(disk, 20)
    path = segment_paths(disk)[0]
    overwrite(disk, path, offset, rubbish)
    async with journal(disk) as log:
        await log.submit([entry(77)])
        records = await read_all(log)
        for record in records:
            old = [r for r in before if r.position == record.position]
            assert old in ([], [record])
        assert name_of(records[-1]) == 77
        assert Position(T, 0, 0) < records[0].position


@pytest.mark.parametrize("passed", [0, 7, 40])
async def test_the_oldest_segments_missing_are_named_as_far_as_somebody_wants_them(
    passed: int,
) -> None:
    disk = FaultyDisk()
    async with journal(disk) as log:
        cursor = log.cursor("cloud")
        await log.submit([entry(n, size=1000, samples=n) for n in range(1, 61)])
        before = await read_all(log)
        if passed:
            cursor.advance(before[passed - 1].position)
    for path in segment_paths(disk)[:2]:
        disk.unlink(path)
    for _ in range(2):
        async with journal(disk) as log:
            records = await read_all(log)
            account = log.ledger(T, log.cursor("cloud"))
        there = {r.position for r in records}
        lost = [r for r in before if r.position not in there][passed:]
        found = [decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP]
        assert account.balanced
        assert account.gapped == sum(r.samples for r in lost)
        assert [(g.cause, g.seq_from, g.seq_to, g.samples) for g in found] == [
            (GapCause.CORRUPT, lost[0].position.seq, lost[-1].position.seq, account.gapped)
            for _ in lost[:1]
        ]


async def test_what_retention_has_told_of_is_not_called_lost() -> None:
    """Nor is what it removed in silence, because everybody had passed it."""
    limits = replace(PLENTY, max_bytes=200 << 10, segment_bytes=8192)
    disk = FaultyDisk()
    names = iter(range(1, 1000))
    for passed in (0, 40, 0, 0):
        async with journal(disk, limits) as log:
            cursor = log.cursor("cloud")
            for _ in range(120):
                await log.submit([entry(next(names), size=2000, samples=3)])
            await calm(log)
            records = await read_all(log)
            causes = [decode_gap(r.payload).cause for r in records if r.kind is RecordKind.GAP]
            assert GapCause.CORRUPT not in causes
            assert log.ledger(T, cursor).balanced
            if passed:
                cursor.advance(records[passed].position)
    assert GapCause.RETENTION_BYTES in causes


async def test_a_footer_is_never_there_without_the_records_that_it_tells_of() -> None:
    """The process was killed before the flush, and the power goes while the next one seals."""
    cuts = 0
    for changes in range(12):
        for seed in range(6):
            disk = FaultyDisk()
            log = journal(disk)
            await log.__aenter__()
            await log.submit([entry(n, size=600) for n in range(1, 4)])
            disk.cut_after(1)
            with pytest.raises(JournalFailed):
                await log.submit([entry(n, size=600) for n in range(4, 9)])
            await log.__aexit__(None, None, None)
            disk.revive()  # what was written is in the page cache
            disk.cut_after(changes)
            with contextlib.suppress(JournalFailed):
                async with journal(disk):
                    pass
            cuts += disk.off
            async with journal(disk.reboot(random.Random(seed))) as log:
                found = await read_all(log)
            told = [decode_gap(r.payload) for r in found if r.kind is RecordKind.GAP]
            assert GapCause.CORRUPT not in {gap.cause for gap in told}, (changes, seed, told)
            assert {1, 2, 3} <= {name_of(r) for r in found if r.kind is RecordKind.BATCH}
    assert cuts > 30
