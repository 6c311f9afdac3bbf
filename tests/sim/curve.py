"""What thinning left of a plant's curves, bucket by bucket, against the rows that the plant gave.

Owns the comparison of a fleet server's store with a `TimedPlant`. By the samples alone, in another
way than the thinner goes: a bucket's rows are made again, and looked for.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay.journal.thinning import LEVELS_S
from forebay_fleet._proto import uplink_pb2
from forebay_fleet.decode import decode_batch, decode_schema
from sim.plc import Plant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from forebay.clock import Clock
    from forebay_fleet.store.history import RecordRow
    from forebay_fleet.store.reader import GapRow, LineRow, StoreReader

TELEMETRY = 3
BUCKET_NS = LEVELS_S[-1] * 1_000_000_000
"""The coarsest: whatever was thinned, each of these has kept its corners."""
BUCKETS, COLUMNS = 16, 8
"""How many are looked at of each at most, evenly spread."""


class TimedPlant(Plant):
    """A plant that notes when it was read."""

    def __init__(self, columns: int, rng: np.random.Generator, clock: Clock) -> None:
        super().__init__(columns, rng)
        self._clock = clock
        self.times_ns: list[int] = []
        """Of each poll, ascending."""

    def row(self) -> NDArray[Any]:
        """See `Plant.row`."""
        self.times_ns.append(self._clock.now_ns())
        return super().row()

    def polls_between(self, first_ns: int, last_ns: int) -> range:
        """Give the numbers of the polls in a stretch of time, both ends in it."""
        return range(bisect_left(self.times_ns, first_ns), bisect_right(self.times_ns, last_ns))

    def rows(self, polls: range) -> NDArray[np.float64]:
        """Give what these polls gave, shape (polls, columns)."""
        at = np.arange(polls.start, polls.stop) % (2 * len(self._rows))
        found: NDArray[np.float64] = self._rows[np.minimum(at, 2 * len(self._rows) - 1 - at)]
        return found


class Compared(NamedTuple):
    """How many buckets were whole, how many of them thinned, and how many a gap names."""

    whole: int
    thinned: int
    gone: int


def check(reader: StoreReader, plant: TimedPlant) -> Compared:
    """Assert that each gap counts the polls of its time, and each bucket kept its corners.

    That is the first, the last, the first least and the first greatest sample of each column, and
    nothing that the plant did not give, at most once. A poll is in a record or in a gap.
    """
    lines = [line for line in reader.lines() if line.stream == TELEMETRY]
    told = [gap for line in lines for gap in reader.gaps(line.id)]
    assert {gap.cause for gap in told} <= {"THINNED", "RETENTION_BYTES", "NOT_HELD"}
    gaps = [gap for gap in told if gap.cause == "RETENTION_BYTES"]
    _check_gaps(gaps, plant)
    whole = thinned = gone = 0
    begin_ns = -(-plant.times_ns[0] // BUCKET_NS) * BUCKET_NS
    buckets = range(begin_ns, plant.times_ns[-1] - BUCKET_NS, BUCKET_NS)
    chosen = buckets[:: max(1, -(-len(buckets) // BUCKETS))]
    for begin, mine in zip(chosen, _records(reader, lines, chosen), strict=True):
        end = begin + BUCKET_NS - 1
        if any(gap.time_from_ns <= end and gap.time_to_ns >= begin for gap in gaps):
            gone += 1
            _check_bucket(reader, mine, plant, plant.polls_between(begin, end), whole=False)
        else:
            whole += 1
            thinned += any(one.thinned for one in mine)
            _check_bucket(reader, mine, plant, plant.polls_between(begin, end), whole=True)
    return Compared(whole, thinned, gone)


def _records(
    reader: StoreReader, lines: list[LineRow], begins: Sequence[int]
) -> list[list[RecordRow]]:
    """Give for each of these buckets the batches that reach into it, in one walk."""
    found: list[list[RecordRow]] = [[] for _ in begins]
    for line in lines:
        for record in reader.records(line.id):
            if record.kind != uplink_pb2.BATCH:
                continue
            first = bisect_right(begins, record.time_min_ns - BUCKET_NS)
            for number in range(first, bisect_right(begins, record.time_max_ns)):
                found[number].append(record)
    return found


def _check_gaps(gaps: list[GapRow], plant: TimedPlant) -> None:
    for gap in gaps:
        polls = len(plant.polls_between(gap.time_from_ns, gap.time_to_ns))
        assert gap.samples == polls * plant.columns, (gap, polls)


def _check_bucket(
    reader: StoreReader, records: list[RecordRow], plant: TimedPlant, polls: range, *, whole: bool
) -> None:
    times = np.array(plant.times_ns[polls.start : polls.stop], np.int64)
    rows = plant.rows(polls)
    columns = np.linspace(0, plant.columns - 1, COLUMNS).astype(int).tolist()
    parts = {column: [(np.zeros(0, np.int64), np.zeros(0))] for column in columns}
    for record in records:  # one by one: a bucket of a large plant is hundreds of megabytes
        assert record.schema_id is not None
        schema = decode_schema(reader.history.schema(record.gateway, record.schema_id) or b"")
        batch = decode_batch(record.payload, schema)
        for column in columns:
            series = batch.series(column)
            parts[column].append((series.times_ns.copy(), series.values.copy()))
    for column in columns:
        kept_ns, values = (np.concatenate(one) for one in zip(*parts[column], strict=True))
        inside = (kept_ns >= times[0]) & (kept_ns <= times[-1])
        kept_ns, values = kept_ns[inside], values[inside]
        assert len(np.unique(kept_ns)) == len(kept_ns), "a sample twice"
        at = np.searchsorted(times, kept_ns)
        given = rows[:, column]
        assert (times[at] == kept_ns).all(), "a sample of a time at which nothing was read"
        assert (given[at] == values).all(), "a value that the plant did not give then"
        corners = {0, len(times) - 1, int(given.argmin()), int(given.argmax())}
        assert not whole or corners <= set(at.tolist()), (column, corners - set(at.tolist()))
