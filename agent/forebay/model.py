"""The words of Forebay as types: Tag, Schema, Batch, Quality, Stream, Position, Gap, Record.

Owns the shape of data in memory. Must not know how it is encoded (`columnar`), where it rests
(`journal`) or which protocol it came from (`drivers`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay.statuscodes import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

MAX_STRING_BYTES = 65_535
MAX_BLOB_BYTES = 1 << 20
"""The longest value of type BYTES that a source may give; a file comes in pieces."""


class ValueType(StrEnum):
    """The type of a column: what the device sends, before scale and offset."""

    BOOL = "bool"
    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    STRING = "string"
    BYTES = "bytes"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy type of a column; texts are object arrays of `str`, blobs of `bytes`."""
        return np.dtype(object) if self in _OBJECTS else np.dtype(self.value)

    @property
    def empty(self) -> str | bytes | int:
        """What stands in a column where there is no value."""
        return _OBJECTS.get(self, 0)


_OBJECTS: Mapping[ValueType, str | bytes] = MappingProxyType(
    {ValueType.STRING: "", ValueType.BYTES: b""}
)


class Quality(IntEnum):
    """The StatusCodes that Forebay itself assigns (OPC UA Part 6, Annex A.2, StatusCode.csv).

    Quality travels as a plain 32-bit integer and a device's own code is kept, so an array may hold
    codes not named here.
    """

    GOOD = 0x0000_0000
    GOOD_OVERLOAD = 0x002F_0000
    UNCERTAIN = 0x4000_0000
    UNCERTAIN_LAST_USABLE_VALUE = 0x4090_0000
    UNCERTAIN_INITIAL_VALUE = 0x4092_0000
    UNCERTAIN_SENSOR_NOT_ACCURATE = 0x4093_0000
    UNCERTAIN_ENGINEERING_UNITS_EXCEEDED = 0x4094_0000
    BAD = 0x8000_0000
    BAD_COMMUNICATION_ERROR = 0x8005_0000
    BAD_DECODING_ERROR = 0x8007_0000
    BAD_TIMEOUT = 0x800A_0000
    BAD_NO_COMMUNICATION = 0x8031_0000
    BAD_WAITING_FOR_INITIAL_DATA = 0x8032_0000
    BAD_NODE_ID_UNKNOWN = 0x8034_0000
    BAD_NOT_READABLE = 0x803A_0000
    BAD_NOT_WRITABLE = 0x803B_0000
    BAD_OUT_OF_RANGE = 0x803C_0000
    BAD_NOT_SUPPORTED = 0x803D_0000
    BAD_TYPE_MISMATCH = 0x8074_0000
    BAD_CONFIGURATION_ERROR = 0x8089_0000
    BAD_NOT_CONNECTED = 0x808A_0000
    BAD_DEVICE_FAILURE = 0x808B_0000
    BAD_OUT_OF_SERVICE = 0x808D_0000


BAD_SEVERITY = 0x8000_0000


def is_bad(quality: int) -> bool:
    """Whether a StatusCode means no usable value (severity 10 or 11, OPC UA Part 4, 7.39)."""
    return quality & BAD_SEVERITY != 0


def quality_name(quality: int) -> str:
    """Give a StatusCode's name as people read it, `0x90010000` where the standard has none."""
    return NAMES.get(quality >> 16) or f"0x{quality:08X}"


@dataclass(frozen=True, slots=True)
class Tag:
    """One addressable value on a device.

    A reader sees `raw * scale + offset` in `unit`; the journal keeps the raw value and the schema
    that explains it. `address` is the text of the tag list, kept for people; only the driver
    understands it.
    """

    name: str
    address: str
    type: ValueType
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0

    @property
    def scaled(self) -> bool:
        """Whether readers see something else than the raw value."""
        return self.scale != 1.0 or self.offset != 0.0


class Lane(NamedTuple):
    """All columns of one `type` in a schema, in schema order.

    `columns` holds their schema indexes, shape (k,).
    """

    type: ValueType
    columns: NDArray[np.intp]


@dataclass(frozen=True)
class Schema:
    """The tag list that a batch's columns refer to: `tags[i]` describes column i.

    `source` is the device, `group` the set of its tags that is read together. `id` is derived from
    the content alone, so the same list gets the same id on every start and on every machine.
    """

    source: str
    group: str
    tags: tuple[Tag, ...]

    @cached_property
    def id(self) -> int:
        """63-bit content hash."""
        rows = [[t.name, t.address, t.type.value, t.unit, t.scale, t.offset] for t in self.tags]
        text = json.dumps(
            [self.source, self.group, rows], separators=(",", ":"), ensure_ascii=False
        )
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    @cached_property
    def lanes(self) -> tuple[Lane, ...]:
        """The columns grouped by type, in the order of `ValueType`.

        Types without a column have no lane.
        """
        of_type: dict[ValueType, list[int]] = {}
        for column, tag in enumerate(self.tags):
            of_type.setdefault(tag.type, []).append(column)
        return tuple(Lane(t, np.array(of_type[t], np.intp)) for t in ValueType if t in of_type)

    @cached_property
    def lane_of(self) -> NDArray[np.intp]:
        """For each column the index of its lane, shape (n,)."""
        out = np.empty(len(self.tags), np.intp)
        for number, lane in enumerate(self.lanes):
            out[lane.columns] = number
        return out

    @cached_property
    def scales(self) -> NDArray[np.float64]:
        """Each column's scale, shape (n,)."""
        return np.array([t.scale for t in self.tags], np.float64)


