"""Journals with everything in them: real batches of several sources and types, gaps, anchors.

For tests of what reads a journal by itself (`offline`, `verify`, `export`, `forecast`).
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from forebay.columnar import encode_anchor
from forebay.journal.entry import Entry, gap_entry
from forebay.model import (
    Anchor,
    Batch,
    ClockState,
    Gap,
    GapCause,
    RecordKind,
    Schema,
    Stream,
    Tag,
    ValueType,
)
from support.batches import batch_entry
from support.journal import PLENTY, journal

if TYPE_CHECKING:
    from forebay.files import Disk
    from forebay.journal.journal import Journal, JournalLimits

SECOND = 1_000_000_000
BEGIN = 1_795_000_000 * SECOND
"""The source time of the first batch, ns."""
PRESS = Schema(
    "press",
    "fast",
    (
        Tag("speed", "40001", ValueType.INT16, "1/min"),
        Tag("pressure", "40002", ValueType.FLOAT32, "bar", 0.5, 1.0),
        Tag("running", "1", ValueType.BOOL),
        Tag("order", "40100", ValueType.STRING),
    ),
)
OVEN = Schema("oven", "default", (Tag("temperature", "ns=2;s=T", ValueType.FLOAT64, "degC"),))
SMALL = replace(PLENTY, segment_bytes=4 << 10)


def dense(number: int, rows: int = 3, schema: Schema = PRESS) -> Batch:
    """Give a poll of PRESS, one row a second, from second `number` on; every third value is bad."""
    rng = random.Random(number)
    times = BEGIN + (number + np.arange(rows, dtype=np.int64)) * SECOND
    values = []
    for lane in schema.lanes:
        shape = (rows, len(lane.columns))
        if lane.type is ValueType.STRING:
            texts = np.empty(shape, object)
            texts[:] = f"Auftrag {number}"
            values.append(texts)
        else:
            drawn = [
                rng.randint(0, 1) if lane.type is ValueType.BOOL else rng.randint(-99, 99)
                for _ in range(rows * len(lane.columns))
            ]
            values.append(np.array(drawn, lane.type.dtype).reshape(shape))
    quality = np.zeros((rows, len(schema.tags)), np.uint32)
    quality[::3, 0] = 0x800A_0000
    values[next(i for i, lane in enumerate(schema.lanes) if 0 in lane.columns)][::3, 0] = 0
    return Batch(schema, times, times + 1_000_000, tuple(values), quality)


def sparse(number: int, rows: int = 5) -> Batch:
    """Give changes of PRESS and nothing else: each row is one sample of a random column."""
    rng = random.Random(number)
    index = np.array([rng.randrange(4) for _ in range(rows)], np.uint32)
    times = BEGIN + number * SECOND + np.arange(rows, dtype=np.int64) * 1_000
    values = []
    for lane in PRESS.lanes:
        count = int(np.isin(index, lane.columns).sum())
        if lane.type is ValueType.STRING:
            texts = np.empty(count, object)
            texts[:] = [f"s{n}" for n in range(count)]
            values.append(texts)
        else:
            values.append(np.arange(count).astype(lane.type.dtype))
    return Batch(PRESS, times, times + 2_000_000, tuple(values), None, index)


def anchor_entry(number: int) -> Entry:
    """Give the entry of an anchor."""
    wall_ns = BEGIN + number * SECOND
    payload = encode_anchor(Anchor("boot", wall_ns, number, ClockState.SYNCED, 5))
    return Entry(Stream.TELEMETRY, RecordKind.ANCHOR, payload, 0, wall_ns, wall_ns)


def some_entry(number: int) -> Entry:
    """Give an entry of whatever kind `number` comes to."""
    match number % 10:
        case 0:
            return anchor_entry(number)
        case 3:
            lost = Gap(GapCause.RING_OVERFLOW, BEGIN, BEGIN + SECOND, 7, "press")
            return gap_entry(Stream.TELEMETRY, lost)
        case 5 | 6:
            return batch_entry(sparse(number))
        case 7:
            return batch_entry(dense(number, 2, OVEN))
        case 8:
            return batch_entry(dense(number, 1), Stream.EVENTS)
        case _:
            return batch_entry(dense(number))


async def fill(
    disk: Disk, begin: int, end: int, limits: JournalLimits = SMALL, *, seed: int = 1
) -> None:
    """Run a journal that takes the entries `begin..end-1` in small commits and stops in order."""
    async with open_journal(disk, limits, seed=seed) as log:
        await feed(log, begin, end)


def open_journal(disk: Disk, limits: JournalLimits = SMALL, *, seed: int = 1) -> Journal:
    """Give a journal that is not open yet."""
    return journal(disk, limits, seed=seed)


async def feed(log: Journal, begin: int, end: int) -> None:
    """Submit the entries `begin..end-1`, three at a time."""
    for first in range(begin, end, 3):
        await log.submit([some_entry(n) for n in range(first, min(first + 3, end))])
