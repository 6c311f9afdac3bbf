"""What encoding costs: nanoseconds of CPU and bytes per value, of process-like data.

Held against JSON and against one protobuf message a point, made of the same values in the same
turns. README.md says what each figure means.
"""

from __future__ import annotations

import asyncio
import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zstandard
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from bench.figures import Figure, cpu_s_each, figure, scratch, seams
from bench.wire import sent_bytes
from forebay.columnar import BatchEncoder, decode_batch, encode_schema
from forebay.journal.journal import Entry, Journal, JournalLimits
from forebay.model import Batch, RecordKind, Schema, Stream, Tag, ValueType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TAGS, SCANS, ROUNDS, CALLS = 5_000, 8, 9, 40
STORED = 100
"""Batches that are journaled and sent: four million values, so that the schema weighs little."""
BEGIN_NS, PERIOD_NS, POLL_NS = 1_700_000_000_000_000_000, 1_000_000_000, 4_000_000


def walk(scans: int = SCANS, *, share: float = 1.0) -> NDArray[np.float64]:
    """Give a random walk of 5,000 values around 20; in each scan a `share` of them moves."""
    rng = np.random.default_rng(1)
    steps = rng.normal(0, 0.05, (scans, TAGS)) * (rng.random((scans, TAGS)) < share)
    walked: NDArray[np.float64] = 20 + rng.normal(0, 5, (1, TAGS)) + np.cumsum(steps, axis=0)
    return walked


def schema(kind: ValueType) -> Schema:
    """Give 5,000 tags, named as a plant names them."""
    names = (f"line4/press{number // 10}/temperature{number % 10}" for number in range(TAGS))
    return Schema(
        "bench", "all", tuple(Tag(n, f"holding:{2 * i}", kind) for i, n in enumerate(names))
    )


def scans(values: NDArray[np.float64], kind: ValueType, begin: int = 0) -> list[Batch]:
    """Give one batch of one row for each scan, as a poll gives them."""
    rows = values.astype(kind.dtype)
    times = BEGIN_NS + (begin + np.arange(len(rows), dtype=np.int64)) * PERIOD_NS
    of = schema(kind)
    return [
        Batch(of, times[i : i + 1], times[i : i + 1] + POLL_NS, (rows[i : i + 1],))
        for i in range(len(rows))
    ]


def as_json(batches: Sequence[Batch]) -> bytes:
    """Give the same as JSON, one object a scan: names once for each value, times once a scan.

    A float32 is told by the fewest digits that give it back.
    """
    rows = [
        {
            "ts": int(batch.times_ns[0]) // 1_000_000,
            "values": {
                tag.name: float(str(value))
                for tag, value in zip(batch.schema.tags, batch.values[0][0], strict=True)
            },
        }
        for batch in batches
    ]
    return json.dumps(rows, separators=(",", ":")).encode()


@functools.cache
def point() -> Any:  # noqa: ANN401 - a message class that protobuf makes
    """Give the message of one point: name, time in ms, value."""
    file = descriptor_pb2.FileDescriptorProto(name="point.proto", package="bench", syntax="proto3")
    message = file.message_type.add(name="Point")
    field = descriptor_pb2.FieldDescriptorProto
    kinds = (("name", field.TYPE_STRING), ("ts", field.TYPE_INT64), ("value", field.TYPE_FLOAT))
    for number, (name, kind) in enumerate(kinds, 1):
        message.field.add(name=name, number=number, type=kind, label=field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("bench.Point"))


