"""What thinning keeps: everything that a reader of a trend would miss, and nothing made up."""

from __future__ import annotations

import math
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.columnar import decode_batch, encode_batch
from forebay.journal import thinning
from forebay.journal.thinning import LEVELS_S, thin
from forebay.model import Batch, Schema, Tag, ValueType
from support.fuzz import examples

TYPES = (ValueType.FLOAT32, ValueType.INT16, ValueType.BOOL, ValueType.STRING, ValueType.UINT64)
QUALITIES = (0, 0x002F_0000, 0x8005_0000)
S = 1_000_000_000


class One(NamedTuple):
    """One sample, raw; `batch` and `row` say where it stood."""

    column: int
    time_ns: int
    received_ns: int
    quality: int
    value: object
    batch: int
    row: int


def values_of(kind: ValueType) -> st.SearchStrategy[object]:
    if kind is ValueType.STRING:
        return st.sampled_from(("", "run", "stop"))
    if kind is ValueType.BOOL:
        return st.booleans()
    if kind is ValueType.FLOAT32:
        return st.sampled_from((0.0, -1.5, 2.5, math.nan, math.inf, 1e9))
    return st.integers(0, 5)


@st.composite
def runs(draw: st.DrawFn) -> list[Batch]:
    """Batches of one schema, dense and sparse ones mixed, times mostly rising."""
    kinds = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=4))
    schema = Schema("press", "fast", tuple(Tag(f"t{n}", "a", k) for n, k in enumerate(kinds)))
    now, batches = 0, []
    for _ in range(draw(st.integers(1, 6))):
        dense = draw(st.booleans())
        rows = draw(st.integers(0, 8))
        steps = draw(st.lists(st.integers(-3, 9), min_size=rows, max_size=rows))
        times = now + np.cumsum(np.array(steps, np.int64)) * S
        now = int(times[-1]) if rows else now
        index = None
        shape: tuple[int, ...] = (rows, len(kinds))
        if not dense:
            columns = st.integers(0, len(kinds) - 1)
            index = np.array(draw(st.lists(columns, min_size=rows, max_size=rows)), np.uint32)
            shape = (rows,)
        lanes = []
        for number, lane in enumerate(schema.lanes):
            size = rows * len(lane.columns)
            if index is not None:
                size = int(np.count_nonzero(schema.lane_of[index] == number))
            flat = draw(st.lists(values_of(lane.type), min_size=size, max_size=size))
            array = np.array(flat, lane.type.dtype)
            lanes.append(array.reshape(rows, -1) if dense and rows else array)
            if dense and not rows:
                lanes[-1] = array.reshape(0, len(lane.columns))
        size = math.prod(shape)
        codes = st.lists(st.sampled_from(QUALITIES), min_size=size, max_size=size)
        quality = draw(st.none() | codes.map(lambda q: np.array(q, np.uint32)))
        if quality is not None:
            quality = quality.reshape(shape)
        batches.append(Batch(schema, times, times + 7, tuple(lanes), quality, index))
    return batches


def samples(batches: list[Batch]) -> list[One]:
    """Every sample, raw, in order."""
    out = []
    for number, batch in enumerate(batches):
        schema, taken = batch.schema, [0] * len(batch.values)
        for row in range(batch.rows):
            columns = range(len(schema.tags)) if batch.index is None else [int(batch.index[row])]
            for column in columns:
                lane = int(schema.lane_of[column])
                quality = 0
                if batch.index is None:
                    place = list(schema.lanes[lane].columns).index(column)
                    value = batch.values[lane][row, place]
                    if batch.quality is not None:
                        quality = int(batch.quality[row, column])
                else:
                    value = batch.values[lane][taken[lane]]
                    taken[lane] += 1
                    if batch.quality is not None:
                        quality = int(batch.quality[row])
                times = int(batch.times_ns[row]), int(batch.received_ns[row])
                raw = value.item() if hasattr(value, "item") else value
                out.append(One(column, *times, quality, raw, number, row))
    return out


def by_column(found: list[One]) -> list[list[One]]:
    """The samples of each column, in order of time; those of one time as they came."""
    ordered = sorted(found, key=lambda one: (one.column, one.time_ns))
    return [list(group) for _, group in groupby(ordered, key=lambda one: one.column)]


