"""Records whose payloads are true batches, and what a reader must see of them.

What must be seen comes from `Batch.iter_samples`, one sample at a time: another way than the
columns that uplinks write from.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from forebay.columnar import decode_batch, encode_batch, encode_schema
from forebay.journal.entry import Entry
from forebay.model import Batch, Position, Quality, RecordKind, Schema, Stream, Tag, ValueType
from forebay.testing.records import make_record
from forebay.testing.uplink_contract import _offer as bare_offer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from forebay.interfaces import Offer
    from forebay.model import Record

EPOCH = 1 << 32
START_NS = 1_790_000_000_123_456_789
SCHEMA = Schema(
    "press",
    "fast",
    (
        Tag("running", "c:0", ValueType.BOOL),
        Tag("pressure", "h:0", ValueType.INT16, "bar", 0.1, -5.0),
        Tag("motor/temp", "h:1", ValueType.FLOAT32, "°C"),
        Tag("energy", "h:3", ValueType.UINT64, "Wh"),
        Tag("steps", "h:7", ValueType.INT64),
        Tag('batch "id"', "h:11", ValueType.STRING),
        Tag("level", "h:20", ValueType.FLOAT64, "m"),
        Tag("frame", "m:0", ValueType.BYTES),
    ),
)
SCHEMAS = {SCHEMA.id: SCHEMA}


@cache
def encoded(schema: Schema) -> tuple[int, bytes]:
    """Give a schema as an entry of the journal names it."""
    return schema.id, encode_schema(schema)


def batch_entry(batch: Batch, stream: Stream = Stream.TELEMETRY) -> Entry:
    """Give the entry that the pipeline would make of a batch."""
    return Entry(
        stream=stream,
        kind=RecordKind.BATCH,
        payload=encode_batch([batch]),
        samples=batch.samples,
        time_min_ns=int(batch.times_ns.min()),
        time_max_ns=int(batch.times_ns.max()),
        schema=encoded(batch.schema),
    )


def dense(rows: int, seed: int, *, bad: bool = True) -> Batch:
    """Give a batch of SCHEMA with every type, some of it bad, drawn by `seed`."""
    rng = np.random.default_rng(seed)
    times = START_NS + (seed * 1000 + np.arange(rows, dtype=np.int64)) * 1_000_000
    drawn = {
        ValueType.BOOL: rng.random((rows, 1)) < 0.5,
        ValueType.INT16: rng.integers(-(1 << 15), 1 << 15, (rows, 1), np.int16),
        ValueType.FLOAT32: rng.random((rows, 1), np.float32),
        ValueType.UINT64: rng.integers(0, 1 << 64, (rows, 1), np.uint64),
        ValueType.INT64: rng.integers(-(1 << 62), 1 << 62, (rows, 1), np.int64),
        ValueType.FLOAT64: rng.normal(size=(rows, 1)),
        ValueType.STRING: np.array([[f"lot {seed} ü\n{n}"] for n in range(rows)], object),
        ValueType.BYTES: np.array([[rng.bytes(n % 40)] for n in range(rows)], object),
    }
    values = tuple(drawn[lane.type] for lane in SCHEMA.lanes)
    quality = None
    if bad:
        codes = [Quality.GOOD, Quality.UNCERTAIN, Quality.BAD_TIMEOUT, 0x80AB0000]
        quality = rng.choice(np.array(codes, np.uint32), (rows, len(SCHEMA.tags)))
        for lane, array in zip(SCHEMA.lanes, values, strict=True):
            array[quality[:, lane.columns] >= Quality.BAD] = lane.type.empty
    return Batch(SCHEMA, times, times + 1_500_000, values, quality)


def sparse(batch: Batch, keep: Sequence[int]) -> Batch:
    """Give the samples of a dense batch whose running number is in `keep`."""
    width = len(SCHEMA.tags)
    columns = np.array([n % width for n in keep], np.uint32)
    scans = np.array([n // width for n in keep])
    place = {column: (i, k) for i, lane in enumerate(SCHEMA.lanes)
             for k, column in enumerate(lane.columns.tolist())}  # fmt: skip
    values = []
    for i, lane in enumerate(SCHEMA.lanes):
        taken = [
            batch.values[i][scan, place[column][1]]
            for scan, column in zip(scans.tolist(), columns.tolist(), strict=True)
            if place[column][0] == i
        ]
        values.append(np.array(taken, lane.type.dtype))
    quality = None if batch.quality is None else batch.quality[scans, columns]
    return Batch(
        SCHEMA,
        batch.times_ns[scans],
        batch.received_ns[scans],
        tuple(values),
        quality,
        columns,
    )


def batch_record(
    seq: int, batch: Batch | None = None, *, stream: Stream = Stream.TELEMETRY, epoch: int = EPOCH
) -> Record:
    """Give the record of a batch; by default one of three scans that `seq` draws."""
    batch = dense(3, seq) if batch is None else batch
    record = make_record(
        seq, encode_batch([batch]), stream=stream, epoch=epoch, samples=batch.samples
    )
    return replace(
        record, time_min_ns=int(batch.times_ns.min()), time_max_ns=int(batch.times_ns.max())
    )


def schema_record(seq: int, schema: Schema = SCHEMA, *, epoch: int = EPOCH) -> Record:
    """Give the record of a schema."""
    return make_record(seq, encode_schema(schema), kind=RecordKind.SCHEMA, epoch=epoch, samples=0)


def damaged(record: Record) -> Record:
    """Give a record whose payload is no message, its checksum right."""
    payload = b"\xff" * 20
    return replace(record, payload=payload, crc=google_crc32c.value(payload))


def rows_of(record: Record, schema: Schema = SCHEMA) -> list[list[Any]]:
    """Give [tag, value, code, time, received] of each sample, as JSON can carry them."""
    batch = decode_batch(record.payload, schema)
    return [
        [s.tag.name, plain(s.value), s.quality, s.time_ns, s.received_ns]
        for s in batch.iter_samples()
    ]


def plain(value: Any) -> bool | int | float | str | None:
    """Give a value as JSON has it: there is no number for what is none, and bytes are Base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def shown(rows: Iterable[Sequence[Any]]) -> bytes:
    """Give rows as bytes that are the same for the same rows."""
    return json.dumps(list(rows)).encode()


def offer(records: Sequence[Record], **more: Any) -> Offer:
    """Give the offer of a gateway that holds `records` and every schema here."""
    return replace(bare_offer(records), schema=SCHEMAS.__getitem__, **more)


def position(seq: int, stream: Stream = Stream.TELEMETRY, epoch: int = EPOCH) -> Position:
    """Give a position of telemetry's first epoch."""
    return Position(stream, epoch, seq)