def as_points(batches: Sequence[Batch]) -> list[bytes]:
    """Give the same as one protobuf message a point."""
    make = point()
    return [
        make(name=tag.name, ts=int(batch.times_ns[0]) // 1_000_000, value=value).SerializeToString()
        for batch in batches
        for tag, value in zip(batch.schema.tags, batch.values[0][0].tolist(), strict=True)
    ]


def entries(encoder: BatchEncoder) -> list[Entry]:
    """Give a run of records as the intake makes them, of rounded values."""
    values = np.round(walk(STORED * SCANS), 2)
    made: list[Entry] = []
    for number in range(STORED):
        first = number * SCANS
        batches = scans(values[first : first + SCANS], ValueType.FLOAT32, first)
        of = batches[0].schema
        begin, end = int(batches[0].times_ns[0]), int(batches[-1].times_ns[0])
        payload = encoder.encode(batches)
        known = (of.id, encode_schema(of)) if not made else made[0].schema
        samples = TAGS * SCANS
        made.append(Entry(Stream.TELEMETRY, RecordKind.BATCH, payload, samples, begin, end, known))
    return made


async def stored() -> tuple[float, float]:
    """Give bytes a value on disk and on the wire: segment files, and TLS bytes to a server."""
    made = entries(BatchEncoder())
    values = sum(entry.samples for entry in made)
    with scratch() as name:
        directory = Path(name)
        limits = JournalLimits(1 << 30, 30 * 86_400.0, 16 << 20, 64 << 20)
        async with Journal(directory / "journal", limits, seams()) as journal:
            for entry in made:
                await journal.submit([entry])
            sent = await sent_bytes(journal, directory)
        telemetry = directory / "journal" / Stream.TELEMETRY.value
        disk = sum(file.stat().st_blocks * 512 for file in telemetry.iterdir())
    return disk / values, sent / values


def sizes() -> list[Figure]:
    """Weigh everything; these figures do not scatter."""
    count = TAGS * SCANS
    encoder = BatchEncoder()

    def ratio(name: str, value: float, against: str, other: float) -> Figure:
        return figure(
            f"encode.bytes_per_value{name}", [value], "B", against=against, others=[other]
        )

    rounded, exact, slow = np.round(walk(), 2), walk(), walk(share=0.1)
    batches = scans(rounded, ValueType.FLOAT32)
    text = len(as_json(batches)) / count
    packed = len(zstandard.ZstdCompressor(level=3).compress(as_json(batches))) / count
    points = sum(map(len, as_points(batches))) / count
    disk, wire = asyncio.run(stored())
    small = len(encoder.encode(batches[:1])) / TAGS
    double = len(encoder.encode(scans(rounded, ValueType.FLOAT64))) / count
    found = [
        ratio("", disk, "JSON", text),
        ratio("_vs_json_zstd", disk, "JSON, eight scans packed with zstd level 3", packed),
        ratio("_vs_points", disk, "a protobuf message a point", points),
        ratio("_wire", wire, "JSON", text),
        ratio("_wire_vs_points", wire, "a protobuf message a point", points),
        ratio("_one_scan", small, "JSON", text),
        ratio("_float64", double, "JSON", text),
    ]
    for name, values in (("_slow", slow), ("_exact", exact)):
        batches = scans(values, ValueType.FLOAT32)
        mine = len(encoder.encode(batches)) / count
        found.append(ratio(name, mine, "JSON", len(as_json(batches)) / count))
    return found


def times() -> list[Figure]:
    """Measure encoding and decoding in turns."""
    encoder, count = BatchEncoder(), TAGS * SCANS
    rounded = scans(np.round(walk(), 2), ValueType.FLOAT32)
    double = scans(np.round(walk(), 2), ValueType.FLOAT64)
    exact = scans(walk(), ValueType.FLOAT32)
    payload = encoder.encode(rounded)
    of = rounded[0].schema
    mine, doubles, precise, single, back, text, points = ([] for _ in range(7))  # type: ignore[var-annotated]
    for _ in range(ROUNDS):
        for into, work, calls, values in (
            (mine, lambda: encoder.encode(rounded), CALLS, count),
            (doubles, lambda: encoder.encode(double), CALLS, count),
            (precise, lambda: encoder.encode(exact), CALLS, count),
            (single, lambda: encoder.encode(rounded[:1]), CALLS, TAGS),
            (back, lambda: decode_batch(payload, of), CALLS, count),
            (text, lambda: as_json(rounded[:1]), 1, TAGS),
            (points, lambda: as_points(rounded[:1]), 1, TAGS),
        ):
            into.append(cpu_s_each(work, calls) / values * 1e9)
    return [
        figure("encode.ns_per_value", mine, "ns", against="JSON (stdlib)", others=text),
        figure(
            "encode.ns_per_value_vs_points",
            mine,
            "ns",
            against="a protobuf message a point",
            others=points,
        ),
        figure("encode.ns_per_value_float64", doubles, "ns"),
        figure("encode.ns_per_value_exact", precise, "ns"),
        figure("encode.ns_per_value_one_scan", single, "ns"),
        figure("encode.decode_ns_per_value", back, "ns"),
    ]


def run() -> list[Figure]:
    """Measure encode and decode."""
    return times() + sizes()
