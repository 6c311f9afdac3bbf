"""The age of a backlog by a clock that never steps, and where the live lane begins."""

from __future__ import annotations

import pytest

from forebay.forwarding.coverage import Coverage
from forebay.forwarding.lag import MOST_ISLANDS, Lag, Split, live_from
from forebay.model import Position, Stream

T = Stream.TELEMETRY


def at(seq: int, epoch: int = 5) -> Position:
    return Position(T, epoch, seq)


def test_a_reader_that_keeps_up_is_not_behind() -> None:
    lag = Lag()
    for second in range(100):
        lag.note(at(10 * second), at(10 * second + 9), second)
        assert lag.behind_s(at(10 * second), second) <= 1
    assert lag.behind_s(at(999), 100) == 0


def test_a_reader_that_stands_still_falls_behind_by_the_clock() -> None:
    lag = Lag()
    lag.note(at(10), at(10), 0.0)
    lag.note(at(10), at(11), 5.0)
    assert lag.behind_s(at(10), 5.0) == 0
    for second in range(6, 60):
        lag.note(at(10), at(second), second)
    assert lag.behind_s(at(10), 60.0) == 55


def test_a_steady_delay_is_told_once_a_goal_is_reached() -> None:
    """The reader is always 40 s behind a log that gets a record a second."""
    lag = Lag()
    worst = 0.0
    for second in range(200):
        reached, end = at(max(second - 40, 0)), at(second)
        worst = max(worst, lag.behind_s(reached, second))
        lag.note(reached, end, second)
    assert 39 <= worst <= 40


def test_nothing_is_known_before_the_first_note_and_after_forgetting() -> None:
    lag = Lag()
    assert lag.behind_s(at(0), 1e9) == 0
    lag.note(at(0), at(5), 0.0)
    lag.forget()
    assert lag.behind_s(at(0), 1e9) == 0


MANY = Coverage([(10 * n, 10 * n) for n in range(1, MOST_ISLANDS + 1)])


@pytest.mark.parametrize(
    ("split", "begins"),
    [
        (Split(at(0), at(100), Coverage(), old=False, fresh=True), None),
        (Split(at(100), at(100), Coverage(), old=True, fresh=True), None),
        (Split(at(0), at(0, 0), Coverage(), old=True, fresh=True), None),
        (Split(at(0), at(100), Coverage(), old=True, fresh=True), at(100)),
        (Split(at(7, 4), at(100), Coverage(), old=True, fresh=True), at(100)),
        (Split(at(7), at(100), Coverage([(1, 7)]), old=True, fresh=True), at(100)),
        (Split(at(7), at(100), Coverage([(1, 7), (50, 90)]), old=True, fresh=True), at(90)),
        (Split(at(7), at(100), Coverage([(1, 7), (50, 90)]), old=True, fresh=False), at(100)),
        (Split(at(7, 4), at(100), Coverage([(1, 90)]), old=True, fresh=True), at(90)),
        (Split(at(0), at(999), MANY, old=True, fresh=False), at(160)),
    ],
    ids=[
        "young",
        "nothing",
        "empty",
        "end",
        "end-of-newest-epoch",
        "end-behind-whole",
        "goes-on-behind-island",
        "island-is-far",
        "goes-on-in-new-epoch",
        "too-many-islands",
    ],
)
def test_where_the_live_lane_begins(split: Split, begins: Position | None) -> None:
    assert live_from(split) == begins
