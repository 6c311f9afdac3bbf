"""The payloads of proto/forebay/v1/batch.proto as numpy arrays: the server's own reading.

Written apart from the agent's encoder, so that each checks the other. Pure. Must not know where the
bytes came from. Sizes are checked before anything is allocated; every fault is a `DecodingError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from forebay_fleet import columns
from forebay_fleet._proto import batch_pb2 as pb
from forebay_fleet.columns import MAX_RAW_BYTES
from forebay_fleet.errors import DecodingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message
    from numpy.typing import NDArray

    M = TypeVar("M", bound=Message)

MAX_TAGS = 100_000
MAX_NAME_BYTES = 1_000
"""Of a device, a group or a tag, in UTF-8: what an index of any database takes twice."""
MAX_COLUMNS = 64
"""Columns of one batch: four roles and a lane for each type are 16."""

ROLE_TYPES: dict[int, int] = {
    pb.TIME: pb.INT64,
    pb.RECEIVED: pb.INT64,
    pb.INDEX: pb.UINT32,
    pb.QUALITY: pb.UINT32,
}
"""Each role but VALUES has one type."""


@dataclass(frozen=True)
class SchemaView:
    """A SCHEMA payload, checked: at least one tag, every type known."""

    message: pb.Schema

    @property
    def tags(self) -> int:
        """How many columns."""
        return len(self.message.tags)

    @cached_property
    def types(self) -> NDArray[np.uint8]:
        """Each column's ValueType number, shape (n,)."""
        return np.fromiter((tag.type for tag in self.message.tags), np.uint8, self.tags)

    @cached_property
    def lanes(self) -> dict[int, NDArray[np.intp]]:
        """ValueType number -> schema columns of that type, ascending; no empty lanes."""
        return {int(t): np.flatnonzero(self.types == t) for t in np.unique(self.types)}


class Series(NamedTuple):
    """One column's samples in row order, each of shape (rows,).

    Texts are `str`, blobs `bytes`, BOOL is bool.
    """

    times_ns: NDArray[np.int64]
    received_ns: NDArray[np.int64]
    values: NDArray[Any]
    quality: NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class BatchView:
    """A BATCH payload, decoded against its schema; dense if `index` is None (see batch.proto).

    `values` maps a ValueType number to (rows, k) in a dense batch, (rows of that lane,) in a sparse
    one.
    """

    schema: SchemaView
    times_ns: NDArray[np.int64]
    received_ns: NDArray[np.int64]
    values: dict[int, NDArray[Any]]
    quality: NDArray[np.uint32] | None
    index: NDArray[np.uint32] | None

    @property
    def samples(self) -> int:
        """What the ledger counts."""
        rows = len(self.times_ns)
        return rows * self.schema.tags if self.index is None else rows

    def series(self, column: int) -> Series:
        """Give the raw samples of one schema column."""
        lane = int(self.schema.types[column])
        place = int(np.searchsorted(self.schema.lanes[lane], column))
        if self.index is None:
            good = np.zeros(len(self.times_ns), np.uint32)
            quality = good if self.quality is None else self.quality[:, column]
            return Series(self.times_ns, self.received_ns, self.values[lane][:, place], quality)
        rows = np.flatnonzero(self.index == column)
        in_lane = self.schema.types[self.index] == lane
        positions = (np.cumsum(in_lane) - 1)[rows]
        quality = np.zeros(len(rows), np.uint32) if self.quality is None else self.quality[rows]
        return Series(
            self.times_ns[rows], self.received_ns[rows], self.values[lane][positions], quality
        )


def decode_schema(payload: bytes) -> SchemaView:
    """Decode a SCHEMA payload."""
    message = parse(pb.Schema, payload)
    if not 1 <= len(message.tags) <= MAX_TAGS:
        raise DecodingError(f"a schema with {len(message.tags)} tags")
    if not 0 < message.id < 1 << 63:
        raise DecodingError("a schema without an id")
    if any(not pb.BOOL <= tag.type <= pb.BYTES for tag in message.tags):
        raise DecodingError("a tag of a type that this server does not know")
    names = (message.source, message.group, *(tag.name for tag in message.tags))
    if max(map(len, names)) * 4 > MAX_NAME_BYTES and any(
        len(name.encode()) > MAX_NAME_BYTES for name in names
    ):
        raise DecodingError(
            f"a name of more than {MAX_NAME_BYTES} bytes", code="BadEncodingLimitsExceeded"
        )
    return SchemaView(message)


