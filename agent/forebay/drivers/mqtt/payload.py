"""Turns a payload into typed values, or into the quality that says why there is none.

Owns parsing and its limits, types, ranges and times. Pure. Must not know topics, brokers or
batches.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import NamedTuple, NoReturn

import numpy as np

from forebay.drivers.mqtt.address import MISSING, find
from forebay.model import MAX_STRING_BYTES, Quality, ValueType

_NUMBER = re.compile(r"^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$", re.ASCII)
_WHOLE = re.compile(r"^[+-]?\d+$", re.ASCII)
_MAX_DIGITS = 400
_BOOLS = {"true": True, "1": True, "false": False, "0": False}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGERS = {
    value_type: (int(np.iinfo(value_type.dtype).min), int(np.iinfo(value_type.dtype).max))
    for value_type in ValueType
    if value_type.value.startswith(("int", "uint"))
}
_FLOAT32_MAX = float(np.finfo(np.float32).max)

Value = bool | int | float | str


class Reading(NamedTuple):
    """A value and its quality; the value is None where the quality is bad."""

    value: Value | None
    quality: int


UNDECODABLE = Reading(None, int(Quality.BAD_DECODING_ERROR))
"""What every tag of a payload reads that cannot be parsed or is too large."""
_MISMATCH = Reading(None, int(Quality.BAD_TYPE_MISMATCH))
_OUT_OF_RANGE = Reading(None, int(Quality.BAD_OUT_OF_RANGE))
_NOTHING = Reading(None, int(Quality.BAD))


def parse_document(payload: bytes) -> object:
    """Parse JSON (RFC 8259); ValueError for anything else, NaN and nesting without end included."""
    try:
        return json.loads(payload, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(document: object, pointer: tuple[str, ...], value_type: ValueType) -> Reading | None:
    """Give the value at `pointer`; None if the document has no such place.

    JSON's null is a value that the sender says it does not have: quality Bad.
    """
    found = find(document, pointer)
    if found is MISSING:
        return None
    if found is None:
        return _NOTHING
    return _typed(found, value_type)


def read_text(payload: bytes, value_type: ValueType) -> Reading:
    """Give the value that a payload spells out: a number, `true`, `false`, `1`, `0`, or text."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return UNDECODABLE
    if value_type is ValueType.STRING:
        return _typed(text, value_type)
    text = text.strip()
    if value_type is ValueType.BOOL:
        value = _BOOLS.get(text.lower())
        return UNDECODABLE if value is None else Reading(value, 0)
    if not _NUMBER.match(text) or len(text) > _MAX_DIGITS:
        return UNDECODABLE
    return _typed(int(text) if _WHOLE.match(text) else float(text), value_type)


def read_time_ns(document: object, pointer: tuple[str, ...]) -> int | None:
    """Give the time at `pointer` in ns since 1970 UTC; None if there is none from 1970 to 2262.

    A number is milliseconds since 1970; a text is ISO 8601, in UTC if it names no zone.
    """
    found = find(document, pointer)
    if isinstance(found, str):
        found_ns = _iso_ns(found)
    elif isinstance(found, int) and not isinstance(found, bool):
        found_ns = found * 1_000_000
    elif isinstance(found, float) and math.isfinite(found):
        whole = int(found)  # apart, since a float does not hold today in nanoseconds
        found_ns = whole * 1_000_000 + round((found - whole) * 1_000_000)
    else:
        return None
    return found_ns if 0 < found_ns < 2**63 else None


def _iso_ns(text: str) -> int:
    """Give 0 for what is no time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


def _typed(value: object, value_type: ValueType) -> Reading:  # noqa: PLR0911 - a table
    """Check a parsed value against the column that is to hold it."""
    if value_type is ValueType.STRING:
        return _string(value)
    if value_type is ValueType.BOOL:
        return Reading(value, 0) if isinstance(value, bool) else _MISMATCH
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _MISMATCH
    if value_type in _INTEGERS:
        if isinstance(value, float) and not value.is_integer():
            return _MISMATCH
        least, most = _INTEGERS[value_type]
        return Reading(int(value), 0) if least <= value <= most else _OUT_OF_RANGE
    try:
        number = float(value)
    except OverflowError:
        return _OUT_OF_RANGE
    if value_type is ValueType.FLOAT32 and abs(number) > _FLOAT32_MAX:
        return _OUT_OF_RANGE
    return Reading(number, 0) if math.isfinite(number) else _OUT_OF_RANGE


def _string(value: object) -> Reading:
    if not isinstance(value, str):
        return _MISMATCH
    try:
        size = len(value.encode())
    except UnicodeEncodeError:  # a lone surrogate, which JSON can escape
        return UNDECODABLE
    return Reading(value, 0) if size <= MAX_STRING_BYTES else _OUT_OF_RANGE


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
