"""The marks against a plain reading of the rules, on batches of every form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.model import Batch, Quality, Schema, Tag, ValueType
from forebay.stages.plausible.config import PlausibleSettings
from forebay.stages.plausible.stage import Plausible

S = 1_000_000_000
OUT = int(Quality.UNCERTAIN_ENGINEERING_UNITS_EXCEEDED)
STUCK = int(Quality.UNCERTAIN_SENSOR_NOT_ACCURATE)
OVERLOAD = int(Quality.GOOD_OVERLOAD)
OVERFLOW = 0x0480
"""The flags of a value next to which others were lost: info type DataValue, Overflow."""
SCHEMA = Schema(
    "press",
    "fast",
    (
        Tag("temperature", "0", ValueType.FLOAT32, "C", 0.5, -10.0),
        Tag("running", "1", ValueType.BOOL),
        Tag("count", "2", ValueType.UINT16),
        Tag("free", "3", ValueType.FLOAT32),
        Tag("recipe", "4", ValueType.STRING),
    ),
)
LANE = {0: 2, 3: 2, 1: 0, 2: 1, 4: 3}


def settings(*rules: dict[str, Any]) -> PlausibleSettings:
    return PlausibleSettings.model_validate({"kind": "plausible", "rules": rules})


RULES = settings(
    {"tags": "temp*", "low": 0, "high": 100, "stuck_after": 10},
    {"tags": "running", "low": 5, "stuck_after": 20},
    {"tags": "count", "high": 1000},
    {"tags": "recipe", "stuck_after": "5 s"},
)


def row(at_s: int, values: tuple[Any, ...], quality: tuple[int, ...] | None = None) -> Batch:
    times = np.array([at_s * S], np.int64)
    lanes = tuple(
        np.array([[values[column] for column in lane.columns]], lane.type.dtype)
        for lane in SCHEMA.lanes
    )
    marks = None if quality is None else np.array([quality], np.uint32)
    return Batch(SCHEMA, times, times, lanes, marks)


def sparse(samples: list[tuple[int, int, Any, int]]) -> Batch:
    """A notification of (time in s, column, value, quality)."""
    times = np.array([at_s * S for at_s, *_ in samples], np.int64)
    index = np.array([column for _, column, *_ in samples], np.uint32)
    lanes = tuple(
        np.array([v for _, c, v, _ in samples if c in lane.columns.tolist()], lane.type.dtype)
        for lane in SCHEMA.lanes
    )
    quality = np.array([q for *_, q in samples], np.uint32)
    return Batch(SCHEMA, times, times, lanes, quality if quality.any() else None, index)


def marked(batch: Batch | None) -> list[int]:
    assert batch is not None
    if batch.quality is None:
        return [0] * batch.samples
    found: list[int] = batch.quality.ravel().tolist()
    return found


def test_a_value_out_of_its_range_in_its_unit_is_uncertain_and_stays_what_it_is() -> None:
    stage = Plausible(RULES)
    fine = row(0, (100.0, True, 1000, 1e9, "a"))
    assert stage.apply(fine) is fine
    odd = stage.apply(row(1, (19.0, True, 1001, -1e9, "a")))
    assert odd is not None
    assert marked(odd) == [OUT, 0, OUT, 0, 0]
    assert odd.values[LANE[0]].tolist() == [[19.0, -1e9]]
    edges = row(2, (20.0, False, 0, 0.0, "b"))
    assert stage.apply(edges) is edges, "the bounds belong to the range"


def test_what_is_the_same_for_too_long_is_uncertain_until_it_moves() -> None:
    stage = Plausible(RULES)
    seen = [marked(stage.apply(row(t, (50.0, True, 7, 0.0, "a"))))[:2] for t in range(0, 31, 5)]
    assert seen == [[0, 0], [0, 0], [STUCK, 0], [STUCK, 0], *[[STUCK, STUCK]] * 3]
    assert marked(stage.apply(row(31, (50.5, True, 7, 0.0, "a")))) == [0, STUCK, 0, 0, STUCK]
    assert marked(stage.apply(row(40, (50.5, False, 7, 0.0, "b")))) == [0] * 5


def test_a_bad_value_is_no_value_and_does_not_say_that_it_moved() -> None:
    stage = Plausible(RULES)
    bad = (int(Quality.BAD_TIMEOUT),) * 5
    stage.apply(row(0, (50.0, True, 7, 0.0, "a")))
    assert marked(stage.apply(row(5, (0.0, False, 0, 0.0, ""), bad))) == list(bad)
    assert marked(stage.apply(row(10, (50.0, True, 7, 0.0, "a")))) == [STUCK, 0, 0, 0, STUCK]


def test_whatever_is_good_is_judged_and_keeps_its_flags() -> None:
    stage = Plausible(RULES)
    late = (OVERLOAD, OVERLOAD, OVERFLOW, 0, OVERLOAD)
    assert marked(stage.apply(row(0, (19.0, True, 1001, 0.0, "a"), late))) == [
        OUT,
        OVERLOAD,
        OUT | OVERFLOW,
        0,
        OVERLOAD,
    ]
    assert marked(stage.apply(row(10, (50.0, True, 7, 0.0, "b"), late))) == list(late)
    assert marked(stage.apply(row(20, (50.0, True, 7, 0.0, "b"), late))) == [
        STUCK,
        STUCK,
        OVERFLOW,
        0,
        STUCK,
    ]


def test_nan_is_the_same_as_nan_and_has_no_range() -> None:
    stage = Plausible(RULES)
    assert marked(stage.apply(row(0, (np.nan, True, 7, 0.0, "a"))))[0] == 0
    assert marked(stage.apply(row(10, (np.nan, True, 7, 0.0, "a"))))[0] == STUCK


def test_a_clock_that_was_set_back_begins_anew() -> None:
    stage = Plausible(RULES)
    stage.apply(row(1000, (50.0, True, 7, 0.0, "a")))
    assert marked(stage.apply(row(0, (50.0, True, 7, 0.0, "a"))))[0] == 0
    assert marked(stage.apply(row(10, (50.0, True, 7, 0.0, "a"))))[0] == STUCK


@given(
    st.lists(
        st.tuples(
            st.integers(0, 12),
            st.sampled_from([0, 2, 3]),
            st.sampled_from([0, 18, 20, 50, 220, 221, 1001]),
            st.sampled_from([0, 0, 0, OVERLOAD, int(Quality.UNCERTAIN), int(Quality.BAD_TIMEOUT)]),
        ),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 7),
)
def test_notifications_in_any_pieces_agree_with_a_slow_reading(
    steps: list[tuple[int, int, int, int]], size: int
) -> None:
    stage, found, expected, at_s = Plausible(RULES), [], [], 0
    last: dict[int, tuple[int, int]] = {}
    samples = []
    for wait_s, column, value, quality in steps:
        at_s += wait_s
        samples.append((at_s, column, value, quality))
        if quality not in (0, OVERLOAD):
            expected.append(quality)
            continue
        begun_s, was = last.get(column, (at_s, None))
        begun_s = begun_s if was == value else at_s
        last[column] = begun_s, value
        outside = (column == 0 and not 20 <= value <= 220) or (column == 2 and value > 1000)
        stuck = column == 0 and at_s - begun_s >= 10
        expected.append(OUT if outside else STUCK if stuck else quality)
    for first in range(0, len(samples), size):
        found += marked(stage.apply(sparse(samples[first : first + size])))
    assert found == expected


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({"tags": "a", "low": 2, "high": 1}, "exchange them"),
        ({"tags": "a"}, "nothing is asked"),
        ({"tags": "a", "low": "nan"}, "low"),
        ({"tags": "", "low": 1}, "tags"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(rule: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        settings(rule)
