"""Copies of refused records: durable, bounded, whole or known to be damaged."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.errors import JournalFull, QuarantineError
from forebay.events import QUARANTINE_DROPPED
from forebay.journal.quarantine import MAX_AGE_S, Quarantine
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from forebay.testing.records import make_record
from support.journal import seams
from support.quarantine import nobody

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.events import Events
    from forebay.journal.quarantine import Quarantined

DIRECTORY = Path("/journal/quarantine")
DAY_S = 86_400.0


def quarantine(
    disk: FaultyDisk, max_bytes: int = 1 << 20, clock: FakeClock | None = None, tell: Any = nobody
) -> tuple[Quarantine, Events]:
    """Give a quarantine, and the events that it tells."""
    made = seams(disk, clock)
    return Quarantine(DIRECTORY, max_bytes, made, tell), made.events


async def put(store: Quarantine, seq: int, *, uplink: str = "cloud", payload: bytes = b"x") -> str:
    record = make_record(seq, payload)
    await store.put(record, uplink=uplink, code="BadDecodingError", reason="why", schema=b"s" * 9)
    return f"{uplink}/{record.position.stream}-{record.position.epoch:016x}-{seq:016x}"


async def test_a_copy_survives_a_power_cut_whole() -> None:
    disk = FaultyDisk()
    store, _ = quarantine(disk)
    copy_id = await put(store, 7, payload=b"reading")
    after, _ = quarantine(disk.reboot(random.Random(1)))
    assert after.load() == ()
    (one,) = after.copies()
    assert (one.id, one.uplink, one.code, one.reason) == (
        copy_id,
        "cloud",
        "BadDecodingError",
        "why",
    )
    assert await after.read(copy_id) == (make_record(7, b"reading"), b"s" * 9)


async def test_the_same_record_again_changes_nothing() -> None:
    store, _ = quarantine(FaultyDisk())
    await put(store, 1)
    await put(store, 1)
    await put(store, 1, uplink="second")
    assert [one.uplink for one in store.copies()] == ["cloud", "second"]
    assert [one.uplink for one in store.copies("second")] == ["second"]


async def test_the_oldest_go_for_space_and_it_is_told() -> None:
    store, events = quarantine(FaultyDisk(), max_bytes=3_000)
    ids = [await put(store, seq, payload=bytes(700)) for seq in range(1, 6)]
    kept = [one.id for one in store.copies()]
    assert kept == ids[-len(kept) :]
    assert store.size_bytes <= 3_000
    assert events.count(QUARANTINE_DROPPED, cause="space") == 5 - len(kept) > 0


async def test_copies_grow_old_only_by_a_disciplined_clock() -> None:
    clock = FakeClock()
    store, events = quarantine(FaultyDisk(), clock=clock)
    await put(store, 1)
    await clock.advance(MAX_AGE_S - DAY_S)
    await put(store, 2)
    await clock.advance(2 * DAY_S)
    await store.prune(None)
    assert len(store.copies()) == 2
    await store.prune(clock.now_ns())
    assert [one.position.seq for one in store.copies()] == [2]
    assert events.count(QUARANTINE_DROPPED, cause="age") == 1


async def test_a_copy_of_a_time_when_nothing_disciplined_the_clock_has_no_age() -> None:
    disk, clock = FaultyDisk(), FakeClock(wall_ns=0)
    clock.synced = False
    store, _ = quarantine(disk, clock=clock)
    await put(store, 1)
    clock.step_wall(1.7e9)
    clock.synced = True
    await store.prune(clock.now_ns())
    after, _ = quarantine(disk.reboot(random.Random(1)), clock=clock)
    after.load()
    await after.prune(clock.now_ns())
    assert len(store.copies()) == len(after.copies()) == 1


async def test_nothing_goes_before_it_is_told() -> None:
    """For want of room, for age, and because a person asks."""
    disk, clock = FaultyDisk(), FakeClock()
    told: list[list[int]] = []
    refusing = asyncio.Event()

    async def tell(going: Sequence[Quarantined]) -> None:
        assert {one.id for one in going} <= {one.id for one in store.copies()}
        assert all(disk.exists(DIRECTORY / f"{one.id}.rec") for one in going)
        told.append([one.position.seq for one in going])
        if len(told) % 2:
            refusing.set()
            raise JournalFull("no room", hint="wait")

    store, _ = quarantine(disk, 1_000, clock, tell)
    await put(store, 1, payload=bytes(500))
    putting = asyncio.create_task(put(store, 2, payload=bytes(500)))
    await refusing.wait()
    assert [one.position.seq for one in store.copies()] == [1]
    await clock.advance(1)
    await putting
    assert [one.position.seq for one in store.copies()] == [2]
    with pytest.raises(JournalFull):
        await store.drop(store.copies()[0].id)
    await store.drop(store.copies()[0].id)
    await put(store, 3)
    await put(store, 4)
    await clock.advance(MAX_AGE_S + DAY_S)
    with pytest.raises(JournalFull):
        await store.prune(clock.now_ns())
    assert len(store.copies()) == 2
    await store.prune(clock.now_ns())
    assert store.copies() == ()
    assert told == [[1], [1], [2], [2], [3, 4], [3, 4]]


async def test_what_was_taken_after_all_is_no_loss() -> None:
    told: list[object] = []

    async def tell(going: Sequence[Quarantined]) -> None:
        told.append(going)

    store, events = quarantine(FaultyDisk(), tell=tell)
    await store.release(await put(store, 1))
    assert (store.copies(), told, events.count(QUARANTINE_DROPPED)) == ((), [], 0)


async def test_dropped_stays_dropped() -> None:
    disk = FaultyDisk()
    store, _ = quarantine(disk)
    copy_id = await put(store, 1)
    await store.drop(copy_id)
    after, _ = quarantine(disk.reboot(random.Random(1)))
    after.load()
    assert after.copies() == ()
    with pytest.raises(QuarantineError, match="nothing in quarantine"):
        await store.read(copy_id)


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
async def test_any_flipped_bit_is_seen(at: int, bit: int) -> None:
    disk = FaultyDisk()
    store, _ = quarantine(disk)
    copy_id = await put(store, 1, payload=b"reading")
    path = DIRECTORY / f"{copy_id}.rec"
    disk.flip(path, (at * 8 + bit) % (disk.size(path) * 8))
    after, _ = quarantine(disk)
    if after.load():
        assert after.copies() == ()
        return
    with pytest.raises(QuarantineError, match="damaged"):
        await after.read(copy_id)
