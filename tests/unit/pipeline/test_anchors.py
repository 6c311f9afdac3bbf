"""What is known of the wall clock, and which of its changes the journal is told."""

from __future__ import annotations

import random

import numpy as np
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from forebay.clock import Reading
from forebay.events import CLOCK_STATE, CLOCK_STEPPED, Events
from forebay.files import SystemDisk
from forebay.interfaces import Seams
from forebay.model import Batch, ClockState, Schema, Tag, ValueType
from forebay.net import SystemNetwork
from forebay.pipeline.anchors import (
    HOLDOVER_ERROR_MOST_NS,
    RECENT_NS,
    STEP_NS,
    Anchors,
    Known,
    after,
)
from forebay.testing.clock import FakeClock

U, SY, H = ClockState.UNSYNCED, ClockState.SYNCED, ClockState.HOLDOVER
S = 1_000_000_000
MS = 1_000_000
DAY_S = 86_400
SCHEMA = Schema("press", "fast", (Tag("t", "0", ValueType.INT32),))


class World:
    def __init__(self, *, synced: bool = True) -> None:
        self.clock = FakeClock()
        self.clock.synced = synced
        self.events = Events(structlog.get_logger())
        seams = Seams(self.clock, SystemDisk(), SystemNetwork(), random.Random(1), self.events)
        self.anchors = Anchors(seams)


def row(clock: FakeClock, *, stamped: bool = True) -> Batch:
    """A row that is received now."""
    now, boot = np.array([clock.now_ns()], np.int64), np.array([clock.boottime_ns()], np.int64)
    values = (np.zeros((1, 1), np.int32),)
    return Batch(SCHEMA, now, now.copy(), values, boottime_ns=boot if stamped else None)


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
        assert world.anchors.explains(row(world.clock))
        assert world.anchors.look() is None
    assert world.events.count(CLOCK_STEPPED) == world.events.count(CLOCK_STATE) == 0


async def test_suspend_is_no_step_of_the_clock() -> None:
    world = World()
    world.clock.suspend(8 * 3600)
    assert world.anchors.explains(row(world.clock))
    assert world.anchors.look() is None


async def test_a_boot_in_1970_that_is_set_by_ntp() -> None:
    world = World(synced=False)
    await world.clock.advance(300)
    world.clock.step_wall(1.7e9)
    world.clock.synced = True
    assert not world.anchors.explains(row(world.clock))
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


def told(world: World, *batches: Batch) -> list[tuple[int, ClockState] | list[int]]:
    """Give what is put into the stream: anchors as offset and state, batches as source times."""
    found: list[tuple[int, ClockState] | list[int]] = []
    for batch in batches:
        if world.anchors.explains(batch):
            found.append(batch.times_ns.tolist())
            continue
        for anchor, part in world.anchors.told_apart(batch):
            if anchor is not None:
                found.append((anchor.offset_ns, anchor.state))
            if part is not None:
                found.append(part.times_ns.tolist())
    return found


@pytest.mark.parametrize("stamped", [True, False])
async def test_rows_are_told_apart_by_the_clock_that_stamped_them(*, stamped: bool) -> None:
    world = World()
    was_ns = world.clock.now_ns()
    old = row(world.clock, stamped=stamped)
    world.clock.step_wall(-3600)
    world.clock.synced = False
    await world.clock.advance(0.5)
    new = row(world.clock, stamped=stamped)
    now_ns = was_ns - 3600 * S
    assert told(world, old, new, old, old, new) == [
        old.times_ns.tolist(),
        (now_ns, U),
        new.times_ns.tolist(),
        (was_ns, SY),
        old.times_ns.tolist(),
        old.times_ns.tolist(),
        (now_ns, U),
        new.times_ns.tolist(),
    ]
    assert world.anchors.steps == 1, "an anchor that is put again is of no step"


async def test_a_queue_longer_than_the_step_misleads_nobody() -> None:
    """A row stamped since the step, 5 s ago, is as old as one of the old clock, 3 s ago."""
    world = World()
    world.clock.step_wall(2)
    new = row(world.clock)
    await world.clock.advance(5)
    assert told(world, new) == [(world.clock.now_ns() - 5 * S, SY), new.times_ns.tolist()]
    world.clock.step_wall(-2)
    assert world.anchors.look() is not None
    assert told(world, new)[0] == (world.anchors.first.offset_ns + 2 * S, SY)


async def test_a_row_without_a_boot_time_is_of_an_old_clock_only_while_a_step_is_recent() -> None:
    world = World()
    old = row(world.clock, stamped=False)
    world.clock.step_wall(-3600)
    await world.clock.advance(1)
    assert world.anchors.look() is not None
    await world.clock.advance(RECENT_NS / 1e9 - 1)
    assert len(told(world, old)) == 2
    await world.clock.advance(1)
    assert world.anchors.look() is not None, "the present clock again"
    assert told(world, old) == [old.times_ns.tolist()]


async def test_a_clock_that_was_set_again_before_anybody_looked() -> None:
    """Nothing is known of it but by how much it was off; the one before it is still known."""
    world = World()
    first_ns, first = world.anchors.first.offset_ns, row(world.clock)
    world.clock.step_wall(7200)
    brief = row(world.clock)
    world.clock.step_wall(-3600)
    await world.clock.advance(1)
    assert told(world, first, brief, first) == [
        first.times_ns.tolist(),
        (first_ns + 7200 * S, U),
        brief.times_ns.tolist(),
        (first_ns + 3600 * S, SY),
        (first_ns, SY),
        first.times_ns.tolist(),
    ]


async def test_an_anchor_that_is_put_again_says_what_was_so_when_the_row_came() -> None:
    """Readers seek a boot's next right clock by boot time: this one must not seem newer."""
    world = World(synced=False)
    await world.clock.advance(7)
    old = row(world.clock)
    world.clock.step_wall(1e9)
    world.clock.synced = True
    await world.clock.advance(3)
    present = world.anchors.look()
    assert present is not None
    ((again, _),) = world.anchors.told_apart(old)
    assert again is not None
    assert (again.state, again.monotonic_ns, again.wall_ns) == (U, 7 * S, int(old.received_ns[0]))
    assert present.monotonic_ns == 10 * S


async def test_many_steps_are_remembered_and_not_all_for_ever() -> None:
    world = World()
    rows = []
    for _ in range(20):
        rows.append(row(world.clock))
        world.clock.step_wall(60)
        await world.clock.advance(0.1)
        assert world.anchors.look() is not None
    states = [told(world, late)[0] for late in reversed(rows)]
    assert [told_of for _, told_of in states] == [SY] * 8 + [U] * 12
    first_ns = world.anchors.first.offset_ns
    assert [offset_ns for offset_ns, _ in states] == [
        first_ns + 60 * S * step for step in reversed(range(20))
    ]


async def test_a_state_that_changes_does_not_change_what_a_step_is() -> None:
    """A row lies within STEP_NS of the anchor before it, whatever small steps came before."""
    world = World()
    world.clock.step_wall(0.009)
    world.clock.synced = False
    anchor = world.anchors.look()
    assert anchor is not None
    assert world.anchors.steps == 0
    world.clock.step_wall(0.009)
    assert world.anchors.explains(row(world.clock))
    world.clock.step_wall(0.002)
    assert not world.anchors.explains(row(world.clock))
    assert world.anchors.look() is not None
