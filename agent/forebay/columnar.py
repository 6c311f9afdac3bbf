"""Batches, schemas, gaps and anchors as the bytes of `proto/forebay/v1/batch.proto`, and back.

Owns the encoding of a record's payload. Pure. Must not know where the bytes rest or who sends them:
they are made here once, and journal, uplinks and server carry them unchanged.

Numbers are kept raw and in columns, each in the transform that `forebay.transforms` chooses for it;
zstd level 1 goes over all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import zstandard

from forebay._proto import batch_pb2 as pb
from forebay.model import Anchor, Batch, ClockState, Gap, GapCause, Schema, Tag, ValueType
from forebay.transforms import MAX_RAW_BYTES, Scratch, backward, corrupt, forward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_LEVEL = 1  # level 3 costs 1.1-1.6 times as much for 6-8 % less (bench/encode)
_WORTH_COMPRESSING_BYTES = 96
_NUMBER = {value_type: number for number, value_type in enumerate(ValueType, start=1)}
_TYPE = dict(enumerate(ValueType, start=1))


class BatchEncoder:
    """Encodes batches; keeps its working memory between calls. Not for two threads at once."""

    def __init__(self) -> None:
        """Make the compressor; its memory comes with first use."""
        self._zstd = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True)
        self._scratch = Scratch()

    def encode(self, batches: Sequence[Batch]) -> bytes:
        """Encode batches of one schema and one layout, in order, as one.

        ValueError if they differ or are too large.
        """
        schema, sparse = batches[0].schema, batches[0].index is not None
        for batch in batches:
            if (batch.schema is not schema and batch.schema.id != schema.id) or (
                batch.index is not None
            ) is not sparse:
                msg = "batches of different schemas or layouts cannot be one"
                raise ValueError(msg)
        times = _joined([b.times_ns for b in batches])
        base = int(times[0]) if len(times) else 0
        message = pb.Batch(schema_id=schema.id, rows=len(times), base_time_ns=base)
        parts: list[bytes] = []

        def put(
            role: pb.ColumnRole, kind: ValueType, array: NDArray[Any], *, rows_alike: bool
        ) -> None:
            coded = forward(array, kind, self._scratch, rows_alike=rows_alike)
            message.columns.add(
                role=role,
                type=_NUMBER[kind],
                transform=coded.transform,
                bytes=len(coded.data),
                decimal=coded.decimal,
            )
            parts.append(coded.data)

        put(pb.TIME, ValueType.INT64, times - base, rows_alike=True)
        put(
            pb.RECEIVED,
            ValueType.INT64,
            _joined([b.received_ns for b in batches]) - base,
            rows_alike=True,
        )
        if sparse:
            put(pb.INDEX, ValueType.UINT32, _joined([b.index for b in batches]), rows_alike=True)
        for number, lane in enumerate(schema.lanes):
            put(
                pb.VALUES,
                lane.type,
                _joined([b.values[number] for b in batches]),
                rows_alike=not sparse,
            )
        if any(b.quality is not None for b in batches):
            put(
                pb.QUALITY,
                ValueType.UINT32,
                _joined([wide_quality(b) for b in batches]),
                rows_alike=not sparse,
            )
        self._pack(message, b"".join(parts))
        return message.SerializeToString()

    def _pack(self, message: pb.Batch, data: bytes) -> None:
        if len(data) > MAX_RAW_BYTES:
            msg = f"a batch of {len(data)} bytes is over the limit of {MAX_RAW_BYTES}"
            raise ValueError(msg)
        message.raw_bytes = len(data)
        message.compression, message.data = pb.NONE, data
        if len(data) >= _WORTH_COMPRESSING_BYTES:
            packed = self._zstd.compress(data)
            if len(packed) < len(data):
                message.compression, message.data = pb.ZSTD, packed


def encode_batch(batches: Sequence[Batch]) -> bytes:
    """Encode with a compressor of its own; see `BatchEncoder.encode`."""
    return BatchEncoder().encode(batches)


def peek_schema_id(payload: bytes) -> int:
    """Give the id of the schema that a BATCH payload needs; JournalCorrupt if it is none."""
    schema_id: int = _parse(pb.Batch, payload).schema_id
    return schema_id


def peek_schema(payload: bytes) -> tuple[str, str, int]:
    """Give source, group and number of tags of a SCHEMA payload; JournalCorrupt if it is none.

    Whether the content gives its id is left to `decode_schema`, which takes fifty times as long.
    """
    message = _parse(pb.Schema, payload)
    return message.source, message.group, len(message.tags)


def decode_batch(payload: bytes, schema: Schema) -> Batch:
    """Decode a BATCH payload. JournalCorrupt if the bytes do not fit themselves or `schema`."""
    message = _parse(pb.Batch, payload)
    if message.schema_id != schema.id:
        raise corrupt(f"it needs schema {message.schema_id:016x}, not {schema.id:016x}")
    data, rows = _unpack(message), message.rows
    if sum(column.bytes for column in message.columns) != len(data):
        raise corrupt("its columns do not add up to its data")
    sparse = any(column.role == pb.INDEX for column in message.columns)
    found: dict[int, NDArray[Any]] = {}
    values: list[NDArray[Any]] = []
    offset = 0
    for column in message.columns:
        part = data[offset : offset + column.bytes]
        offset += column.bytes
        if column.role == pb.VALUES:
            if len(values) == len(schema.lanes):
                raise corrupt("it has more value columns than its schema has lanes")
            lane = schema.lanes[len(values)]
            if _TYPE.get(column.type) is not lane.type:
                raise corrupt("a value column has another type than its lane")
            shape = (
                (_lane_rows(found, schema, len(values), rows),)
                if sparse
                else (rows, len(lane.columns))
            )
            values.append(backward(part, lane.type, column, shape))
        else:
            kind = ValueType.INT64 if column.role in (pb.TIME, pb.RECEIVED) else ValueType.UINT32
            wide = column.role == pb.QUALITY and not sparse
            array = backward(part, kind, column, (rows, len(schema.tags)) if wide else (rows,))
            if column.role == pb.INDEX and rows and int(array.max()) >= len(schema.tags):
                raise corrupt("a row names a column that its schema has not")
            found[column.role] = array
    if pb.TIME not in found or pb.RECEIVED not in found or len(values) != len(schema.lanes):
        raise corrupt("a column is missing")
    base = np.int64(message.base_time_ns)
    return Batch(
        schema,
        found[pb.TIME] + base,
        found[pb.RECEIVED] + base,
        tuple(values),
        found.get(pb.QUALITY),
        found.get(pb.INDEX),
    )


def encode_schema(schema: Schema) -> bytes:
    """Encode a SCHEMA payload."""
    message = pb.Schema(id=schema.id, source=schema.source, group=schema.group)
    for tag in schema.tags:
        message.tags.add(
            name=tag.name,
            address=tag.address,
            type=_NUMBER[tag.type],
            unit=tag.unit,
            scale=tag.scale,
            offset=tag.offset,
        )
    return message.SerializeToString()


def decode_schema(payload: bytes) -> Schema:
    """Decode a SCHEMA payload; JournalCorrupt if its content does not give its id."""
    message = _parse(pb.Schema, payload)
    try:
        tags = tuple(
            Tag(t.name, t.address, _TYPE[t.type], t.unit, t.scale, t.offset) for t in message.tags
        )
    except KeyError:
        raise corrupt("a tag has an unknown type") from None
    schema = Schema(message.source, message.group, tags)
    if schema.id != message.id:
        raise corrupt("a schema's content does not give its id")
    return schema


def encode_gap(gap: Gap) -> bytes:
    """Encode a GAP payload."""
    message = pb.Gap(
        cause=pb.GapCause.Name(gap.cause.value),
        time_from_ns=gap.time_from_ns,
        time_to_ns=gap.time_to_ns,
        source=gap.source,
        epoch=gap.epoch,
        seq_from=gap.seq_from,
        seq_to=gap.seq_to,
    )
    if gap.samples is not None:
        message.samples = gap.samples
    return message.SerializeToString()


def decode_gap(payload: bytes) -> Gap:
    """Decode a GAP payload; JournalCorrupt if it is none."""
    m = _parse(pb.Gap, payload)
    try:
        cause = GapCause(m.cause)
    except ValueError:
        raise corrupt("a gap has an unknown cause") from None
    samples = m.samples if m.HasField("samples") else None
    return Gap(
        cause, m.time_from_ns, m.time_to_ns, samples, m.source, m.epoch, m.seq_from, m.seq_to
    )


def encode_anchor(anchor: Anchor) -> bytes:
    """Encode an ANCHOR payload."""
    return pb.Anchor(
        boot_id=anchor.boot_id,
        wall_ns=anchor.wall_ns,
        monotonic_ns=anchor.monotonic_ns,
        state=pb.ClockState.Name(anchor.state.value),
        error_ns=anchor.error_ns,
    ).SerializeToString()


def decode_anchor(payload: bytes) -> Anchor:
    """Decode an ANCHOR payload; JournalCorrupt if it is none."""
    m = _parse(pb.Anchor, payload)
    try:
        state = ClockState(m.state)
    except ValueError:
        raise corrupt("an anchor has an unknown state of the clock") from None
    return Anchor(m.boot_id, m.wall_ns, m.monotonic_ns, state, m.error_ns)


# --- columns --------------------------------------------------------------------------------------


def _joined(arrays: Sequence[NDArray[Any] | None]) -> NDArray[Any]:
    """Stack along rows, without a copy where there is only one."""
    present = [a for a in arrays if a is not None]
    return present[0] if len(present) == 1 else np.concatenate(present)


def wide_quality(batch: Batch) -> NDArray[np.uint32]:
    """Give a batch's quality array, made where it was left out for being all Good."""
    if batch.quality is not None:
        return batch.quality
    shape = (batch.rows,) if batch.index is not None else (batch.rows, len(batch.schema.tags))
    return np.zeros(shape, np.uint32)


