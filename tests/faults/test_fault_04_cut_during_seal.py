"""Fault 4: the power goes at every change of the disk from the last record to the next segment."""

from __future__ import annotations

import random

import pytest

from forebay.errors import JournalFailed
from forebay.testing.disk import FaultyDisk
from support.journal import T, entry, journal, name_of, names, read_all, segment_paths

RECORDS_BEFORE_SEAL = 13
"""So many entries fill a segment of `PLENTY`; the next one seals it."""
SURVIVALS = 6


async def test_fault_04_cut_during_seal() -> None:
    cuts = 0
    for changes in range(1, 40):
        for seed in range(SURVIVALS):
            disk = FaultyDisk()
            durable = 0
            try:
                async with journal(disk) as log:
                    await log.submit([entry(n, size=1000) for n in range(RECORDS_BEFORE_SEAL)])
                    assert len(segment_paths(disk)) == 1
                    durable = RECORDS_BEFORE_SEAL
                    disk.cut_after(changes - 1)
                    await log.submit([entry(RECORDS_BEFORE_SEAL, size=1000)])
                    durable += 1
                    assert len(segment_paths(disk)) == 2, "it was sealed on the way"
            except JournalFailed:
                assert disk.off
                cuts += 1
            disk = disk.reboot(random.Random(1000 * changes + seed))
            for _ in range(2):
                async with journal(disk) as log:
                    there = await names(log)
                    assert there[:durable] == list(range(durable))
                    assert len(there) <= durable + 1
                    account = log.ledger(T, log.cursor("cloud"))
                    assert account.balanced
                    assert account.pending == 10 * len(there)
    assert cuts > 10 * SURVIVALS, "the cuts hit what they are meant for"


async def test_fault_04_what_a_cut_left_is_sealed_by_the_next_start() -> None:
    disk = FaultyDisk()
    with pytest.raises(JournalFailed):  # noqa: PT012 - the journal says so to whoever leaves it too
        async with journal(disk) as log:
            await log.submit([entry(n, size=1000) for n in range(RECORDS_BEFORE_SEAL)])
            before = await read_all(log)
            disk.fail("truncate", 5)
            await log.submit([entry(RECORDS_BEFORE_SEAL, size=1000)])
    async with journal(disk) as log:
        sealed = [segment.sealed for segment in log.segments() if segment.last_seq > 1]
        assert sealed
        assert all(sealed)
        after = await read_all(log)
    assert after[: len(before)] == before
    assert [name_of(r) for r in before] == list(range(RECORDS_BEFORE_SEAL))
