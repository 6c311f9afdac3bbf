"""A full disk: room is made where it may be, and where others took it the journal waits for it."""

from __future__ import annotations

import asyncio
import errno
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from forebay.columnar import decode_gap
from forebay.errors import JournalFailed, JournalFull
from forebay.events import DATA_LOST, DISK_FULL, DISK_HAS_ROOM
from forebay.journal.ballast import BALLAST_BYTES_MOST, Ballast, ballast_bytes
from forebay.journal.journal import Entry, Journal, JournalLimits
from forebay.model import GapCause, Position, RecordKind, Stream
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from support.batches import batch_entry
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
    seams,
    segment_paths,
)
from support.telemetry import scans

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.interfaces import Seams

KIB, MIB = 1 << 10, 1 << 20
LIMITS = JournalLimits(
    max_bytes=16 * MIB, max_age_s=1e9, segment_bytes=256 * KIB, ring_bytes=256 * KIB
)
BALLAST = DIRECTORY / "ballast"


@dataclass
class Box:
    """A journal on a disk of 4 MiB, much less than it is allowed to take."""

    disk: FaultyDisk = field(default_factory=lambda: FaultyDisk(capacity_bytes=4 * MIB))
    clock: FakeClock = field(default_factory=FakeClock)
    submitted: dict[int, int] = field(default_factory=dict)

    def seams(self, seed: int = 1) -> Seams:
        return seams(self.disk, self.clock, seed)

    def entries(self, count: int, size: int = 20_000) -> list[Entry]:
        first = len(self.submitted) + 1
        for name in range(first, first + count):
            self.submitted[name] = name
        return [entry(n, size=size, samples=n) for n in range(first, first + count)]

    async def until_stuck(self, log: Journal) -> asyncio.Future[None]:
        """Submit until the writer waits for room; give what it cannot write yet."""
        while True:
            ticket = log.submit(self.entries(3))
            while not ticket.done():
                if log.stats().trouble:
                    return ticket
                await asyncio.sleep(0)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let seconds pass until `condition` holds; the journal's threads have their own time."""
        while not condition():
            await self.clock.advance(1.0)
            await asyncio.sleep(0.001)

    async def judge(self, log: Journal) -> None:
        """Nothing twice, nothing out of order, and every sample accounted for."""
        records = await read_all(log, T, 1 << 20)
        there = [name_of(r) for r in records if r.kind is RecordKind.BATCH]
        assert there == sorted(set(there))
        account = log.ledger(T, log.cursor("cloud"))
        assert account.balanced, account
        assert account.produced == sum(self.submitted.values())
        assert account.pending == sum(there)
        gone = set(self.submitted) - set(there)
        assert account.gapped == sum(gone)


def test_the_ballast_is_small_beside_the_journal() -> None:
    assert ballast_bytes(64 * MIB) == 2 * MIB
    assert ballast_bytes(10 << 30) == BALLAST_BYTES_MOST == 32 * MIB


def test_a_ballast_is_made_once_and_given_back_whole() -> None:
    disk = FaultyDisk(capacity_bytes=MIB, capacity_files=2)
    disk.makedirs(DIRECTORY)
    ballast = Ballast(DIRECTORY, 700 * KIB, disk)
    assert ballast.make()
    assert disk.room() == MIB - 700 * KIB
    changes = disk.changes
    assert Ballast(DIRECTORY, 700 * KIB, disk).make()
    assert disk.changes == changes, "it was there"
    assert ballast.release()
    assert disk.room() == MIB
    assert not ballast.release()
    disk.others_bytes = 400 * KIB
    assert not ballast.make()
    assert not disk.exists(BALLAST)
    disk.others_bytes, disk.others_files = 0, 2
    assert not ballast.make()
    disk.others_files = 0
    assert ballast.make()
    assert Ballast(DIRECTORY, 500 * KIB, disk).make(), "of another size now"
    assert disk.size(BALLAST) == 500 * KIB


async def test_on_a_disk_smaller_than_it_was_told_the_oldest_goes_with_a_gap() -> None:
    box = Box()
    seam = box.seams()
    async with Journal(DIRECTORY, LIMITS, seam) as log:
        log.cursor("cloud")
        for _ in range(100):
            await log.submit(box.entries(4))
            await box.clock.advance(1.0)
            assert not log.stats().trouble
        gaps = [decode_gap(r.payload) for r in await read_all(log, T, MIB) if r.kind == 3]
        assert {g.cause for g in gaps} == {GapCause.RETENTION_BYTES}
        assert log.segments()[0].first_seq > 1
        assert seam.events.count(DISK_FULL) >= 1
        await box.judge(log)
        await box.until(lambda: box.disk.exists(BALLAST))
        await box.until(lambda: seam.events.count(DISK_HAS_ROOM) > 0)
        assert seam.events.count(DISK_HAS_ROOM) == seam.events.count(DISK_FULL)
    async with Journal(DIRECTORY, LIMITS, box.seams(2)) as log:
        await box.judge(log)


