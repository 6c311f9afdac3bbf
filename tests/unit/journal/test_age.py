"""Data grows old by a clock that is disciplined and did not just leap ahead."""

from __future__ import annotations

import pytest

from forebay.journal.age import BELIEVE_AFTER_S, AgeClock
from forebay.testing.clock import FakeClock

YEAR_S = 365.25 * 86_400


def test_nothing_is_old_by_a_clock_that_nothing_disciplines() -> None:
    clock, age = FakeClock(wall_ns=0), AgeClock()
    clock.synced = False
    assert age.now_ns(clock.read()) is None
    clock.step_wall(56 * YEAR_S)
    assert age.now_ns(clock.read()) is None
    clock.synced = True
    assert age.now_ns(clock.read()) == clock.now_ns()


@pytest.mark.parametrize("step_s", [3600, 10 * YEAR_S])
async def test_a_step_ahead_is_believed_once_it_has_held_for_a_day(step_s: float) -> None:
    clock, age = FakeClock(), AgeClock()
    age.now_ns(clock.read())
    right_ns = clock.now_ns()
    clock.step_wall(step_s)
    for _ in range(24):
        assert age.now_ns(clock.read()) == right_ns
        await clock.advance(3600)
        right_ns += 3_600_000_000_000
    assert age.now_ns(clock.read()) == clock.now_ns()


@pytest.mark.parametrize("step_s", [-3600, -10 * YEAR_S])
async def test_a_step_back_is_believed_at_once_and_its_mending_after_a_day(step_s: float) -> None:
    clock, age = FakeClock(), AgeClock()
    age.now_ns(clock.read())
    clock.step_wall(step_s)
    assert age.now_ns(clock.read()) == clock.now_ns()
    clock.step_wall(-step_s)
    believed_ns = age.now_ns(clock.read())
    assert believed_ns is not None
    assert believed_ns < clock.now_ns()
    await clock.advance(BELIEVE_AFTER_S)
    assert age.now_ns(clock.read()) == clock.now_ns()


async def test_a_day_counts_only_while_the_clock_is_disciplined_and_keeps_its_time() -> None:
    clock, age = FakeClock(), AgeClock()
    age.now_ns(clock.read())
    right_ns = clock.now_ns()
    clock.step_wall(YEAR_S)
    age.now_ns(clock.read())
    await clock.advance(BELIEVE_AFTER_S - 1)
    clock.synced = False
    assert age.now_ns(clock.read()) is None
    clock.synced = True
    await clock.advance(1)
    assert age.now_ns(clock.read()) == right_ns + round(BELIEVE_AFTER_S * 1e9)
    clock.step_wall(YEAR_S)
    await clock.advance(BELIEVE_AFTER_S - 1)
    assert age.now_ns(clock.read()) == right_ns + round((2 * BELIEVE_AFTER_S - 1) * 1e9)
