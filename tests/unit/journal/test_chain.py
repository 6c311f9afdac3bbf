"""The hash chain at a position: who has other records under the same numbers has another one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from forebay.journal.entry import gap_entry
from forebay.journal.record import HEADER_BYTES as RECORD_HEADER_BYTES
from forebay.journal.record import NO_CHAIN, next_chain
from forebay.journal.segment import HEADER_BYTES
from forebay.model import Gap, GapCause, Position, Stream
from forebay.testing.disk import FaultyDisk
from support.journal import PLENTY, T, entry, journal, read_all, segment_paths

if TYPE_CHECKING:
    from forebay.journal.journal import Journal
    from forebay.model import Record


def chained(records: list[Record], chain: bytes = NO_CHAIN) -> bytes:
    for record in records:
        chain = next_chain(chain, record.hash)
    return chain


async def compare(log: Journal, records: list[Record]) -> None:
    for count in (1, 2, 13, 14, 15, 16, 30, 59, 60):
        position = records[count - 1].position
        assert await log.chain(position) == chained(records[:count])
        for begin in (1, 14, 29):
            if begin <= count:
                since = (records[begin - 1].position, bytes(range(32)))
                theirs = chained(records[begin:count], bytes(range(32)))
                assert await log.chain(position, since) == theirs


async def test_it_is_that_of_the_records_over_all_segments() -> None:
    disk = FaultyDisk()
    async with journal(disk) as log:
        await log.submit([entry(n, size=1000) for n in range(1, 61)])
        records = await read_all(log)
        assert len(segment_paths(disk)) > 3
        await compare(log, records)
    async with journal(disk) as log:
        await compare(log, records)


async def test_nobody_knows_it_beyond_the_end_or_in_another_epoch() -> None:
    async with journal() as log:
        await log.submit([entry(1)])
        last = (await read_all(log))[-1].position
        assert await log.chain(last._replace(seq=2)) is None
        assert await log.chain(last._replace(epoch=last.epoch + 1)) is None
        assert await log.chain(Position(Stream.AUDIT, last.epoch, 1)) is None


async def test_what_is_gone_leaves_only_what_somebody_says_it_was() -> None:
    limits = replace(PLENTY, max_bytes=128 << 10, segment_bytes=8192)
    async with journal(FaultyDisk(), limits) as log:
        cursor = log.cursor("cloud")
        for n in range(1, 200):
            await log.submit([entry(n, size=1000)])
            cursor.advance((await log.read(cursor.get(T), 1 << 20))[-1].position)
            log._cursors.save()  # noqa: SLF001 - the save that happens each second
        records = await read_all(log)
        assert records[0].position.seq > 1
        last = records[-1].position
        assert await log.chain(last) is None
        since = (records[0].position, bytes(range(32)))
        assert await log.chain(last, since) == chained(records[1:], bytes(range(32)))
        early = (last._replace(seq=1), NO_CHAIN)
        assert await log.chain(last, early) is None


async def test_a_gap_among_the_records_leaves_it_open() -> None:
    """The destination may have got the gap in place of a record."""
    async with journal() as log:
        await log.submit([entry(n) for n in range(1, 9)])
        records = await read_all(log)
        epoch = records[0].position.epoch
        await log.submit([gap_entry(T, Gap(GapCause.CORRUPT, 1, 2, 5, "", epoch, 4, 4))])
        assert await log.chain(records[2].position) == chained(records[:3])
        assert await log.chain(records[3].position) is None
        since = (records[4].position, NO_CHAIN)
        assert await log.chain(records[7].position, since) == chained(records[5:])


async def test_a_damaged_record_leaves_it_open() -> None:
    disk = FaultyDisk()
    async with journal(disk) as log:
        await log.submit([entry(n) for n in range(1, 9)])
        records = await read_all(log)
        size = RECORD_HEADER_BYTES + 64
        disk.flip(segment_paths(disk)[0], (HEADER_BYTES + 3 * size + 98) * 8)
        assert await log.chain(records[2].position) == chained(records[:3])
        assert await log.chain(records[7].position) is None