async def test_on_a_disk_smaller_than_it_was_told_readings_get_thinner_before_any_go() -> None:
    limits = JournalLimits(
        max_bytes=16 * MIB, max_age_s=1e9, segment_bytes=48 * KIB, ring_bytes=8 * MIB
    )
    capacity = 1200 * KIB
    disk = FaultyDisk(capacity_bytes=capacity)
    seam = seams(disk)
    async with Journal(DIRECTORY, limits, seam) as log:
        log.cursor("cloud")
        number = 0
        while not log.stats().thinned_samples:
            assert number < 2_000
            await log.submit([batch_entry(scans(number, rows=24))])
            await calm(log)
            number += 1
        stats = log.stats()
        assert stats.budget_bytes <= capacity - ballast_bytes(limits.max_bytes)
        assert sum(stats.stream_bytes.values()) < stats.max_bytes[T] < stats.budget_bytes
        assert (seam.events.count(DISK_FULL), seam.events.count(DATA_LOST)) == (0, 0)
        assert log.ledger(T, log.cursor("cloud")).balanced
        disk.others_bytes = 200 * KIB
        log._writer.retain()  # noqa: SLF001 - the look of every minute
        await calm(log)
        assert log.stats().budget_bytes < stats.budget_bytes
        assert seam.events.count(DATA_LOST) == 0


async def test_it_makes_room_at_full_speed_without_anybody_who_looks_after_it() -> None:
    """No second passes: what one segment met the next one must not meet without a ballast."""
    box = Box()
    async with Journal(DIRECTORY, LIMITS, box.seams()) as log:
        log.cursor("cloud")
        log._writer.retain()  # noqa: SLF001 - consumers are there; the rest is the writer's own
        for _ in range(200):
            await log.submit(box.entries(4))
        await box.judge(log)


async def test_a_gap_needs_little_room_where_there_is_nearly_none() -> None:
    box = Box(FaultyDisk(capacity_bytes=64 * MIB))
    async with Journal(DIRECTORY, LIMITS, box.seams()) as log:
        log.cursor("cloud")
        for _ in range(20):
            await log.submit(box.entries(12))
        log._writer.retain()  # noqa: SLF001 - as above
        await log.submit(box.entries(1))
        box.disk.unlink(BALLAST)
        log._ballast.whole = False  # noqa: SLF001 - somebody has removed it
        box.disk.others_bytes = box.disk.room() - 4 * KIB
        for _ in range(20):
            await log.submit(box.entries(12))
        await box.judge(log)
        assert log.ledger(T, log.cursor("cloud")).gapped > 0


@pytest.mark.parametrize("what", ["bytes", "files"])
async def test_where_others_fill_the_disk_it_waits_and_goes_on_by_itself(what: str) -> None:
    box = Box(FaultyDisk(capacity_bytes=64 * MIB, capacity_files=200))
    seam = box.seams()
    async with Journal(DIRECTORY, LIMITS, seam) as log:
        log.cursor("cloud")
        await log.submit(box.entries(3))

        def fill() -> None:
            if what == "bytes":
                box.disk.others_bytes += box.disk.room()
            else:
                box.disk.others_files = 200 - len(box.disk.paths())

        async def eat() -> None:
            while not log.stats().trouble:
                fill()
                await asyncio.sleep(0)

        eating = asyncio.create_task(eat(), name="others")
        stuck = await box.until_stuck(log)
        await eating
        fill()
        assert "full" in log.stats().trouble
        await box.until(lambda: seam.events.count(DISK_FULL) > 0)
        assert seam.events.count(DISK_FULL) == 1
        room = LIMITS.ring_bytes - log.stats().queued_bytes
        with pytest.raises(JournalFull) as full:
            log.submit([entry(0, size=room + 1)])
        assert "free some space" in full.value.hint
        for _ in range(5):
            await box.clock.advance(1.0)
            assert not stuck.done()
        assert len(await log.read(START, 1)) == 1, "reading goes on"
        box.disk.others_bytes = box.disk.others_files = 0
        await box.until(stuck.done)
        await stuck
        await log.submit(box.entries(1))
        assert not log.stats().trouble
        await box.judge(log)
        await box.until(lambda: seam.events.count(DISK_HAS_ROOM) == 1)
        assert box.disk.exists(BALLAST)


