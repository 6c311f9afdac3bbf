"""The polling grid: exact for ever, honest about what it skipped."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from forebay.acquisition.schedule import OVERLOADED_AFTER, Pace, next_due_s, phase_s


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


@given(st.integers(0, 10_000), st.floats(0.001, 86_400))
def test_a_phase_lies_within_the_period_and_within_a_second(number: int, period: float) -> None:
    assert 0 <= phase_s(number, period) < min(period, 1.0) + 1e-9


def test_phases_spread() -> None:
    phases = sorted(phase_s(n, 1.0) for n in range(100))
    gaps = [b - a for a, b in pairwise(phases)]
    assert max(gaps) < 0.03


def test_a_group_is_overloaded_after_some_late_polls_in_a_row_until_as_many_are_in_time() -> None:
    pace, seen = Pace(), ""
    for late in "1101110010001111110111000":
        pace.note(late=late == "1")
        seen += "1" if pace.overloaded else "0"
    assert OVERLOADED_AFTER == 3
    assert seen == "0000011111100011111111110"