def _lane_rows(found: dict[int, NDArray[Any]], schema: Schema, lane: int, rows: int) -> int:
    """Count the sparse rows whose column lies in `lane`."""
    index = found.get(pb.INDEX)
    if index is None or len(index) != rows:
        raise corrupt("a sparse batch has its values before its index")
    return int(np.count_nonzero(schema.lane_of[index] == lane))


def _unpack(message: pb.Batch) -> bytes:
    if message.raw_bytes > MAX_RAW_BYTES:
        raise corrupt(f"it would decompress to {message.raw_bytes} bytes")
    if message.compression == pb.NONE:
        data = message.data
    elif message.compression == pb.ZSTD:
        try:
            # The frame's own header is believed before it is unpacked, so it must say the same as
            # ours.
            if zstandard.frame_content_size(message.data) != message.raw_bytes:
                raise corrupt("its frame has another length than it says")
            data = zstandard.ZstdDecompressor().decompress(message.data)
        except zstandard.ZstdError as error:
            raise corrupt(str(error)) from None
    else:
        raise corrupt("it has an unknown compression")
    if len(data) != message.raw_bytes:
        raise corrupt("it decompresses to another length than it says")
    return data


def _parse(kind: Any, payload: bytes) -> Any:  # noqa: ANN401 - a generated message class and its instance
    from google.protobuf.message import DecodeError

    try:
        return kind.FromString(payload)
    except DecodeError:
        raise corrupt(f"it is no {kind.DESCRIPTOR.name} message") from None
