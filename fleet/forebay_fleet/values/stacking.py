"""Many batches decoded at once: those of the same form are one array.

Owns how they are put together. A gateway that polls once a second sends a batch a second, so a day
of one tag is 86,400 batches of a row: one by one they take seconds. Pure. Must not know the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

from forebay_fleet import columns
from forebay_fleet._proto import batch_pb2 as pb
from forebay_fleet.columns import MAX_RAW_BYTES
from forebay_fleet.decode import ROLE_TYPES, check_batch, decode_batch
from forebay_fleet.errors import DecodingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from forebay_fleet.decode import SchemaView

MOST_AT_ONCE_BYTES = 2 * MAX_RAW_BYTES
"""Of unpacked batches in memory."""


class Piece(NamedTuple):
    """Raw samples of one column, each of shape (samples,).

    `record` says of which batch each is: its place in what was given.
    """

    times_ns: NDArray[np.int64]
    received_ns: NDArray[np.int64]
    values: NDArray[Any]
    quality: NDArray[np.uint32]
    record: NDArray[np.intp]


class _Form(NamedTuple):
    """Batches that differ in data and time only: where each was, when it begins, its bytes."""

    message: pb.Batch
    records: list[int]
    bases_ns: list[int]
    data: list[bytes]


def read(
    payloads: Sequence[bytes], schema: SchemaView, wanted: Sequence[int]
) -> Iterator[tuple[int, Piece]]:
    """Give (column, samples) of columns of a schema out of its batches, in no order.

    Raises:
        DecodingError: a payload is no batch of this schema.
    """
    texts = [column for column in wanted if schema.types[column] in (pb.STRING, pb.BYTES)]
    numbers = [column for column in wanted if column not in texts]
    for form in _forms(payloads, schema):
        check_batch(_whole(form, 0))
        alone = wanted if len(form.records) == 1 else texts
        if alone:
            for record in form.records:
                yield from _one(payloads[record], record, schema, alone)
        if alone is wanted or not numbers:
            continue
        step = max(1, MOST_AT_ONCE_BYTES // max(form.message.raw_bytes, 1))
        for first in range(0, len(form.records), step):
            some = slice(first, first + step)
            part = _Form(form.message, form.records[some], form.bases_ns[some], form.data[some])
            yield from _stacked(part, schema, numbers)


def _forms(payloads: Sequence[bytes], schema: SchemaView) -> list[_Form]:
    found: dict[bytes, _Form] = {}
    read_one = pb.Batch.FromString
    for record, payload in enumerate(payloads):
        try:
            message = read_one(payload)
        except DecodeError:
            raise DecodingError("bytes that are no Batch") from None
        data, base_ns = message.data, message.base_time_ns
        message.ClearField("data")
        message.ClearField("base_time_ns")
        key = message.SerializeToString()
        form = found.get(key)
        if form is None:
            if message.schema_id != schema.message.id:
                raise DecodingError("a batch of another schema")
            form = found[key] = _Form(message, [], [], [])
        form.records.append(record)
        form.bases_ns.append(base_ns)
        form.data.append(data)
    return list(found.values())


def _whole(form: _Form, place: int) -> pb.Batch:
    """Give one batch of a form as it was."""
    message = pb.Batch()
    message.CopyFrom(form.message)
    message.data, message.base_time_ns = form.data[place], form.bases_ns[place]
    return message


def _one(
    payload: bytes, record: int, schema: SchemaView, wanted: Sequence[int]
) -> Iterator[tuple[int, Piece]]:
    view = decode_batch(payload, schema)
    for column in wanted:
        series = view.series(column)
        yield column, Piece(*series, np.full(len(series.times_ns), record, np.intp))


def _stacked(form: _Form, schema: SchemaView, wanted: Sequence[int]) -> Iterator[tuple[int, Piece]]:
    blocks = _unpacked(form)
    pieces = _pieces(form.message, blocks)
    rows = form.message.rows
    bases = np.array(form.bases_ns, np.int64)[:, None]
    records = np.array(form.records, np.intp)
    try:
        times = columns.stacked(*pieces[pb.TIME], (rows,)) + bases
        received = columns.stacked(*pieces[pb.RECEIVED], (rows,)) + bases
    except KeyError:
        raise DecodingError("a batch without its times") from None
    if pb.INDEX in pieces:
        index = columns.stacked(*pieces[pb.INDEX], (rows,))
        yield from _sparse(pieces, index, schema, wanted, (times, received, records))
        return
    repeated = np.repeat(records, rows)
    for column in wanted:
        lane = int(schema.types[column])
        shape = (rows, len(schema.lanes[lane]))
        place = int(np.searchsorted(schema.lanes[lane], column))
        values = columns.stacked(*_lane(pieces, lane), shape, place)
        quality = np.zeros(values.shape, np.uint32)
        if pb.QUALITY in pieces:
            quality = columns.stacked(*pieces[pb.QUALITY], (rows, schema.tags), column)
        flat = (times.ravel(), received.ravel(), values.ravel(), quality.ravel())
        yield column, Piece(*flat, repeated)


def _sparse(
    pieces: dict[int, tuple[NDArray[np.uint8], pb.Column]],
    index: NDArray[Any],
    schema: SchemaView,
    wanted: Sequence[int],
    stamps: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.intp]],
) -> Iterator[tuple[int, Piece]]:
    if index.size and int(index.max()) >= schema.tags:
        raise DecodingError("a sample of a column that its schema has not")
    times, received, records = stamps
    quality = None
    if pb.QUALITY in pieces:
        quality = columns.stacked(*pieces[pb.QUALITY], (index.shape[1],))
    for column in wanted:
        lane = int(schema.types[column])
        in_lane = schema.types[index] == lane
        counts = np.count_nonzero(in_lane, axis=1)
        piece, told = _lane(pieces, lane)
        at, row = np.nonzero(index == column)
        values = np.empty(len(at), columns.DTYPES[lane])
        positions = (np.cumsum(in_lane, axis=1) - 1)[at, row]
        for count in np.unique(counts).tolist():
            of_count = counts == count
            lanes = columns.stacked(piece[of_count], told, (count,))
            place = np.cumsum(of_count) - 1
            mine = of_count[at]
            values[mine] = lanes[place[at[mine]], positions[mine]]
        codes = np.zeros(len(at), np.uint32) if quality is None else quality[at, row]
        if lane == pb.BOOL:
            values = values.astype(np.bool_)
        yield column, Piece(times[at, row], received[at, row], values, codes, records[at])


def _lane(
    pieces: dict[int, tuple[NDArray[np.uint8], pb.Column]], lane: int
) -> tuple[NDArray[np.uint8], pb.Column]:
    try:
        return pieces[_LANES + lane]
    except KeyError:
        raise DecodingError("a batch without one of its lanes") from None


_LANES = 1000
"""Keeps lanes apart from roles in one dictionary."""


def _pieces(
    message: pb.Batch, blocks: NDArray[np.uint8]
) -> dict[int, tuple[NDArray[np.uint8], pb.Column]]:
    found: dict[int, tuple[NDArray[np.uint8], pb.Column]] = {}
    offset = 0
    for column in message.columns:
        key = _LANES + column.type if column.role == pb.VALUES else int(column.role)
        if key in found or (column.role != pb.VALUES and ROLE_TYPES.get(key) != column.type):
            raise DecodingError("a column that is there twice, or has an unknown role or type")
        found[key] = blocks[:, offset : offset + column.bytes], column
        offset += column.bytes
    return found


def _unpacked(form: _Form) -> NDArray[np.uint8]:
    """Give the bytes of all batches, shape (batches, raw bytes)."""
    size, data = form.message.raw_bytes, form.data
    if form.message.compression == pb.ZSTD:
        import zstandard

        unpack = zstandard.ZstdDecompressor().decompress
        try:
            data = [unpack(one, max_output_size=size, allow_extra_data=False) for one in data]
        except zstandard.ZstdError as error:
            raise DecodingError(f"data that does not decompress: {error}") from None
    if {len(one) for one in data} != {size}:
        raise DecodingError("data of another size than it says")
    return np.frombuffer(b"".join(data), np.uint8).reshape(len(data), size)