class Sample(NamedTuple):
    """One value as a person reads it: scaled, or None where the quality is bad."""

    tag: Tag
    time_ns: int
    received_ns: int
    value: bool | int | float | str | bytes | None
    quality: int


class Stream(StrEnum):
    """One ordered class of data in the journal, most urgent first."""

    AUDIT = "audit"
    EVENTS = "events"
    TELEMETRY = "telemetry"
    BULK = "bulk"

    @property
    def number(self) -> int:
        """The number on disk and on the wire, 1-4."""
        return tuple(Stream).index(self) + 1

    @staticmethod
    def of(number: int) -> Stream:
        """Give the stream with this number; ValueError for any other number."""
        if not 1 <= number <= len(Stream):
            msg = f"no stream has the number {number}"
            raise ValueError(msg)
        return tuple(Stream)[number - 1]


class Outcome(StrEnum):
    """How a write or a call ended.

    `GOOD`: the device took it. `REFUSED`: it did not happen. `UNKNOWN`: it was sent and nobody
    knows; it is not sent again.
    """

    GOOD = "good"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """An immutable, bounded, columnar run of samples of one source.

    *Dense* (`index is None`), the form of a poll: every row holds every column. `values[l]` has
    shape (rows, len(lanes[l].columns)); `quality` has shape (rows, n).
    *Sparse*, the form of a subscription: each row is one sample, of column `index[row]`.
    `values[l]` holds, in row order, the values of those rows whose column lies in lane l;
    `quality` has shape (rows,).

    `times_ns` (rows,) is the source time, ns since 1970 UTC: the device's own where it gives one,
    else the moment at which the read began. `received_ns` (rows,) is when the gateway held the
    answer. `quality is None` means all Good. Where a quality is bad there is no value, and the
    column holds zero, or an empty text or blob.

    `boottime_ns` (rows,) is the CLOCK_BOOTTIME at which `received_ns` was read (`clock.stamp`): it
    tells by which wall clock a row was stamped, if that clock was set since. It is not journaled;
    None where nobody said.

    `stream` is where it belongs; all batches of one schema belong to one stream.
    """

    schema: Schema
    times_ns: NDArray[np.int64]
    received_ns: NDArray[np.int64]
    values: tuple[NDArray[Any], ...]
    quality: NDArray[np.uint32] | None = None
    index: NDArray[np.uint32] | None = None
    boottime_ns: NDArray[np.int64] | None = None
    stream: Stream = Stream.TELEMETRY

    @property
    def rows(self) -> int:
        """Scans of a dense batch, samples of a sparse one."""
        return len(self.times_ns)

    @property
    def samples(self) -> int:
        """How many samples: what the ledger counts."""
        return self.rows if self.index is not None else self.rows * len(self.schema.tags)

    @property
    def nbytes(self) -> int:
        """Bytes of the columns before encoding.

        A text counts four bytes a character, the most that UTF-8 takes, and four for its length;
        so does a blob's length.
        """
        total = self.times_ns.nbytes * 2
        for lane, values in zip(self.schema.lanes, self.values, strict=True):
            if values.dtype != object:
                total += values.nbytes
            else:
                each = 1 if lane.type is ValueType.BYTES else 4
                total += each * sum(map(len, values.flat)) + 4 * values.size
        total += 0 if self.quality is None else self.quality.nbytes
        return total + (0 if self.index is None else self.index.nbytes)

    def iter_samples(self) -> Iterator[Sample]:
        """Walk the samples one by one, scaled: for people and for files, never on the hot path."""
        if self.index is None:
            yield from self._iter_dense()
        else:
            yield from self._iter_sparse(self.index)

    def _iter_dense(self) -> Iterator[Sample]:
        schema = self.schema
        place = np.empty(len(schema.tags), np.intp)
        for lane in schema.lanes:
            place[lane.columns] = np.arange(len(lane.columns))
        for row in range(self.rows):
            for column, tag in enumerate(schema.tags):
                quality = 0 if self.quality is None else int(self.quality[row, column])
                raw = self.values[schema.lane_of[column]][row, place[column]]
                yield self._sample(tag, row, raw, quality)

    def _iter_sparse(self, index: NDArray[np.uint32]) -> Iterator[Sample]:
        taken = [0] * len(self.values)
        for row, column in enumerate(index.tolist()):
            lane = self.schema.lane_of[column]
            raw = self.values[lane][taken[lane]]
            taken[lane] += 1
            quality = 0 if self.quality is None else int(self.quality[row])
            yield self._sample(self.schema.tags[column], row, raw, quality)

    def _sample(self, tag: Tag, row: int, raw: Any, quality: int) -> Sample:  # noqa: ANN401 - a numpy scalar of any type
        value = None if is_bad(quality) else engineering(tag, raw)
        return Sample(tag, int(self.times_ns[row]), int(self.received_ns[row]), value, quality)


