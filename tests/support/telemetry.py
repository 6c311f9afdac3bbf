"""Telemetry as a plant makes it, for tests of what becomes of it: real batches of one schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forebay.columnar import decode_batch
from forebay.model import Batch, Schema, Tag, ValueType

if TYPE_CHECKING:
    from forebay.model import Record

TAGS = 40
S = 1_000_000_000
PLANT = Schema(
    "press",
    "fast",
    (
        *(Tag(f"t{n}", f"holding:{n}", ValueType.INT16) for n in range(TAGS - 2)),
        Tag("running", "coil:1", ValueType.BOOL),
        Tag("recipe", "text:1", ValueType.STRING),
    ),
)


def scans(number: int, *, rows: int = 4, period_ns: int = S // 2) -> Batch:
    """The `number`th record of a random walk: `rows` scans of all tags."""
    rng = np.random.default_rng(number)
    times = (number * rows + np.arange(rows, dtype=np.int64)) * period_ns
    numbers = rng.integers(-3000, 3000, (rows, TAGS - 2), np.int16)
    running = rng.random((rows, 1)) < 0.9
    recipe = np.full((rows, 1), f"lot {number // 50}", object)
    return Batch(PLANT, times, times + 4_000_000, (running, numbers, recipe))


def batch_of(record: Record) -> Batch:
    """What a consumer gets of a record."""
    return decode_batch(record.payload, PLANT)
