"""What a reader may rely on: lines between kept points, edges, silences; on any signal."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.model import Batch, Quality, Schema, Tag, ValueType, is_bad
from forebay.stages.swinging_door import SPEC
from forebay.stages.swinging_door.config import SwingingDoorSettings
from forebay.stages.swinging_door.stage import SwingingDoor
from support.batching import SECOND, raws, samples, scans
from support.fuzz import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.interfaces import StageSpec

BAD = int(Quality.BAD_NO_COMMUNICATION)
ONE = Schema("press", "one", (Tag("t0", "-", ValueType.FLOAT64),))
MIXED = Schema(
    "press",
    "mixed",
    (
        Tag("temperature", "-", ValueType.INT16, scale=0.5),
        Tag("name", "-", ValueType.STRING),
        Tag("pressure", "-", ValueType.FLOAT32),
        Tag("level", "-", ValueType.FLOAT64, scale=-2.0, offset=5.0),
        Tag("running", "-", ValueType.BOOL),
        Tag("total", "-", ValueType.UINT64),
        Tag("balance", "-", ValueType.INT64),
    ),
)
STEPS: dict[ValueType, st.SearchStrategy[Any]] = {
    ValueType.INT16: st.integers(-3, 3),
    ValueType.STRING: st.sampled_from(["a", "b"]),
    ValueType.FLOAT32: st.sampled_from([0.0, 0.0, 0.25, -0.25, 1.0, math.nan, math.inf]),
    ValueType.FLOAT64: st.floats(-1, 1) | st.sampled_from([0.0, math.nan, -math.inf, 1e308]),
    ValueType.BOOL: st.booleans(),
    ValueType.UINT64: st.integers(-3, 3),
    ValueType.INT64: st.integers(-3, 3),
}
STARTS: dict[ValueType, Any] = {
    ValueType.INT16: 0,
    ValueType.FLOAT32: 20.0,
    ValueType.FLOAT64: 0.0,
    ValueType.UINT64: 2**64 - 1000,
    ValueType.INT64: -(2**62),
}


def stage(deviation: float = 0.0, percent: float = 0.0, max_silence: float = 600.0) -> SwingingDoor:
    return SwingingDoor(
        SwingingDoorSettings(
            kind="swinging_door", deviation=deviation, percent=percent, max_silence=max_silence
        )
    )


def kept(door: SwingingDoor, values: Sequence[float], at_s: float = 0) -> list[tuple[float, Any]]:
    """Feed one value a second, each in a batch of its own; give (second, value) of what came."""
    found = []
    for number, value in enumerate(values):
        out = door.apply(scans(ONE, [[value]], at_s=at_s + number))
        found += [] if out is None else [(s.time_ns / SECOND, s.value) for s in out.iter_samples()]
    return found


def test_it_is_what_the_entry_point_gives() -> None:
    spec: StageSpec = SPEC
    assert isinstance(spec.build(SwingingDoorSettings(kind="swinging_door")), SwingingDoor)


def test_the_first_scan_passes_as_it_is() -> None:
    batch = scans(MIXED, [[1, "a", 2.0, 3.0, True, 4, 5]])
    assert stage(1).apply(batch) is batch


def test_of_a_ramp_nothing_but_its_ends_is_kept() -> None:
    ramp = [float(n) for n in range(20)] + [19.0 - n for n in range(1, 10)]
    assert kept(stage(0.25), ramp) == [(0, 0.0), (19, 19.0)]


def test_what_ends_a_door_carries_its_own_time() -> None:
    """The step at second 5 cannot be on a line from 0, so the sample of second 4 ends it."""
    assert kept(stage(0.5), [0.0] * 5 + [9.0] * 5 + [0.0]) == [
        (0, 0.0),
        (4, 0.0),
        (5, 9.0),
        (9, 9.0),
    ]


def test_noise_within_the_deviation_is_a_line() -> None:
    noise = [20 + 0.4 * math.sin(n * n) for n in range(500)]
    assert len(kept(stage(1.0), noise)) == 1


def test_where_the_classic_doors_would_be_off_by_more() -> None:
    """A line within 0.5 of all three exists, but that to the third itself passes 0.7 below one."""
    points = kept(stage(0.5), [0.0, 1.0, 0.6, 9.0, 9.0])
    assert points == [(0, 0.0), (1, 1.0), (2, 0.6), (3, 9.0)]


def test_a_share_counts_from_where_the_line_begins() -> None:
    assert kept(stage(percent=1), [100.0, 100.9, 100.2, 100.9]) == [(0, 100.0)]
    assert kept(stage(percent=1), [10.0, 10.9, 10.0]) == [(0, 10.0), (1, 10.9)]
    assert kept(stage(1, percent=1), [10.0, 10.9, 10.0]) == [(0, 10.0)]


def test_silence_ends_after_its_most() -> None:
    points = kept(stage(1, max_silence=10), [5.0] * 31)
    assert points == [(0, 5.0), (10, 5.0), (20, 5.0), (30, 5.0)]


def test_a_silence_is_broken_by_the_newest_sample_only() -> None:
    """What was held lies on the line to it, and is not needed."""
    points = kept(stage(1, max_silence=10), [float(n) for n in range(12)])
    assert points == [(0, 0.0), (10, 10.0)]


def test_quality_edges_pass_with_what_was_held_before_them() -> None:
    door = stage(1)
    assert kept(door, [1.0, 1.0, 1.0]) == [(0, 1.0)]
    lost = door.apply(scans(ONE, [[0.0]], [[BAD]], at_s=3))
    assert lost is not None
    assert [(s.time_ns // SECOND, s.value, s.quality) for s in lost.iter_samples()] == [
        (2, 1.0, 0),
        (3, None, BAD),
    ]
    assert door.apply(scans(ONE, [[0.0]], [[BAD]], at_s=4)) is None
    assert kept(door, [1.0, 1.0], at_s=5) == [(5, 1.0)]


def test_a_value_that_is_no_number_ends_a_line_and_passes_once() -> None:
    points = kept(stage(1), [1.0, 1.0, math.nan, math.nan, math.inf, math.inf, 1.0, 1.0])
    assert [(t, str(v)) for t, v in points] == [
        (0, "1.0"),
        (1, "1.0"),
        (2, "nan"),
        (4, "inf"),
        (6, "1.0"),
    ]


def test_numbers_too_far_apart_for_a_line_pass() -> None:
    assert kept(stage(1), [1e308, -1e308, -1e308]) == [(0, 1e308), (1, -1e308)]


def test_a_source_that_goes_back_in_time_ends_the_line() -> None:
    door = stage(1)
    kept(door, [1.0, 1.0], at_s=100)
    assert kept(door, [1.0, 1.0], at_s=50) == [(101, 1.0), (50, 1.0)]


def test_the_same_sample_twice_is_one() -> None:
    door = stage(1)
    for _ in range(3):
        kept(door, [1.0], at_s=7)
    assert kept(door, [1.0], at_s=7) == []


def test_large_integers_are_not_rounded() -> None:
    total = Schema("p", "g", (Tag("total", "-", ValueType.UINT64),))
    door, found = stage(0.4), []
    values = [2**64 - 8, 2**64 - 8, 2**64 - 7, 2**64 - 7]
    for second, value in enumerate(values):
        out = door.apply(scans(total, [[value]], at_s=second))
        found += [] if out is None else [s.value for s in out.iter_samples()]
    assert found == [2**64 - 8, 2**64 - 8, 2**64 - 7]


def test_where_the_clock_was_set_the_line_ends_by_the_new_clock() -> None:
    """An hour ahead: what was held goes behind the anchor of the new clock, so it is told by it."""
    door, hour = stage(1), 3600 * SECOND
    for second in range(3):
        row = scans(ONE, [[1.0]], at_s=1000 + second)
        door.apply(replace(row, boottime_ns=row.received_ns - 900 * SECOND))
    row = scans(ONE, [[1.0]], at_s=1003)
    later = replace(
        row,
        times_ns=row.times_ns + hour,
        received_ns=row.received_ns + hour,
        boottime_ns=row.received_ns - 900 * SECOND,
    )
    out = door.apply(later)
    assert out is not None
    assert (out.times_ns - hour).tolist() == [1002 * SECOND, 1003 * SECOND]
    assert out.boottime_ns is not None
    assert set((out.received_ns - out.boottime_ns).tolist()) == {900 * SECOND + hour}


def test_a_devices_own_time_stays_when_our_clock_is_set() -> None:
    door, hour = stage(1), 3600 * SECOND
    for second in range(3):
        row = scans(ONE, [[1.0]], at_s=1000 + second)
        door.apply(replace(row, received_ns=row.received_ns - hour, boottime_ns=row.received_ns))
    row = scans(ONE, [[1.0]], at_s=1003)
    out = door.apply(replace(row, boottime_ns=row.received_ns))
    assert out is not None
    assert out.times_ns.tolist() == [1002 * SECOND, 1003 * SECOND]


# --- any signal -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    time_ns: int
    raw: Any
    quality: int
    received_ns: int

    @property
    def same_as(self) -> tuple[int, str, int]:
        return self.time_ns, repr(self.raw), self.quality

    @property
    def finite(self) -> bool:
        return not is_bad(self.quality) and math.isfinite(self.raw)


def points(batches: Sequence[Batch | None], tag: str) -> list[Point]:
    return [
        Point(s.time_ns, raw, s.quality, s.received_ns)
        for batch in batches
        if batch is not None
        for s, raw in zip(batch.iter_samples(), raws(batch), strict=True)
        if s.tag.name == tag
    ]


@st.composite
def signals(draw: st.DrawFn) -> list[Batch]:
    """Random walks over all types at irregular times, with bad spells; dense, sparse, or both."""
    count = draw(st.integers(1, 40))
    codes = st.sampled_from([0] * 12 + [int(Quality.UNCERTAIN), BAD])
    periods = st.sampled_from([0.001, 0.5, 1.0, 1.0, 7.0, 0.0, -3.0, 900.0])
    values, at_s, out = dict(STARTS), 10_000.0, []
    for _ in range(count):
        at_s += draw(periods)
        row = []
        for tag in MIXED.tags:
            step = draw(STEPS[tag.type])
            odd = isinstance(step, float) and not math.isfinite(step)
            if odd or tag.type not in STARTS:
                row.append(step)
            else:
                values[tag.type] += step
                row.append(values[tag.type])
        quality = [draw(codes) for _ in MIXED.tags]
        if draw(st.booleans()):
            out.append(scans(MIXED, [row], [quality], [at_s]))
        else:
            columns = draw(st.permutations(range(len(row))))[: draw(st.integers(0, len(row)))]
            out.append(
                samples(
                    MIXED,
                    [(c, row[c]) for c in columns],
                    [quality[c] for c in columns],
                    [at_s] * len(columns),
                )
            )
    return out


def pieces(came: list[Point]) -> list[list[Point]]:
    """Cut what came of a tag where no line goes on: at an edge, where time does not advance."""
    cut: list[list[Point]] = []
    for point in came:
        last = cut[-1][-1] if cut else None
        joins = (
            last is not None
            and last.quality == point.quality
            and last.finite
            and point.finite
            and last.time_ns < point.time_ns
        )
        if joins:
            cut[-1].append(point)
        else:
            cut.append([point])
    return cut


def off(line: tuple[Point, Point], point: Point) -> Fraction:
    """How far, raw, `point` lies from the line; exact."""
    begin, end = line
    share = Fraction(point.time_ns - begin.time_ns, end.time_ns - begin.time_ns)
    on_line = Fraction(begin.raw) + share * (Fraction(end.raw) - Fraction(begin.raw))
    return abs(on_line - Fraction(point.raw))


def allowed(tag: Tag, begin: Point, deviation: float, percent: float) -> Fraction:
    """The deviation of a line in raw units, with the rounding of double precision on top."""
    scale, raw = Fraction(tag.scale), Fraction(begin.raw)
    readers = abs(raw * scale + Fraction(tag.offset))
    most = max(Fraction(deviation), Fraction(percent) / 100 * readers) / abs(scale)
    return most * (1 + Fraction(1, 10**9)) + abs(raw) * Fraction(1, 10**14)


@pytest.mark.parametrize("tag", [t for t in MIXED.tags if t.name not in ("name", "running")])
@given(
    given_batches=signals(),
    deviation=st.sampled_from([0.0, 0.25, 1.0, 5.0]),
    percent=st.sampled_from([0.0, 0.0, 5.0]),
    max_silence=st.sampled_from([3.0, 600.0]),
)
@examples(60)
def test_no_line_is_off_by_more_than_the_deviation(
    tag: Tag, given_batches: list[Batch], deviation: float, percent: float, max_silence: float
) -> None:
    door = stage(deviation, percent, max_silence)
    came = points(given_batches, tag.name)
    passed = points([door.apply(batch) for batch in given_batches], tag.name)
    left = [p.same_as for p in passed]
    for piece in pieces(came):
        here = []
        for point in piece:
            if left and left[0] == point.same_as:
                here.append(point)
                left.pop(0)
        if not piece[0].finite:
            continue
        for begin, end in pairwise(here):
            most = allowed(tag, begin, deviation, percent)
            between = [p for p in piece if begin.time_ns < p.time_ns < end.time_ns]
            assert all(off((begin, end), p) <= most for p in between)
    assert left == [], "what passed came, in that order, as it came"


@pytest.mark.parametrize("tag", MIXED.tags)
@given(given_batches=signals(), max_silence=st.sampled_from([3.0, 600.0]))
@examples(60)
def test_edges_pass_and_no_silence_is_longer_than_allowed(
    tag: Tag, given_batches: list[Batch], max_silence: float
) -> None:
    door = stage(1.0, max_silence=max_silence)
    shown: Point | None = None  # the last that a reader has
    before: Point | None = None
    for batch in given_batches:
        passed = points([door.apply(batch)], tag.name)
        for point in points([batch], tag.name):
            edge = before is None or before.quality != point.quality
            aged = (
                shown is not None and point.received_ns - shown.received_ns >= max_silence * SECOND
            )
            if edge or aged:
                assert passed[-1].same_as == point.same_as
            if passed:
                shown = passed[-1]
            before = point


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=60), st.sampled_from([0.5, 2.0]))
def test_scans_and_samples_are_judged_alike(steps: list[float], deviation: float) -> None:
    walk = np.cumsum(steps).tolist()
    together = stage(deviation).apply(scans(ONE, [[v] for v in walk]))
    sparse = stage(deviation).apply(samples(ONE, [(0, v) for v in walk]))
    one_by_one = kept(stage(deviation), walk)
    for out in (together, sparse):
        assert out is not None
        assert [(s.time_ns / SECOND, s.value) for s in out.iter_samples()] == one_by_one


def test_a_random_walk_shrinks() -> None:
    """That it holds back at all: a walk of 5,000 steps of 0.05 within 0.5 needs few points."""
    rng = np.random.default_rng(3)
    walk = np.cumsum(rng.normal(0, 0.05, 5000)).tolist()
    assert len(kept(stage(0.5), walk)) < 250
