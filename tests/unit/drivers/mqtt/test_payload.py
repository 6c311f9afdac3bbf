"""Payloads of every kind, well-formed and hostile."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.drivers.mqtt.payload import parse_document, read_json, read_text, read_time_ns
from forebay.model import Quality, ValueType, is_bad

DECODING, MISMATCH = Quality.BAD_DECODING_ERROR, Quality.BAD_TYPE_MISMATCH
RANGE = Quality.BAD_OUT_OF_RANGE


@pytest.mark.parametrize(
    ("payload", "kind", "value", "quality"),
    [
        (b"12", "int16", 12, 0),
        (b" -7\n", "int8", -7, 0),
        (b"1.5", "float64", 1.5, 0),
        (b"1e3", "int16", 1000, 0),
        (b"1.5", "int16", None, MISMATCH),
        (b"40000", "int16", None, RANGE),
        (b"-1", "uint8", None, RANGE),
        (b"1e999", "float64", None, RANGE),
        (b"1e39", "float32", None, RANGE),
        (b"true", "bool", True, 0),
        (b"FALSE", "bool", False, 0),
        (b"1", "bool", True, 0),
        (b"yes", "bool", None, DECODING),
        (b"nan", "float64", None, DECODING),
        (b"1_000", "int32", None, DECODING),
        ("\u0663".encode(), "int32", None, DECODING),
        (b"0x10", "int32", None, DECODING),
        (b"", "int32", None, DECODING),
        (b"9" * 5000, "int64", None, DECODING),
        (b"\xff\xfe", "string", None, DECODING),
        (b" as it is ", "string", " as it is ", 0),
        (b"", "string", "", 0),
        (b"x" * 65_536, "string", None, RANGE),
    ],
)
def test_a_payload_that_is_the_value(
    payload: bytes, kind: str, value: object, quality: int
) -> None:
    reading = read_text(payload, ValueType(kind))
    assert (reading.value, reading.quality) == (value, quality)
    assert type(reading.value) is type(value)


@pytest.mark.parametrize(
    ("value", "kind", "expected", "quality"),
    [
        (3, "int32", 3, 0),
        (3.0, "int32", 3, 0),
        (3.5, "int32", None, MISMATCH),
        (True, "int32", None, MISMATCH),
        (1, "bool", None, MISMATCH),
        (True, "bool", True, 0),
        ("3", "int32", None, MISMATCH),
        (3, "string", None, MISMATCH),
        (2**63, "int64", None, RANGE),
        (2**64 - 1, "uint64", 2**64 - 1, 0),
        (10**400, "float64", None, RANGE),
        (None, "float64", None, Quality.BAD),
        ([1], "float64", None, MISMATCH),
        ({}, "string", None, MISMATCH),
    ],
)
def test_a_value_in_a_document(value: object, kind: str, expected: object, quality: int) -> None:
    reading = read_json({"a": value}, ("a",), ValueType(kind))
    assert reading is not None
    assert (reading.value, reading.quality) == (expected, quality)


def test_a_place_that_the_document_lacks_is_no_reading() -> None:
    assert read_json({"a": 1}, ("b",), ValueType.INT8) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"NaN",
        b'{"a": Infinity}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b"9" * 5000,
        b"\xff\xfe\xff",
        b'{"a": 1} trailing',
    ],
)
def test_what_is_no_document_is_a_value_error(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_document(payload)


def test_a_lone_surrogate_is_no_text() -> None:
    reading = read_json(parse_document(b'"\\ud800"'), (), ValueType.STRING)
    assert reading is not None
    assert reading.quality == DECODING


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (1_700_000_000_123, 1_700_000_000_123_000_000),
        (1_700_000_000_123.5, 1_700_000_000_123_500_000),
        ("2026-01-02T03:04:05.678901Z", 1_767_323_045_678_901_000),
        ("2026-01-02T04:04:05.678901+01:00", 1_767_323_045_678_901_000),
        ("2026-01-02T03:04:05.678901", 1_767_323_045_678_901_000),
        ("yesterday", None),
        (-5, None),
        (0, None),
        (True, None),
        (None, None),
        (10**30, None),
        (1e300, None),
        ("0001-01-01T00:00:00", None),
        ("9999-12-31T23:59:59", None),
    ],
)
def test_times(time: object, expected: int | None) -> None:
    assert read_time_ns({"t": time}, ("t",)) == expected


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON, st.sampled_from(ValueType))
def test_a_reading_fits_its_column_or_is_bad(document: Any, kind: ValueType) -> None:
    reading = read_json(parse_document(json.dumps(document).encode()), (), kind)
    assert reading is not None
    assert is_bad(reading.quality) == (reading.value is None)
    if reading.value is not None:
        held = np.array([reading.value], kind.dtype)[0]
        assert held == reading.value or kind is ValueType.FLOAT32


@given(st.binary(max_size=200), st.sampled_from(ValueType))
def test_any_bytes_give_a_reading(payload: bytes, kind: ValueType) -> None:
    reading = read_text(payload, kind)
    assert is_bad(reading.quality) == (reading.value is None)
    if reading.value is not None:
        np.array([reading.value], kind.dtype)
