"""Fault 12: the tip or a cursor file is damaged.

The other slot of the tip is taken; without a cursor everything is sent again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay.files import SystemDisk
from forebay.journal.tip import FILE_BYTES, SLOT_BYTES, SLOT_OFFSETS, TipFile
from forebay.model import GapCause, Stream
from support.faults import found, lived
from support.journal_life import SAMPLES

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 40


def spoil(path: Path, offset: int, size: int) -> None:
    """Overwrite a part of a real file."""
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = b"\xa5" * size
    path.write_bytes(content)


@pytest.mark.parametrize("slot", [0, 1])
async def test_fault_12_of_the_tip_the_other_slot_is_taken(slot: int, tmp_path: Path) -> None:
    assert lived(tmp_path, 1, COUNT) == (0, COUNT)
    await found(tmp_path)  # a start and a stop write the other slot, too
    spoil(tmp_path / "tip", SLOT_OFFSETS[slot], SLOT_BYTES)
    assert TipFile(tmp_path, SystemDisk()).load() is not None
    newest = max((tmp_path / "telemetry").glob("*.seg"))
    newest.unlink()
    there = await found(tmp_path)
    known = TipFile(tmp_path, SystemDisk()).load()
    assert known is not None
    assert known.streams[Stream.TELEMETRY].epoch >= max(p.epoch for p in there.records)
    named = [g for g in there.gaps if g.journaled]
    lost = sorted(set(range(1, COUNT + 1)) - set(there.names))
    assert [g.cause for g in named] == [GapCause.CORRUPT]
    assert named[0].samples == len(lost) * SAMPLES == there.gapped
    assert there.produced == COUNT * SAMPLES


@pytest.mark.parametrize("damage", ["both slots", "size", "gone"])
async def test_fault_12_a_tip_that_nobody_can_read_is_made_anew(
    damage: str, tmp_path: Path
) -> None:
    assert lived(tmp_path, 1, COUNT) == (0, COUNT)
    path = tmp_path / "tip"
    if damage == "gone":
        path.unlink()
    elif damage == "size":
        path.write_bytes(path.read_bytes()[:100])
    else:
        spoil(path, 0, FILE_BYTES)
    there = await found(tmp_path)
    assert there.names == list(range(1, COUNT + 1))
    assert there.gaps == []
    assert lived(tmp_path, COUNT + 1, 1)[0] == 0
    tips = TipFile(tmp_path, SystemDisk()).load()
    assert tips is not None
    assert tips.orderly


@pytest.mark.parametrize("damage", ["a bit", "empty", "gone", "rubbish"])
async def test_fault_12_a_cursor_that_nobody_can_read_begins_again(
    damage: str, tmp_path: Path
) -> None:
    status, told = lived(tmp_path, 1, 200, "ROLL")
    assert (status, told) == (0, 200)
    before = await found(tmp_path)
    assert before.delivered > 0
    path = tmp_path / "cursors/cloud.json"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    made = {"a bit": bytes(content), "empty": b"", "rubbish": b"\xff" * 4096}
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(made[damage])
    there = await found(tmp_path)
    assert there.names == before.names
    assert there.delivered == 0, "nobody can show that it was"
    assert there.pending == len(there.names) * SAMPLES, "all that is there is sent again"
    assert there.produced == before.produced == there.pending + there.gapped
