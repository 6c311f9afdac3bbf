"""A value is written so that a reader sees that very value, or it is not written."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.model import Tag, ValueType
from forebay.writing.values import Unwritable, said, same, to_engineering, to_raw


def tag(of: str, scale: float = 1.0, offset: float = 0.0) -> Tag:
    return Tag("t", "1", ValueType(of), "", scale, offset)


@pytest.mark.parametrize(
    ("of", "scale", "offset", "value", "raw"),
    [
        ("bool", 1, 0, True, True),
        ("string", 1, 0, "Halter", "Halter"),
        ("int16", 1, 0, -32768, -32768),
        ("int16", 1, 0, 7.0, 7),
        ("uint64", 1, 0, (1 << 64) - 1, (1 << 64) - 1),
        ("int16", 0.1, 0, 42.3, 423),
        ("int16", 0.1, -40, 0.1, 401),
        ("uint16", 0.01, 0, 655.35, 65535),
        ("int16", -0.5, 0, 3, -6),
        ("int32", 0.3333333333333333, 0, 1, 3),
        ("float32", 1, 0, 1, 1.0),
        ("float64", 2, 1, 5, 2.0),
    ],
)
def test_the_raw_value_is_the_one_that_reads_so(
    of: str, scale: float, offset: float, value: object, raw: object
) -> None:
    written = to_raw(tag(of, scale, offset), value)  # type: ignore[arg-type]
    assert written == raw
    assert type(written) is type(raw)


@pytest.mark.parametrize(
    ("of", "scale", "value", "says"),
    [
        ("bool", 1, 1, "not a bool"),
        ("bool", 1, "true", "not a bool"),
        ("int16", 1, True, "not a number"),
        ("int16", 1, "12", "not a number"),
        ("string", 1, 12, "not a text"),
        ("int16", 1, 32768, "more than type int16"),
        ("uint16", 1, -1, "more than type uint16"),
        ("int16", 1, 1.5, "cannot be told exactly"),
        ("int16", 0.1, 42.37, "cannot be told exactly"),
        ("int16", 0, 3, "scale of 0"),
        ("float32", 1, 1e39, "more than type float32"),
        ("float64", 1, float("nan"), "not a finite"),
        ("float64", 1, float("inf"), "not a finite"),
        ("string", 1, "x" * 70_000, "too long"),
        ("bytes", 1, "AAAA", "cannot be written"),
    ],
)
def test_what_a_tag_cannot_hold_is_not_written(
    of: str, scale: float, value: object, says: str
) -> None:
    with pytest.raises(Unwritable, match=says) as caught:
        to_raw(tag(of, scale), value)  # type: ignore[arg-type]
    assert caught.value.hint


def test_the_hint_names_the_two_values_between_which_it_lies() -> None:
    with pytest.raises(Unwritable) as caught:
        to_raw(tag("int16", 0.1), 42.37)
    assert caught.value.hint == "write 42.3 or 42.4"


@given(raw=st.integers(-32768, 32767), places=st.integers(0, 4), offset=st.integers(-500, 500))
def test_what_a_reader_saw_can_be_written_back(raw: int, places: int, offset: int) -> None:
    scaled = tag("int16", 10.0**-places, float(offset))
    seen = to_engineering(scaled, raw)
    assert to_raw(scaled, seen) == raw


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float32_is_compared_as_a_float32(value: float) -> None:
    (read,) = struct.unpack("<f", struct.pack("<f", value))
    assert same(tag("float32"), value, read)


def test_what_differs_is_told_apart() -> None:
    assert same(tag("float32"), 0.1, 0.10000000149011612)
    assert not same(tag("float64"), 0.1, 0.10000000149011612)
    assert not same(tag("float32"), 0.1, 0.1001)
    assert same(tag("string"), "Halter", "Halter\x00\x00")
    assert not same(tag("string"), "Halter", "Halt")
    assert not same(tag("string"), "1", 1)
    assert not same(tag("int16"), 1, 2)


def test_a_long_value_is_said_by_its_beginning_and_its_hash() -> None:
    text = "x" * 70_000
    told = said(text)
    assert len(told) < 1_200
    assert told != said(text[:-1])
    assert f"{len(text) + 2} characters" in told


def test_values_are_said_as_json() -> None:
    assert [said(v) for v in (True, 1.5, "ü", None, (1, "a"))] == [
        "true",
        "1.5",
        '"ü"',
        "",
        '[1, "a"]',
    ]