async def test_what_others_take_does_not_cost_the_whole_backlog() -> None:
    box = Box(FaultyDisk(capacity_bytes=12 * MIB))
    async with Journal(DIRECTORY, LIMITS, box.seams()) as log:
        log.cursor("cloud")
        while box.disk.room() > 4 * MIB:
            await log.submit(box.entries(5))
        held = len(segment_paths(box.disk))

        async def eat() -> None:
            while True:
                box.disk.others_bytes += box.disk.room()
                await asyncio.sleep(0)

        eating = asyncio.create_task(eat(), name="others")
        await box.until_stuck(log)
        for _ in range(30):
            await box.clock.advance(1.0)
        assert len(segment_paths(box.disk)) >= held - 6
        eating.cancel()
        await asyncio.wait([eating])
        box.disk.others_bytes = 0
        await box.until(lambda: not log.stats().trouble)


async def test_a_stop_on_a_full_disk_ends_and_the_next_start_says_that_something_is_missing() -> (
    None
):
    box = Box(FaultyDisk(capacity_bytes=64 * MIB))
    async with Journal(DIRECTORY, LIMITS, box.seams()) as log:
        await log.submit(box.entries(3))
        box.disk.others_bytes = box.disk.room()
        box.disk.unlink(BALLAST)
        box.disk.others_bytes += LIMITS.max_bytes // 32
        stuck = await box.until_stuck(log)
    with pytest.raises(JournalFull):
        await stuck
    box.disk.others_bytes = 0
    async with Journal(DIRECTORY, LIMITS, box.seams(2)) as log:
        found = [decode_gap(r.payload) for r in await read_all(log, T, MIB) if r.kind == 3]
        assert [(g.cause, g.samples) for g in found] == [(GapCause.UNCLEAN_SHUTDOWN, None)]
        assert log.ledger(T, log.cursor("cloud")).balanced


@pytest.mark.parametrize("ballast", [True, False])
async def test_a_start_on_a_full_disk(*, ballast: bool) -> None:
    """The footer of what a crash left needs room: the ballast has it, or it is read without."""
    box = Box(FaultyDisk(capacity_bytes=64 * MIB))
    log = Journal(DIRECTORY, LIMITS, box.seams())
    await log.__aenter__()
    await log.submit(box.entries(12))
    await box.clock.advance(1.5)
    log._writer.fail(OSError("crash"))  # noqa: SLF001 - a crash has no interface
    await log.__aexit__(None, None, None)
    newest = segment_paths(box.disk)[-1]
    file = box.disk.open(newest, write=True)
    file.truncate(len(box.disk.read_bytes(newest, 1 << 30).rstrip(b"\0")) + 7 & ~7)
    file.datasync()
    if not ballast:
        box.disk.unlink(BALLAST)
    box.disk.others_bytes = box.disk.room()
    before = box.disk.read_bytes(newest, 1 << 30)
    async with Journal(DIRECTORY, LIMITS, box.seams(2)) as log:
        assert await names(log) == list(range(1, 13))
        assert (box.disk.read_bytes(newest, 1 << 30) == before) is not ballast
        if not ballast:
            assert log.stats().trouble
            box.disk.others_bytes = 0
            await box.until(lambda: not log.stats().trouble)
        await log.submit(box.entries(1))
        await box.judge(log)
    async with Journal(DIRECTORY, LIMITS, box.seams(3)) as log:
        await box.judge(log)


