"""What a journal that nobody uses holds, as tests compare it: values by SOURCE/TAG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.columnar import decode_batch, decode_schema, peek_schema_id
from forebay.model import RecordKind, Stream
from support.journal import journaled

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.model import Batch, Schema, Tag


async def good_samples(directory: Path) -> dict[str, list[tuple[int, Any]]]:
    """Every good sample by SOURCE/TAG, in order of the journal; of events, each column."""
    found: dict[str, list[tuple[int, Any]]] = {}
    for stream in (Stream.TELEMETRY, Stream.EVENTS):
        schemas: dict[int, Schema] = {}
        for record in await journaled(directory, stream):
            if record.kind is RecordKind.SCHEMA:
                schema = decode_schema(record.payload)
                schemas[schema.id] = schema
            elif record.kind is RecordKind.BATCH:
                schema = schemas[peek_schema_id(record.payload)]
                _add(decode_batch(record.payload, schema), found)
    return found


def _add(batch: Batch, found: dict[str, list[tuple[int, Any]]]) -> None:
    schema = batch.schema
    if batch.index is not None:
        lanes = [iter(values) for values in batch.values]
        for row, column in enumerate(batch.index):
            value = next(lanes[schema.lane_of[column]])
            if batch.quality is None or not batch.quality[row] >> 31:
                key = f"{schema.source}/{schema.tags[column].name}"
                scaled = _scaled(value, schema.tags[column])
                found.setdefault(key, []).append((int(batch.times_ns[row]), scaled))
        return
    for lane, values in zip(schema.lanes, batch.values, strict=True):
        for place, column in enumerate(lane.columns):
            key = f"{schema.source}/{schema.tags[column].name}"
            good = batch.quality is None or batch.quality[:, column] >> 31 == 0
            for row in np.flatnonzero(np.broadcast_to(good, batch.rows)).tolist():
                scaled = _scaled(values[row][place], schema.tags[column])
                found.setdefault(key, []).append((int(batch.times_ns[row]), scaled))


def _scaled(value: Any, tag: Tag) -> Any:
    """As readers see it."""
    return value if (tag.scale, tag.offset) == (1, 0) else value * tag.scale + tag.offset
