"""A forecast is held against what then comes: the same rate, and nobody who takes anything."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from forebay.journal import forecast, measure
from forebay.journal.entry import DEFAULT_OVERFLOW
from forebay.journal.journal import Journal, JournalLimits
from forebay.journal.offline import OfflineJournal
from forebay.model import Batch, Schema, Tag, ValueType
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from support.batches import batch_entry
from support.journal import DIRECTORY, T, calm, journal

S = 1_000_000_000
ROWS, PERIOD_S = 120, 5
BATCH_S = ROWS * PERIOD_S
SEGMENT_BYTES = 64 << 10
"""Hours, so that thinning finds whole buckets in a segment."""
LIMITS = JournalLimits(
    max_bytes=2 << 20, max_age_s=1e9, segment_bytes=SEGMENT_BYTES, ring_bytes=1 << 20
)
PLANT = Schema("press", "g", tuple(Tag(f"t{n}", "1", ValueType.FLOAT64) for n in range(4)))
FORECAST_AFTER = 200
"""Batches: half of what fits as it is."""
LOOK_EVERY = 8
"""Batches between two looks at what retention has done."""
MOST = 10_000
"""Batches until something must have gone."""


class Came(NamedTuple):
    """When the first segment was thinned and the first one gone, s after the forecast."""

    thinned_s: float
    dropped_s: float


def scans(number: int, begin_ns: int) -> Batch:
    """Give ten minutes, a scan each five seconds: noise, so that each takes as much as the next."""
    times = begin_ns + (number * ROWS + np.arange(ROWS, dtype=np.int64)) * PERIOD_S * S
    values = np.random.default_rng(number).random((ROWS, len(PLANT.tags)))
    return Batch(PLANT, times, times + 1, (values,))


async def lived(log: Journal, disk: FaultyDisk, clock: FakeClock, begin_ns: int) -> Came:
    """Go on at the same rate until something is dropped."""
    thinned_s, offline = None, OfflineJournal(DIRECTORY, disk)
    for number in range(FORECAST_AFTER, MOST):
        await log.submit([batch_entry(scans(number, begin_ns))])
        await clock.advance(BATCH_S)
        if number % LOOK_EVERY:
            continue
        await calm(log)
        segments = [segment for segment in log.segments() if segment.stream is T]
        passed_s = float((number + 1 - FORECAST_AFTER) * BATCH_S)
        if thinned_s is None and any(one.revision for one in offline.segments(T)):
            thinned_s = passed_s
        if min(segment.first_seq for segment in segments) > 1:
            assert thinned_s is not None, "what can be thinned is thinned first"
            return Came(thinned_s, passed_s)
    raise AssertionError("nothing was ever dropped")


async def test_thinning_and_dropping_begin_when_the_forecast_said() -> None:
    """Thinning within a segment, of which it takes whole ones; dropping within a third.

    For that also depends on what thinning will leave. The forecast has tried a sample of that, and
    knows neither that a bucket ends with its segment nor what a segment takes for itself: both
    weigh more in these small ones than in those of a gateway, and it promises too much, not less.
    """
    disk, clock = FaultyDisk(), FakeClock()
    begin_ns = clock.now_ns()
    async with journal(disk, LIMITS, clock=clock) as log:
        for number in range(FORECAST_AFTER):
            await log.submit([batch_entry(scans(number, begin_ns))])
            await clock.advance(BATCH_S)
        offline = OfflineJournal(DIRECTORY, disk)
        grown = measure.grown(offline, clock.now_ns())
        thinnings = measure.thinnings(measure.sample(offline))
        (told,) = forecast.pools(
            grown.spans,
            grown.used,
            max_bytes=LIMITS.max_bytes,
            max_age_s=LIMITS.max_age_s,
            segment_bytes=grown.segment_bytes,
            overflow=DEFAULT_OVERFLOW,
            thinned_ratio=thinnings[-1].ratio,
            now_ns=grown.now_ns,
            window_s=forecast.DAY_S,
        )
        came = await lived(log, disk, clock, begin_ns)
    assert told.drops_by == "size"
    assert told.rate is not None
    segment_s = SEGMENT_BYTES / told.rate.bytes_s
    assert told.thins_in_s == pytest.approx(came.thinned_s, abs=segment_s)
    assert told.drops_in_s == pytest.approx(came.dropped_s, rel=1 / 3)
