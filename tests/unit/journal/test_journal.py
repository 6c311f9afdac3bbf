"""The journal as its callers see it: durable, ordered, bounded, accounted for."""

from __future__ import annotations

import asyncio
import errno
import random
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from forebay.columnar import decode_gap
from forebay.errors import JournalFailed, JournalFull, JournalLocked
from forebay.events import EPOCH_BEGUN, JOURNAL_FAILED
from forebay.journal.entry import gap_entry
from forebay.journal.journal import Account, Entry, Journal, JournalLimits
from forebay.journal.record import MAX_PAYLOAD_BYTES
from forebay.journal.retention import merged
from forebay.model import (
    EPOCH_RANDOM_BITS,
    Gap,
    GapCause,
    Position,
    RecordKind,
    Stream,
    epoch_number,
)
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from support.journal import (
    DIRECTORY,
    ENCODED_SCHEMA,
    PLENTY,
    SCHEMA,
    START,
    T,
    entry,
    journal,
    name_of,
    names,
    read_all,
    seams,
    segment_paths,
)
from support.quarantine import set_aside

if TYPE_CHECKING:
    from pathlib import Path

SMALL = JournalLimits(max_bytes=128 << 10, max_age_s=100.0, segment_bytes=8192, ring_bytes=1 << 20)


async def test_what_is_submitted_is_read_back_in_order() -> None:
    async with journal() as log:
        await asyncio.gather(*(log.submit([entry(n, size=n)]) for n in range(8, 200)))
        records = await read_all(log)
    assert [name_of(r) for r in records] == list(range(8, 200))
    assert [r.position.seq for r in records] == list(range(1, 193))
    assert all(r.payload == entry(name_of(r), size=name_of(r)).payload for r in records)


async def test_positions_and_content_outlive_a_restart() -> None:
    disk = FaultyDisk()
    async with journal(disk) as log:
        await log.submit([entry(n) for n in range(1, 400)])
        before = await read_all(log)
        heads = log.heads()
    async with journal(disk) as log:
        assert await read_all(log) == before
        assert log.heads() == heads
        await log.submit([entry(400)])
        (last,) = await log.read(before[-1].position, 1)
    assert last.position.epoch > before[-1].position.epoch
    assert last.position.seq == 1


async def test_a_run_has_one_epoch_for_all_streams_and_it_begins_with_a_record() -> None:
    disk = FaultyDisk()
    epochs = []
    for n in range(1, 4):
        async with journal(disk, seed=n) as log:
            before = log.heads()
            await log.submit([entry(n), entry(n + 10, stream=Stream.EVENTS)])
            fresh = set(log.heads()) - set(before)
            assert {(h.stream, h.first_seq, h.next_seq) for h in fresh} == {
                (T, 1, 2),
                (Stream.EVENTS, 1, 2),
            }
            (epoch,) = {head.epoch for head in fresh}
            epochs.append(epoch)
        async with journal(disk) as log:
            assert len(log.heads()) == 2 * n, "a run that writes nothing leaves no epoch"
    assert [epoch_number(epoch) for epoch in epochs] == [1, 2, 3]
    assert len({epoch & 0xFFFF_FFFF for epoch in epochs}) == 3


async def test_a_copy_of_a_directory_goes_on_in_another_epoch() -> None:
    disk = FaultyDisk()
    async with journal(disk) as log:
        await log.submit([entry(1)])
    copy = disk.reboot(random.Random(1))
    ends = []
    for number, one in enumerate((disk, copy)):
        async with journal(one, seed=10 + number) as log:
            await log.submit([entry(2 + number)])
            ends.append((await read_all(log))[-1].position)
    assert epoch_number(ends[0].epoch) == epoch_number(ends[1].epoch) == 2
    assert ends[0] != ends[1]


async def test_the_epoch_that_is_written_in_is_known_before_its_first_record() -> None:
    log = Journal(DIRECTORY, PLENTY, replace(seams(), disk=FaultyDisk()))
    assert log.epoch == 0
    async with log:
        first = log.epoch
        assert epoch_number(first) == 1
        await log.submit([entry(1)])
        assert {head.epoch for head in log.heads()} == {first}
        await log.new_epoch("another journal had more runs", above=41 << EPOCH_RANDOM_BITS)
        second = log.epoch
        assert epoch_number(second) == 42
        await log.new_epoch("it had fewer", above=7 << EPOCH_RANDOM_BITS)
        assert epoch_number(log.epoch) == 43
        await log.submit([entry(2)])
        assert [head.epoch for head in log.heads()] == [first, log.epoch]


