"""Fault 6: the medium gives parts of a file back no more. What it hides is lost, and told."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from forebay.columnar import decode_gap
from forebay.journal.record import record_bytes
from forebay.journal.segment import HEADER_BYTES
from forebay.model import GapCause, Record, RecordKind
from forebay.testing.disk import FaultyDisk, FaultyFile
from support.journal import T, entry, journal, read_all, segment_paths

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 1000
RECORD = record_bytes(SIZE)
BLOCK_BYTES = 4096
"""A medium that fails is read in pieces of this size."""


async def filled(disk: FaultyDisk) -> list[Record]:
    async with journal(disk) as log:
        await log.submit([entry(n, size=SIZE, samples=n) for n in range(1, 41)])
        return await read_all(log)


def hide(monkeypatch: pytest.MonkeyPatch, path: Path, bad: range) -> None:
    """Make every read of `path` that touches the bytes `bad` fail."""
    real = FaultyFile.pread

    def pread(self: FaultyFile, size: int, offset: int) -> bytes:
        if self.path == path and offset < bad.stop and offset + size > bad.start:
            raise OSError(errno.EIO, "medium error")
        return real(self, size, offset)

    monkeypatch.setattr(FaultyFile, "pread", pread)


def of(number: int) -> range:
    """Where the record of this number, from 1, lies in the first segment."""
    begin = HEADER_BYTES + (number - 1) * RECORD
    return range(begin, begin + RECORD)


async def judge(disk: FaultyDisk, before: list[Record], lost: list[Record]) -> None:
    async with journal(disk) as log:
        records = await read_all(log)
        account = log.ledger(T, log.cursor("cloud"))
    assert [r for r in records if r.kind is RecordKind.BATCH] == [
        r for r in before if r not in lost
    ]
    (gap,) = [decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP]
    assert (gap.cause, gap.seq_from, gap.seq_to) == (
        GapCause.CORRUPT,
        lost[0].position.seq,
        lost[-1].position.seq,
    )
    assert gap.samples == sum(r.samples for r in lost) == account.gapped
    assert account.produced == account.pending + account.gapped == sum(r.samples for r in before)


async def test_fault_06_eio_on_read(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FaultyDisk()
    before = await filled(disk)
    hide(monkeypatch, segment_paths(disk)[0], of(4))
    for _ in range(2):
        await judge(disk, before, before[3:4])


@pytest.mark.parametrize("part", ["footer", "header"])
async def test_fault_06_eio_on_what_explains_a_segment_costs_what_shares_its_block(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FaultyDisk()
    before = await filled(disk)
    path = segment_paths(disk)[0]
    size = disk.size(path)
    bad = range(64) if part == "header" else range(size - 8, size)
    hide(monkeypatch, path, bad)
    async with journal(disk) as log:
        records = await read_all(log)
        account = log.ledger(T, log.cursor("cloud"))
    there = [r for r in records if r.kind is RecordKind.BATCH]
    lost = [r for r in before if r not in there]
    assert len(lost) <= BLOCK_BYTES // RECORD + 2, "no more than what shares its block"
    assert account.balanced
    assert account.pending == sum(r.samples for r in there)
    assert account.gapped == sum(r.samples for r in lost)
