"""What a row says beside its values: no reading, not asked for, asked for too slowly. Pure.

Owns the qualities that the poller itself gives. Must not know drivers or schedules.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from forebay.model import BAD_SEVERITY, Batch, Quality

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.clock import Stamp
    from forebay.model import Schema


def bad_row(schema: Schema, status: int, at: Stamp) -> Batch:
    """Give a dense row of the moment `at` without values, every quality `status`."""
    return Batch(
        schema,
        np.array([at.wall_ns], np.int64),
        np.array([at.wall_ns], np.int64),
        tuple(
            np.full((1, len(lane.columns)), lane.type.empty, lane.type.dtype)
            for lane in schema.lanes
        ),
        np.full((1, len(schema.tags)), status, np.uint32),
        boottime_ns=np.array([at.boottime_ns], np.int64),
    )


def mark(batch: Batch, refused: Sequence[tuple[int, int]]) -> Batch:
    """Give `batch`, a dense row, with the qualities of columns that were not asked for."""
    if not refused or batch.index is not None:
        return batch
    quality = (
        np.zeros((1, len(batch.schema.tags)), np.uint32)
        if batch.quality is None
        else batch.quality.copy()
    )
    for column, status in refused:
        quality[0, column] = status
    return replace(batch, quality=quality)


def slowed(batch: Batch) -> Batch:
    """Give `batch` with GoodOverload in place of Good: sampling has slowed down.

    OPC UA Part 6, Annex A.2 (StatusCode.csv). Any other quality says more and stays.
    """
    return _in_place_of_good(batch, Quality.GOOD_OVERLOAD)


def torn(batch: Batch) -> Batch:
    """Give `batch` with Uncertain in place of Good: its scan took longer than a period.

    A dense row is dated by when its read began, and nobody can say any more to within a period when
    each value was read. Where the device dated each value itself, that is known, and stays Good.
    """
    if batch.index is not None:
        return batch
    return _in_place_of_good(batch, Quality.UNCERTAIN)


def good_samples(batch: Batch) -> int:
    """Count the samples of `batch` whose quality is not Bad."""
    if batch.quality is None:
        return batch.samples
    return batch.samples - int(np.count_nonzero(batch.quality & np.uint32(BAD_SEVERITY)))


def _in_place_of_good(batch: Batch, status: Quality) -> Batch:
    other = np.uint32(status)
    if batch.quality is None:
        shape = (batch.rows,) if batch.index is not None else (batch.rows, len(batch.schema.tags))
        return replace(batch, quality=np.full(shape, other, np.uint32))
    return replace(batch, quality=np.where(batch.quality == 0, other, batch.quality))