async def test_an_epoch_begun_while_running_parts_what_was_before_from_what_comes() -> None:
    disk, seam = FaultyDisk(), seams()
    async with Journal(DIRECTORY, PLENTY, replace(seam, disk=disk)) as log:
        cursor = log.cursor("cloud")
        earlier = log.submit([entry(n, samples=n, schema=ENCODED_SCHEMA) for n in (1, 2)])
        await log.new_epoch("the destination has other records")
        assert earlier.done()
        later = [entry(3, samples=3, schema=ENCODED_SCHEMA), entry(4, stream=Stream.AUDIT)]
        await log.submit(later)
        records = await read_all(log)
        assert [r.position.seq for r in records] == [1, 2, 3, 1, 2], "a schema and its batches"
        first, second = records[0].position.epoch, records[-1].position.epoch
        assert epoch_number(second) == epoch_number(first) + 1
        assert {h.epoch for h in log.heads() if h.stream is Stream.AUDIT} == {second}
        assert log.ledger(T, cursor) == Account(6, 0, 6, 0, 0)
        assert seam.events.count(EPOCH_BEGUN) == 1
        assert await log.chain(records[-1].position) is not None
    async with journal(disk) as log:
        assert await read_all(log) == records
        assert [r.kind for r in await read_all(log)].count(RecordKind.GAP) == 0


async def test_entries_of_one_call_are_durable_together() -> None:
    async with journal() as log:
        entries = [entry(1), entry(2, stream=Stream.EVENTS), entry(3)]
        commits = log.stats().commits
        await log.submit(entries)
        assert log.stats().commits == commits + 1
        assert await names(log) == [1, 3]
        assert await names(log, Stream.EVENTS) == [2]


async def test_a_read_is_bounded_and_gives_at_least_one() -> None:
    async with journal() as log:
        await log.submit([entry(n, size=1000) for n in range(1, 60)])
        assert len(await log.read(START, 1)) == 1
        assert len(await log.read(START, 3_500)) == 3
        far = Position(T, log.heads()[0].epoch, 59)
        assert await log.read(far, 1 << 20) == []


async def test_a_reader_meets_the_writer() -> None:
    """Reads go on while segments fill, seal and roll under them."""
    async with journal() as log:
        seen: list[int] = []

        async def follow() -> None:
            after = START
            while len(seen) < 600:
                await log.wait_beyond(after)
                records = await log.read(after, 5_000)
                after = records[-1].position
                seen.extend(name_of(r) for r in records)

        reader = asyncio.create_task(follow(), name="reader")
        for n in range(1, 601, 3):
            await log.submit([entry(m, size=300) for m in range(n, n + 3)])
        await reader
    assert seen == list(range(1, 601))


async def test_waiting_ends_for_everybody_and_only_when_it_must() -> None:
    async with journal() as log:
        first, second = START, START
        waits = [asyncio.create_task(log.wait_beyond(p), name="w") for p in (first, second)]
        other = asyncio.create_task(log.wait_beyond(Position(Stream.EVENTS, 0, 0)), name="o")
        cancelled = asyncio.create_task(log.wait_beyond(START), name="c")
        await asyncio.sleep(0)
        cancelled.cancel()
        await log.submit([entry(1)])
        await asyncio.gather(*waits)
        assert not other.done()
        await log.submit([entry(2, stream=Stream.EVENTS)])
        await other


async def test_each_segment_explains_itself() -> None:
    """The schema stands before the first batch of each segment that needs it."""
    disk = FaultyDisk()
    async with journal(disk) as log:
        for n in range(1, 40):
            await log.submit([entry(n, size=1000, schema=ENCODED_SCHEMA)])
        records = await read_all(log)
        firsts = {s.first_seq for s in log.segments()}
        assert log.schema(SCHEMA.id) == SCHEMA
        with pytest.raises(KeyError):
            log.schema(1)
    schemas = [r for r in records if r.kind is RecordKind.SCHEMA]
    assert {r.position.seq for r in schemas} == firsts
    assert len(firsts) > 1
    assert {r.payload for r in schemas} == {ENCODED_SCHEMA[1]}
    async with journal(disk) as log:
        assert log.schema(SCHEMA.id) == SCHEMA


async def test_a_record_larger_than_a_segment_gets_one_of_its_own() -> None:
    async with journal() as log:
        await log.submit([entry(1), entry(2, size=100_000), entry(3)])
        assert await names(log) == [1, 2, 3]


async def test_a_full_ring_refuses_at_once_and_takes_nothing() -> None:
    disk = FaultyDisk()
    limits = JournalLimits(1 << 30, 1e9, 65_536, ring_bytes=1000)
    async with journal(disk, limits) as log:
        with pytest.raises(JournalFull) as full:
            log.submit([entry(1, size=600), entry(2, size=600)])
        assert full.value.hint
        assert log.stats().queued_bytes == 0
        await log.submit([entry(3, size=1000)])
        assert log.stats().queued_bytes == 0
        assert await names(log) == [3]


