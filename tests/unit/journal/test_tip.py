"""The tip file: what it says, what survives damage to it, and which silent losses it shows."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from forebay.columnar import decode_gap
from forebay.journal.entry import gap_entry
from forebay.journal.ledger import Account
from forebay.journal.record import record_bytes
from forebay.journal.segment import HEADER_BYTES
from forebay.journal.tip import SLOT_BYTES, SLOT_OFFSETS, Tip, TipFile, Tips, decode, encode
from forebay.model import Gap, GapCause, RecordKind, Stream
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from support.journal import DIRECTORY, T, entry, journal, names, read_all, segment_paths

if TYPE_CHECKING:
    from forebay.model import Record

PATH = DIRECTORY / "tip"
RECORD = record_bytes(64)
TIP = Tip(5, 9, 100, 3, 12, bytes(range(32)))


def content(disk: FaultyDisk) -> list[Tips | None]:
    data = disk.read_bytes(PATH, 1 << 20)
    return [decode(data[at : at + SLOT_BYTES]) for at in SLOT_OFFSETS]


def wreck(disk: FaultyDisk, slot: int) -> None:
    file = disk.open(PATH, write=True)
    file.pwrite([b"\xff" * 64], SLOT_OFFSETS[slot])
    file.datasync()


async def gaps_of(disk: FaultyDisk, stream: Stream = T) -> list[Gap]:
    """Start, and give all gaps; the account must balance."""
    async with journal(disk) as log:
        records = await read_all(log, stream)
        account = log.ledger(stream, log.cursor("cloud"))
        assert account.balanced, account
        assert account.pending == sum(r.samples for r in records if r.kind is RecordKind.BATCH)
        return [decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP]


async def ran(disk: FaultyDisk, count: int = 9, *, orderly: bool = True) -> list[Record]:
    """Journal `count` records of n samples each and have the tip written; give the records."""
    clock = FakeClock()
    log = journal(disk, clock=clock)
    await log.__aenter__()
    await log.submit([entry(n, samples=n) for n in range(1, count + 1)])
    await log.submit([entry(1, stream=Stream.EVENTS, samples=1)])
    await clock.advance(1.5)
    records = await read_all(log)
    if not orderly:
        log._writer.fail(OSError("crash"))  # noqa: SLF001 - a crash has no interface
    await log.__aexit__(None, None, None)
    return records


def test_a_slot_gives_back_what_it_took() -> None:
    tips = Tips(7, 1234, orderly=True, streams={T: TIP, Stream.AUDIT: TIP._replace(seq=1)})
    assert len(encode(tips)) == SLOT_BYTES
    assert decode(encode(tips)) == tips
    for bit in range(0, SLOT_BYTES * 8, 7):
        flipped = bytearray(encode(tips))
        flipped[bit // 8] ^= 1 << bit % 8
        assert decode(bytes(flipped)) is None


def test_the_slots_are_written_in_turns_and_only_when_something_changed() -> None:
    disk = FaultyDisk()
    file = TipFile(DIRECTORY, disk)
    assert file.load() is None
    for seq in (1, 2, 2, 3):
        file.save({T: TIP._replace(seq=seq)}, 10)
    found = content(disk)
    assert [tips and tips.streams[T].seq for tips in found] == [3, 2]
    again = TipFile(DIRECTORY, disk)
    newest = again.load()
    assert newest is not None
    assert newest.streams[T].seq == 3
    again.save({T: TIP._replace(seq=4)}, 11, orderly=True)
    assert [tips and tips.streams[T].seq for tips in content(disk)] == [3, 4]


def test_a_cut_at_any_moment_leaves_a_whole_slot() -> None:
    cuts = 0
    for changes in range(1, 30):
        for seed in range(5):
            disk = FaultyDisk()
            disk.makedirs(DIRECTORY)
            file = TipFile(DIRECTORY, disk)
            saved = 0
            disk.cut_after(changes)
            for seq in range(1, 9):
                try:
                    file.save({T: TIP._replace(seq=seq)}, 10)
                except OSError:
                    break
                saved = seq
            cuts += disk.off
            found = TipFile(DIRECTORY, disk.reboot(random.Random(seed))).load()
            there = found.streams[T].seq if found else 0
            assert saved <= there <= saved + 1
    assert cuts > 50, "the cuts hit what they are meant for"


async def test_it_names_what_a_log_cut_short_has_lost() -> None:
    """The end of the active segment reads as zeros: nothing else shows that there was more."""
    disk = FaultyDisk()
    before = await ran(disk, orderly=False)
    file = disk.open(segment_paths(disk)[0], write=True)
    file.pwrite([bytes(3 * RECORD)], HEADER_BYTES + 6 * RECORD)
    file.datasync()
    for _ in range(2):
        torn, crash = await gaps_of(disk)
        assert (torn.cause, torn.epoch) == (GapCause.CORRUPT, before[0].position.epoch)
        assert (torn.seq_from, torn.seq_to, torn.samples) == (7, 9, 7 + 8 + 9)
        assert (crash.cause, crash.samples) == (GapCause.UNCLEAN_SHUTDOWN, None)
    async with journal(disk) as log:
        assert log.ledger(T, log.cursor("cloud")) == Account(45, 0, 21, 24, 0)


@pytest.mark.parametrize("bit", range(0, RECORD * 8, 61))
async def test_a_flipped_bit_in_the_last_durable_record_is_always_seen(bit: int) -> None:
    disk = FaultyDisk()
    await ran(disk, orderly=False)
    disk.flip(segment_paths(disk)[0], (HEADER_BYTES + 8 * RECORD) * 8 + bit)
    named = [g for g in await gaps_of(disk) if g.journaled]
    async with journal(disk) as log:
        whole = 9 in await names(log)
    told = [(g.cause, g.seq_from, g.seq_to, g.samples) for g in named]
    assert told == ([] if whole else [(GapCause.CORRUPT, 9, 9, 9)])


async def test_after_an_orderly_stop_it_proves_that_nothing_else_is_lost() -> None:
    disk = FaultyDisk()
    await ran(disk)
    disk.unlink(segment_paths(disk)[0])
    (gap,) = await gaps_of(disk)
    assert (gap.cause, gap.seq_from, gap.seq_to, gap.samples) == (GapCause.CORRUPT, 1, 9, 45)
    assert await gaps_of(disk, Stream.EVENTS) == []


async def test_it_knows_the_samples_of_a_gap_record_that_is_gone() -> None:
    disk = FaultyDisk()
    async with journal(disk) as log:
        await log.submit([entry(1, samples=1)])
        await log.submit([gap_entry(T, Gap(GapCause.RING_OVERFLOW, 1, 2, 70, "press"))])
        await log.submit([entry(2, samples=2)])
    disk.unlink(segment_paths(disk)[0])
    (gap,) = await gaps_of(disk)
    assert (gap.seq_from, gap.seq_to, gap.samples) == (1, 3, 73)
    async with journal(disk) as log:
        assert log.ledger(T, log.cursor("cloud")) == Account(73, 0, 0, 73, 0)


async def test_of_epochs_that_left_nothing_it_knows_that_they_were() -> None:
    disk = FaultyDisk()
    for seed in (1, 2):
        async with journal(disk, seed=seed) as log:
            await log.submit([entry(n, samples=10) for n in range(4)])
    for path in segment_paths(disk):
        disk.unlink(path)
    (gap,) = await gaps_of(disk)
    assert (gap.cause, gap.seq_from, gap.seq_to, gap.samples) == (GapCause.CORRUPT, 1, 4, None)
    assert len(await gaps_of(disk)) == 1


@pytest.mark.parametrize("slot", [0, 1])
async def test_of_a_damaged_slot_the_other_is_taken(slot: int) -> None:
    disk = FaultyDisk()
    await ran(disk)
    wreck(disk, slot)
    disk.unlink(segment_paths(disk)[0])
    (gap,) = [g for g in await gaps_of(disk) if g.journaled]
    assert (gap.cause, gap.seq_from, gap.seq_to, gap.samples) == (GapCause.CORRUPT, 1, 9, 45)


async def test_with_both_damaged_the_start_is_that_of_a_journal_without() -> None:
    disk = FaultyDisk()
    await ran(disk)
    wreck(disk, 0)
    wreck(disk, 1)
    disk.unlink(segment_paths(disk)[0])
    assert await gaps_of(disk) == []
    async with journal(disk) as log:
        await log.submit([entry(1)])
    assert [tips is not None for tips in content(disk)].count(True) >= 1


async def test_a_file_of_another_size_is_made_anew() -> None:
    disk = FaultyDisk()
    before = await ran(disk)
    file = disk.open(PATH, write=True)
    file.truncate(77)
    file.datasync()
    async with journal(disk) as log:
        assert await read_all(log) == before
        await log.submit([entry(10)])
    assert len(disk.read_bytes(PATH, 1 << 20)) == 8192
    assert any(content(disk))


async def test_its_epochs_are_not_given_again() -> None:
    disk = FaultyDisk()
    before = await ran(disk)
    for path in disk.paths():
        if path.suffix == ".seg":
            disk.unlink(path)
    async with journal(disk) as log:
        await log.submit([entry(1)])
        last = (await read_all(log))[-1]
    assert last.position.epoch >> 32 == (before[0].position.epoch >> 32) + 1
