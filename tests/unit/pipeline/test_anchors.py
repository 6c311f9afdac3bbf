"""What is known of the wall clock, and which of its changes the journal is told."""

from __future__ import annotations

import random

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from forebay.clock import Reading
from forebay.events import CLOCK_STATE, CLOCK_STEPPED, Events
from forebay.files import SystemDisk
from forebay.interfaces import Seams
from forebay.model import ClockState
from forebay.net import SystemNetwork
from forebay.pipeline.anchors import HOLDOVER_ERROR_MOST_NS, STEP_NS, Anchors, Known, after
from forebay.testing.clock import FakeClock

U, SY, H = ClockState.UNSYNCED, ClockState.SYNCED, ClockState.HOLDOVER
S = 1_000_000_000
MS = 1_000_000
DAY_S = 86_400


class World:
    def __init__(self, *, synced: bool = True) -> None:
        self.clock = FakeClock()
        self.clock.synced = synced
        self.events = Events(structlog.get_logger())
        seams = Seams(self.clock, SystemDisk(), SystemNetwork(), random.Random(1), self.events)
        self.anchors = Anchors(seams)


def reading(offset_ns: int, at_ns: int, *, synced: bool = True, error_ns: int = MS) -> Reading:
    return Reading(offset_ns + at_ns, at_ns, synced, error_ns if synced else 0)


@pytest.mark.parametrize(
    ("state", "synced", "step_ns", "expected"),
    [
        (None, True, 0, SY),
        (None, False, 0, U),
        (U, False, 0, U),
        (U, False, S, U),
        (U, True, 0, SY),
        (U, True, S, SY),
        (SY, True, 0, SY),
        (SY, True, S, SY),
        (SY, False, 0, H),
        (SY, False, S, U),
        (H, False, 0, H),
        (H, False, -S, U),
        (H, True, 0, SY),
        (H, True, S, SY),
    ],
)
def test_states(
    state: ClockState | None,
    synced: bool,  # noqa: FBT001 - a column of the table above
    step_ns: int,
    expected: ClockState,
) -> None:
    known = None if state is None else Known(state, 100 * S, 0 if state is U else MS, 7 * S)
    found = after(known, reading(100 * S + step_ns, 8 * S, synced=synced))
    assert found.state is expected
    assert found.offset_ns == 100 * S + step_ns
    if expected is U:
        assert found.error_ns == 0


def test_the_error_grows_in_holdover_until_nobody_can_vouch_for_it() -> None:
    known = after(None, reading(0, 0, error_ns=3 * MS))
    known = after(known, reading(0, DAY_S * S, synced=False))
    assert known == Known(H, 0, 3 * MS + DAY_S * 500_000, DAY_S * S)
    days = 1
    while known.state is H:
        days += 1
        known = after(known, reading(0, days * DAY_S * S, synced=False))
        assert known.error_ns <= HOLDOVER_ERROR_MOST_NS
    assert days == 14
    assert known.state is U


@given(st.lists(st.integers(-STEP_NS, STEP_NS), max_size=60))
def test_no_row_of_small_steps_hides_a_large_one(steps: list[int]) -> None:
    offset, known = 0, after(None, reading(0, 0))
    for number, step in enumerate(steps, start=1):
        offset += step
        known = after(known, reading(offset, number * S))
        assert abs(known.offset_ns - offset) <= STEP_NS


def test_a_run_begins_with_an_anchor() -> None:
    world = World(synced=False)
    first = world.anchors.first
    assert (first.boot_id, first.wall_ns, first.monotonic_ns) == ("boot-1", world.clock.now_ns(), 0)
    assert (first.state, first.error_ns) == (U, 0)
    assert World().anchors.first.error_ns == world.clock.error_ns


async def test_a_steady_clock_needs_no_more_anchors() -> None:
    world = World()
    for _ in range(1000):
        await world.clock.advance(1)
        world.clock.error_ns += 500_000
        world.clock.step_wall(0.000_009)
        assert not world.anchors.stepped()
        assert world.anchors.look() is None
    assert world.events.count(CLOCK_STEPPED) == world.events.count(CLOCK_STATE) == 0


async def test_suspend_is_no_step_of_the_clock() -> None:
    world = World()
    world.clock.suspend(8 * 3600)
    assert not world.anchors.stepped()
    assert world.anchors.look() is None


async def test_a_boot_in_1970_that_is_set_by_ntp() -> None:
    world = World(synced=False)
    await world.clock.advance(300)
    world.clock.step_wall(1.7e9)
    world.clock.synced = True
    assert world.anchors.stepped()
    anchor = world.anchors.look()
    assert anchor is not None
    assert (anchor.state, anchor.wall_ns, anchor.monotonic_ns) == (
        SY,
        world.clock.now_ns(),
        300 * S,
    )
    assert anchor.error_ns == world.clock.error_ns
    first = world.anchors.first
    stamped_ns = first.wall_ns + 5 * S
    mended_ns = stamped_ns - (first.wall_ns - first.monotonic_ns) + anchor.wall_ns - 300 * S
    assert mended_ns == world.clock.now_ns() - 295 * S
    assert world.anchors.look() is None
    assert world.events.count(CLOCK_STEPPED) == 1
    assert world.events.count(CLOCK_STATE, state="SYNCED") == 1
    assert world.anchors.state_s == 0
    await world.clock.advance(9)
    assert world.anchors.state_s == 9
    assert world.anchors.last_step is not None
    assert (world.anchors.steps, world.anchors.last_step.by_s) == (1, 1.7e9)


async def test_values_are_told_apart_by_the_clock_that_explains_them() -> None:
    world = World()
    old_ns = world.clock.now_ns()
    world.clock.step_wall(-3600)
    await world.clock.advance(0.5)
    anchor = world.anchors.look()
    assert anchor is not None
    assert world.anchors.was_before(old_ns, anchor)
    assert not world.anchors.was_before(world.clock.now_ns() - 200 * MS, anchor)
    world.clock.synced = False
    anchor = world.anchors.look()
    assert anchor is not None
    assert not world.anchors.was_before(old_ns, anchor), "this anchor is of no step"