def decode_batch(payload: bytes, schema: SchemaView) -> BatchView:
    """Decode a BATCH payload against its schema."""
    message = parse(pb.Batch, payload)
    if message.schema_id != schema.message.id:
        raise DecodingError("a batch of another schema")
    check_batch(message)
    pieces = dict(_pieces(message))
    rows = message.rows
    index = None
    if pb.INDEX in pieces:
        index = columns.numbers(*pieces.pop(pb.INDEX), (rows,)).astype(np.uint32, copy=False)
        if len(index) and int(index.max()) >= schema.tags:
            raise DecodingError("a sample of a column that its schema has not")
    try:
        base = np.int64(message.base_time_ns)
        times = columns.numbers(*pieces.pop(pb.TIME), (rows,)) + base
        received = columns.numbers(*pieces.pop(pb.RECEIVED), (rows,)) + base
    except KeyError:
        raise DecodingError("a batch without its times") from None
    quality = None
    if pb.QUALITY in pieces:
        shape = (rows, schema.tags) if index is None else (rows,)
        quality = columns.numbers(*pieces.pop(pb.QUALITY), shape)
    values: dict[int, NDArray[Any]] = {}
    for lane, members in schema.lanes.items():
        shape = (rows, len(members))
        if index is not None:
            shape = (int(np.count_nonzero(schema.types[index] == lane)),)
        piece = pieces.pop(_lane_key(lane), None)
        if piece is None:
            raise DecodingError("a batch without one of its lanes")
        values[lane] = columns.values(*piece, shape)
    if pieces:
        raise DecodingError("a column that its schema has not")
    return BatchView(schema, times, received, values, quality, index)


def check_batch(message: pb.Batch) -> None:
    """Check what needs neither decompression nor the schema: cheap enough for every record.

    Raises:
        DecodingError: sizes do not add up, are over a limit, or a compression is unknown.
    """
    if not 0 < message.schema_id < 1 << 63:
        raise DecodingError("a batch without schema")
    if message.raw_bytes > MAX_RAW_BYTES or len(message.columns) > MAX_COLUMNS:
        raise DecodingError("a batch over the size limit", code="BadEncodingLimitsExceeded")
    if sum(column.bytes for column in message.columns) != message.raw_bytes:
        raise DecodingError("columns that do not add up to the batch")
    if message.rows * 16 > message.raw_bytes:
        raise DecodingError("fewer bytes than its times need")
    if message.compression == pb.ZSTD:
        import zstandard

        try:
            unpacked = zstandard.frame_content_size(message.data)
        except zstandard.ZstdError:
            raise DecodingError("data that is no zstd frame") from None
        if unpacked not in (message.raw_bytes, -1):
            raise DecodingError("a zstd frame of another size than it says")
    elif message.compression != pb.NONE:
        raise DecodingError("an unknown compression", code="BadDataEncodingUnsupported")
    elif len(message.data) != message.raw_bytes:
        raise DecodingError("data of another size than it says")


def parse(kind: type[M], payload: bytes) -> M:
    """Parse one protobuf message; DecodingError if the bytes are none."""
    from google.protobuf.message import DecodeError

    try:
        return kind.FromString(payload)
    except DecodeError:
        raise DecodingError(f"bytes that are no {kind.DESCRIPTOR.name}") from None


def _lane_key(value_type: int) -> int:
    """Keep lanes apart from roles in one dictionary."""
    return 1000 + value_type


def _pieces(message: pb.Batch) -> Iterator[tuple[int, tuple[memoryview, pb.Column]]]:
    """Cut the data into columns: role, or lane key -> (bytes, what the message says of them)."""
    data = memoryview(_unpacked(message))
    seen: set[int] = set()
    offset = 0
    for column in message.columns:
        key = _lane_key(column.type) if column.role == pb.VALUES else int(column.role)
        if key in seen or (column.role != pb.VALUES and ROLE_TYPES.get(key) != column.type):
            raise DecodingError("a column that is there twice, or has an unknown role or type")
        seen.add(key)
        yield key, (data[offset : offset + column.bytes], column)
        offset += column.bytes


def _unpacked(message: pb.Batch) -> bytes:
    if message.compression == pb.NONE:
        return message.data
    import zstandard

    try:
        data = zstandard.ZstdDecompressor().decompress(
            message.data, max_output_size=message.raw_bytes, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise DecodingError(f"data that does not decompress: {error}") from None
    if len(data) != message.raw_bytes:
        raise DecodingError("data of another size than it says")
    return data
