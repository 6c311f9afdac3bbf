"""Qualities that the poller gives by itself."""

from __future__ import annotations

import numpy as np

from forebay.acquisition.rows import bad_row, mark, slowed, torn
from forebay.clock import Stamp
from forebay.model import Batch, Quality, Schema, Tag, ValueType

SCHEMA = Schema("press", "fast", tuple(Tag(f"t{i}", f"{i}", ValueType.INT32) for i in range(4)))
NOW = np.array([7], np.int64)
OVERLOAD = int(Quality.GOOD_OVERLOAD)


def dense(quality: list[int] | None = None) -> Batch:
    array = None if quality is None else np.array([quality], np.uint32)
    return Batch(SCHEMA, NOW, NOW, (np.ones((1, 4), np.int32),), array)


def of(batch: Batch) -> list[int]:
    assert batch.quality is not None
    assert batch.quality.dtype == np.uint32
    return list(batch.quality.ravel().tolist())


def test_only_good_becomes_good_overload() -> None:
    others = [Quality.UNCERTAIN, Quality.BAD_TIMEOUT, 0x0096_0000]
    assert of(slowed(dense([0, *others]))) == [OVERLOAD, *others]
    assert of(slowed(dense())) == [OVERLOAD] * 4


def test_a_sparse_batch_has_one_quality_a_sample() -> None:
    times = np.array([1, 2, 3], np.int64)
    index = np.array([3, 0, 3], np.uint32)
    batch = Batch(SCHEMA, times, times, (np.ones(3, np.int32),), None, index)
    assert of(slowed(batch)) == [OVERLOAD] * 3


def test_only_what_is_dated_by_its_scan_becomes_uncertain_with_it() -> None:
    assert of(torn(dense())) == [Quality.UNCERTAIN] * 4
    assert of(torn(dense([0, Quality.BAD_TIMEOUT, 0, OVERLOAD]))) == [
        Quality.UNCERTAIN,
        Quality.BAD_TIMEOUT,
        Quality.UNCERTAIN,
        OVERLOAD,
    ]
    times = np.array([1, 2], np.int64)
    index = np.array([3, 0], np.uint32)
    own = Batch(SCHEMA, times, times, (np.ones(2, np.int32),), None, index)
    assert torn(own) is own, "the device dated these itself"


def test_the_batch_given_is_not_changed() -> None:
    batch = dense([0, 0, 0, 5])
    slowed(batch)
    mark(batch, [(1, Quality.BAD_OUT_OF_RANGE)])
    assert of(batch) == [0, 0, 0, 5]


def test_columns_that_were_not_asked_for_are_marked() -> None:
    assert of(mark(dense(), [(1, Quality.BAD_OUT_OF_RANGE)])) == [0, Quality.BAD_OUT_OF_RANGE, 0, 0]


def test_a_bad_row_has_no_values() -> None:
    row = bad_row(SCHEMA, Quality.BAD_TIMEOUT, Stamp(9, 4))
    assert (row.rows, of(row)) == (1, [Quality.BAD_TIMEOUT] * 4)
    assert not row.values[0].any()
    assert row.boottime_ns is not None
    assert (row.times_ns[0], row.received_ns[0], row.boottime_ns[0]) == (9, 9, 4)
