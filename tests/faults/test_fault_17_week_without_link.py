"""Fault 17: a week without a link, on a disk that holds a small part of it.

Old telemetry loses resolution before it loses existence: when the link is back, the destination
gets every extreme of every tag of the whole week, and the account says of each sample whether it
got it. Another destination, whose link held, has everything in full.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from forebay.columnar import decode_gap
from forebay.journal.journal import Journal, JournalLimits
from forebay.model import Gap, Position, RecordKind
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from support.batches import batch_entry
from support.journal import DIRECTORY, T, calm, seams
from support.telemetry import TAGS, batch_of, scans

DAY_MINUTES = 24 * 60
ROWS = 60
MINUTE_NS = 60_000_000_000
COMMIT = 6
"""Records of one commit."""
LIMITS = JournalLimits(
    max_bytes=10 << 20, max_age_s=30 * 86_400.0, segment_bytes=16 << 20, ring_bytes=8 << 20
)


class Destination:
    """Counts what it has got, and keeps the least and the greatest of each tag and day."""

    def __init__(self, log: Journal, name: str) -> None:
        self.log, self.cursor = log, log.cursor(name)
        self.samples = log.ledger(T, self.cursor).delivered
        self.thinned = 0
        self.gaps: set[Gap] = set()
        self.positions: Counter[Position] = Counter()
        self.least: dict[tuple[int, int], int] = {}
        self.greatest: dict[tuple[int, int], int] = {}

    async def take(self) -> None:
        """Get and acknowledge all that is there."""
        while records := await self.log.read(self.cursor.get(T), 1 << 20, self.cursor):
            for record in records:
                self.positions[record.position] += 1
                if record.kind is RecordKind.GAP:
                    self.gaps.add(decode_gap(record.payload))
                if record.kind is RecordKind.BATCH:
                    self.samples += record.samples
                    self.thinned += record.thinned
                    batch = batch_of(record)
                    assert batch.samples == record.samples
                    self.look(record.time_min_ns // (86_400 * 10**9), batch.index, batch.values[1])
            self.cursor.advance(records[-1].position)

    @property
    def named(self) -> int:
        """Samples that gaps account for; one that outlived its segment is said again, joined."""
        outer = [
            gap
            for gap in self.gaps
            if not any(
                other != gap
                and other.epoch == gap.epoch
                and other.seq_from <= gap.seq_from
                and gap.seq_to <= other.seq_to
                for other in self.gaps
            )
        ]
        return sum(gap.samples or 0 for gap in outer)

    def look(self, day: int, index: np.ndarray | None, numbers: np.ndarray) -> None:
        if index is None:
            columns = np.tile(np.arange(TAGS - 2), len(numbers))
        else:
            columns = index[index < TAGS - 2]
        for tag in range(0, TAGS - 2, 9):
            mine = numbers.ravel()[columns == tag]
            if len(mine):
                key = (day, tag)
                self.least[key] = min(self.least.get(key, 1 << 20), int(mine.min()))
                self.greatest[key] = max(self.greatest.get(key, -1 << 20), int(mine.max()))

    def check(self) -> None:
        """The conservation law, each term against what really came."""
        account = self.log.ledger(T, self.cursor)
        assert account.balanced, account
        assert account.delivered == self.samples, account
        assert account.quarantined == 0


async def live(log: Journal, clock: FakeClock, minutes: int, plant: Destination) -> int:
    """Produce a record a minute, all of which only `plant` gets; give their samples."""
    produced = 0
    for minute in range(0, minutes, COMMIT):
        batches = [
            scans(n, rows=ROWS, period_ns=MINUTE_NS // ROWS) for n in range(minute, minute + COMMIT)
        ]
        produced += sum(batch.samples for batch in batches)
        await log.submit([batch_entry(batch) for batch in batches])
        clock.freeze(60.0 * COMMIT)
        if minute % 60 == 0:
            await plant.take()
            await clock.advance(1.5)
            await calm(log)
            plant.check()
    await plant.take()
    return produced


@pytest.mark.timeout(300)
async def test_fault_17_week_without_link() -> None:
    clock = FakeClock()
    async with Journal(DIRECTORY, LIMITS, seams(FaultyDisk(), clock)) as log:
        cloud, plant = Destination(log, "cloud"), Destination(log, "plant")
        produced = await live(log, clock, 7 * DAY_MINUTES, plant)
        account = log.ledger(T, plant.cursor)
        assert (account.delivered, account.gapped, account.pending) == (produced, 0, 0)
        stats = log.stats()
        assert stats.stream_bytes[T] <= stats.max_bytes[T]
        waiting = log.ledger(T, cloud.cursor)
        assert (waiting.balanced, waiting.produced) == (True, produced)
        assert waiting.gapped == stats.thinned_samples

        await cloud.take()
        account = log.ledger(T, cloud.cursor)
        cloud.check()
        assert (account.produced, account.pending) == (produced, 0)
        assert account.delivered == waiting.pending
        assert account.gapped == cloud.thinned == produced - cloud.samples
        assert cloud.named == 0, "nothing had to go: resolution before existence"
        assert 0.9 * produced < cloud.thinned < produced
        assert set(cloud.positions.values()) == {1}
        assert cloud.positions.keys() == plant.positions.keys()
        assert cloud.least == plant.least, "no extreme of any tag is missing"
        assert cloud.greatest == plant.greatest


@pytest.mark.timeout(300)
async def test_fault_17_what_cannot_be_thinned_enough_goes_with_a_gap() -> None:
    """A disk that is too small even so, and an agent that starts again each day."""
    limits, clock, disk = replace(LIMITS, max_bytes=2 << 20), FakeClock(), FaultyDisk()
    produced = thinned = 0
    for _ in range(3):
        async with Journal(DIRECTORY, limits, seams(disk, clock)) as log:
            cloud, plant = Destination(log, "cloud"), Destination(log, "plant")
            produced += await live(log, clock, DAY_MINUTES, plant)
            await calm(log)
            thinned = log.stats().thinned_samples
            assert log.ledger(T, plant.cursor).gapped == 0
            assert log.ledger(T, cloud.cursor).balanced
    async with Journal(DIRECTORY, limits, seams(disk, clock)) as log:
        cloud = Destination(log, "cloud")
        await cloud.take()
        account = log.ledger(T, cloud.cursor)
        cloud.check()
        assert (account.produced, account.pending) == (produced, 0)
        assert account.gapped == cloud.thinned + cloud.named
        assert cloud.thinned == thinned > 0
        assert cloud.named > 0