async def test_what_can_be_no_record_is_refused() -> None:
    async with journal() as log:
        big = Entry(T, RecordKind.BATCH, bytes(MAX_PAYLOAD_BYTES + 1), 1, 0, 0)
        with pytest.raises(ValueError, match="limit"):
            log.submit([entry(1), big])
        assert log.heads() == ()


@pytest.mark.parametrize("call", ["pwrite", "datasync", "create", "allocate", "rename", "sync_dir"])
@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS])
async def test_a_disk_error_ends_the_journal(call: str, number: int) -> None:
    """No retry: what waited fails, what comes later is refused, and nobody hangs."""
    disk = FaultyDisk()
    seam = seams(disk)
    async with Journal(DIRECTORY, PLENTY, seam) as log:
        disk.fail(call, number, part="telemetry")
        waiting = asyncio.create_task(log.wait_beyond(START), name="waiting")
        await asyncio.sleep(0)
        with pytest.raises(JournalFailed) as failed:
            await log.submit([entry(1)])
        assert failed.value.hint
        assert isinstance(failed.value.__cause__, OSError)
        with pytest.raises(JournalFailed):
            log.submit([entry(2)])
        with pytest.raises(JournalFailed):
            await waiting
        with pytest.raises(JournalFailed):
            await log.wait_beyond(START)
        assert seam.events.count(JOURNAL_FAILED) == 1
    async with journal(disk) as log:
        assert await names(log) in ([], [1])
        await log.submit([entry(3)])
        assert (await names(log))[-1] == 3


async def test_a_failed_flush_is_never_tried_again_and_its_number_never_reused() -> None:
    """Linux forgets the dirty pages: what a second flush said would mean nothing."""
    disk = FaultyDisk()
    async with journal(disk) as log:
        await log.submit([entry(1)])
        disk.fail("datasync", errno.EIO)
        with pytest.raises(JournalFailed):
            await log.submit([entry(2)])
    changes = disk.changes
    async with journal(disk) as log:
        records = await read_all(log)
        assert [name_of(r) for r in records if r.kind is RecordKind.BATCH] == [1, 2]
        await log.submit([entry(3)])
        after = await read_all(log)
    assert after[: len(records)] == records
    assert disk.changes > changes


async def test_a_failing_cursor_file_ends_the_journal_too() -> None:
    disk, clock = FaultyDisk(), FakeClock()
    async with journal(disk, clock=clock) as log:
        await log.submit([entry(1)])
        log.cursor("cloud").advance((await read_all(log))[-1].position)
        disk.fail("pwrite", errno.EIO, part="cursors")
        await clock.advance(1.5)
        with pytest.raises(JournalFailed):
            await log.wait_beyond(Position(T, 1 << 62, 0))


async def test_a_directory_that_cannot_be_made_is_said() -> None:
    disk = FaultyDisk()
    disk.fail("makedirs", errno.EACCES)
    with pytest.raises(JournalFailed, match="cannot be opened"):
        async with journal(disk):
            pytest.fail("opened")


async def test_a_second_journal_on_the_directory_is_refused() -> None:
    disk = FaultyDisk()
    async with journal(disk):
        with pytest.raises(JournalLocked) as locked:
            async with journal(disk):
                pytest.fail("opened")
        assert locked.value.hint
    async with journal(disk):
        pass


async def test_the_writer_thread_has_a_name_and_ends() -> None:
    async with journal():
        assert "journal-writer" in {t.name for t in threading.enumerate()}
    assert not [t.name for t in threading.enumerate() if t.name.startswith("journal")]


async def test_the_ledger_counts_every_sample_once() -> None:
    gap = Gap(GapCause.RING_OVERFLOW, 1, 2, 40, "press")
    async with journal() as log:
        cursor = log.cursor("cloud")
        await log.submit([entry(n, samples=n) for n in (1, 2, 3, 4)])
        await log.submit([gap_entry(T, gap)])
        records = await read_all(log)
        assert log.ledger(T, cursor) == Account(50, 0, 10, 40, 0)
        cursor.advance(records[1].position)
        assert log.ledger(T, cursor) == Account(50, 3, 7, 40, 0)
        await set_aside(log, records[2])
        assert log.ledger(T, cursor) == Account(50, 3, 7, 40, 0)
        cursor.advance(records[4].position)
        assert log.ledger(T, cursor) == Account(50, 7, 0, 40, 3)
        assert log.ledger(Stream.EVENTS, cursor) == Account(0, 0, 0, 0, 0)
    assert records[4].samples == 40


