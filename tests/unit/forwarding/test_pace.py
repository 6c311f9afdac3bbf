"""What is in flight fills the way, and hardly more where something urgent may come."""

from __future__ import annotations

import pytest

from forebay.forwarding.pace import (
    ALONE_S,
    BEHIND_S,
    BEHIND_SHARE,
    BEYOND_S,
    LEAST_BYTES,
    LEAST_RATE,
    Pace,
)
from forebay.forwarding.window import Flight
from forebay.model import Position, Stream


def filled(pace: Pace, *, rate: float, way_s: float, behind: bool, rounds: int = 60) -> float:
    """Keep in flight what the pace lets go on a way that takes `rate` bytes a second."""
    now_s = acked = 0.0
    for _ in range(rounds):
        size = pace.most_bytes(behind=behind)
        flight = Flight(Position(Stream.TELEMETRY, 1, 1), int(size), 1, now_s, int(acked))
        now_s += max(way_s, size / rate)
        acked += size
        pace.acked(flight, int(acked), now_s)
    return pace.most_bytes(behind=behind)


@pytest.mark.parametrize(
    ("rate", "way_s"), [(12.5e6, 0.05), (125e6, 0.2), (50e6, 0.002), (1.25e6, 0.6)]
)
def test_a_backlog_fills_any_way_and_delays_what_is_live_by_a_part_of_it(
    rate: float, way_s: float
) -> None:
    most = filled(Pace(), rate=rate, way_s=way_s, behind=True)
    assert most >= rate * way_s * 0.999
    delay_s = most / rate - way_s
    assert delay_s <= min(way_s * BEHIND_SHARE, BEHIND_S) * 1.01


def test_a_slow_line_has_what_a_session_begins_with_in_flight() -> None:
    most = filled(Pace(), rate=8_000.0, way_s=0.05, behind=True)
    assert LEAST_BYTES <= most <= 1.01 * LEAST_BYTES + 8_000.0 * BEHIND_S


def test_what_is_alone_may_wait_for_seconds() -> None:
    rate = 1e6
    most = filled(Pace(), rate=rate, way_s=0.05, behind=False)
    assert LEAST_BYTES < most <= rate * ALONE_S + LEAST_BYTES


def test_a_session_begins_small() -> None:
    assert Pace().most_bytes(behind=False) == Pace().most_bytes(behind=True) == LEAST_BYTES


def test_the_last_record_may_end_beyond_the_bound_if_the_line_has_it_away_soon() -> None:
    pace = Pace()
    rate = filled(pace, rate=100_000.0, way_s=0.6, behind=True) / 0.6 / (1 + BEHIND_SHARE)
    most = int(pace.most_bytes(behind=True))
    soon, late = int(0.9 * rate * BEYOND_S), int(2 * rate * BEYOND_S)
    assert pace.lets(soon, most - 1, behind=True)
    assert not pace.lets(soon, most + 1, behind=True)
    assert not pace.lets(late, most - 1, behind=True)
    assert pace.lets(late, 0, behind=True)


def test_before_anything_came_back_no_record_ends_beyond_the_bound() -> None:
    assert Pace().lets(LEAST_BYTES - 10, 10, behind=True)
    assert not Pace().lets(LEAST_BYTES - 9, 10, behind=True)


def test_what_is_on_its_way_takes_what_the_line_has_shown_or_the_slowest() -> None:
    pace = Pace()
    assert pace.takes_s(250_000) == 250_000 / LEAST_RATE
    filled(pace, rate=1e6, way_s=0.05, behind=False)
    assert 0.2 < pace.takes_s(250_000) < 0.4
    assert pace.takes_s(250_000, proven=False) == 250_000 / LEAST_RATE
