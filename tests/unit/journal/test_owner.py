"""A journal knows whose it is, and another gateway's is refused before anything is touched."""

from __future__ import annotations

import errno
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.errors import JournalForeign, JournalLocked
from forebay.events import JOURNAL_ATTACHED
from forebay.journal import owner
from forebay.journal.journal import ATTACH_EVERY_S, Journal
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from support.journal import DIRECTORY, PLENTY, entry, names, seams

if TYPE_CHECKING:
    from pathlib import Path

FILE = DIRECTORY / owner.NAME


def of(gateway: str, disk: FaultyDisk) -> Journal:
    """The journal of a gateway, not open yet."""
    return Journal(DIRECTORY, PLENTY, seams(disk), gateway=gateway)


def content(disk: FaultyDisk) -> dict[Path, bytes]:
    return {path: disk.read_bytes(path, 1 << 26) for path in disk.paths()}


async def written(gateway: str = "box") -> FaultyDisk:
    """A disk with a journal of `gateway`, found after a power cut."""
    disk = FaultyDisk()
    async with of(gateway, disk) as log:
        await log.submit([entry(1)])
    return disk.reboot(random.Random(1))


async def test_the_journal_of_another_gateway_is_refused_and_stays_as_it_is() -> None:
    disk = await written()
    before = content(disk)
    with pytest.raises(JournalForeign, match=r"'box'.*'other'") as refused:
        await of("other", disk).__aenter__()
    assert "move the directory away" in refused.value.hint
    assert content(disk) == before
    async with of("box", disk) as log:  # nor is it held
        assert await names(log) == [1]
    async with Journal(DIRECTORY, PLENTY, seams(disk)) as log:
        assert await names(log) == [1]


@pytest.mark.parametrize("left", [None, b"", b"\0" * 90, b'{"gateway": "other"}', b"[]"])
async def test_one_that_does_not_say_whose_it_is_becomes_ours(left: bytes | None) -> None:
    disk = await written("other")
    disk.unlink(FILE) if left is None else disk.write_atomic(FILE, left)
    async with of("box", disk) as log:
        assert await names(log) == [1]
    after = disk.reboot(random.Random(1))
    assert owner.decode(after.read_bytes(FILE, owner.OWNER_BYTES_MAX)) == "box"
    with pytest.raises(JournalForeign):
        await of("other", after).__aenter__()


@given(st.text(min_size=1, max_size=64), st.integers(min_value=0))
def test_damage_never_gives_another_name(gateway: str, at: int) -> None:
    data = bytearray(owner.encode(gateway))
    assert owner.decode(bytes(data)) == gateway
    data[at // 8 % len(data)] ^= 1 << at % 8
    assert owner.decode(bytes(data)) in (None, gateway)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_disk_without_room_for_the_name_stops_nothing(number: int) -> None:
    disk = await written()
    disk.unlink(FILE)
    disk.fail("pwrite", number, part=owner.NAME)
    async with of("box", disk) as log:
        assert await names(log) == [1]
    assert not disk.exists(FILE)
    async with of("box", disk):
        assert disk.exists(FILE)


async def test_who_holds_it_comes_before_whose_it_is() -> None:
    disk = await written()
    async with of("box", disk):
        with pytest.raises(JournalLocked):
            await of("other", disk).__aenter__()


async def test_a_detached_agent_does_not_attach_the_disk_of_another_gateway() -> None:
    disk, clock = await written(), FakeClock()
    made = seams(disk, clock)
    async with Journal(DIRECTORY, PLENTY, made, gateway="other", detached="the disk fails") as log:
        await clock.advance(ATTACH_EVERY_S + 1)
        while log.detached == "the disk fails":
            await clock.advance(ATTACH_EVERY_S)
        assert "is of gateway 'box'" in log.stats().trouble
        disk.unlink(FILE)  # whoever put it there has taken it away
        while log.detached:
            await clock.advance(ATTACH_EVERY_S)
        assert made.events.count(JOURNAL_ATTACHED) == 1
