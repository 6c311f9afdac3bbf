"""The memory of collections on a modelled disk: durable, bounded, and damaged without harm."""

from __future__ import annotations

import errno
import random
from pathlib import Path

import pytest

from forebay.errors import RequestFailed
from forebay.management import collected
from forebay.management.collected import Collection, acknowledged, note, read
from forebay.model import Position, Stream
from forebay.testing.disk import FaultyDisk

FOLDER = Path("/state/fleet")


def made(number: int) -> Collection:
    ends = {"telemetry": (7, number)}
    return Collection(f"{number:032x}", "cloud", "ab", "store", ends)


def test_a_collection_is_remembered_over_a_power_cut_once_it_was_noted() -> None:
    disk = FaultyDisk()
    note(FOLDER, disk, made(1))
    note(FOLDER, disk, acknowledged(made(1)))
    note(FOLDER, disk, made(2))
    first, second = read(FOLDER, disk.reboot(random.Random(1)))
    assert (first.acknowledged, second.acknowledged) == (True, False)
    assert second.end(Stream.TELEMETRY) == Position(Stream.TELEMETRY, 7, 2)
    assert second.end(Stream.AUDIT) == Position(Stream.AUDIT, 0, 0)


def test_the_oldest_are_forgotten() -> None:
    disk = FaultyDisk()
    for number in range(collected.MOST + 5):
        note(FOLDER, disk, made(number))
    kept = read(FOLDER, disk)
    assert len(kept) == collected.MOST
    assert kept[0].id == made(5).id


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"format": 2}', b'{"format": 1}', b"\xff"])
def test_a_damaged_memory_is_empty(data: bytes) -> None:
    disk = FaultyDisk()
    disk.makedirs(FOLDER)
    disk.write_atomic(FOLDER / collected.FILE, data)
    assert read(FOLDER, disk) == ()


def test_a_disk_that_refuses_is_told() -> None:
    disk = FaultyDisk()
    note(FOLDER, disk, made(1))
    disk.fail("rename", errno.EIO)
    with pytest.raises(RequestFailed) as caught:
        note(FOLDER, disk, made(2))
    assert caught.value.hint
