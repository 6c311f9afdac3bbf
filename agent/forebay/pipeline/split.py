"""Cuts batches: between rows of two clocks, and where one is too large for a record. Pure.

Only texts and blobs can make a batch that large: a row of numbers over the largest tag list stays
far below. Owns the limit of a blob, too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.model import MAX_BLOB_BYTES, Quality, ValueType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from forebay.model import Batch

MAX_BATCH_BYTES = 2 << 20
"""Raw bytes of the largest batch that is encoded as it is: half of the least `journal.memory`."""


def split(batch: Batch, max_bytes: int = MAX_BATCH_BYTES) -> Iterator[Batch]:
    """Give the samples of `batch` in order, as batches of at most `max_bytes` or of one sample.

    One sample always fits: a driver lets no text pass that is longer than MAX_STRING_BYTES,
    and the intake no blob over MAX_BLOB_BYTES (`bounded`).
    """
    if batch.nbytes <= max_bytes or batch.samples == 1:
        yield batch
    elif batch.index is None and batch.rows > 1:
        for row in range(batch.rows):
            yield from split(cut(batch, row, row + 1), max_bytes)
    elif batch.index is None:
        yield from split(_sparse(batch), max_bytes)
    else:
        middle = batch.rows // 2
        yield from split(cut(batch, 0, middle), max_bytes)
        yield from split(cut(batch, middle, batch.rows), max_bytes)


def bounded(batch: Batch) -> Batch:
    """Give `batch` without blobs of over MAX_BLOB_BYTES: BadOutOfRange stands in place of each."""
    for lane, values in zip(batch.schema.lanes, batch.values, strict=True):
        if lane.type is ValueType.BYTES and max(map(len, values.flat), default=0) > MAX_BLOB_BYTES:
            return _without_large(batch)
    return batch


def _without_large(batch: Batch) -> Batch:
    shape = (batch.rows, len(batch.schema.tags)) if batch.index is None else (batch.rows,)
    quality = np.zeros(shape, np.uint32) if batch.quality is None else batch.quality.copy()
    lanes = []
    for lane, values in zip(batch.schema.lanes, batch.values, strict=True):
        if lane.type is ValueType.BYTES:
            sizes = np.array([len(blob) for blob in values.flat], np.int64).reshape(values.shape)
            large = sizes > MAX_BLOB_BYTES
            values = values.copy()  # noqa: PLW2901 - the batch itself is not ours to change
            values[large] = b""
            if batch.index is None:
                of_lane = quality[:, list(lane.columns)]
                of_lane[large] = Quality.BAD_OUT_OF_RANGE
                quality[:, list(lane.columns)] = of_lane
            else:
                rows = np.flatnonzero(np.isin(batch.index, lane.columns))
                quality[rows[large]] = Quality.BAD_OUT_OF_RANGE
        lanes.append(values)
    return replace(batch, values=tuple(lanes), quality=quality)


def cut(batch: Batch, first: int, end: int) -> Batch:
    """Give the rows first..end (exclusive) of a batch, without their boot times."""
    if first == 0 and end == batch.rows:
        return batch
    here = slice(first, end)
    return replace(
        batch,
        times_ns=batch.times_ns[here],
        received_ns=batch.received_ns[here],
        values=tuple(_lanes(batch, first, end)),
        quality=None if batch.quality is None else batch.quality[here],
        index=None if batch.index is None else batch.index[here],
        boottime_ns=None,
    )


def _lanes(batch: Batch, first: int, end: int) -> Iterator[NDArray[Any]]:
    if batch.index is None:
        yield from (of_lane[first:end] for of_lane in batch.values)
        return
    lanes = batch.schema.lane_of[batch.index]
    for number, of_lane in enumerate(batch.values):
        begin = int(np.count_nonzero(lanes[:first] == number))
        length = int(np.count_nonzero(lanes[first:end] == number))
        yield of_lane[begin : begin + length]


def _sparse(batch: Batch) -> Batch:
    """Give a dense batch of one row as a sparse one, a sample a row, in schema order."""
    count = len(batch.schema.tags)
    return replace(
        batch,
        times_ns=np.repeat(batch.times_ns, count),
        received_ns=np.repeat(batch.received_ns, count),
        values=tuple(values[0] for values in batch.values),
        quality=None if batch.quality is None else batch.quality[0],
        index=np.arange(count, dtype=np.uint32),
        boottime_ns=None,
    )