async def test_retention_tells_a_slow_consumer_what_it_missed() -> None:
    disk = FaultyDisk()
    async with journal(disk, SMALL) as log:
        slow, fast = log.cursor("slow"), log.cursor("fast")
        produced = 0
        for n in range(1, 300):
            await log.submit([entry(n, size=1000, samples=n)])
            produced += n
            fast.advance((await log.read(fast.get(T), 1 << 20))[-1].position)
        assert (
            log.stats().stream_bytes[T] <= log.stats().max_bytes[T] == SMALL.max_bytes * 0.75 // 1
        )
        gaps = [decode_gap(r.payload) for r in await read_all(log) if r.kind is RecordKind.GAP]
        assert {g.cause for g in gaps} == {GapCause.RETENTION_BYTES}
        first = (await log.read(START, 1))[0].position
        named = {seq for g in gaps for seq in range(g.seq_from, g.seq_to + 1)}
        assert set(range(1, first.seq)) <= named
        account = log.ledger(T, slow)
        assert account.produced == produced == account.pending + account.gapped
        assert sum(g.samples or 0 for g in merged(gaps)) == account.gapped
        assert len(merged(gaps)) == 1
        account = log.ledger(T, fast)
        assert (account.delivered, account.pending, account.gapped) == (produced, 0, 0)
    async with journal(disk, SMALL) as log:
        account = log.ledger(T, log.cursor("slow"))
        assert account.produced == produced == account.pending + account.gapped
        assert log.ledger(T, log.cursor("fast")).delivered == produced


async def test_what_everybody_has_goes_without_a_gap() -> None:
    async with journal(FaultyDisk(), SMALL) as log:
        cursor = log.cursor("cloud")
        for n in range(1, 200):
            await log.submit([entry(n, size=1000)])
            cursor.advance((await log.read(cursor.get(T), 1 << 20))[-1].position)
            log._cursors.save()  # noqa: SLF001 - the save that happens each second
        assert RecordKind.GAP not in {r.kind for r in await read_all(log)}
        assert log.ledger(T, cursor).gapped == 0
        assert log.segments()[0].first_seq > 1


async def test_old_segments_go_by_age() -> None:
    clock = FakeClock()
    async with journal(FaultyDisk(), SMALL, clock=clock) as log:
        cursor = log.cursor("cloud")
        for n in range(1, 30):
            await log.submit([entry(n, size=1000, samples=1)])
        sealed = sum(s.sealed for s in log.segments())
        await clock.advance(90)
        assert sum(s.sealed for s in log.segments()) == sealed
        await clock.advance(200)
        await log.wait_beyond(Position(T, log.heads()[-1].epoch, 29))
        gaps = [r for r in await read_all(log) if r.kind is RecordKind.GAP]
        assert {decode_gap(r.payload).cause for r in gaps} == {GapCause.RETENTION_AGE}
        account = log.ledger(T, cursor)
        assert account.produced == 29 == account.pending + account.gapped


async def test_a_clock_that_is_set_after_boot_makes_nothing_old() -> None:
    clock = FakeClock(wall_ns=0)
    clock.synced = False
    async with journal(FaultyDisk(), SMALL, clock=clock) as log:
        cursor = log.cursor("cloud")
        await log.submit([entry(n, size=1000, samples=1) for n in range(1, 30)])
        before = [s.file for s in log.segments() if s.sealed]
        clock.step_wall(1.7e9)
        await clock.advance(130)
        clock.synced = True
        await clock.advance(130)
        await log.submit([entry(n, size=1000, samples=1) for n in range(30, 50)])
        assert [s.file for s in log.segments() if s.sealed][: len(before)] == before
        assert log.ledger(T, cursor) == Account(49, 0, 49, 0, 0)
        assert len([s for s in log.segments() if s.sealed]) > len(before)
        await clock.advance(300)
        await log.wait_beyond(Position(T, log.heads()[-1].epoch, 49))
        await log.submit([])  # the gap is durable before its segment goes; this comes behind both
        account = log.ledger(T, cursor)
        assert account.balanced
        assert account.gapped, "what came behind was sealed under a good clock and is old now"


def test_the_directory_is_readable_by_its_group_only(tmp_path: Path) -> None:
    from forebay.files import SystemDisk

    async def fill() -> None:
        async with Journal(tmp_path / "j", PLENTY, seams(SystemDisk())) as log:
            await log.submit([entry(1)])
            log.cursor("cloud").advance((await read_all(log))[-1].position)

    asyncio.run(fill())
    modes = {p.stat().st_mode & 0o777 for p in (tmp_path / "j").rglob("*") if p.is_file()}
    assert modes == {0o640}
    assert {p.name for p in (tmp_path / "j").iterdir()} == {
        "lock",
        "telemetry",
        "cursors",
        "tip",
        "ballast",
    }


def test_segments_are_named_in_order() -> None:
    disk = FaultyDisk()

    async def fill() -> None:
        async with journal(disk) as log:
            await log.submit([entry(n, size=3000) for n in range(1, 20)])
            assert [s.file for s in log.segments()] == [p.name for p in segment_paths(disk)]

    asyncio.run(fill())
