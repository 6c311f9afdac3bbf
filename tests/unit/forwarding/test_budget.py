"""Bits a second, bytes a day, times of day: by the clock that is handed in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.forwarding.budget import (
    BURST_S,
    ENVELOPE_BYTES,
    Bucket,
    Budget,
    Spent,
    spent_from,
    spent_to,
)
from forebay.forwarding.lanes import Lane
from forebay.model import Stream
from forebay.settings import UplinkSettings

T, A = Stream.TELEMETRY, Stream.AUDIT
BERLIN = ZoneInfo("Europe/Berlin")
KIB = 1024


def budget(**settings: Any) -> Budget:
    return Budget(UplinkSettings.model_validate({"kind": "x", **settings}), zone=BERLIN)


def ns(text: str) -> int:
    """Give local time in Berlin as ns; an offset in the text goes before."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=BERLIN)).timestamp()) * 10**9


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 100_000)), min_size=1, max_size=80))
def test_a_cap_holds_over_any_time(sends: list[tuple[float, int]]) -> None:
    """Never more than the rate, one burst and one record that was larger than what was there."""
    bucket, now, sent, largest = Bucket(80_000), 0.0, 0, 0
    for pause, size in sends:
        now += pause
        if bucket.room(now) > 0:
            bucket.take(size)
            sent += size
            largest = max(largest, size)
        assert sent <= 10_000 * (now + BURST_S) + largest


def test_a_cap_says_when_there_is_room_again() -> None:
    bucket = Bucket(80_000)
    assert bucket.room(0.0) == 10_000 * BURST_S
    assert bucket.wait_s() == 0
    bucket.take(20_000)
    wait = bucket.wait_s()
    assert 1.7 < wait < 1.8
    assert bucket.room(wait - 0.01) < 0 < bucket.room(wait + 0.01)


def test_a_cap_of_the_line_holds_both_lanes_and_one_of_backfill_only_that() -> None:
    both = budget(link={"cap": "80 kbit/s"}, backfill={"cap": "8 kbit/s"})
    assert both.room(Lane.LIVE, 0.0) == 10_000 * BURST_S
    assert both.room(Lane.BACKFILL, 0.0) == 1_000 * BURST_S
    both.spend(Lane.BACKFILL, 1, 9_000, ns("2026-03-01T12:00"))
    assert both.room(Lane.LIVE, 0.0) < 0
    assert both.wait_s(Lane.BACKFILL) > both.wait_s(Lane.LIVE) > 0
    free = budget()
    assert free.room(Lane.LIVE, 0.0) == float("inf")
    assert free.wait_s(Lane.LIVE) == 0


@pytest.mark.parametrize(
    ("time", "held"),
    [
        ("2026-03-01T21:59", "backfill waits for 22:00"),
        ("2026-03-01T22:00", ""),
        ("2026-03-01T23:59", ""),
        ("2026-03-02T00:00", ""),
        ("2026-03-02T05:59", ""),
        ("2026-03-02T06:00", "backfill waits for 12:00"),
        ("2026-03-02T12:30", ""),
        ("2026-03-02T13:00", "backfill waits for 22:00"),
    ],
)
def test_windows_over_midnight(time: str, held: str) -> None:
    night = budget(backfill={"windows": ["22:00-06:00", "12:00-13:00"]})
    assert night.held(Lane.BACKFILL, T, ns(time)) == held
    assert night.held(Lane.LIVE, T, ns(time)) == ""
    assert night.held(Lane.BACKFILL, A, ns(time)) == "", "alarms wait for no window"


def test_a_window_to_the_days_end() -> None:
    late = budget(backfill={"windows": ["22:00-24:00"]})
    assert late.held(Lane.BACKFILL, T, ns("2026-03-01T23:59")) == ""
    assert late.held(Lane.BACKFILL, T, ns("2026-03-02T00:00")) == "backfill waits for 22:00"


