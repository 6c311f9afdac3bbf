"""The polling grid: exact for ever, honest about what it skipped."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.acquisition.schedule import OVERLOADED_AFTER, Pace, Stagger, first_s, next_due_s


def test_a_poll_in_time_is_followed_one_period_later() -> None:
    assert next_due_s(10.0, 1.0, 10.3) == (11.0, 0)


def test_a_late_poll_stays_on_the_grid_and_counts_what_it_missed() -> None:
    assert next_due_s(10.0, 1.0, 13.5) == (14.0, 3)


def test_the_exact_end_of_a_period_belongs_to_the_next() -> None:
    assert next_due_s(10.0, 1.0, 11.0) == (12.0, 1)


@given(
    st.integers(0, 10**6),
    st.integers(1, 10_000),
    st.lists(st.floats(0, 5), min_size=1, max_size=50),
)
def test_due_times_never_leave_the_grid_nor_go_back(
    start: int, step: int, takes: list[float]
) -> None:
    period = step / 64  # a binary fraction, so that the grid itself is exact
    due, unserved = float(start), 0
    for polls, take in enumerate(takes, start=1):
        now = due + take
        due, missed = next_due_s(due, period, now)
        unserved += missed
        assert due > now
        assert due == start + (polls + unserved) * period


@given(st.integers(0, 300), st.integers(1, 247), st.integers(1, 8))
def test_the_groups_of_a_line_are_spread_evenly(line: int, devices: int, groups: int) -> None:
    places = devices * groups
    staggers = [Stagger(line, n * groups, places) for n in range(devices)]
    phases = sorted(stagger.phase(n) for stagger in staggers for n in range(groups))
    assert 0 <= phases[0] <= phases[-1] < 1
    apart = [b - a for a, b in pairwise([*phases, phases[0] + 1])]
    assert min(apart) == pytest.approx(1 / places, abs=1e-9)
    assert max(apart) == pytest.approx(1 / places, abs=1e-9)


def test_devices_with_lines_of_their_own_do_not_all_poll_at_once() -> None:
    phases = sorted(Stagger(line).phase(0) for line in range(100))
    assert max(b - a for a, b in pairwise(phases)) < 0.03


@given(
    st.integers(0, 999).map(lambda n: n / 1000),
    st.integers(1, 400_000).map(lambda n: n / 64),
    st.integers(0, 10**9).map(lambda n: n / 1000),
)
def test_the_first_poll_comes_within_a_second_and_the_grid_keeps_its_phase(
    phase: float, period: float, now: float
) -> None:
    first, due = first_s(phase, period, now)
    rough = 1e-6 * max(1.0, period)
    assert now - rough <= first <= now + 1.0 + rough
    assert first == due or due - rough <= first < due + period + rough
    off = (due - phase * period) / period
    assert off == pytest.approx(round(off), abs=1e-3), "it is on the grid"


def test_a_group_is_overloaded_after_some_late_polls_in_a_row_until_as_many_are_in_time() -> None:
    pace, seen = Pace(), ""
    for late in "1101110010001111110111000":
        pace.note(late=late == "1")
        seen += "1" if pace.overloaded else "0"
    assert OVERLOADED_AFTER == 3
    assert seen == "0000011111100011111111110"
