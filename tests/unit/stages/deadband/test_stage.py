"""The vectors do what the four sentences of the README say: checked against a loop over samples."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.model import Batch, Quality, Sample, Schema, Tag, ValueType, is_bad
from forebay.sifting import MAX_SCHEMAS
from forebay.stages.deadband import SPEC
from forebay.stages.deadband.config import DeadbandSettings
from forebay.stages.deadband.stage import Deadband
from support.batching import SECOND, raws, samples, scans

if TYPE_CHECKING:
    from forebay.interfaces import StageSpec

BAD = int(Quality.BAD_NO_COMMUNICATION)
FLOATS = Schema("press", "fast", tuple(Tag(f"t{n}", "-", ValueType.FLOAT64) for n in range(3)))
MIXED = Schema(
    "press",
    "mixed",
    (
        Tag("temperature", "-", ValueType.INT16, scale=0.1),
        Tag("name", "-", ValueType.STRING),
        Tag("pressure", "-", ValueType.FLOAT32),
        Tag("level", "-", ValueType.INT16, scale=-2.0, offset=5.0),
        Tag("running", "-", ValueType.BOOL),
        Tag("total", "-", ValueType.UINT64),
    ),
)
POOLS: dict[ValueType, list[Any]] = {
    ValueType.INT16: [-32768, 0, 1, 2, 10, 11, 32767],
    ValueType.STRING: ["", "a", "b"],
    ValueType.FLOAT32: [0.0, 0.5, 1.0, 1.5, math.nan, math.inf, -math.inf],
    ValueType.FLOAT64: [0.0, 0.5, 1.0, 1.5, math.nan, math.inf, -math.inf],
    ValueType.BOOL: [False, True],
    ValueType.UINT64: [0, 1, 2**64 - 1, 2**64 - 2],
}


def stage(
    threshold: float = 0.0, max_silence: float = 600.0, percent: float = 0.0, **rules: float
) -> Deadband:
    return Deadband(
        DeadbandSettings.model_validate(
            {
                "kind": "deadband",
                "threshold": threshold,
                "percent": percent,
                "max_silence": max_silence,
                "rules": [{"tags": tags, "threshold": value} for tags, value in rules.items()],
            }
        )
    )


def seen(batch: Batch | None) -> list[tuple[str, Any, int]]:
    return [] if batch is None else [(s.tag.name, s.value, s.time_ns) for s in batch.iter_samples()]


def test_the_first_scan_passes_as_it_is() -> None:
    batch = scans(FLOATS, [[1.0, 2.0, 3.0]])
    assert stage(1).apply(batch) is batch


def test_only_what_moved_passes_and_keeps_its_scans_time() -> None:
    deadband = stage(1)
    deadband.apply(scans(FLOATS, [[1.0, 2.0, 3.0]]))
    out = deadband.apply(scans(FLOATS, [[1.5, 3.5, 4.0], [2.5, 3.5, 0.0]], at_s=10))
    assert seen(out) == [
        ("t1", 3.5, 10 * SECOND),
        ("t0", 2.5, 11 * SECOND),
        ("t2", 0.0, 11 * SECOND),
    ]
    assert out is not None
    assert out.received_ns.tolist() == [10 * SECOND + 1, 11 * SECOND + 1, 11 * SECOND + 1]
    assert out.quality is None
    assert out.index is not None
    assert out.index.dtype == np.uint32


def test_nothing_moved_gives_nothing() -> None:
    deadband = stage()
    deadband.apply(scans(FLOATS, [[1.0, 2.0, math.nan]]))
    assert deadband.apply(scans(FLOATS, [[1.0, 2.0, math.nan]], at_s=1)) is None


def test_a_slow_drift_adds_up() -> None:
    deadband = stage(1)
    out = deadband.apply(scans(FLOATS, [[n * 0.4, 0.0, 0.0] for n in range(10)]))
    assert [v for name, v, _ in seen(out) if name == "t0"] == pytest.approx([0.0, 1.2, 2.4, 3.6])


def test_the_threshold_is_in_the_tags_unit() -> None:
    """Scale 0.1: a threshold of 0.5 is five raw steps; scale -2: 4 is two."""
    deadband = stage(0.5, level=4)
    deadband.apply(scans(MIXED, [[100, "", 0.0, 10, False, 0]]))
    assert seen(deadband.apply(scans(MIXED, [[105, "", 0.0, 12, False, 0]]))) == []
    moved = seen(deadband.apply(scans(MIXED, [[106, "", 0.0, 13, False, 0]])))
    assert [name for name, _, _ in moved] == ["temperature", "level"]


def test_a_share_counts_from_the_last_value_passed_as_readers_see_it() -> None:
    """Level is -2 * raw + 5: from raw -48, which is 101, two percent are 2.02, two raw steps."""
    deadband = stage(percent=2)
    deadband.apply(scans(MIXED, [[0, "", 100.0, -48, False, 0]]))
    assert deadband.apply(scans(MIXED, [[0, "", 102.0, -49, False, 0]])) is None
    moved = seen(deadband.apply(scans(MIXED, [[1, "", 102.5, -50, False, 0]])))
    assert [name for name, _, _ in moved] == ["temperature", "pressure", "level"]


def test_a_threshold_is_the_least_that_a_share_can_be() -> None:
    deadband = stage(1, percent=10)
    deadband.apply(scans(FLOATS, [[0.0, 5.0, 100.0]]))
    assert deadband.apply(scans(FLOATS, [[1.0, 6.0, 110.0]])) is None
    moved = seen(deadband.apply(scans(FLOATS, [[1.1, 6.1, 110.5]])))
    assert [name for name, _, _ in moved] == ["t0", "t1", "t2"]


def test_the_time_since_boot_goes_with_its_sample() -> None:
    deadband = stage(1)
    for batch in (
        scans(FLOATS, [[0.0, 0.0, 0.0], [0.0, 5.0, 0.0]]),
        samples(FLOATS, [(0, 0.0), (2, 9.0)]),
    ):
        out = deadband.apply(replace(batch, boottime_ns=batch.received_ns - 7))
        assert out is not None
        assert out.boottime_ns is not None
        assert out.boottime_ns.tolist() == (out.received_ns - 7).tolist()
        assert len(out.boottime_ns) == out.rows


def test_strings_and_booleans_pass_on_every_change_only() -> None:
    deadband = stage(100)
    deadband.apply(scans(MIXED, [[0, "a", 0.0, 0, False, 0]]))
    assert deadband.apply(scans(MIXED, [[0, "a", 0.0, 0, False, 0]])) is None
    moved = seen(deadband.apply(scans(MIXED, [[0, "b", 0.0, 0, True, 0]])))
    assert [(name, value) for name, value, _ in moved] == [("name", "b"), ("running", True)]


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_large_integers_are_not_rounded(threshold: float) -> None:
    deadband = stage(threshold)
    deadband.apply(scans(MIXED, [[0, "", 0.0, 0, False, 2**64 - 1]]))
    moved = seen(deadband.apply(scans(MIXED, [[0, "", 0.0, 0, False, 2**64 - 2]])))
    assert [(name, value) for name, value, _ in moved] == [("total", 2**64 - 2)]


def test_quality_passes_on_change_only() -> None:
    deadband = stage(1)
    deadband.apply(scans(FLOATS, [[1.0, 2.0, 3.0]]))
    lost = deadband.apply(scans(FLOATS, [[0.0, 2.0, 3.0]], [[BAD, 0, 0]], at_s=1))
    assert lost is not None
    assert lost.quality is not None
    assert lost.quality.tolist() == [BAD]
    assert deadband.apply(scans(FLOATS, [[9.0, 2.0, 3.0]], [[BAD, 0, 0]], at_s=2)) is None
    back = deadband.apply(scans(FLOATS, [[1.0, 2.0, 3.0]], at_s=3))
    assert seen(back) == [("t0", 1.0, 3 * SECOND)]
    assert back is not None
    assert back.quality is None


def test_silence_ends_after_its_most() -> None:
    deadband = stage(1, max_silence=10)
    deadband.apply(scans(FLOATS, [[1.0, 2.0, 3.0]]))
    deadband.apply(scans(FLOATS, [[1.0, 9.0, 3.0]], at_s=5))
    assert deadband.apply(scans(FLOATS, [[1.0, 9.0, 3.0]], at_s=9.9)) is None
    names = [name for name, _, _ in seen(deadband.apply(scans(FLOATS, [[1.0, 9.0, 3.0]], at_s=10)))]
    assert names == ["t0", "t2"]


def test_a_clock_set_back_silences_nothing() -> None:
    deadband = stage(1)
    deadband.apply(scans(FLOATS, [[1.0, 2.0, 3.0]], at_s=1000))
    batch = scans(FLOATS, [[1.0, 2.0, 3.0]], at_s=10)
    assert deadband.apply(batch) is batch
    assert deadband.apply(scans(FLOATS, [[1.0, 2.0, 3.0]], at_s=11)) is None


def test_schemas_do_not_mix_and_are_bounded() -> None:
    deadband = stage()
    schemas = [
        Schema("press", f"g{n}", (Tag("t", "-", ValueType.INT16),)) for n in range(MAX_SCHEMAS + 1)
    ]
    for schema in schemas:
        assert deadband.apply(scans(schema, [[7]])) is not None
    assert deadband.apply(scans(schemas[-1], [[7]])) is None
    assert deadband.apply(scans(schemas[1], [[7]])) is None
    assert deadband.apply(scans(schemas[0], [[7]])) is not None, "the oldest began anew"


def test_it_is_what_the_entry_point_gives() -> None:
    spec: StageSpec = SPEC
    assert isinstance(spec.build(DeadbandSettings(kind="deadband")), Deadband)


class Plain:
    """The README's sentences as a loop over samples."""

    def __init__(self, threshold: float, max_silence: float, percent: float) -> None:
        self._threshold, self._max_silence = threshold, max_silence
        self._percent = percent
        self._last: dict[str, tuple[Any, int, int]] = {}

    def passes(self, sample: Sample, raw: Any) -> bool:
        last = self._last.get(sample.tag.name)
        if last is not None and not self._judge(sample, raw, *last):
            return False
        self._last[sample.tag.name] = (raw, sample.quality, sample.received_ns)
        return True

    def _judge(self, sample: Sample, raw: Any, last: Any, quality: int, passed_ns: int) -> bool:
        age_s = (sample.received_ns - passed_ns) / SECOND
        if sample.quality != quality or age_s >= self._max_silence or age_s < 0:
            return True
        return not is_bad(quality) and self._moved(sample.tag, raw, last)

    def _moved(self, tag: Tag, raw: Any, last: Any) -> bool:
        both_nan = raw != raw and last != last  # noqa: PLR0124 - NaN
        if raw == last or both_nan:
            return False
        if isinstance(raw, str | bool) or not (math.isfinite(raw) and math.isfinite(last)):
            return True
        size = abs(last + tag.offset / tag.scale)
        limit = max(self._threshold / abs(tag.scale), self._percent / 100 * size)
        return bool(limit == 0 or abs(raw - last) > limit)


