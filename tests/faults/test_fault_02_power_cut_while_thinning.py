"""Fault 2, thinning's part: the power goes at any step, and no sample is lost or told twice.

Each life begins with the same journal, one record before a segment is thinned, and ends after one
change more on the disk than the life before it.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from forebay.columnar import decode_gap
from forebay.errors import JournalFailed
from forebay.journal.journal import Journal, JournalLimits
from forebay.journal.record import sha256
from forebay.model import GapCause, Position, RecordKind
from forebay.testing.disk import FaultyDisk
from support.batches import batch_entry
from support.journal import DIRECTORY, T, calm, read_all, seams, segment_paths
from support.telemetry import batch_of, scans

if TYPE_CHECKING:
    from forebay.journal.entry import Entry
    from forebay.model import Record

LIMITS = JournalLimits(
    max_bytes=640 << 10, max_age_s=1e9, segment_bytes=48 << 10, ring_bytes=8 << 20
)
ROWS = 24
GIVEN_BYTES = 1 << 14


def entry(number: int) -> Entry:
    """The `number`th record."""
    return batch_entry(scans(number, rows=ROWS))


class World:
    """What was submitted and acknowledged, and the disk that it went to."""

    def __init__(self) -> None:
        self.disk = FaultyDisk()
        self.samples: dict[bytes, int] = {}
        self.durable: set[bytes] = set()
        self.given: list[Record] = []

    async def produce(self, log: Journal, number: int) -> None:
        made = entry(number)
        digest = sha256(made.payload)
        self.samples[digest] = made.samples
        await log.submit([made])
        self.durable.add(digest)
        await calm(log)

    async def begin(self) -> int:
        """Fill up to the record before the first copy; give that record's number."""
        async with Journal(DIRECTORY, LIMITS, seams(self.disk)) as log:
            cursor = log.cursor("cloud")
            for number in range(2000):
                if number == 40:
                    self.given = await log.read(cursor.get(T), GIVEN_BYTES, cursor)
                await self.produce(log, number)
                if log.stats().thinned_samples:
                    return number
        raise AssertionError

    def life(self, changes: int) -> World:
        """The same world, on a disk whose power goes after so many changes."""
        other = World()
        other.disk = self.disk.reboot(random.Random(1))
        other.samples, other.durable = dict(self.samples), set(self.durable)
        other.given = self.given
        other.disk.cut_after(changes)
        return other

    async def go_on(self, number: int) -> bool:
        """Produce until a segment was thinned or the power has gone; give whether it has."""
        try:
            async with Journal(DIRECTORY, LIMITS, seams(self.disk, seed=number)) as log:
                log.cursor("cloud")
                before = log.stats().thinned_samples
                for more in range(number, number + 60):
                    await self.produce(log, more)
                    if log.stats().thinned_samples > before:
                        break
        except JournalFailed:
            assert self.disk.off, "only the power may fail here"
        return self.disk.off

    async def judge(self) -> int:
        """Hold everything against what was promised; give the most revisions of a record."""
        async with Journal(DIRECTORY, LIMITS, seams(self.disk, seed=7)) as log:
            places = [path.name.split(".")[0] for path in segment_paths(self.disk)]
            assert len(places) == len(set(places)), "two files of one segment"
            names = [path.name for path in self.disk.paths()]
            assert not [name for name in names if name.endswith((".seg.new", ".1.seg.bad"))], names
            records = await read_all(log, T, 1 << 20)
            again = await log.read(Position(T, 0, 0), GIVEN_BYTES)
            assert again[: len(self.given)] == self.given, "what was in flight has changed"
            self.judge_records(records)
            account = log.ledger(T, log.cursor("cloud"))
            assert account.balanced
            batches = [r for r in records if r.kind is RecordKind.BATCH]
            assert account.pending == sum(r.samples for r in batches)
            gaps = [decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP]
            assert {gap.cause for gap in gaps} <= {GapCause.UNCLEAN_SHUTDOWN}
            torn = sum(gap.samples or 0 for gap in gaps)
            assert account.gapped == sum(r.thinned for r in batches) + torn
            return max(r.revision for r in records)

    def judge_records(self, records: list[Record]) -> None:
        seen = [r.position for r in records]
        assert len(seen) == len(set(seen))
        for record in records:
            if record.kind is RecordKind.BATCH:
                assert record.samples + record.thinned == self.samples[record.hash]
                assert batch_of(record).samples == record.samples
        hashes = [r.hash for r in records if r.kind is RecordKind.BATCH]
        assert len(hashes) == len(set(hashes))
        assert self.durable <= set(hashes), "durable and gone"


@pytest.mark.timeout(300)
async def test_fault_02_power_cut_while_thinning() -> None:
    whole = World()
    number = await whole.begin()
    thinned = await whole.judge()
    assert thinned == 1
    revisions, cuts = set(), 0
    for changes in range(400):
        world = whole.life(changes)
        off = await world.go_on(number + 1)
        world.disk = world.disk.reboot(random.Random(changes))
        revisions.add(await world.judge())
        cuts += off
        if not off:
            break
    else:
        raise AssertionError("it never came to its end")
    assert cuts > 50
    assert revisions == {1}


@pytest.mark.parametrize("seed", range(5))
async def test_fault_02_power_cut_between_copy_and_unlink(seed: int) -> None:
    """Both files are there: the copy counts if it is whole, else the segment."""
    world = World()
    await world.begin()
    copies = [path for path in segment_paths(world.disk) if path.name.count(".") == 2]
    assert copies
    old = World()
    old.samples, old.durable = world.samples, world.durable
    async with Journal(DIRECTORY, LIMITS, seams(old.disk)) as log:
        for number in range(len(world.samples)):
            await log.submit([entry(number)])
    for copy in copies:
        place, _, _ = copy.name.partition(".")
        first = copy.with_name(f"{place}.seg")
        data = old.disk.read_bytes(first, 1 << 30)
        file = world.disk.open(first, create=True)
        file.pwrite([data], 0)
        file.datasync()
        file.close()
        if seed:
            at = random.Random(seed).randrange(128, world.disk.size(copy) - 200)
            world.disk.flip(copy, at * 8)
    async with Journal(DIRECTORY, LIMITS, seams(world.disk, seed=7)) as log:
        records = await read_all(log, T, 1 << 20)
        world.judge_records(records)
        revisions = {r.revision for r in records}
        assert revisions == ({0} if seed else {0, 1})
        bad = [path for path in world.disk.paths() if path.suffix == ".bad"]
        assert len(bad) == (len(copies) if seed else 0)
        assert log.ledger(T, log.cursor("cloud")).balanced
