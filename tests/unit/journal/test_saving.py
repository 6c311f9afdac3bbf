"""Cursors and tip may lag behind by a few records for a while; what is no hint may not."""

from __future__ import annotations

import json
import random
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING

import pytest

from forebay.journal.saving import LAG_RECORDS, LAG_S, Saving
from forebay.journal.tip import TipFile
from forebay.model import Position, Stream
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from support.journal import DIRECTORY, T, entry, journal, read_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from forebay.journal.cursor import Cursor
    from forebay.journal.journal import Journal

FIRST = 10
"""Records that are saved before the test begins."""


class Box:
    """A journal whose own upkeep stands still, and what saves it under a clock of the test."""

    def __init__(self, log: Journal, disk: FaultyDisk) -> None:
        self.log, self.disk, self.clock = log, disk, FakeClock()
        self.cursor: Cursor = log.cursor("cloud")
        self._saving = Saving(log._cursors, log._tip, log._catalog, self.clock)  # noqa: SLF001

    async def grow(self, count: int) -> list[Position]:
        """Journal so many records; give all positions."""
        await self.log.submit([entry(n) for n in range(count)])
        return [record.position for record in await read_all(self.log)]

    async def look(self, after_s: float = 1.0) -> tuple[int, int]:
        """Let time pass and look; give the seqs that cursor file and tip name then."""
        await self.clock.advance(after_s)
        self._saving.look()
        return self.saved()

    def saved(self) -> tuple[int, int]:
        """Give the seqs that cursor file and tip name."""
        text = json.loads(self.disk.read_bytes(DIRECTORY / "cursors" / "cloud.json", 1 << 20))
        tips = TipFile(DIRECTORY, self.disk).load()
        assert tips is not None
        return text["streams"]["telemetry"]["seq"], tips.streams[T].seq


@asynccontextmanager
async def box() -> AsyncIterator[Box]:
    disk = FaultyDisk()
    async with journal(disk) as log:
        begun = Box(log, disk)
        positions = await begun.grow(FIRST)
        begun.cursor.advance(positions[-1])
        assert await begun.look() == (FIRST, FIRST), "the first of a run does not wait"
        yield begun


async def test_few_records_wait_and_the_account_does_not() -> None:
    async with box() as begun:
        begun.cursor.advance((await begun.grow(5))[-1])
        for _ in range(int(LAG_S) - 1):
            assert await begun.look() == (FIRST, FIRST)
        assert begun.log.ledger(T, begun.cursor).pending == 0
        assert await begun.look() == (FIRST + 5, FIRST + 5)
        changes = begun.disk.changes
        await begun.look(10 * LAG_S)
        assert begun.disk.changes == changes, "written although nothing moved"


async def test_many_records_do_not_wait() -> None:
    async with box() as begun:
        positions = await begun.grow(LAG_RECORDS)
        assert await begun.look() == (FIRST, FIRST + LAG_RECORDS)
        begun.cursor.advance(positions[-2])
        assert await begun.look() == (FIRST, FIRST + LAG_RECORDS)
        begun.cursor.advance(positions[-1])
        assert await begun.look() == (FIRST + LAG_RECORDS, FIRST + LAG_RECORDS)


@pytest.mark.parametrize("what", ["refused", "back", "session", "epoch"])
async def test_what_is_no_hint_does_not_wait(what: str) -> None:
    async with box() as begun:
        if what == "epoch":
            await begun.log.new_epoch("test")
        positions = await begun.grow(2)
        if what == "refused":
            begun.cursor.reject(positions[-2], 1)
            begun.cursor.advance(positions[-1])
            assert await begun.look() == (FIRST + 2, FIRST)
        elif what == "back":
            begun.cursor.rewind(positions[3])
            assert await begun.look() == (4, FIRST)
        elif what == "session":
            begun.cursor.begin(T, positions[-1])
            begun.cursor.advance(positions[-1])
            assert await begun.look() == (FIRST + 2, FIRST)
        else:
            begun.cursor.advance(positions[-1])
            assert await begun.look() == (2, 2)


async def test_the_chain_that_a_destination_told_waits_with_the_place() -> None:
    async with box() as begun:
        changes = begun.disk.changes
        begun.cursor.testify(begun.cursor.get(T), bytes(32), "server")
        await begun.look()
        assert begun.disk.changes == changes
        await begun.look(LAG_S)
        assert begun.disk.changes > changes


async def test_the_end_of_a_run_saves_all() -> None:
    async with box() as begun:
        begun.cursor.advance((await begun.grow(5))[-1])
        await begun.grow(1)
        assert await begun.look() == (FIRST, FIRST)
    assert begun.saved() == (FIRST + 5, FIRST + 6)
    assert begun.cursor.get(Stream.EVENTS).seq == 0


async def test_a_start_makes_durable_what_a_killed_process_left() -> None:
    """Whether a segment may go is judged by cursors read: they must not go back in a power cut."""
    disk = FaultyDisk()
    path = DIRECTORY / "cursors" / "cloud.json"
    async with journal(disk) as log:
        cursor = log.cursor("cloud")
        await log.submit([entry(n) for n in range(FIRST)])
        last = (await read_all(log))[-1].position
    before = disk.read_bytes(path, 1 << 20)
    async with journal(disk) as log:
        cursor = log.cursor("cloud")
        cursor.advance(last)
    passed = disk.read_bytes(path, 1 << 20)
    assert passed != before
    disk.write_atomic(path, before)
    fresh = path.with_suffix(".new")
    with closing(disk.open(fresh, create=True)) as file:
        file.pwrite([passed], 0)
        file.datasync()
    disk.rename(fresh, path)  # and killed before the directory was flushed
    cuts = {disk.reboot(random.Random(seed)).read_bytes(path, 1 << 20) for seed in range(20)}
    assert cuts == {before, passed}
    async with journal(disk):
        cuts = {disk.reboot(random.Random(seed)).read_bytes(path, 1 << 20) for seed in range(20)}
    assert cuts == {passed}
