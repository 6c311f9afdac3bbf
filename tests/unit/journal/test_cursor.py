"""Cursors: readable files, hints only, never a reason not to start."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.model import Position, RecordKind, Stream
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from support.fuzz import examples
from support.journal import DIRECTORY, START, T, entry, journal, read_all
from support.quarantine import set_aside

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILE = DIRECTORY / "cursors" / "cloud.json"


async def advanced(disk: FaultyDisk) -> Position:
    """A journal of 40 records whose cursor `cloud` has passed 25."""
    async with journal(disk) as log:
        await log.submit([entry(n, size=1000, samples=1) for n in range(1, 41)])
        await log.submit([entry(41, stream=Stream.EVENTS)])
        position = (await read_all(log))[24].position
        log.cursor("cloud").advance(position)
        return position


async def test_a_cursor_outlives_a_restart_and_can_be_read() -> None:
    disk = FaultyDisk()
    position = await advanced(disk)
    text = json.loads(disk.read_bytes(FILE, 1 << 20))
    assert text["streams"]["telemetry"]["seq"] == 25
    assert text["streams"]["telemetry"]["epoch"] == f"{position.epoch:016x}"
    async with journal(disk) as log:
        cursor = log.cursor("cloud")
        assert cursor.get(T) == position
        assert cursor.get(Stream.EVENTS) == Position(Stream.EVENTS, 0, 0)
        account = log.ledger(T, cursor)
        assert (account.delivered, account.pending, account.gapped) == (25, 15, 0)


async def test_islands_outlive_a_restart_until_the_place_has_passed_them() -> None:
    disk = FaultyDisk()
    at = await advanced(disk)
    first, last = at._replace(seq=30), at._replace(seq=34)
    async with journal(disk) as log:
        log.cursor("cloud").begin(T, at)
        assert log.cursor("cloud").islands(T) == ()
        log.cursor("cloud").keep(T, [(first, last)])
    async with journal(disk) as log:
        assert log.cursor("cloud").islands(T) == ((first, last),)
        log.cursor("cloud").advance(last)
        assert log.cursor("cloud").islands(T) == ()
        log.cursor("cloud").rewind(at)
        assert log.cursor("cloud").islands(T) == ()
    assert json.loads(disk.read_bytes(FILE, 1 << 20))["streams"]["telemetry"]["islands"] == []


async def test_what_islands_grow_by_is_saved_as_what_the_place_moves_by() -> None:
    disk, clock = FaultyDisk(), FakeClock()
    async with journal(disk, clock=clock) as log:
        await log.submit([entry(n) for n in range(200)])
        cursor, at = log.cursor("cloud"), (await read_all(log))[0].position
        cursor.advance(at)
        await clock.advance(1.0)
        await _until(lambda: disk.exists(FILE))
        before = disk.read_bytes(FILE, 1 << 20)
        cursor.keep(T, [(at._replace(seq=100), at._replace(seq=170))])
        await clock.advance(1.0)
        await _until(lambda: disk.read_bytes(FILE, 1 << 20) != before)


async def test_it_is_saved_about_once_a_second() -> None:
    disk, clock = FaultyDisk(), FakeClock()
    async with journal(disk, clock=clock) as log:
        await log.submit([entry(1)])
        log.cursor("cloud").advance((await read_all(log))[-1].position)
        assert not disk.exists(FILE)
        await clock.advance(1.0)
        await _until(lambda: disk.exists(FILE))
        changes = disk.changes
        await clock.advance(5.0)
    assert disk.changes - changes < 10, "written although nothing moved"


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - another thread makes it true
            await asyncio.sleep(0.001)


async def test_it_never_goes_back() -> None:
    disk = FaultyDisk()
    position = await advanced(disk)
    async with journal(disk) as log:
        cursor = log.cursor("cloud")
        cursor.advance(position._replace(seq=3))
        assert cursor.get(T) == position


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"{}",
        b"null",
        b"[1]",
        b'{"format": 2}',
        b"\xff\xfe\x00",
        b'{"format": 1, "crc32c": "00000000", "streams": {"telemetry": {"epoch": "zz"}}}',
        b"[" * 200_000,
    ],
)
async def test_a_damaged_file_means_the_beginning(damaged: bytes) -> None:
    disk = FaultyDisk()
    await advanced(disk)
    disk.write_atomic(FILE, damaged)
    async with journal(disk) as log:
        cursor = log.cursor("cloud")
        assert cursor.get(T) == START
        account = log.ledger(T, cursor)
        assert (account.delivered, account.pending, account.gapped) == (0, 40, 0)


@examples(60)
@given(st.integers(0, 10_000))
async def test_a_flipped_bit_is_seen_or_changes_nothing(bit: int) -> None:
    disk = FaultyDisk()
    position = await advanced(disk)
    disk.flip(FILE, bit % (len(disk.read_bytes(FILE, 1 << 20)) * 8))
    async with journal(disk) as log:
        assert log.cursor("cloud").get(T) in (START, position)


async def test_a_missing_file_means_the_beginning() -> None:
    disk = FaultyDisk()
    await advanced(disk)
    disk.unlink(FILE)
    async with journal(disk) as log:
        assert log.cursor("cloud").get(T) == START


async def test_a_cursor_ahead_of_the_journal_is_brought_back() -> None:
    """The journal's end was lost, the cursor's file was not."""
    disk = FaultyDisk()
    await advanced(disk)
    for path in [p for p in disk.paths() if p.parent.name == "telemetry"][1:]:
        disk.unlink(path)
    async with journal(disk) as log:
        records = await read_all(log)
        cursor = log.cursor("cloud")
        assert cursor.get(T) <= records[-1].position
        account = log.ledger(T, cursor)
        assert account.produced == account.delivered + account.pending + account.gapped
        assert min(account.delivered, account.pending, account.gapped) >= 0


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a" * 81, ".hidden"])
async def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    async with journal() as log:
        with pytest.raises(ValueError, match="cursor"):
            log.cursor(name)


async def test_what_was_refused_is_counted_once_over_a_restart() -> None:
    disk = FaultyDisk()
    async with journal(disk) as log:
        await log.submit([entry(n, samples=n) for n in range(1, 6)])
        records = await read_all(log)
        cursor = log.cursor("cloud")
        await set_aside(log, records[2])
        cursor.reject(records[2].position, 3)
        cursor.advance(records[0].position)
    async with journal(disk) as log:
        cursor = log.cursor("cloud")
        cursor.reject(records[2].position, 3)
        cursor.advance(records[4].position)
        cursor.reject(records[2].position, 3)
        account = log.ledger(T, cursor)
    assert (account.delivered, account.quarantined, account.pending) == (12, 3, 0)


async def test_the_ledger_needs_no_disk_on_the_event_loop() -> None:
    """Only the reader and writer threads open files."""
    disk = FaultyDisk()
    await advanced(disk)
    async with journal(disk) as log:
        records = await read_all(log)
        opened: set[str] = set()
        real = disk.guarded

        def watch(call: str, path: Path) -> threading.RLock:
            opened.add(threading.current_thread().name)
            return real(call, path)

        disk.guarded = watch  # type: ignore[method-assign]
        cursor = log.cursor("cloud")
        for record in records:
            cursor.advance(record.position)
            log.ledger(T, cursor)
            log.heads(), log.segments(), log.stats()
        await log.submit([entry(50)])
        await read_all(log)
        assert log.ledger(T, cursor).pending == 10
        del disk.guarded
    assert all(name.startswith("journal-") for name in opened), opened
    assert RecordKind.BATCH in {r.kind for r in records}


async def test_what_is_taken_after_all_counts_as_delivered() -> None:
    """One that the cursor has passed, one that it has not."""
    disk = FaultyDisk()
    async with journal(disk) as log:
        await log.submit([entry(n, samples=10) for n in range(1, 5)])
        records = await read_all(log)
        positions = [record.position for record in records]
        cursor = log.cursor("cloud")
        await set_aside(log, records[1])
        cursor.advance(positions[2])
        await set_aside(log, records[3])
        assert log.ledger(T, cursor).quarantined == 10
        cursor.accept(positions[1], 10)
        cursor.accept(positions[3], 10)
        cursor.advance(positions[3])
        account = log.ledger(T, cursor)
    assert (account.delivered, account.quarantined, account.balanced) == (40, 0, True)


async def test_a_consumer_that_leaves_holds_nothing_back_and_comes_again_where_it_was() -> None:
    disk = FaultyDisk()
    position = await advanced(disk)
    async with journal(disk) as log:
        cursor = log.cursor("cloud")
        further = position._replace(seq=position.seq + 5)
        cursor.advance(further)
        await log.leave("cloud")
        text = json.loads(disk.read_bytes(FILE, 1 << 20))
        assert text["streams"]["telemetry"]["seq"] == further.seq, "it is saved at once"
        await log.leave("cloud")  # once more is nothing
        await log.leave("nobody")
        again = log.cursor("cloud")
        assert again.get(T) == further
        account = log.ledger(T, again)
        assert (account.delivered, account.pending) == (30, 10)
    async with journal(disk) as log:
        assert log.cursor("cloud").get(T) == further