def buckets(column: list[One], bucket_s: int) -> list[list[One]]:
    return [list(g) for _, g in groupby(column, key=lambda one: one.time_ns // (bucket_s * S))]


def numbers(bucket: list[One]) -> list[One]:
    """Those that have a value and may be the least or the greatest."""
    good = [one for one in bucket if not one.quality & 0x8000_0000 and one.value != ""]
    return [one for one in good if not isinstance(one.value, str) and one.value == one.value]


def kept(found: list[One], bucket_s: int) -> set[tuple[int, int, int]]:
    """The rules of the module's docstring, sample by sample."""
    out: list[One] = []
    for column in by_column(found):
        for before, after in pairwise(column):
            if before.quality != after.quality:
                out += [before, after]
        for bucket in buckets(column, bucket_s):
            out += [bucket[0], bucket[-1]]
            if isinstance(bucket[0].value, str):
                out += [b for a, b in pairwise(bucket) if a.value != b.value][:2]
                continue
            good = numbers(bucket)
            if good:
                out.append(min(good, key=lambda one: one.value))  # type: ignore[arg-type, return-value]
                out.append(max(good, key=lambda one: one.value))  # type: ignore[arg-type, return-value]
            out += [
                one for one in bucket if one.value != one.value and not one.quality & 0x8000_0000
            ][:1]
    return {(one.batch, one.row, one.column) for one in out}


def plain(found: list[One]) -> list[tuple[object, ...]]:
    """Without places, and NaN equal to itself."""
    return [(one.batch, *one[:4], repr(one.value)) for one in found]


LEVELS = st.sampled_from(LEVELS_S)


@given(runs(), LEVELS)
@examples(400)
def test_what_stays_is_what_the_rules_say(batches: list[Batch], bucket_s: int) -> None:
    before = samples(batches)
    stays = kept(before, bucket_s)
    due = [one for one in before if (one.batch, one.row, one.column) in stays]
    assert plain(samples(thin(batches, bucket_s))) == plain(due)


@given(runs(), LEVELS)
@examples(300)
def test_a_reader_of_the_trend_misses_nothing(batches: list[Batch], bucket_s: int) -> None:
    """Least, greatest, first and last of each bucket are what they were."""
    after = {c[0].column: buckets(c, bucket_s) for c in by_column(samples(thin(batches, bucket_s)))}
    for column in by_column(samples(batches)):
        for before, left in zip(buckets(column, bucket_s), after[column[0].column], strict=True):
            for one in (0, -1):
                assert left[one].time_ns == before[one].time_ns
                assert repr(left[one].value) == repr(before[one].value)
            extent = [one.value for one in numbers(before)]
            kept_extent = [one.value for one in numbers(left)]
            assert (not extent) == (not kept_extent)
            if extent:
                assert min(kept_extent) == min(extent)  # type: ignore[type-var]
                assert max(kept_extent) == max(extent)  # type: ignore[type-var]


@given(runs(), LEVELS)
@examples(300)
def test_every_change_of_quality_stays_where_it_was(batches: list[Batch], bucket_s: int) -> None:
    def changes(found: list[One]) -> list[tuple[int, int, int, int, int]]:
        return [
            (b.column, a.time_ns, a.quality, b.time_ns, b.quality)
            for column in by_column(found)
            for a, b in pairwise(column)
            if a.quality != b.quality
        ]

    assert changes(samples(thin(batches, bucket_s))) == changes(samples(batches))


@given(runs(), LEVELS)
@examples(200)
def test_thinning_twice_is_thinning_once(batches: list[Batch], bucket_s: int) -> None:
    once = thin(batches, bucket_s)
    assert plain(samples(thin(once, bucket_s))) == plain(samples(once))


@given(runs(), LEVELS)
@examples(200)
def test_what_stays_can_be_encoded(batches: list[Batch], bucket_s: int) -> None:
    out = thin(batches, bucket_s)
    assert len(out) == len(batches)
    back = [decode_batch(encode_batch([batch]), batch.schema) for batch in out]
    assert plain(samples(back)) == plain(samples(out))
    assert [b.samples for b in back] == [len(b.times_ns) for b in out]


@pytest.mark.parametrize("bucket_s", LEVELS_S)
def test_a_week_of_a_slow_wave_becomes_few_samples(bucket_s: int) -> None:
    schema = Schema("press", "fast", (Tag("wave", "1", ValueType.FLOAT64),))
    times = np.arange(0, 7200 * S, S // 10, dtype=np.int64)
    wave = np.sin(times / S / 300)
    dense = [
        Batch(schema, times[n : n + 3], times[n : n + 3], (wave[n : n + 3, np.newaxis],))
        for n in range(0, len(times), 3)
    ]
    left = samples(thin(dense, bucket_s))
    assert len(left) <= 4 * 7200 // bucket_s
    assert {1.0, -1.0} == {round(float(one.value), 5) for one in left if abs(one.value) > 0.999995}  # type: ignore[arg-type]


def test_runs_bound_the_memory_and_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = Schema("press", "fast", (Tag("n", "1", ValueType.INT16),))
    dense = [
        Batch(schema, np.array([n * S]), np.array([n * S]), (np.array([[n % 7]], np.int16),))
        for n in range(60)
    ]
    monkeypatch.setattr(thinning, "RUN_SAMPLES", 25)
    out = thin(dense, 600)
    assert [n for n, batch in enumerate(out) if batch.samples] == [
        0, 6, 24, 25, 27, 28, 49, 50, 55, 56, 59
    ]  # fmt: skip