def test_windows_and_daylight_saving() -> None:
    """Berlin skips 02:00 to 03:00 on 29 March 2026, and has it twice on 25 October."""
    night = budget(backfill={"windows": ["02:30-03:30"]})

    def held(text: str) -> bool:
        return bool(night.held(Lane.BACKFILL, T, ns(text)))

    assert held("2026-03-29T00:59+00:00"), "01:59"
    assert not held("2026-03-29T01:00+00:00"), "03:00: half of it is left"
    assert held("2026-03-29T01:30+00:00"), "03:30"
    open_minutes = sum(
        not held(datetime.fromtimestamp(60 * minute, UTC).isoformat())
        for minute in range(ns("2026-10-25T00:00") // 60 // 10**9, ns("2026-10-26") // 60 // 10**9)
    )
    assert open_minutes == 90, "02:30 to 03:00 twice, 03:00 to 03:30 once"


def test_a_clock_that_was_never_set_has_no_time_of_day() -> None:
    night = budget(backfill={"windows": ["00:00-24:00"]})
    assert night.held(Lane.BACKFILL, T, 5 * 10**9) == "backfill waits until the clock is set"
    assert night.held(Lane.LIVE, T, 5 * 10**9) == ""


def test_a_days_amount_holds_telemetry_and_not_alarms() -> None:
    some = budget(live={"daily": "2 KiB"}, backfill={"daily": "1 KiB", "all_streams": True})
    noon = ns("2026-03-01T12:00")
    assert some.held(Lane.LIVE, T, noon) == some.held(Lane.BACKFILL, T, noon) == ""
    some.spend(Lane.BACKFILL, 1, 1024 - ENVELOPE_BYTES, noon)
    some.spend(Lane.LIVE, 2, 1024, noon)
    assert some.held(Lane.BACKFILL, T, noon) == "backfill has used its 1 KiB of today"
    assert some.held(Lane.BACKFILL, A, noon) == "backfill has used its 1 KiB of today"
    assert some.held(Lane.LIVE, T, noon) == ""
    some.spend(Lane.LIVE, 1, 1024, noon)
    assert some.held(Lane.LIVE, T, noon) == "live has used its 2 KiB of today"
    assert some.held(Lane.LIVE, A, noon) == ""
    assert some.today_bytes(noon) == 3 * 1024 - ENVELOPE_BYTES
    assert some.held(Lane.LIVE, T, ns("2026-03-01T23:59")) != ""
    assert some.held(Lane.LIVE, T, ns("2026-03-02T00:00")) == ""
    assert some.today_bytes(ns("2026-03-02T00:00")) == 0


def test_a_clock_that_steps_back_to_another_day_begins_anew() -> None:
    """It costs one day's amount a step; a clock that was wrong by years blocks nothing."""
    some = budget(live={"daily": "1 KiB"})
    some.spend(Lane.LIVE, 1, 5000, ns("2036-01-01T12:00"))
    assert some.held(Lane.LIVE, T, ns("2026-03-01T12:00")) == ""


UNSET = 30 * 10**9


def test_boots_with_a_clock_that_is_not_set_yet_do_not_begin_the_day_anew() -> None:
    noon, kept = ns("2026-03-01T12:00"), spent_to(Spent())
    for boot in range(4):
        some = Budget(
            UplinkSettings.model_validate({"kind": "x", "live": {"daily": "4 KiB"}}),
            spent_from(kept),
            BERLIN,
        )
        some.today_bytes(UNSET)
        kept = spent_to(some.spent)
        assert bool(some.held(Lane.LIVE, T, UNSET)) == bool(boot)
        if not boot:
            some.spend(Lane.LIVE, 1, 2048, UNSET)
        assert bool(some.held(Lane.LIVE, T, noon)) == bool(boot)
        some.spend(Lane.LIVE, 1, 2048, noon)
        kept = spent_to(some.spent)
    assert some.spent.payload == 5 * 2048
    assert some.held(Lane.LIVE, T, ns("2026-03-02T00:00")) == ""


def test_a_clock_that_is_never_set_has_an_amount_for_each_day_of_uptime() -> None:
    some = budget(live={"daily": "1 KiB"})
    some.spend(Lane.LIVE, 1, 5000, UNSET)
    assert some.held(Lane.LIVE, T, UNSET) != ""
    assert some.held(Lane.LIVE, T, UNSET + 86_400 * 10**9) == ""


def test_a_clock_that_steps_back_over_midnight_finds_that_days_amount() -> None:
    some = budget(live={"daily": "1 KiB"})
    some.spend(Lane.LIVE, 1, 5000, ns("2026-03-01T23:59"))
    assert some.held(Lane.LIVE, T, ns("2026-03-02T00:01")) == ""
    some.spend(Lane.LIVE, 1, 7000, ns("2026-03-02T00:01"))
    again = Budget(
        UplinkSettings.model_validate({"kind": "x", "live": {"daily": "1 KiB"}}),
        spent_from(spent_to(some.spent)),
        BERLIN,
    )
    assert again.today_bytes(ns("2026-03-01T23:58")) == 5000
    assert again.today_bytes(ns("2026-03-02T00:02")) == 7000


@given(
    st.dates().map(str),
    st.integers(0, 2**60),
    st.fixed_dictionaries({lane: st.integers(0, 2**60) for lane in Lane}),
)
def test_what_was_spent_is_remembered(day: str, payload: int, lanes: dict[Lane, int]) -> None:
    spent = Spent(day, payload, lanes)
    assert spent_from(spent_to(spent)) == spent
    later = Spent("", payload, lanes, spent)
    assert spent_from(spent_to(later)) == later


@pytest.mark.parametrize(
    "data", [None, [], {}, {"day": "x", "payload": 1, "lanes": {}}, {"day": 1}, "text", 7]
)
def test_rubbish_is_nothing_spent(data: object) -> None:
    assert spent_from(data) == Spent()
