"""How many failures of the disk count, and what damage to the count does: nothing."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from forebay.failures import Failures
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from support.journal import seams

SOCKET = Path("/run/forebay/control.sock")


@dataclass
class Box:
    disk: FaultyDisk
    clock: FakeClock

    def failures(self) -> Failures:
        """Those that a process sees which starts now."""
        return Failures(SOCKET, seams(self.disk, self.clock))


async def test_three_within_ten_minutes_are_too_many() -> None:
    box = Box(FaultyDisk(), FakeClock())
    for _ in range(3):
        assert not box.failures().too_many()
        box.failures().note()
        await box.clock.advance(100)
    assert box.failures().too_many()
    await box.clock.advance(299)
    assert box.failures().too_many(), "the first one is 599 s old"
    await box.clock.advance(2)
    assert not box.failures().too_many()
    box.failures().note()
    assert box.failures().too_many(), "two of before and this one"


async def test_another_boot_begins_anew() -> None:
    box = Box(FaultyDisk(), FakeClock())
    for _ in range(5):
        box.failures().note()
    assert box.failures().too_many()
    assert not Box(box.disk, FakeClock(boot_id="boot-2")).failures().too_many()


async def test_a_step_of_the_wall_clock_changes_nothing() -> None:
    box = Box(FaultyDisk(), FakeClock())
    for _ in range(3):
        box.failures().note()
        box.clock.step_wall(3.2e8)
    assert box.failures().too_many()


async def test_what_cannot_be_read_or_written_counts_as_nothing() -> None:
    for content in (
        b"",
        b"\xff",
        b"[]",
        b'{"boot": "boot-1"}',
        b'{"boot": "boot-1", "seconds": 1}',
    ):
        box = Box(FaultyDisk(), FakeClock())
        box.disk.makedirs(SOCKET.parent)
        box.disk.write_atomic(SOCKET.with_name("control.sock.failures"), content)
        assert not box.failures().too_many()
        box.failures().note()
        assert not box.failures().too_many()
    box.disk.fail("create", errno.EROFS)
    box.failures().note()
