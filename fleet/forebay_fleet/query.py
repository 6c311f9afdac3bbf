"""Values of one tag as a person reads them: scaled, with quality and both times.

Owns the reading side of a batch. Must not know how it is shown (`cli`).
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, NamedTuple

from forebay_fleet.decode import decode_batch, decode_schema
from forebay_fleet.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forebay_fleet._proto import batch_pb2
    from forebay_fleet.decode import SchemaView, Series
    from forebay_fleet.store.reader import StoreReader

BAD = 0x8000_0000
"""Set in a StatusCode that says there is no value (OPC UA Part 4, 7.39)."""

_NAMES = {
    0x0000: "Good",
    0x002F: "GoodOverload",
    0x4000: "Uncertain",
    0x4090: "UncertainLastUsableValue",
    0x4092: "UncertainInitialValue",
    0x8000: "Bad",
    0x8005: "BadCommunicationError",
    0x8007: "BadDecodingError",
    0x800A: "BadTimeout",
    0x8031: "BadNoCommunication",
    0x8032: "BadWaitingForInitialData",
    0x8034: "BadNodeIdUnknown",
    0x803A: "BadNotReadable",
    0x803C: "BadOutOfRange",
    0x803D: "BadNotSupported",
    0x8074: "BadTypeMismatch",
    0x8089: "BadConfigurationError",
    0x808A: "BadNotConnected",
    0x808B: "BadDeviceFailure",
    0x808D: "BadOutOfService",
}
"""Upper halves of StatusCodes and their names (OPC UA Part 6, annex A.2, StatusCode.csv)."""


class Value(NamedTuple):
    """One sample.

    `value` is None where the quality is bad; `raw * scale + offset` if the tag is scaled, else the
    raw value.
    """

    time_ns: int
    received_ns: int
    value: bool | int | float | str | None
    quality: int


class Answer(NamedTuple):
    """Values in the order of their source times, and the unit in the newest one's schema."""

    values: list[Value]
    unit: str


def quality_name(quality: int) -> str:
    """Give a StatusCode's name, its number in hexadecimal where it has none here."""
    return _NAMES.get(quality >> 16, f"0x{quality:08X}")


def query(
    reader: StoreReader, gateway: str, path: str, span_ns: tuple[int, int], limit: int
) -> Answer:
    """Give the newest `limit` values of the tag `path` (DEVICE/TAG).

    Source times lie in `span_ns`, both ends inclusive.

    Raises:
        UsageError: no such gateway or tag.
        DecodingError: the store holds a batch that cannot be read.
    """
    number = reader.gateway_id(gateway)
    if number is None:
        raise UsageError(f"no gateway {gateway!r}", hint="list them: forebay-fleet gateways")
    device, slash, name = path.partition("/")
    places = reader.columns(number, device, name)
    if not places:
        hint = "names are case-sensitive" if slash else "write DEVICE/TAG"
        raise UsageError(f"no tag {path!r} on {gateway}", hint=hint)
    found: list[Value] = []
    unit, unit_ns = "", -1
    for schema_id, column in places:
        schema = decode_schema(reader.schema(number, schema_id) or b"")
        tag = schema.message.tags[column]
        values = list(_newest(reader, number, (schema, column), span_ns, limit))
        if values and max(v.time_ns for v in values) > unit_ns:
            unit, unit_ns = tag.unit, max(v.time_ns for v in values)
        found.extend(values)
    found.sort(key=lambda value: (value.time_ns, value.received_ns))
    return Answer(found[-limit:], unit)


def _newest(
    reader: StoreReader,
    gateway: int,
    place: tuple[SchemaView, int],
    span_ns: tuple[int, int],
    limit: int,
) -> Iterator[Value]:
    """Give at least the newest `limit` values of one column, from as few batches as that takes."""
    schema, column = place
    tag = schema.message.tags[column]
    newest: list[int] = []  # a heap of the newest source times, at most `limit`
    for end_ns, record in reader.newest(gateway, schema.message.id, *span_ns):
        # Batches come by their ends, so once `limit` values lie beyond this one's end, no older
        # value matters.
        if len(newest) == limit and newest[0] > end_ns:
            return
        series = decode_batch(record.payload, schema).series(column)
        for value in _scaled(tag, series):
            if span_ns[0] <= value.time_ns <= span_ns[1]:
                if len(newest) < limit:
                    heapq.heappush(newest, value.time_ns)
                else:
                    heapq.heappushpop(newest, value.time_ns)
                yield value


def _scaled(tag: batch_pb2.Tag, series: Series) -> Iterator[Value]:
    plain = tag.scale == 1.0 and tag.offset == 0.0
    columns = (series.times_ns, series.received_ns, series.values, series.quality)
    for time_ns, received_ns, raw, quality in zip(*(c.tolist() for c in columns), strict=True):
        if quality & BAD:
            yield Value(time_ns, received_ns, None, quality)
        elif plain or isinstance(raw, str):
            yield Value(time_ns, received_ns, raw, quality)
        else:
            yield Value(time_ns, received_ns, float(raw) * tag.scale + tag.offset, quality)
