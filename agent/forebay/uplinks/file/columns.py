"""Records as Arrow columns: one row a sample, without a Python object for any number.

Owns the columns of a Parquet file and what stands in them. Pure. Must not know files.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from forebay.model import ValueType, quality_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forebay.readings import Readings
    from forebay.uplinks.file.store import Row

_TIME = pa.timestamp("ns", "UTC")
SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("time", _TIME),
        pa.field("received", _TIME),
        pa.field("device", pa.string()),
        pa.field("group", pa.string()),
        pa.field("tag", pa.string()),
        pa.field("type", pa.string()),
        pa.field("unit", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("value_int", pa.int64()),
        pa.field("value_uint", pa.uint64()),
        pa.field("value_text", pa.string()),
        pa.field("value_bytes", pa.binary()),
        pa.field("quality", pa.string()),
        pa.field("code", pa.uint32()),
        pa.field("historical", pa.bool_(), nullable=False),
        pa.field("stream", pa.string(), nullable=False),
        pa.field("epoch", pa.string(), nullable=False),
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("row", pa.int32()),
        pa.field("note", pa.string()),
    ]
)


def sample_columns(row: Row, found: Readings) -> pa.RecordBatch:
    """Give the samples of a record."""
    count, tags = len(found.columns), found.schema.tags
    value, value_int, value_uint, value_text, value_bytes = _values(found)
    codes, which = np.unique(found.quality, return_inverse=True)
    names = pa.array([quality_name(code) for code in codes.tolist()], pa.string())
    columns = pa.array(found.columns)
    stream, epoch, seq = row.record.position

    def each(attribute: str) -> pa.Array:
        return pa.array([str(getattr(t, attribute)) for t in tags], pa.string()).take(columns)

    def all_of(value: object, kind: pa.DataType) -> pa.Array:
        return pa.repeat(pa.scalar(value, kind), count)

    return pa.RecordBatch.from_arrays(
        [
            all_of("sample", pa.string()),
            pa.array(found.times_ns[found.scans]).cast(_TIME),
            pa.array(found.received_ns[found.scans]).cast(_TIME),
            all_of(found.schema.source, pa.string()),
            all_of(found.schema.group, pa.string()),
            each("name"),
            each("type"),
            each("unit"),
            value,
            value_int,
            value_uint,
            value_text,
            value_bytes,
            names.take(pa.array(which)),
            pa.array(found.quality),
            all_of(row.historical, pa.bool_()),
            all_of(stream.value, pa.string()),
            all_of(f"{epoch:016x}", pa.string()),
            all_of(seq, pa.int64()),
            pa.array(np.arange(count, dtype=np.int32)),
            all_of(None, pa.string()),
        ],
        schema=SCHEMA,
    )


def note_columns(row: Row) -> pa.RecordBatch:
    """Give the one row of what a record says beside samples."""
    record = row.record
    said: dict[str, Any] = dict(row.note or {"kind": "refused", "code": row.refused})
    stream, epoch, seq = record.position
    cells: dict[str, Any] = {
        "kind": said.pop("kind"),
        "time": record.time_min_ns,
        "device": said.get("device"),
        "historical": row.historical,
        "stream": stream.value,
        "epoch": f"{epoch:016x}",
        "seq": seq,
        "note": json.dumps(said, separators=(",", ":")),
    }
    arrays = [pa.array([cells.get(field.name)], field.type) for field in SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _values(found: Readings) -> tuple[pa.Array, pa.Array, pa.Array, pa.Array, pa.Array]:
    """Give the five value columns.

    Every number stands in `value`; whole numbers that are not scaled stand exactly in `value_int`
    or, if their type is uint64, in `value_uint` as well.
    """
    count = len(found.columns)
    number, number_at = np.zeros(count), np.zeros(count, bool)
    whole, whole_at = np.zeros(count, np.int64), np.zeros(count, bool)
    large, large_at = np.zeros(count, np.uint64), np.zeros(count, bool)
    objects: dict[ValueType, NDArray[Any]] = {}
    for part in found.parts:
        if part.values.dtype == object:
            objects[part.type] = np.full(count, None, object)
            objects[part.type][part.rows] = part.values
            continue
        number[part.rows], number_at[part.rows] = part.values, True
        if part.scaled or part.values.dtype.kind not in "iu":
            continue
        if part.type is ValueType.UINT64:
            large[part.rows], large_at[part.rows] = part.values, True
        else:
            whole[part.rows], whole_at[part.rows] = part.values, True
    for array in objects.values():
        array[found.bad] = None
    return (
        pa.array(number, mask=~number_at | found.bad, from_pandas=False),
        pa.array(whole, mask=~whole_at | found.bad),
        pa.array(large, mask=~large_at | found.bad),
        _objects(objects.get(ValueType.STRING), count, pa.string()),
        _objects(objects.get(ValueType.BYTES), count, pa.binary()),
    )


def _objects(found: NDArray[Any] | None, count: int, kind: pa.DataType) -> pa.Array:
    return pa.nulls(count, kind) if found is None else pa.array(found, kind)
