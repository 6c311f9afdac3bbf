"""The forecast's arithmetic, with exact numbers."""

from __future__ import annotations

import pytest

from forebay.journal.entry import DEFAULT_OVERFLOW, Overflow
from forebay.journal.forecast import (
    DAY_S,
    HOUR_S,
    Rate,
    Span,
    Thinning,
    capacity,
    costs,
    pools,
    rate,
    scaled,
    wear,
)
from forebay.model import Stream

T, E, A = Stream.TELEMETRY, Stream.EVENTS, Stream.AUDIT
S = 1_000_000_000
NOW = 1_000_000 * S
MIB = 1 << 20


def span(
    begin_s: float, end_s: float, size: int, samples: int, stream: Stream = T, **more: bool
) -> Span:
    """A segment that began and ended so many seconds before NOW."""
    return Span(stream, NOW - round(begin_s * S), NOW - round(end_s * S), size, samples, **more)


def test_a_rate_counts_segments_by_the_part_of_them_in_the_window() -> None:
    spans = [span(7200, 5400, 900, 90), span(5400, 1800, 3600, 360), span(1800, 0, 5400, 540)]
    assert rate(spans, NOW, HOUR_S) == Rate((1800 + 5400) / 3600, (180 + 540) / 3600, 3600.0)
    assert rate(spans, NOW, DAY_S) == Rate(9900 / 7200, 990 / 7200, 7200.0)


def test_a_young_journal_is_judged_by_its_age() -> None:
    assert rate([span(60, 0, 600, 6)], NOW, HOUR_S) == Rate(10.0, 0.1, 60.0)


def test_where_nothing_was_written_there_is_no_rate() -> None:
    assert rate([], NOW, HOUR_S) is None
    assert rate([span(7200, 7000, 10, 1)], NOW, HOUR_S) is None
    assert rate([span(0, 0, 10, 1)], NOW, HOUR_S) is None


def test_a_segment_of_one_moment_counts_whole() -> None:
    spans = [span(100, 100, 50, 5), span(200, 50, 150, 15)]
    assert rate(spans, NOW, HOUR_S) == Rate(1.0, 0.1, 200.0)


def test_pools_last_as_long_as_what_is_not_delivered_fits() -> None:
    """100 MiB: telemetry has 75, less a segment of 1; 5 MiB an hour, 10 wait."""
    spans = [
        span(7200, 3600, 5 * MIB, 50),
        span(3600, 0, 5 * MIB, 50),
        span(9000, 7200, 7 * MIB, 70, undelivered=False),
        span(3600, 0, MIB, 10, stream=E),
    ]
    telemetry, events = sorted(
        pools(
            spans,
            {T: 18 * MIB, E: 2 * MIB},
            max_bytes=100 * MIB,
            max_age_s=1e9,
            segment_bytes={T: MIB, E: MIB},
            overflow=DEFAULT_OVERFLOW,
            thinned_ratio=0.25,
            now_ns=NOW,
            window_s=HOUR_S,
        ),
        key=lambda pool: pool.streams[0] is E,
    )
    assert telemetry.streams == (T,)
    assert telemetry.room_bytes == 74 * MIB
    assert telemetry.used_bytes == 18 * MIB
    assert telemetry.undelivered_bytes == 10 * MIB
    assert telemetry.rate == Rate(5 * MIB / 3600, 50 / 3600, 3600.0)
    assert telemetry.thins_in_s == pytest.approx((0.9 * 74 - 10) / 5 * 3600)
    assert telemetry.drops_in_s == pytest.approx((7.4 + 66.6 / 0.25 - 10) / 5 * 3600)
    assert (events.streams, events.room_bytes, events.thins_in_s) == ((E,), 14 * MIB, None)
    assert events.drops_in_s == pytest.approx(13 * 3600)


def test_a_pool_that_is_full_begins_now_and_one_without_a_rate_never() -> None:
    full = pools(
        [span(3600, 0, 90 * MIB, 9)],
        {T: 90 * MIB},
        max_bytes=100 * MIB,
        max_age_s=1e9,
        segment_bytes={T: 0},
        overflow={**DEFAULT_OVERFLOW, T: Overflow.DROP_OLDEST},
        thinned_ratio=0.1,
        now_ns=NOW,
        window_s=HOUR_S,
    )
    assert [(pool.thins_in_s, pool.drops_in_s) for pool in full] == [(None, 0.0)]
    (still,) = pools(
        [span(9000, 8000, MIB, 9, stream=A)],
        {A: MIB},
        max_bytes=100 * MIB,
        max_age_s=1e9,
        segment_bytes={A: 0},
        overflow=DEFAULT_OVERFLOW,
        thinned_ratio=1.0,
        now_ns=NOW,
        window_s=HOUR_S,
    )
    assert (still.rate, still.thins_in_s, still.drops_in_s) == (None, None, None)


def test_what_is_not_delivered_goes_by_age_as_well() -> None:
    def drops(*spans: Span) -> tuple[float | None, str | None]:
        (pool,) = pools(
            spans,
            {T: 20 * MIB},
            max_bytes=100 * MIB,
            max_age_s=10_000.0,
            segment_bytes={T: 0},
            overflow={**DEFAULT_OVERFLOW, T: Overflow.DROP_OLDEST},
            thinned_ratio=1.0,
            now_ns=NOW,
            window_s=HOUR_S,
        )
        return pool.drops_in_s, pool.drops_by

    old, new = span(9000, 8000, MIB, 9), span(3600, 0, MIB, 9)
    assert drops(old, new) == (2_000.0, "age")
    assert drops(old._replace(undelivered=False), new) == (10_000.0, "age")
    sooner_s, by = drops(old, new._replace(bytes=70 * MIB))
    assert sooner_s == pytest.approx(4 / 70 * 3600)
    assert by == "size"
    assert drops(old, span(8000, 7000, MIB, 9)) == (2_000.0, "age"), "though nothing is written now"
    assert drops(old) == (None, None), "the newest stays"


@pytest.mark.parametrize(
    ("ratio", "expected"), [(1.0, 1000.0), (2.0, 1000.0), (0.5, 1900.0), (0.1, 9100.0)]
)
def test_what_is_thinned_makes_room(ratio: float, expected: float) -> None:
    assert capacity(1000, ratio) == pytest.approx(expected)
    assert capacity(1000, 0.0) > 1e8


def test_the_costliest_tags_come_first() -> None:
    measured = {("a", "x"): 30.0, ("a", "y"): 60.0, ("b", "x"): 10.0}
    first, second = costs(measured, 2.0, 2)
    assert first == ("a", "y", 0.6, 0.6 * 2 * DAY_S)
    assert second[:2] == ("a", "x")
    assert costs({}, 2.0, 5) == []
    assert costs({("a", "x"): 0.0}, 2.0, 5) == []


def test_columns_share_what_they_really_took() -> None:
    assert scaled([10.0, 30.0], 20.0) == [5.0, 15.0]
    assert scaled([0.0, 0.0], 20.0) == [10.0, 10.0]


def test_wear_is_a_days_worth() -> None:
    assert wear(100, 3600.0) == 2400.0
    assert wear(0, 3600.0) is None
    assert wear(100, 0.0) is None


def test_a_ratio_of_nothing_is_one() -> None:
    assert Thinning(10, 0, 0, 0, 0, 1.0).ratio == 1.0
    assert Thinning(10, 8, 2, 80, 20, 1.0).ratio == 0.25
