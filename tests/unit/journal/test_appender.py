"""The growing end of a stream: however records come to the disk, they lie there the same."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from forebay.errors import JournalFailed
from forebay.journal.appender import Appender, End, NoRoom
from forebay.journal.catalog import Catalog, IndexCache
from forebay.journal.record import HEADER_BYTES as RECORD_HEADER_BYTES
from forebay.journal.record import record_bytes
from forebay.journal.segment import HEADER_BYTES
from forebay.model import RecordKind
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk, FaultyFile
from support.journal import (
    DIRECTORY,
    ENCODED_SCHEMA,
    PLENTY,
    T,
    entry,
    journal,
    names,
    read_all,
    segment_paths,
)
from support.real_journal import anchor_entry

if TYPE_CHECKING:
    from forebay.journal.entry import Entry

SIZES = (16 << 10, 8, (64 << 10) + 3, 5_000, (16 << 10) - 1, 40_001)
PAGE_BYTES = 4096


def grown(disk: FaultyDisk) -> Appender:
    parts = (disk, FakeClock(), Catalog(), IndexCache(disk))
    return Appender(DIRECTORY / T.value, T, End(1, 1), 1 << 20, parts)


def entries(*sizes: int) -> list[Entry]:
    return [
        entry(number, size=size, schema=ENCODED_SCHEMA)
        for number, size in enumerate(sizes or SIZES, 1)
    ]


def test_a_record_that_comes_alone_lies_as_among_others() -> None:
    together, alone = FaultyDisk(), FaultyDisk()
    log = grown(together)
    for one in entries():
        log.append(one)
    log.seal(clean=True)
    log = grown(alone)
    for one in entries():
        log.append(one, alone=True)
        log.sync()
    log.seal(clean=True)
    (path,) = segment_paths(together)
    assert segment_paths(alone) == [path]
    assert alone.read_bytes(path, 1 << 20) == together.read_bytes(path, 1 << 20)


@pytest.mark.parametrize("size", SIZES)
def test_the_head_start_is_for_a_long_payload_without_its_first_page(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, begun = FaultyDisk(), list[tuple[int, int]]()
    log = grown(disk)
    log.append(entry(1))
    log.sync()
    at = HEADER_BYTES + record_bytes(64) + RECORD_HEADER_BYTES
    monkeypatch.setattr(
        FaultyFile, "begin_writing", lambda _, size, offset: begun.append((size, offset))
    )
    log.append(entry(2, size=size), alone=True)
    assert len(begun) == (size >= 16 << 10)
    for length, offset in begun:
        assert offset % PAGE_BYTES == 0
        assert at <= offset < at + PAGE_BYTES
        assert offset + length == at + size
    log.sync()
    log.append(entry(3, size=size))
    assert len(begun) <= 1, "what comes with others is flushed with them"


async def test_a_cut_between_payload_and_header_leaves_a_sound_journal() -> None:
    """The bytes of a payload may lie there without their header, and are no record."""
    limits = replace(PLENTY, segment_bytes=1 << 20)
    left = set()
    for seed in range(40):
        disk, rng = FaultyDisk(), random.Random(seed)
        log = journal(disk, limits)
        await log.__aenter__()
        await log.submit([entry(1)])
        disk.cut_after(seed % 3)
        with pytest.raises(JournalFailed):
            await log.submit([entry(2, size=50_000)])
        await log.__aexit__(None, None, None)
        async with journal(disk.reboot(rng), limits) as log:
            found = tuple(await names(log))
            account = log.ledger(T, log.cursor("cloud"))
            assert account.balanced
            assert account.pending == 10 * len(found)
            left.add(found)
    assert left == {(1,), (1, 2)}


async def test_each_segment_begins_with_the_anchor_in_force() -> None:
    """A row is explained by the clock that stamped it, though what came before may be dropped."""
    limits = replace(PLENTY, segment_bytes=4096)
    async with journal(FaultyDisk(), limits) as log:
        await log.submit([anchor_entry(1)])
        for number in range(1, 30):
            await log.submit([entry(number, size=1000)])
        await log.submit([anchor_entry(2)])
        for number in range(30, 60):
            await log.submit([entry(number, size=1000)])
        await log.new_epoch("test")
        await log.submit([entry(60)])
        first = [(segment.epoch, segment.first_seq) for segment in log.segments()]
        found = await read_all(log)
    assert len(first) > 10
    in_force, later = (anchor_entry(number).payload for number in (1, 2))
    begun = []
    for record in found:
        if record.kind is RecordKind.ANCHOR:
            if record.payload == later:
                in_force = later
            assert record.payload == in_force
            if record.position[1:] in first:
                begun.append(record.position[1:])
    assert begun == first
    assert in_force == later


def test_what_was_reserved_and_not_used_makes_way_for_what_comes() -> None:
    """Two segments of one name would be one file: the first to be dropped would take both."""
    disk = FaultyDisk()
    catalog = Catalog()
    log = Appender(
        DIRECTORY / T.value, T, End(1, 1), 8192, (disk, FakeClock(), catalog, IndexCache(disk))
    )
    log.append(entry(1, size=2000, schema=ENCODED_SCHEMA))
    log.cramped = True
    log.reserve([entry(2, size=6000)])  # seals, and begins a segment just large enough
    log.append(entry(3, size=40_000, schema=ENCODED_SCHEMA))  # which this does not fit
    log.seal(clean=True)
    paths = [segment.path for segment in catalog.segments(T)]
    assert len(paths) == len(set(paths)) == 2
    assert sorted(disk.paths()) == sorted(paths)
    assert [segment.summary.count for segment in catalog.segments(T)] == [2, 2]


def test_without_room_for_more_what_was_reserved_stays() -> None:
    disk = FaultyDisk(capacity_bytes=32 << 10)
    catalog = Catalog()
    log = Appender(
        DIRECTORY / T.value, T, End(1, 1), 8192, (disk, FakeClock(), catalog, IndexCache(disk))
    )
    log.append(entry(1, size=2000, schema=ENCODED_SCHEMA))
    log.cramped = True
    log.reserve([entry(2, size=6000)])
    with pytest.raises(NoRoom):
        log.append(entry(3, size=40_000, schema=ENCODED_SCHEMA))
    log.append(entry(2, size=6000))
    log.seal(clean=True)
    paths = [segment.path for segment in catalog.segments(T)]
    assert sorted(disk.paths()) == sorted(paths)
    assert [segment.summary.count for segment in catalog.segments(T)] == [2, 1]
