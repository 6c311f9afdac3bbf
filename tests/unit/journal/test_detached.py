"""A journal that cannot be opened yet: empty for everybody, and itself again as soon as it can."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING

import pytest

from forebay.columnar import decode_gap
from forebay.errors import JournalFailed, JournalFull, JournalLocked
from forebay.events import JOURNAL_ATTACHED, JOURNAL_DETACHED
from forebay.files import SystemDisk
from forebay.journal.journal import ATTACH_EVERY_S, Account, Journal
from forebay.model import GapCause, RecordKind
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from support.journal import DIRECTORY, PLENTY, START, T, entry, journal, names, read_all, seams

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WHY = "the disk has failed three times"


async def until(clock: FakeClock, condition: Callable[[], bool]) -> None:
    """Let time pass until `condition` holds; the journal's threads have their own."""
    while not condition():
        await clock.advance(ATTACH_EVERY_S)
        await asyncio.sleep(0.001)


async def test_it_is_empty_and_takes_nothing() -> None:
    disk = FaultyDisk()
    seam = seams(disk)
    async with Journal(DIRECTORY, PLENTY, seam, detached=WHY) as log:
        cursor = log.cursor("cloud")
        with pytest.raises(JournalFull, match=WHY) as full:
            log.submit([entry(1)])
        assert "every minute" in full.value.hint
        assert log.heads() == ()
        assert log.segments() == ()
        assert await log.read(START, 100) == []
        assert log.ledger(T, cursor) == Account(0, 0, 0, 0, 0)
        assert log.stats().trouble == WHY
        waiting = asyncio.create_task(log.wait_beyond(START), name="waiting")
        opened = asyncio.create_task(log.opened(), name="opened")
        await asyncio.sleep(0.01)
        assert not waiting.done()
        assert not opened.done()
        opened.cancel()
        waiting.cancel()
    assert disk.paths() == []
    assert seam.events.count(JOURNAL_DETACHED) == 1


async def test_it_goes_on_where_it_stood_once_the_directory_opens() -> None:
    disk = FaultyDisk()
    async with journal(disk) as log:
        await log.submit([entry(n, samples=n) for n in (1, 2, 3)])
        log.cursor("cloud").advance((await read_all(log))[1].position)
    before = disk.paths()
    clock = FakeClock()
    seam = seams(disk, clock)
    async with Journal(DIRECTORY, PLENTY, seam, detached=WHY) as log:
        early = log.cursor("cloud")
        for _ in range(3):
            disk.fail("open", errno.EROFS, part="lock")
        waiting = asyncio.create_task(log.wait_beyond(START), name="waiting")
        await until(clock, lambda: not log.detached)
        await log.opened()
        await waiting
        assert seam.events.count(JOURNAL_DETACHED) == seam.events.count(JOURNAL_ATTACHED) == 1
        await log.submit([entry(4, samples=4)])
        assert await names(log) == [1, 2, 3, 4]
        assert early is log.cursor("cloud")
        assert log.ledger(T, early) == Account(10, 3, 7, 0, 0)
        early.advance((await read_all(log))[2].position)
    assert set(before) <= set(disk.paths())
    async with journal(disk) as log:
        assert log.ledger(T, log.cursor("cloud")) == Account(10, 6, 4, 0, 0)
        assert RecordKind.GAP not in {r.kind for r in await read_all(log)}


async def test_what_a_crash_before_it_left_is_told_when_it_opens() -> None:
    disk, clock = FaultyDisk(), FakeClock()
    log = journal(disk)
    await log.__aenter__()
    await log.submit([entry(1, samples=1)])
    log._writer.fail(OSError("crash"))  # noqa: SLF001 - a crash has no interface
    await log.__aexit__(None, None, None)
    async with Journal(DIRECTORY, PLENTY, seams(disk, clock), detached=WHY) as log:
        await until(clock, lambda: not log.detached and len(log.heads()) == 2)
        (gap,) = [decode_gap(r.payload) for r in await read_all(log) if r.kind is RecordKind.GAP]
    assert (gap.cause, gap.samples) == (GapCause.UNCLEAN_SHUTDOWN, None)
    assert gap.time_to_ns >= clock.now_ns() - 10 * ATTACH_EVERY_S * 1e9


async def test_a_try_that_breaks_off_leaves_nothing_behind() -> None:
    """At each call that reads or changes something: the next try finds what there is, once."""
    for call, after in (("open", 1), ("open", 2), ("pread", 3), ("listdir", 0), ("listdir", 2)):
        disk, clock = FaultyDisk(), FakeClock()
        async with journal(disk) as log:
            await log.submit([entry(n, size=1000) for n in range(1, 60)])
        async with Journal(DIRECTORY, PLENTY, seams(disk, clock), detached=WHY) as log:
            disk.fail(call, errno.EACCES, after=after)
            await until(clock, lambda log=log: not log.detached)  # type: ignore[misc]
            await log.opened()
            assert await names(log) == list(range(1, 60)), (call, after)


async def test_a_disk_too_full_to_open_it_is_no_failure() -> None:
    disk, clock = FaultyDisk(capacity_files=0), FakeClock()
    async with Journal(DIRECTORY, PLENTY, seams(disk, clock)) as log:
        assert "No space left" in log.detached
        disk._capacity_files = 100  # noqa: SLF001 - somebody has made room
        await until(clock, lambda: not log.detached)
        await log.opened()
        await log.submit([entry(1)])
        assert await names(log) == [1]


async def test_a_disk_that_fails_when_it_is_opened_at_last_fails_for_everybody() -> None:
    disk, clock = FaultyDisk(), FakeClock()
    async with Journal(DIRECTORY, PLENTY, seams(disk, clock), detached=WHY) as log:
        await until(clock, lambda: not log.detached)
        await log.opened()
        disk.fail("datasync", errno.EIO)
        with pytest.raises(JournalFailed):
            await log.submit([entry(1)])
        with pytest.raises(JournalFailed):
            log.submit([entry(2)])


async def test_a_directory_that_another_has_is_waited_for() -> None:
    disk, clock = FaultyDisk(), FakeClock()
    async with journal(disk) as other:
        await other.submit([entry(1)])
        with pytest.raises(JournalLocked):
            async with journal(disk):
                pytest.fail("opened")
        late = Journal(DIRECTORY, PLENTY, seams(disk, clock), detached=WHY)
        await late.__aenter__()
        await until(clock, lambda: "another process" in late.detached)
    await until(clock, lambda: not late.detached)
    await late.opened()
    assert await names(late) == [1]
    await late.__aexit__(None, None, None)


def test_free_space_is_known_before_the_directory_is(tmp_path: Path) -> None:
    disk = SystemDisk()
    there, missing = disk.free_bytes(tmp_path), disk.free_bytes(tmp_path / "a/b/c")
    assert missing == pytest.approx(there, rel=0.05)
