"""A batch that no record could hold is cut, and keeps every sample in its order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from forebay.columnar import decode_batch, encode_batch
from forebay.model import (
    MAX_BLOB_BYTES,
    MAX_STRING_BYTES,
    Batch,
    Quality,
    Sample,
    Schema,
    Tag,
    ValueType,
)
from forebay.pipeline.split import MAX_BATCH_BYTES, bounded, cut, split

KINDS = [ValueType.STRING, ValueType.INT16, ValueType.STRING, ValueType.FLOAT64]


def schema(count: int) -> Schema:
    return Schema("s", "g", tuple(Tag(f"t{i}", f"{i}", KINDS[i % 4]) for i in range(count)))


def dense(count: int, rows: int, text: str, *, bad: bool) -> Batch:
    one = schema(count)
    values = tuple(
        np.array([[text + str(n)] * len(lane.columns) for n in range(rows)], object)
        if lane.type is ValueType.STRING
        else np.arange(rows * len(lane.columns)).reshape(rows, -1).astype(lane.type.dtype)
        for lane in one.lanes
    )
    times = np.arange(rows, dtype=np.int64)
    quality = np.arange(rows * count, dtype=np.uint32).reshape(rows, count) if bad else None
    return Batch(one, times, times + 9, values, quality)


@given(
    st.integers(1, 9), st.integers(1, 4), st.integers(0, 40), st.booleans(), st.integers(1, 2000)
)
def test_every_sample_is_kept_in_order(
    count: int,
    rows: int,
    length: int,
    bad: bool,  # noqa: FBT001 - drawn by hypothesis
    limit: int,
) -> None:
    batch = dense(count, rows, "x" * length, bad=bad)
    parts = list(split(batch, limit))
    assert all(p.nbytes <= limit or p.samples == 1 for p in parts)
    assert [s for p in parts for s in p.iter_samples()] == list(batch.iter_samples())
    again = [p for part in parts for p in split(part, limit)]
    assert len(again) == len(parts)


def as_sparse(batch: Batch) -> Batch:
    """The same samples, a row each."""
    columns = len(batch.schema.tags)
    return replace(
        batch,
        times_ns=np.repeat(batch.times_ns, columns),
        received_ns=np.repeat(batch.received_ns, columns),
        values=tuple(v.ravel() for v in batch.values),
        quality=None if batch.quality is None else batch.quality.ravel(),
        index=np.tile(np.arange(columns, dtype=np.uint32), batch.rows),
    )


@given(st.integers(1, 9), st.integers(1, 6), st.booleans(), st.booleans(), st.data())
def test_a_cut_parts_the_rows_and_no_more(
    count: int,
    rows: int,
    bad: bool,  # noqa: FBT001 - drawn by hypothesis
    sparse: bool,  # noqa: FBT001 - drawn by hypothesis
    data: st.DataObject,
) -> None:
    batch = dense(count, rows, "x", bad=bad)
    if sparse:
        batch = as_sparse(batch)
    at = data.draw(st.integers(0, batch.rows))
    parts = cut(batch, 0, at), cut(batch, at, batch.rows)
    assert [p.rows for p in parts] == [at, batch.rows - at]
    assert [s for p in parts for s in p.iter_samples()] == list(batch.iter_samples())


def test_what_fits_is_left_alone() -> None:
    batch = dense(4, 3, "x", bad=True)
    assert list(split(batch)) == [batch]


def test_the_longest_texts_of_many_tags_fit_into_records() -> None:
    batch = dense(400, 1, "\N{GRINNING FACE}" * (MAX_STRING_BYTES // 4 - 1), bad=False)
    parts = list(split(batch))
    assert len(parts) > 1
    assert sum(p.samples for p in parts) == 400
    for part in parts:
        assert part.nbytes <= MAX_BATCH_BYTES
        assert decode_batch(encode_batch([part]), part.schema).samples == part.samples


LARGE = bytes(MAX_BLOB_BYTES + 1)
WITH_BLOBS = Schema(
    "s",
    "g",
    (
        Tag("a", "0", ValueType.BYTES),
        Tag("n", "1", ValueType.INT16),
        Tag("b", "2", ValueType.BYTES),
    ),
)


def test_a_blob_over_the_limit_does_not_come_in() -> None:
    blobs = np.array([[b"a", LARGE], [LARGE, LARGE[1:]]], object)
    lanes = {ValueType.BYTES: blobs, ValueType.INT16: np.array([[1], [2]], np.int16)}
    times = np.arange(2, dtype=np.int64)
    whole = Batch(WITH_BLOBS, times, times, tuple(lanes[one.type] for one in WITH_BLOBS.lanes))
    for batch in (whole, as_sparse(whole)):
        held = list(bounded(batch).iter_samples())
        assert [told(one) for one in held] == [
            (0, Quality.GOOD, 1),
            (0, Quality.GOOD, 1),
            (0, Quality.BAD_OUT_OF_RANGE, None),
            (1, Quality.BAD_OUT_OF_RANGE, None),
            (1, Quality.GOOD, 2),
            (1, Quality.GOOD, MAX_BLOB_BYTES),
        ]
    assert blobs[0, 1] is LARGE, "the batch itself is not changed"
    small = bounded(whole)
    assert bounded(small) is small


def told(sample: Sample) -> tuple[int, int, object]:
    """Time, quality, and the number or the length of the blob."""
    value = sample.value
    return sample.time_ns, sample.quality, len(value) if isinstance(value, bytes) else value
