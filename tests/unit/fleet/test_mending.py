"""Times stamped by a clock that nothing had set, made right by a later anchor of the same boot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_fleet._proto import batch_pb2
from forebay_fleet.mending import LAST, Stretch, Stretches, Tie, mended, stretches

S = 1_000_000_000
HOUR = 3600 * S
YEARS = 10 * 365 * 24 * HOUR
NOW = 1_795_000_000 * S
UNSYNCED, SYNCED, HOLDOVER = batch_pb2.UNSYNCED, batch_pb2.SYNCED, batch_pb2.HOLDOVER


class Box:
    """A gateway whose wall clock is `wrong_ns` ahead of the time that it is."""

    def __init__(self, boot_ns: int = NOW, boot_id: str = "boot") -> None:
        self.boot_ns, self.boot_id = boot_ns, boot_id

    def tie(self, seq: int, true_ns: int, wrong_ns: int, state: int, *, line: int = 1) -> Tie:
        return Tie(line, seq, self.boot_id, true_ns + wrong_ns, true_ns - self.boot_ns, state)


def correction(found: list[Stretch], seq: int, line: int = 1) -> int | None:
    stretch = Stretches(found).at(line, seq)
    return 0 if stretch is None else stretch.correction_ns


def test_a_boot_at_1970_is_mended_when_the_clock_is_set() -> None:
    box = Box()
    found = stretches(
        [
            box.tie(1, NOW + 10 * S, -(NOW + 10 * S), UNSYNCED),
            box.tie(40, NOW + 600 * S, 0, SYNCED),
        ]
    )
    assert found == [Stretch(1, 1, 39, NOW + 10 * S)]
    assert correction(found, 40) == correction(found, 0) == 0


@pytest.mark.parametrize("wrong_ns", [HOUR, -HOUR, YEARS, -YEARS, 1, -1])
def test_a_step_away_and_back(wrong_ns: int) -> None:
    box = Box()
    found = stretches(
        [
            box.tie(1, NOW + 1 * S, 0, SYNCED),
            box.tie(10, NOW + 100 * S, wrong_ns, UNSYNCED),
            box.tie(20, NOW + 200 * S, 0, SYNCED),
        ]
    )
    assert found == [Stretch(1, 10, 19, -wrong_ns)]


def test_a_clock_that_is_not_set_again_is_mended_by_the_last_time_it_was_right() -> None:
    box = Box()
    found = stretches(
        [box.tie(1, NOW + 1 * S, 0, SYNCED), box.tie(10, NOW + 100 * S, HOUR, UNSYNCED)]
    )
    assert found == [Stretch(1, 10, LAST, -HOUR)]


def test_every_wrong_clock_of_a_boot_is_mended_by_the_next_right_one() -> None:
    box = Box()
    found = stretches(
        [
            box.tie(1, NOW + 1 * S, HOUR, UNSYNCED),
            box.tie(5, NOW + 50 * S, -HOUR, UNSYNCED),
            box.tie(9, NOW + 90 * S, 7, SYNCED),
            box.tie(12, NOW + 95 * S, 0, SYNCED),
        ]
    )
    assert found == [Stretch(1, 1, 4, 7 - HOUR), Stretch(1, 5, 8, 7 + HOUR)]


def test_a_boot_whose_clock_was_never_set_cannot_be_mended() -> None:
    lost, right = Box(boot_id="lost"), Box(boot_id="right")
    found = stretches(
        [
            lost.tie(1, NOW + 1 * S, HOUR, UNSYNCED),
            right.tie(1, NOW + 900 * S, 0, SYNCED, line=2),
        ]
    )
    assert found == [Stretch(1, 1, LAST, None)]
    assert Stretches(found).correction_ns(1, 5) == 0
    assert Stretches(found).mendable == []


def test_the_next_run_of_the_same_boot_mends_this_one() -> None:
    box = Box()
    found = stretches(
        [
            box.tie(1, NOW + 900 * S, 0, SYNCED, line=2),
            box.tie(1, NOW + 1 * S, HOUR, UNSYNCED),
        ]
    )
    assert found == [Stretch(1, 1, LAST, -HOUR)]


@pytest.mark.parametrize("state", [UNSYNCED, SYNCED, HOLDOVER])
def test_an_anchor_that_is_put_again_for_late_rows_is_no_other_step(state: int) -> None:
    """It stands behind the step and tells of the time before it."""
    box = Box()
    was = box.tie(1, NOW + 1 * S, HOUR, state)
    again = box.tie(20, NOW + 99 * S, HOUR, state)
    set_by_hand = [box.tie(seq, NOW + 100 * S, -HOUR, UNSYNCED) for seq in (10, 22)]
    right = box.tie(30, NOW + 200 * S, 7, SYNCED)
    found = stretches([was, again, *set_by_hand, right])
    assert [correction(found, seq) for seq in (15, 25)] == [7 + HOUR] * 2
    of_old = 7 - HOUR if state == UNSYNCED else 0
    assert [correction(found, seq) for seq in (5, 21)] == [of_old] * 2
    assert correction(found, 30) == 0


def test_a_clock_that_runs_on_by_itself_is_left_alone() -> None:
    box = Box()
    assert not stretches(
        [
            box.tie(1, NOW + 1 * S, 0, SYNCED),
            box.tie(10, NOW + 100 * S, 0, HOLDOVER),
            box.tie(20, NOW + 9 * HOUR, -S, SYNCED),
            box.tie(30, NOW + 10 * HOUR, 0, batch_pb2.CLOCK_STATE_UNSPECIFIED),
        ]
    )


def test_a_clock_that_was_right_by_chance_needs_no_mending() -> None:
    box = Box()
    assert not stretches([box.tie(1, NOW + 1 * S, 0, UNSYNCED), box.tie(2, NOW + 9 * S, 0, SYNCED)])


def test_a_devices_own_times_stay() -> None:
    """It has a clock of its own, which was right while the gateway's said 1970."""
    received = np.array([5 * S, 6 * S], np.int64)
    own = np.array([NOW - 30 * S, 6 * S - 1000], np.int64)
    times, got = mended(own, received, NOW)
    assert got.tolist() == [NOW + 5 * S, NOW + 6 * S]
    assert times.tolist() == [NOW - 30 * S, NOW + 6 * S - 1000]


@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.integers(-YEARS, YEARS), st.booleans()),
        min_size=1,
        max_size=8,
    )
)
def test_whatever_is_mended_is_right(phases: list[tuple[int, int, bool]]) -> None:
    """A clock is right when something has set it; else it is as wrong as it likes."""
    box = Box()
    ties: list[Tie] = []
    stamped: list[tuple[int, int, int]] = []
    seq, true_ns = 1, NOW
    for records, wrong_ns, synced in phases:
        by_ns = 0 if synced else wrong_ns
        ties.append(box.tie(seq, true_ns, by_ns, SYNCED if synced else UNSYNCED))
        for _ in range(records):
            seq, true_ns = seq + 1, true_ns + 17 * S
            stamped.append((seq, true_ns + by_ns, true_ns))
        seq += 1
    found = stretches(ties)
    for number, wall_ns, real_ns in stamped:
        by = correction(found, number)
        if by is None:
            assert not any(synced for _, _, synced in phases)
        else:
            assert wall_ns + by == real_ns
