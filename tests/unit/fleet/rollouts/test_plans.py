"""Waves and windows."""

from __future__ import annotations

import datetime as dt

import pytest

from forebay_fleet.errors import UsageError
from forebay_fleet.rollouts.plans import MOST_OPEN_NS, Plan, Window


def at_ns(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp() * 1e9)


@pytest.mark.parametrize(
    ("plan", "boxes", "waves"),
    [
        (Plan(), 20, [1, 4, 15]),
        (Plan(), 1, [1]),
        (Plan(canary=5, percents=(10, 50)), 20, [5, 5, 10]),
        (Plan(canary=0, percents=()), 7, [7]),
        (Plan(canary=1, percents=(1, 2, 100)), 10_000, [1, 99, 100, 9800]),
    ],
)
def test_waves(plan: Plan, boxes: int, waves: list[int]) -> None:
    assert plan.waves(boxes) == waves
    assert sum(waves) == boxes
    assert Plan.load(plan.dump()) == plan


@pytest.mark.parametrize(
    "wrong",
    [
        {"percents": (50, 10)},
        {"percents": (0,)},
        {"percents": (101,)},
        {"failures": -1},
        {"deadline_s": 0.0},
        {"window": "25:00-26:00"},
        {"window": "06:00-06:00"},
        {"window": "someday 06:00-07:00"},
        {"zone": "Mars/Olympus"},
        {"zone": "../../etc/passwd"},
    ],
)
def test_what_makes_no_plan(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Plan(**wrong)  # type: ignore[arg-type]


def test_a_window_over_midnight_belongs_to_the_day_it_begins_on() -> None:
    window = Window.parse("sat 22:00-05:00")
    assert str(window) == "sat 22:00-05:00"
    assert not window.is_open(at_ns("2026-11-21T21:59:59+00:00"), "UTC")  # a Saturday
    assert window.is_open(at_ns("2026-11-21T22:00:00+00:00"), "UTC")
    assert window.is_open(at_ns("2026-11-22T04:59:59+00:00"), "UTC")
    assert not window.is_open(at_ns("2026-11-22T05:00:00+00:00"), "UTC")
    assert not window.is_open(at_ns("2026-11-22T23:00:00+00:00"), "UTC")


def test_a_window_is_by_the_clock_on_the_wall_when_clocks_change() -> None:
    window = Window.parse("02:00-03:00")
    berlin = "Europe/Berlin"
    # 2027-03-28: 02:00 does not exist; the day has no such window.
    assert not any(
        window.is_open(at_ns(f"2027-03-28T{hour:02}:30:00+00:00"), berlin) for hour in range(4)
    )
    # 2026-10-25: 02:00 to 03:00 comes twice.
    assert window.is_open(at_ns("2026-10-25T00:30:00+00:00"), berlin)
    assert window.is_open(at_ns("2026-10-25T01:30:00+00:00"), berlin)
    assert not window.is_open(at_ns("2026-10-25T02:30:00+00:00"), berlin)


def test_when_it_is_open_next() -> None:
    window = Window.parse("sun 06:00-18:00")
    now_ns = at_ns("2026-11-23T12:00:30+00:00")  # a Monday
    assert window.next_open_ns(now_ns, "UTC") == at_ns("2026-11-29T06:00:00+00:00")
    open_ns = at_ns("2026-11-29T12:00:00+00:00")
    assert window.next_open_ns(open_ns, "UTC") == open_ns


@pytest.mark.parametrize(
    ("text", "zone", "now", "opens"),
    [  # the hour that clocks leave out, the Friday that Samoa left out
        *(("sun 02:10-02:50", "Europe/Berlin", "2027-03-22T12", "2027-04-04T02:10:00+02:00"),),
        *(("fri 00:00-24:00", "Pacific/Apia", "2011-12-24T12", "2012-01-06T00:00:00+14:00"),),
    ],
)
def test_when_it_is_open_next_if_clocks_leave_it_out(
    text: str, zone: str, now: str, opens: str
) -> None:
    found = Window.parse(text).next_open_ns(at_ns(f"{now}:00:00+00:00"), zone)
    assert found == at_ns(opens)


def test_when_it_shuts() -> None:
    berlin, window = "Europe/Berlin", Window.parse("22:00-05:00")
    # Clocks go back at 03:00 on 2026-10-25: that night is an hour longer.
    now_ns = at_ns("2026-10-24T22:30:30+02:00")
    assert window.closes_ns(now_ns, berlin) == at_ns("2026-10-25T05:00:00+01:00")
    always = Window.parse("00:00-24:00")
    assert always.closes_ns(now_ns, berlin) == now_ns + MOST_OPEN_NS
    assert Plan().open_until_ns(now_ns, "") == now_ns + MOST_OPEN_NS
    plan = Plan(window="22:00-05:00", zone=berlin)
    assert plan.open_until_ns(now_ns, "Mars/Olympus") == at_ns("2026-10-25T05:00:00+01:00")
    assert plan.open_until_ns(now_ns, "America/New_York") is None


def test_a_whole_day() -> None:
    assert Window.parse("00:00-24:00").is_open(at_ns("2026-11-23T23:59:59+00:00"), "UTC")
