"""One tag as a Sparkplug metric: its datatype, where its value goes, what its quality becomes.

Owns that mapping (Eclipse Sparkplug Specification 3.0.0, 6.4.5, 6.4.9, 6.4.16). Pure. Must not know
topics or sessions.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from forebay.model import Quality, Tag, ValueType, is_bad

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay._proto import sparkplug_pb2 as pb
    from forebay.readings import Readings

INT8, INT16, INT32, INT64 = 1, 2, 3, 4
UINT8, UINT16, UINT64 = 5, 6, 8
FLOAT, DOUBLE, BOOLEAN, STRING = 9, 10, 11, 12
BYTES = 17
_QUALITY_BAD, _QUALITY_GOOD, _QUALITY_STALE = 0, 192, 500
_NS_PER_MS = 1_000_000

_DATATYPES: Mapping[ValueType, int] = MappingProxyType(
    {
        ValueType.BOOL: BOOLEAN,
        ValueType.INT8: INT8,
        ValueType.UINT8: UINT8,
        ValueType.INT16: INT16,
        ValueType.UINT16: UINT16,
        ValueType.INT32: INT32,
        # Decoders do not agree on the field that holds a UInt32: some look into int_value, as the
        # specification has it, some into long_value. All of them find a UInt64.
        ValueType.UINT32: UINT64,
        ValueType.INT64: INT64,
        ValueType.UINT64: UINT64,
        ValueType.FLOAT32: FLOAT,
        ValueType.FLOAT64: DOUBLE,
        ValueType.STRING: STRING,
        ValueType.BYTES: BYTES,
    }
)
_FIELDS: Mapping[int, tuple[str, int]] = MappingProxyType(
    {
        INT8: ("int_value", 0xFFFF_FFFF),
        INT16: ("int_value", 0xFFFF_FFFF),
        INT32: ("int_value", 0xFFFF_FFFF),
        UINT8: ("int_value", 0xFFFF_FFFF),
        UINT16: ("int_value", 0xFFFF_FFFF),
        INT64: ("long_value", 0xFFFF_FFFF_FFFF_FFFF),
        UINT64: ("long_value", 0xFFFF_FFFF_FFFF_FFFF),
        FLOAT: ("float_value", 0),
        DOUBLE: ("double_value", 0),
        BOOLEAN: ("boolean_value", 0),
        STRING: ("string_value", 0),
        BYTES: ("bytes_value", 0),
    }
)
"""By datatype: the field of its values, and the width of two's complement in it (0: none)."""


@dataclass(slots=True)
class Metric:
    """One metric as it was born; `last` is (ms, value, StatusCode) of its newest sample.

    Of bytes no value is kept: a birth must not hold the last picture of every camera.
    """

    name: str
    alias: int
    datatype: int
    unit: str
    last: tuple[int, Any, int] | None = None


def datatype(tag: Tag) -> int:
    """Give the datatype of a tag's values as readers see them."""
    if tag.scaled and tag.type not in (ValueType.STRING, ValueType.BYTES):
        return DOUBLE
    return _DATATYPES[tag.type]


class Sample(NamedTuple):
    """One sample: ms since 1970 UTC, column of its schema, StatusCode, scaled value or None."""

    at_ms: int
    column: int
    code: int
    value: bool | int | float | str | bytes | None


def samples(found: Readings) -> list[Sample]:
    """Give the samples of a record, in order."""
    times = (found.times_ns // _NS_PER_MS)[found.scans].tolist()
    columns, codes = found.columns.tolist(), found.quality.tolist()
    return list(map(Sample, times, columns, codes, found.values()))


def put(
    payload: pb.SparkplugPayload,
    taken: Sequence[Sample],
    of_column: Sequence[Metric],
    *,
    historical: bool,
) -> None:
    """Add samples to `payload`, by alias; what is not historical is their metrics' last value."""
    add = payload.metrics.add
    for at_ms, column, code, value in taken:
        metric = of_column[column]
        message = add(alias=metric.alias, timestamp=at_ms, datatype=metric.datatype)
        if historical:
            message.is_historical = True
        else:
            metric.last = (at_ms, None if metric.datatype == BYTES else value, code)
        _fill(message, metric.datatype, value, code)


def bear(payload: pb.SparkplugPayload, metric: Metric, now_ms: int) -> None:
    """Add a metric's birth: name, alias, type, unit, last value."""
    at_ms, value, code = metric.last or (now_ms, None, Quality.BAD_WAITING_FOR_INITIAL_DATA)
    message = payload.metrics.add(
        name=metric.name, alias=metric.alias, timestamp=at_ms, datatype=metric.datatype
    )
    if metric.unit:
        message.properties.keys.append("engUnit")
        message.properties.values.add(type=STRING, string_value=metric.unit)
    _fill(message, metric.datatype, value, code)


def _fill(message: pb.SparkplugMetric, kind: int, value: Any, code: int) -> None:  # noqa: ANN401 - bool, int, float, str or bytes, as `kind` says
    """Put value and quality into a metric; only a quality that is not Good is told."""
    if value is None:
        message.is_null = True
    else:
        field, width = _FIELDS[kind]
        setattr(message, field, value & width if width else value)
    if code == Quality.GOOD:
        return
    quality = _QUALITY_BAD if is_bad(code) else _QUALITY_STALE
    if not code & 0xC000_0000:
        quality = _QUALITY_GOOD
    message.properties.keys.append("Quality")
    message.properties.values.add(type=INT32, int_value=quality)
    message.properties.keys.append("StatusCode")
    message.properties.values.add(type=INT64, long_value=code)