async def test_what_a_start_cannot_say_yet_is_not_lost_for_a_consumer_that_goes_on() -> None:
    """A consumer passes a hole whose gap waits for room: it is gapped, now and ever after."""
    box = Box(FaultyDisk(capacity_bytes=64 * MIB))
    log = Journal(DIRECTORY, LIMITS, box.seams())
    await log.__aenter__()
    await log.submit(box.entries(12))
    torn = (await read_all(log, T, MIB))[6]
    log._writer.fail(OSError("crash"))  # noqa: SLF001 - a crash has no interface
    await log.__aexit__(None, None, None)
    path = segment_paths(box.disk)[-1]
    file = box.disk.open(path, write=True)
    offset = box.disk.read_bytes(path, 1 << 30).index(torn.payload)
    file.pwrite([b"\xff" * len(torn.payload)], offset)
    file.datasync()
    box.disk.unlink(BALLAST)
    box.disk.others_bytes = box.disk.room()
    async with Journal(DIRECTORY, LIMITS, box.seams(2)) as log:
        cursor = log.cursor("cloud")
        assert log.stats().trouble
        assert await names(log) == [name for name in range(1, 13) if name != name_of(torn)]
        cursor.advance(log.newest(T))
        accounts = [log.ledger(T, cursor)]
        box.disk.others_bytes = 0
        await box.until(lambda: not log.stats().trouble and log.newest(T) > cursor.get(T))
        accounts.append(log.ledger(T, cursor))
    async with Journal(DIRECTORY, LIMITS, box.seams(3)) as log:
        accounts.append(log.ledger(T, log.cursor("cloud")))
    produced = sum(box.submitted.values())
    expected = (produced, produced - torn.samples, 0, torn.samples)
    assert [(a.produced, a.delivered, a.pending, a.gapped) for a in accounts] == [expected] * 3


@pytest.mark.parametrize("call", ["create", "allocate", "pwrite", "datasync", "rename", "makedirs"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_segment_without_room_is_tried_again(call: str, number: int) -> None:
    disk = FaultyDisk()
    async with journal(disk) as log:
        disk.fail(call, number, part="telemetry")
        await log.submit([entry(1)])
        assert await names(log) == [1]
        assert [p.suffix for p in disk.paths() if p.parent.name == "telemetry"] == [".seg"]
    async with journal(disk) as log:
        assert await names(log) == [1]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_cursor_reads_on_where_its_mark_finds_no_room(number: int) -> None:
    disk = FaultyDisk()
    async with journal(disk) as log:
        cursor = log.cursor("cloud")
        await log.submit([entry(1)])
        disk.fail("create", number, part="cursors")
        given = await log.read(START, 1 << 20, cursor)
        assert [record.samples for record in given] == [entry(1).samples]
        assert not disk._failures, "nothing was marked"  # noqa: SLF001
        await log.submit([entry(2)])
        assert await names(log) == [1, 2]


@pytest.mark.parametrize("name", ["cursors/cloud.json", "tip"])
async def test_a_small_file_without_room_is_written_when_there_is_some(name: str) -> None:
    box = Box(FaultyDisk(capacity_bytes=64 * MIB))
    path = DIRECTORY / name
    async with Journal(DIRECTORY, PLENTY, box.seams()) as log:
        cursor = log.cursor("cloud")
        for call in ("create", "pwrite", "datasync", "rename"):
            box.disk.fail(call, errno.ENOSPC, part=path.name)
        await log.submit([entry(1)])
        cursor.advance((await read_all(log))[-1].position)
        await box.until(lambda: box.disk.exists(path))
        await log.submit([entry(2)])
    async with Journal(DIRECTORY, PLENTY, box.seams(2)) as log:
        assert log.cursor("cloud").get(T) > Position(T, 0, 0)
        assert await names(log) == [1, 2]


async def test_the_power_goes_while_room_is_made() -> None:
    """At any change of the disk: what was durable is there or named by a gap."""
    cuts = 0
    for changes in range(1, 160, 3):
        box = Box(FaultyDisk(capacity_bytes=2 * MIB))
        durable: set[int] = set()
        box.disk.cut_after(changes)
        try:
            async with Journal(DIRECTORY, LIMITS, box.seams()) as log:
                log.cursor("cloud")
                for _ in range(40):
                    await log.submit(box.entries(4))
                    durable = set(box.submitted)
        except JournalFailed:
            assert box.disk.off, "only the power may fail here"
        cuts += box.disk.off
        box.disk = box.disk.reboot(random.Random(changes))
        async with Journal(DIRECTORY, PLENTY, box.seams(2)) as log:
            account = log.ledger(T, log.cursor("cloud"))
            assert account.balanced, (changes, account)
            assert account.produced >= sum(durable)
            assert account.delivered == 0
    assert cuts > 40, "the cuts hit what they are meant for"


async def test_events_tell_what_was_dropped() -> None:
    box = Box()
    seam = box.seams()
    async with Journal(DIRECTORY, LIMITS, seam) as log:
        log.cursor("cloud")
        await log.submit([entry(1, stream=Stream.AUDIT)])
        for _ in range(60):
            await log.submit(box.entries(4))
        assert seam.events.count(DATA_LOST, cause="RETENTION_BYTES") >= 1
        assert await names(log, Stream.AUDIT) == [1], "readings push out no audit"
