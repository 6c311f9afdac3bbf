"""What a forecast is made from, measured on real journals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from forebay.columnar import encode_batch
from forebay.journal import measure
from forebay.journal.offline import OfflineJournal
from forebay.journal.record import record_bytes
from forebay.model import Batch, RecordKind, Schema, Stream, Tag, ValueType
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from support.batches import batch_entry
from support.journal import DIRECTORY, PLENTY, T, journal, read_all
from support.real_journal import BEGIN, PRESS, SECOND, dense, fill, sparse

LOUD = Schema(
    "mill",
    "g",
    tuple(Tag(name, "1", ValueType.FLOAT64) for name in ("noise", "steady", "ramp", "other noise")),
)


def loud(second: int, rows: int = 10) -> Batch:
    """Give one second at 10 Hz: two tags of noise, one that never changes, one that climbs."""
    rng = np.random.default_rng(second)
    times = BEGIN + second * SECOND + np.arange(rows, dtype=np.int64) * SECOND // rows
    noise, steady = rng.random((rows, 1)), np.full((rows, 1), 7.0)
    ramp = (second * rows + np.arange(rows, dtype=float)).reshape(-1, 1)
    values = np.hstack([noise, steady, ramp, rng.random((rows, 1))])
    return Batch(LOUD, times, times + 1, (values,))


async def test_growth_is_told_by_wall_time_and_what_nobody_has_is_undelivered() -> None:
    disk, clock = FaultyDisk(), FakeClock()
    limits = replace(PLENTY, segment_bytes=8 << 10)
    begun = clock.now_ns()
    async with journal(disk, limits, clock=clock) as log:
        cursor = log.cursor("cloud")
        for second in range(60):
            await log.submit([batch_entry(loud(second))])
            await clock.advance(1.0)
        records = await read_all(log)
        segments = [s for s in log.segments() if s.stream is T]
        cursor.advance(records[len(records) // 2].position)
    found = measure.grown(OfflineJournal(DIRECTORY, disk))
    assert sum(span.samples for span in found.spans) == 60 * 40
    assert len(found.spans) == len(segments) > 3
    assert (found.spans[0].begin_ns, found.now_ns) == (begun, clock.now_ns())
    assert sum(span.bytes for span in found.spans) == found.used[T]
    half = records[len(records) // 2].position
    assert [span.undelivered for span in found.spans] == [s.last_seq > half.seq for s in segments]
    nobody = measure.grown(OfflineJournal(DIRECTORY, disk), consumers=())
    assert all(span.undelivered for span in nobody.spans)
    other = measure.grown(OfflineJournal(DIRECTORY, disk), consumers=("cloud", "none"))
    assert other.spans == found.spans


async def test_the_segment_that_is_written_counts_up_to_now() -> None:
    disk, clock = FaultyDisk(), FakeClock()
    async with journal(disk, clock=clock) as log:
        await log.submit([batch_entry(loud(0))])
        later = clock.now_ns() + 5 * SECOND
        (span,) = measure.grown(OfflineJournal(DIRECTORY, disk), later).spans
    assert (span.end_ns, span.samples) == (later, 40)
    assert 0 < span.bytes < 10_000, "what is reserved and empty is not counted"


async def test_tags_share_the_real_bytes_by_what_they_take_alone() -> None:
    disk = FaultyDisk()
    async with journal(disk) as log:
        await log.submit([batch_entry(loud(second, 100)) for second in range(5)])
        await log.submit([batch_entry(dense(1)), batch_entry(sparse(2, 40))])
        records = await read_all(log)
    found = measure.sample(OfflineJournal(DIRECTORY, disk))
    assert found.schemas.keys() == {LOUD.id, PRESS.id}
    costs = measure.tag_costs(found)
    batches = [r for r in records if r.kind is RecordKind.BATCH]
    real = sum(record_bytes(len(r.payload)) for r in batches)
    assert sum(costs.values()) == sum(found.bytes.values()) == real
    noise, other = costs["mill", "noise"], costs["mill", "other noise"]
    assert 0.8 < noise / other < 1.25
    assert noise > 10 * costs["mill", "ramp"] > 0
    assert noise > 10 * costs["mill", "steady"]
    assert {tag for device, tag in costs if device == "press"} == {t.name for t in PRESS.tags}
    assert min(costs.values()) >= 0


async def test_thinning_is_tried_on_the_newest_hour() -> None:
    disk = FaultyDisk()
    limits = replace(PLENTY, segment_bytes=64 << 10)
    async with journal(disk, limits) as log:
        await log.submit([batch_entry(loud(second)) for second in range(130)])
    found = measure.sample(OfflineJournal(DIRECTORY, disk))
    ten, minute = measure.thinnings(found)
    assert (ten.level_s, minute.level_s) == (10, 60)
    assert ten.samples_before == minute.samples_before == 130 * 40
    assert ten.span_s == 129.9
    # Of a bucket stay first, least, greatest and last: two of the ramp, one or two of the steady.
    assert 13 * 3 * 2 < ten.samples_after <= 14 * 4 * 4
    assert minute.samples_after < ten.samples_after / 3
    assert minute.bytes_after < ten.bytes_after < 0.6 * ten.bytes_before
    assert ten.ratio == ten.bytes_after / ten.bytes_before


def test_cutting_tags_out_keeps_times_values_and_qualities() -> None:
    for batch in (dense(3), sparse(3, 50)):
        for columns in ([0], [1, 3], [0, 1, 2, 3], []):
            chosen = np.array(columns, np.intp)
            fewer = replace(PRESS, tags=tuple(PRESS.tags[c] for c in columns))
            cut = measure.cut(batch, chosen, fewer)
            wanted = {PRESS.tags[c].name for c in columns}
            kept = [s for s in batch.iter_samples() if s.tag.name in wanted]
            assert list(cut.iter_samples()) == kept
            assert encode_batch([cut])


async def test_a_journal_without_readings_gives_nothing() -> None:
    disk = FaultyDisk()
    async with journal(disk):
        pass
    found = OfflineJournal(DIRECTORY, disk)
    assert measure.grown(found).spans == []
    sample = measure.sample(found)
    assert (measure.tag_costs(sample), measure.thinnings(sample)) == ({}, [])


async def test_other_streams_are_measured_too() -> None:
    disk = FaultyDisk()
    await fill(disk, 1, 40)
    events = measure.tag_costs(measure.sample(OfflineJournal(DIRECTORY, disk), Stream.EVENTS))
    assert {device for device, _ in events} == {"press"}
