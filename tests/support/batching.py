"""Small batches by hand for tests of stages: dense scans, sparse samples, and their raw values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.model import Batch, Schema, Tag

if TYPE_CHECKING:
    from collections.abc import Sequence

SECOND = 1_000_000_000


def scans(
    schema: Schema,
    rows: Sequence[Sequence[Any]],
    quality: Sequence[Sequence[int]] | None = None,
    at_s: Sequence[float] | float = 0,
) -> Batch:
    """Give a dense batch; `at_s` are the times of its rows, or of the first: one a second."""
    values = tuple(
        np.array([[row[c] for c in lane.columns] for row in rows], lane.type.dtype).reshape(
            len(rows), len(lane.columns)
        )
        for lane in schema.lanes
    )
    times = _times(len(rows), at_s)
    return Batch(
        schema, times, times + 1, values, None if quality is None else np.array(quality, np.uint32)
    )


def samples(
    schema: Schema,
    given: Sequence[tuple[int, Any]],
    quality: Sequence[int] | None = None,
    at_s: Sequence[float] | float = 0,
) -> Batch:
    """Give a sparse batch of (column, value); times as in `scans`."""
    times = _times(len(given), at_s)
    lane_of = schema.lane_of
    values = tuple(
        np.array([v for c, v in given if lane_of[c] == number], lane.type.dtype)
        for number, lane in enumerate(schema.lanes)
    )
    codes = None if quality is None else np.array(quality, np.uint32)
    index = np.array([c for c, _ in given], np.uint32)
    return Batch(schema, times, times + 1, values, codes, index)


def _times(count: int, at_s: Sequence[float] | float) -> np.ndarray[Any, np.dtype[np.int64]]:
    seconds = [at_s + n for n in range(count)] if isinstance(at_s, int | float) else at_s
    return np.array([round(s * SECOND) for s in seconds], np.int64)


def raws(batch: Batch) -> list[Any]:
    """Give the raw values in the order of `iter_samples`, as Python objects."""
    plain = Schema("", "", tuple(Tag(t.name, t.address, t.type) for t in batch.schema.tags))
    unscaled = Batch(plain, batch.times_ns, batch.received_ns, batch.values, None, batch.index)
    return [s.value for s in unscaled.iter_samples()]
