"""One lane: what is known is passed, holes are told, the end is kept."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from forebay.forwarding.coverage import Coverage
from forebay.forwarding.feed import READ_BYTES, Feed
from forebay.forwarding.window import Window
from forebay.model import Position, Stream
from forebay.testing.clock import FakeClock
from forebay.testing.records import make_record
from support.forwarding import until
from support.memory_journal import MemoryJournal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

T, E = Stream.TELEMETRY, 1 << 32
Taken = tuple[int, int, int, bool]


def at(seq: int, epoch: int = 1) -> Position:
    return Position(T, epoch * E, seq)


def journal(*epochs: tuple[int, ...]) -> MemoryJournal:
    """Give one that holds these seqs, epoch by epoch."""
    return MemoryJournal(
        *(make_record(seq, epoch=n * E) for n, seqs in enumerate(epochs, 1) for seq in seqs)
    )


@asynccontextmanager
async def feeding(
    log: MemoryJournal, after: Position, known: Window, end: Position | None = None
) -> AsyncIterator[Feed]:
    feed = Feed((log, log.cursor("c"), FakeClock()), after, known, lambda: None)
    if end is not None:
        feed.stop_at(end)
    task = asyncio.create_task(feed.run())
    try:
        await until(lambda: feed.done or feed.first() is not None)
        yield feed
    finally:
        task.cancel()
        await asyncio.wait({task})


def take(feed: Feed, known: Window) -> list[Taken]:
    """Take everything that is there: epoch, seq, hole, again."""
    found: list[Taken] = []
    while group := feed.take(lambda _records, _size: True):
        for record, absent, again in group:
            place = record.position
            known.tell(place._replace(seq=absent or place.seq), place.seq)
            found.append((place.epoch // E, place.seq, absent, again))
    return found


def window(*runs: tuple[int, int], epoch: int = 1) -> Window:
    return Window({(T, epoch * E): Coverage(runs)}, 1 << 20)


async def test_holes_are_told_by_the_record_behind_them() -> None:
    known = window()
    async with feeding(journal((3, 4, 7), (2, 3)), at(0), known) as feed:
        assert take(feed, known) == [
            (1, 3, 1, False),
            (1, 4, 0, False),
            (1, 7, 5, False),
            (2, 2, 1, False),
            (2, 3, 0, False),
        ]
        assert feed.passed == at(3, 2)


async def test_what_the_destination_has_is_passed() -> None:
    known = window((1, 2), (4, 5))
    async with feeding(journal((1, 2, 3, 4, 5, 6)), at(2), known) as feed:
        assert take(feed, known) == [(1, 3, 0, False), (1, 6, 0, False)]


async def test_a_hole_before_what_the_destination_has_is_told_by_sending_that_again() -> None:
    """It has 1, 2 and the island 7, 8; what lay between is gone from the journal."""
    known = window((1, 2), (7, 8))
    async with feeding(journal((1, 2, 7, 8, 9)), at(2), known) as feed:
        assert take(feed, known) == [(1, 7, 3, True), (1, 9, 0, False)]


async def test_a_hole_that_a_gap_has_named_is_not_told_again() -> None:
    known = window((1, 4), (7, 8))
    async with feeding(journal((1, 2, 7, 8, 9)), at(4), known) as feed:
        assert take(feed, known) == [(1, 7, 5, True), (1, 9, 0, False)]
    known = window((1, 6))
    async with feeding(journal((1, 2, 7, 8)), at(2), known) as feed:
        assert take(feed, known) == [(1, 7, 0, False), (1, 8, 0, False)]


async def test_a_lane_ends_where_the_next_one_began() -> None:
    known = window()
    async with feeding(journal((1, 2, 3, 4, 5)), at(0), known, at(3)) as feed:
        assert [seq for _, seq, _, _ in take(feed, known)] == [1, 2, 3]
        assert feed.done
        assert feed.passed == at(3)


async def test_a_hole_at_a_lanes_end_is_told_by_the_first_record_of_the_next_one() -> None:
    """4 and 5 stood before the live lane's beginning, and were gone before they were read."""
    known = window()
    known.tell(at(6), 8)
    async with feeding(journal((1, 2, 3, 6, 7, 8)), at(0), known, at(5)) as feed:
        assert take(feed, known) == [
            (1, 1, 0, False),
            (1, 2, 0, False),
            (1, 3, 0, False),
            (1, 6, 4, True),
        ]
        assert feed.done


async def test_a_lane_over_epochs_ends_within_the_last() -> None:
    known = window()
    async with feeding(journal((1, 2), (1, 2, 3)), at(0), known, at(1, 2)) as feed:
        assert [(e, seq) for e, seq, _, _ in take(feed, known)] == [(1, 1), (1, 2), (2, 1)]
        assert feed.done


async def test_a_lane_that_is_cut_short_gives_back_what_it_read_ahead() -> None:
    log, known = journal((1, 2, 3, 4, 5)), window()
    async with feeding(log, at(0), known) as feed:
        feed.take(lambda records, _size: records <= 2)
        feed.stop_at(at(4))
        assert [seq for _, seq, _, _ in take(feed, known)] == [3, 4]
        assert feed.done


async def test_a_lane_that_nobody_takes_from_reads_a_bounded_amount_ahead() -> None:
    size = READ_BYTES // 8
    log, known = MemoryJournal(*(make_record(n, bytes(size)) for n in range(1, 101))), window()
    async with feeding(log, at(0), known) as feed:
        taken, reads = 0, -1
        while taken < 100:
            await until(lambda: feed.first() is not None)
            while reads != log.reads:  # it reads as long as there is room
                reads = log.reads
                for _ in range(5):
                    await asyncio.sleep(0)
            assert log.reads * READ_BYTES - taken * size <= 2 * READ_BYTES
            group = feed.take(lambda _records, _size: True)
            known.tell(group[0].record.position, group[-1].record.position.seq)
            taken += len(group)