@st.composite
def batches(draw: st.DrawFn) -> list[Batch]:
    schema = draw(st.sampled_from([FLOATS, MIXED]))
    codes = st.sampled_from([0, 0, 0, int(Quality.UNCERTAIN), BAD])
    made = []
    for _ in range(draw(st.integers(1, 5))):
        at_s = draw(st.integers(0, 40))
        count = draw(st.integers(0, 6))
        if draw(st.booleans()):
            pools = [st.sampled_from(POOLS[t.type]) for t in schema.tags]
            rows = draw(st.lists(st.tuples(*pools), min_size=count, max_size=count))
            row_codes = st.lists(codes, min_size=len(pools), max_size=len(pools))
            quality = draw(st.none() | st.lists(row_codes, min_size=count, max_size=count))
            made.append(scans(schema, [list(r) for r in rows], quality if rows else None, at_s))
        else:
            columns = draw(
                st.lists(st.integers(0, len(schema.tags) - 1), min_size=count, max_size=count)
            )
            given_values = [(c, draw(st.sampled_from(POOLS[schema.tags[c].type]))) for c in columns]
            flat = draw(st.none() | st.lists(codes, min_size=count, max_size=count))
            made.append(samples(schema, given_values, flat, at_s))
    return made


@given(
    batches(),
    st.sampled_from([0.0, 0.5, 1.0, 5.0]),
    st.sampled_from([7.0, 600.0]),
    st.sampled_from([0.0, 0.0, 25.0, 50.0]),
)
def test_vectors_equal_a_loop_over_samples(
    given_batches: list[Batch], threshold: float, max_silence: float, percent: float
) -> None:
    deadband = stage(threshold, max_silence, percent)
    plain = Plain(threshold, max_silence, percent)
    for batch in given_batches:
        out = deadband.apply(batch)
        want = [
            (repr(raw), s.tag.name, s.quality, s.time_ns, s.received_ns)
            for s, raw in zip(batch.iter_samples(), raws(batch), strict=True)
            if plain.passes(s, raw)
        ]
        got = [
            (repr(raw), s.tag.name, s.quality, s.time_ns, s.received_ns)
            for s, raw in zip(
                () if out is None else out.iter_samples(),
                [] if out is None else raws(out),
                strict=True,
            )
        ]
        assert got == want