def engineering(tag: Tag, raw: Any) -> bool | int | float | str | bytes:  # noqa: ANN401 - a numpy scalar or a Python one
    """Turn a raw value into what a reader sees.

    `raw * scale + offset` as a float if the tag is scaled, else as it is.
    """
    value: bool | int | float | str | bytes = raw.item() if hasattr(raw, "item") else raw
    if tag.scaled and not isinstance(value, (str, bytes)):
        return float(value) * tag.scale + tag.offset
    return value


EPOCH_RANDOM_BITS = 32


def epoch_number(epoch: int) -> int:
    """Give which run of its journal an epoch belongs to: the higher, the newer."""
    return epoch >> EPOCH_RANDOM_BITS


class Position(NamedTuple):
    """Where a record stands in the journal. The same position never names different bytes.

    `epoch` is 63 bits: the number of a run of the journal in the upper 31, random in the lower 32,
    so that epochs of one gateway sort by age and two copies of a directory part at once. `seq` is
    dense within a stream's epoch and starts at 1.
    """

    stream: Stream
    epoch: int
    seq: int


class RecordKind(IntEnum):
    """What a record's payload is."""

    BATCH = 1
    SCHEMA = 2
    GAP = 3
    ANCHOR = 4


class GapCause(Enum):
    """Why data is not there."""

    RING_OVERFLOW = 1
    UNCLEAN_SHUTDOWN = 2
    RETENTION_BYTES = 3
    RETENTION_AGE = 4
    CORRUPT = 5
    NOT_POLLED = 6
    STREAM_FULL = 7
    QUARANTINED = 8
    NOT_COMPUTED = 9


class ClockState(Enum):
    """What is known of the wall clock.

    `UNSYNCED`: nothing has disciplined it since boot, it may be wrong by years. `HOLDOVER`: it was
    disciplined in this boot and runs on by itself.
    """

    UNSYNCED = 1
    SYNCED = 2
    HOLDOVER = 3


@dataclass(frozen=True, slots=True)
class Gap:
    """An in-sequence record that accounts for data that is not there.

    `seq_from..seq_to` (inclusive, of `epoch`) names records that had a position and are gone; both
    are 0 for samples that never got one. `samples` is None where nobody can know. `source` is the
    device, or empty for all.
    """

    cause: GapCause
    time_from_ns: int
    time_to_ns: int
    samples: int | None
    source: str = ""
    epoch: int = 0
    seq_from: int = 0
    seq_to: int = 0

    @property
    def journaled(self) -> bool:
        """Whether the lost samples once had a position: the ledger has counted them as produced."""
        return self.seq_to != 0


@dataclass(frozen=True, slots=True)
class Anchor:
    """Ties the wall clock to the monotonic clock at one moment of one boot.

    Readers mend times by it: the records from here to the next anchor, in the order of positions,
    were stamped by the clock that it describes. Rows that come late have that of their time put
    again before them, so `monotonic_ns` may go back from one anchor to the next.

    `monotonic_ns` is CLOCK_BOOTTIME; `error_ns` is the most that `wall_ns` may be off as the kernel
    estimates it, 0 where nobody can know.
    """

    boot_id: str
    wall_ns: int
    monotonic_ns: int
    state: ClockState
    error_ns: int = 0

    @property
    def offset_ns(self) -> int:
        """What makes a time by this wall clock of a time since boot."""
        return self.wall_ns - self.monotonic_ns


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of the journal as a consumer reads it, and as it crosses the wire.

    The payload's bytes are the same everywhere.

    `samples` counts the samples of a BATCH, or those that a GAP accounts for and that no earlier
    record counted. `hash` is the SHA-256 of the payload as first written; `crc` is the CRC32C of
    `payload` (RFC 3720, appendix B.4). A `revision` above 0 was thinned: `thinned` samples of its
    first revision are gone, and `samples` are left.
    """

    position: Position
    kind: RecordKind
    samples: int
    time_min_ns: int
    time_max_ns: int
    revision: int
    hash: bytes
    crc: int
    payload: bytes
    thinned: int = 0
