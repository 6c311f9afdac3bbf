"""What the poller makes of a device that is slow, out of order, or was not polled at all."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import numpy as np

from forebay.acquisition.standstill import BEAT_S
from forebay.errors import DeviceUnreachable
from forebay.events import (
    DEVICE_CONNECTED,
    DEVICE_LOST,
    POLL_OVERRUN,
    STOOD_STILL,
    TAGS_BAD,
    TAGS_REFUSED,
)
from forebay.interfaces import Urgency
from forebay.model import GapCause, Quality
from forebay.settings import GroupSettings
from support.one_session import S, World, bad, polled, running, schema

# --- slower than asked for ------------------------------------------------------------------------


async def test_values_polled_too_slowly_say_so_until_the_period_is_kept_again() -> None:
    world = polled(period=1.0)
    world.driver.refused = {2}
    async with running(world):
        await world.clock.advance(5)
        assert bad(world.rows[-1]) == {0, Quality.BAD_OUT_OF_RANGE}
        others = asyncio.create_task(others_have_the_line(world, 2.5), name="others")
        await world.clock.advance(20)
        slow = world.rows[-1]
        assert slow.quality is not None
        overload = int(Quality.GOOD_OVERLOAD)
        assert slow.quality[0].tolist() == [overload, overload, Quality.BAD_OUT_OF_RANGE, overload]
        others.cancel()
        await world.clock.advance(10)
        assert bad(world.rows[-1]) == {0, Quality.BAD_OUT_OF_RANGE}
        marked = [overload in bad(row) for row in world.rows]
        assert sum(a != b for a, b in pairwise(marked)) == 2, "it changes once each way"


async def test_one_late_poll_is_an_accident() -> None:
    world = polled(period=1.0)
    async with running(world):
        for _ in range(5):
            async with world.session.line.turn(Urgency.WRITE):
                await world.clock.advance(2.5)
            await world.clock.advance(4)
        assert world.session.status.overruns >= 5
        assert all(bad(row) == set() for row in world.rows)


async def others_have_the_line(world: World, seconds: float) -> None:
    while True:
        async with world.session.line.turn(Urgency.WRITE):
            await world.clock.sleep(seconds)
        await world.clock.sleep(0.01)


async def test_a_row_whose_scan_took_longer_than_its_period_is_uncertain() -> None:
    world = polled(period=1.0)
    world.driver.refused = {2}
    async with running(world):
        await world.clock.advance(5)
        world.driver.on_read = lambda: world.clock.sleep(0.9)
        await world.clock.advance(5)
        assert bad(world.rows[-1]) == {0, Quality.BAD_OUT_OF_RANGE}
        world.driver.on_read = lambda: world.clock.sleep(1.1)
        await world.clock.advance(10)
        slow = world.rows[-1]
        assert int(slow.received_ns[0]) - int(slow.times_ns[0]) > S
        assert bad(slow) == {Quality.UNCERTAIN, Quality.BAD_OUT_OF_RANGE}


async def test_a_search_for_what_is_refused_counts_only_the_scan_that_gave_the_row() -> None:
    world = polled(period=1.0)
    world.driver.refused = {2}
    world.driver.on_read = lambda: world.clock.sleep(0.4)
    async with running(world):
        await world.clock.advance(20)
        assert int(world.rows[0].received_ns[0]) - int(world.rows[0].times_ns[0]) < S
        assert not any(Quality.UNCERTAIN in bad(row) for row in world.rows)


# --- several groups -------------------------------------------------------------------------------


async def test_a_slow_group_lets_a_fast_one_of_its_device_in() -> None:
    groups = {"slow": GroupSettings(period=30.0), "fast": GroupSettings(period=0.2)}
    world = World((schema(4, "slow"), schema(4, "fast")), groups)
    inside, line = 0, world.session.line

    async def scan() -> None:
        nonlocal inside
        task = asyncio.current_task()
        assert task is not None
        for _ in range(500 if "slow" in task.get_name() else 1):
            inside += 1
            assert inside == 1, "one request at a time on one connection"
            await world.clock.sleep(0.02)
            inside -= 1
            if line.wanted:
                await line.give_way()

    world.driver.on_read = scan
    async with running(world):
        await world.clock.advance(120)
        start_ns = 1_700_000_000 * S
        rows = {g: [r for r in world.rows if r.schema.group == g] for g in groups}
        fast = [(int(row.times_ns[0]) - start_ns) / S for row in rows["fast"]]
        assert max(b - a for a, b in pairwise(fast)) < 0.25, "it keeps its period"
        assert len(rows["slow"]) >= 3
        assert all(bad(row) == set() for row in world.rows)
        assert world.session.status.overruns == 0


async def test_a_scan_that_outlives_its_connection_proves_nothing() -> None:
    groups = {"slow": GroupSettings(period=30.0), "fast": GroupSettings(period=1.0)}
    world = World((schema(4, "slow"), schema(4, "fast")), groups)
    line, silent = world.session.line, False

    async def scan() -> None:
        task = asyncio.current_task()
        assert task is not None
        for _ in range(200 if "slow" in task.get_name() else 1):
            if silent and "fast" in task.get_name():
                raise DeviceUnreachable("cut", hint="h", status=Quality.BAD_TIMEOUT)
            await world.clock.sleep(0.05)
            if line.wanted:
                await line.give_way()

    def connect() -> None:
        if silent:
            raise DeviceUnreachable("cut", hint="h", status=Quality.BAD_TIMEOUT)

    world.driver.on_read, world.driver.on_connect = scan, connect
    async with running(world):
        while not any(row.schema.group == "slow" for row in world.rows):
            await world.clock.advance(1)
        while world.session.line.waiting() == 0:  # the slow one has begun again
            await world.clock.advance(0.05)
        silent = True
        await world.clock.advance(40)
        assert world.events.count(DEVICE_LOST, device="press") == 1
        assert world.events.count(DEVICE_CONNECTED, device="press") == 1


# --- stood still ----------------------------------------------------------------------------------


async def test_a_stopped_process_owns_up_to_what_it_did_not_poll() -> None:
    async with running(polled(period=0.2)) as world:
        await world.clock.advance(3.3)
        before_ns = world.clock.now_ns()
        rows = len(world.rows)
        world.clock.freeze(60)
        await world.clock.advance(5)
        (gap,) = world.intake.gaps
        assert (gap.cause, gap.samples, gap.source) == (GapCause.NOT_POLLED, 0, "press")
        assert not gap.journaled
        assert before_ns - BEAT_S * S <= gap.time_from_ns <= before_ns
        assert before_ns + 60 * S <= gap.time_to_ns <= before_ns + 61 * S
        times = [int(b.times_ns[0]) for b in world.rows]
        assert not [t for t in times if gap.time_from_ns < t < gap.time_to_ns]
        assert len(world.rows) > rows + 20
        assert world.events.count(STOOD_STILL) == 1
        assert world.events.count(POLL_OVERRUN) == 0, "nobody should lengthen a period for that"
        assert world.session.status.overruns == 0


async def test_a_suspended_machine_is_noticed_although_no_timer_was_late() -> None:
    async with running(polled(period=0.2)) as world:
        await world.clock.advance(3.3)
        world.clock.suspend(8 * 3600)
        await world.clock.advance(1)
        (gap,) = world.intake.gaps
        assert gap.time_to_ns - gap.time_from_ns >= 8 * 3600 * S
        assert world.session.status.overruns == 0
        await world.clock.advance(60)
        assert len(world.intake.gaps) == 1


async def test_each_standstill_has_its_gap_and_short_ones_are_lateness() -> None:
    async with running(polled(period=0.2)) as world:
        await world.clock.advance(3.3)
        world.clock.freeze(1.2)
        await world.clock.advance(3)
        assert world.intake.gaps == []
        assert world.session.status.overruns > 0
        for _ in range(3):
            world.clock.freeze(5)
            await world.clock.advance(3)
        assert len(world.intake.gaps) == 3


async def test_a_group_that_was_not_due_missed_nothing() -> None:
    world = World((schema(2, "slow"),), {"slow": GroupSettings(period=60)})
    async with running(world):
        await world.clock.advance(5)
        world.clock.freeze(30)
        await world.clock.advance(60)
        assert world.events.count(STOOD_STILL) == 1
        assert world.intake.gaps == []


async def test_what_stood_still_in_the_middle_of_a_poll_gives_its_row_first() -> None:
    async with running(polled(period=1.0)) as world:
        await world.clock.advance(0.5)
        world.driver.on_read = lambda: world.clock.freeze(10)
        await world.clock.advance(0.6)
        world.driver.on_read = lambda: None
        assert len(world.intake.gaps) == 1
        (gap,) = world.intake.gaps
        assert int(world.rows[-1].times_ns[0]) <= gap.time_to_ns - 10 * S
        assert world.session.status.overruns == 0


# --- all at once ----------------------------------------------------------------------------------


async def test_a_device_that_refuses_all_at_once_is_out_of_order_and_comes_back_at_once() -> None:
    async with running(polled(count=500)) as world:
        await world.clock.advance(5)
        world.driver.refused = set(range(500))
        await world.clock.advance(30)
        assert bad(world.rows[-1]) == {Quality.BAD_OUT_OF_RANGE}
        assert world.events.count(TAGS_BAD, device="press") == 1
        assert world.events.count(TAGS_REFUSED, device="press") == 0
        world.driver.requests.clear()
        world.driver.refused = set()
        await world.clock.advance(1)
        assert bad(world.rows[-1]) == set()
        assert len(world.driver.requests) == 4, "its plan is as it was"


async def test_tags_that_were_refused_one_by_one_come_back_in_ever_larger_numbers() -> None:
    world = polled(count=2000)
    world.driver.refused = set(range(0, 2000, 2))
    async with running(world):
        while bad(world.rows[-1] if world.rows else None) != {0, Quality.BAD_OUT_OF_RANGE} or (
            len(np.flatnonzero(world.rows[-1].quality[0])) > 1000  # type: ignore[index]
        ):
            await world.clock.advance(5)
            assert world.clock.monotonic_s() < 600
        world.driver.refused = set()
        began_s = world.clock.monotonic_s()
        while bad(world.rows[-1]):
            await world.clock.advance(5)
            assert world.clock.monotonic_s() < began_s + 90
