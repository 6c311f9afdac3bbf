"""A field in words: what faults and the reference page say of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.config.fields import bounds, default, format_duration, format_size, kind, written
from forebay.settings import parse_duration, parse_size
from support.fake_adapters import FakeDevice, FakeLogin, FakeTag

DEVICE = FakeDevice.model_fields


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("host", "text"),
        ("protocol", "name"),
        ("port", "whole number"),
        ("enabled", "true or false"),
        ("timeout", "duration"),
        ("buffer", "size"),
        ("rest", "duration"),
        ("alias", "name"),
        ("groups", "table"),
        ("login", "table"),
        ("stages", "list of tables"),
        ("tags", "path or list of tables"),
        ("trusted", "list of paths"),
        ("ratio", "number or one of auto"),
    ],
)
def test_kind(name: str, expected: str) -> None:
    assert kind(DEVICE[name]) == expected


def test_kind_of_an_optional_or_secret_field_is_that_of_its_value() -> None:
    assert kind(FakeLogin.model_fields["password_file"]) == "path"
    assert kind(FakeLogin.model_fields["password"]) == "text"
    assert kind(FakeTag.model_fields["type"]).startswith("one of bool, int8, ")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("port", "from 1 to 65535"),
        ("buffer", "at least 1 KiB, less than 1 GiB"),
        ("pause", "more than 0 s"),
        ("rest", "more than 0 s, at most 1 min"),
        ("timeout", "more than 0 s, at most 5 min"),
        ("host", ""),
    ],
)
def test_bounds(name: str, expected: str) -> None:
    assert bounds(DEVICE[name]) == expected


def test_bounds_of_text_are_its_length() -> None:
    assert bounds(FakeLogin.model_fields["user"]) == "at most 8 characters"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("enabled", "true"),
        ("port", "1"),
        ("buffer", "4 KiB"),
        ("timeout", "3 s"),
        ("groups", "none"),
        ("stages", "none"),
        ("ratio", "auto"),
        ("login", "see its table"),
    ],
)
def test_written_defaults(name: str, expected: str) -> None:
    assert written(DEVICE[name], default(DEVICE[name])) == expected


def test_a_required_field_has_no_default() -> None:
    assert default(DEVICE["host"]) is None


@given(st.integers(0, 1 << 45))
def test_a_written_size_is_read_as_the_same_size(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes


@given(st.integers(1, 10**10))
def test_a_written_duration_is_read_as_the_same_duration(milliseconds: int) -> None:
    duration_s = milliseconds / 1000
    assert parse_duration(format_duration(duration_s)) == pytest.approx(duration_s, rel=1e-6)


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(0.25, "250 ms"), (1, "1 s"), (90, "90 s"), (3600, "1 h"), (2_592_000, "30 d"), (0, "0 s")],
)
def test_durations(duration_s: float, text: str) -> None:
    assert format_duration(duration_s) == text
