"""The session engine.

An exact grid, deadlines, reconnection, bad quality for what was not read, and a poller that never
dies.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from forebay.errors import DeviceRefused, DeviceUnreachable, ProtocolViolation
from forebay.events import (
    DEVICE_CONNECTED,
    DEVICE_LOST,
    FRAME_REFUSED,
    POLL_OVERRUN,
    SESSION_FAILED,
    TAGS_REFUSED,
)
from forebay.model import Batch, Quality
from forebay.settings import GroupSettings
from support.one_session import S, World, bad, polled, running, schema


async def test_polls_stay_on_the_grid_for_a_thousand_periods() -> None:
    world = polled(period=0.25)
    world.driver.on_read = lambda: world.clock.sleep(0.07)
    async with running(world):
        await world.clock.advance(250)
        times = world.times_s()
        assert len(times) == 1000
        assert {round(b - a, 6) for a, b in pairwise(times)} == {0.25}
        assert world.session.status.overruns == 0


async def test_a_slow_poll_is_counted_once_per_missed_period_and_told_once() -> None:
    world = polled(period=1.0)
    world.driver.on_read = lambda: world.clock.sleep(2.5)
    async with running(world):
        await world.clock.advance(30)
        assert world.times_s()[:4] == [0, 3, 6, 9]
        assert world.session.status.overruns == 2 * world.session.status.polls
        assert world.events.count(POLL_OVERRUN, device="press") == 1


@pytest.mark.parametrize("breaks", [False, True])
async def test_a_row_is_dated_by_the_clock_as_it_is_when_the_row_is_made(*, breaks: bool) -> None:
    """The clock is set while the poll waits: the row's times and the anchor behind it agree."""
    world = polled(period=10.0)

    def read() -> None:
        world.clock.freeze(1.0)
        world.clock.step_wall(-3600)
        world.clock.freeze(2.0)
        if breaks:
            raise DeviceUnreachable("cable", hint="plug it in", status=Quality.BAD_TIMEOUT)

    world.driver.on_read = read
    async with running(world):
        await world.clock.advance(0.5)
    (row,) = world.rows
    assert row.boottime_ns is not None
    offset_ns = world.clock.read().offset_ns
    assert row.received_ns[0] - row.boottime_ns[0] == offset_ns
    assert row.times_ns[0] - offset_ns == 0, "when the read began"
    assert row.received_ns[0] - offset_ns == (0 if breaks else 3 * S)


async def test_two_groups_keep_their_own_periods() -> None:
    world = World(
        (schema(2, "fast"), schema(3, "slow")),
        {"fast": GroupSettings(period=0.5), "slow": GroupSettings(period=5.0)},
    )
    async with running(world):
        await world.clock.advance(10)
        groups = [b.schema.group for b in world.rows]
        assert (groups.count("fast"), groups.count("slow")) in {(20, 3), (21, 3)}
        slow_s = [
            t for t, b in zip(world.times_s(), world.rows, strict=True) if len(b.schema.tags) == 3
        ]
        assert slow_s == [0.5, 2.5, 7.5], "the first comes soon, then it keeps its phase"


async def test_an_outage_is_data_with_bad_quality_and_heals_by_itself() -> None:
    async with running(polled()) as world:
        await world.clock.advance(2.5)
        assert [bad(b) for b in world.rows] == [set()] * 3

        def cut() -> None:
            raise DeviceUnreachable("cable", hint="plug it in", status=Quality.BAD_NO_COMMUNICATION)

        world.driver.on_read = world.driver.on_connect = cut
        await world.clock.advance(10)
        down = world.rows[3:]
        assert len(down) == 10
        assert all(bad(b) == {Quality.BAD_NO_COMMUNICATION} for b in down)
        assert not any(b.values[0].any() for b in down)
        assert world.session.status.state == "waiting"
        assert (world.session.status.last_error, world.session.status.last_hint) == (
            "cable",
            "plug it in",
        )
        world.driver.on_read = world.driver.on_connect = lambda: None
        await world.clock.advance(6)
        assert bad(world.rows[-1]) == set()
        assert world.times_s() == [float(n) for n in range(len(world.rows))]
        assert world.events.count(DEVICE_LOST, device="press") == 1
        assert world.events.count(DEVICE_CONNECTED, device="press") == 2
        assert world.driver.closes == world.driver.connects - 1


async def test_back_off_grows_to_its_limit_and_is_jittered() -> None:
    async with running(polled()) as world:
        moments: list[float] = []

        def refuse() -> None:
            moments.append(world.clock.monotonic_s())
            raise DeviceUnreachable("no", hint="h", status=Quality.BAD_NOT_CONNECTED)

        world.driver.on_connect = refuse
        world.driver.on_read = lambda: (_ for _ in ()).throw(
            DeviceUnreachable("no", hint="h", status=Quality.BAD_NO_COMMUNICATION)
        )
        await world.clock.advance(60)
        waits = [b - a for a, b in pairwise(moments)]
        assert max(waits) <= 4.0
        assert all(2.0 <= w <= 4.0 for w in waits[4:])
        assert len({round(w, 6) for w in waits[4:]}) > 3


class LibraryCancelled(asyncio.CancelledError):
    """What a library makes of a cancellation; `asyncio.timeout` of Python 3.11 passes it on."""


async def never() -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise LibraryCancelled from None


async def cancelled() -> None:
    raise asyncio.CancelledError


def cut() -> None:
    raise DeviceUnreachable("cut", hint="h", status=Quality.BAD_NO_COMMUNICATION)


@pytest.mark.parametrize("fault", [never, cancelled])
@pytest.mark.parametrize("where", ["on_connect", "on_read"])
async def test_a_cancellation_that_is_the_drivers_own_ends_no_task(fault: Any, where: str) -> None:
    async with running(polled(timeout=0.05)) as world:
        await world.clock.advance(1)
        if where == "on_connect":
            world.driver.on_read = cut
        setattr(world.driver, where, fault)
        before, heard = world.driver.connects, len(world.rows)
        while world.driver.connects < before + 3:
            await asyncio.sleep(0.01)  # the deadline is the event loop's, not the fake clock's
            await world.clock.advance(1)
        assert len(world.rows) > heard
        world.driver.on_connect = world.driver.on_read = lambda: None
        while bad(world.rows[-1]):
            await asyncio.sleep(0.01)
            await world.clock.advance(1)
        assert world.session.status.state == "connected"


async def test_a_connection_that_never_answers_meets_its_deadline() -> None:
    async with running(polled(timeout=0.05)) as world:
        world.driver.on_connect = asyncio.Event().wait
        world.driver.on_read = lambda: (_ for _ in ()).throw(
            DeviceUnreachable("cut", hint="h", status=Quality.BAD_NO_COMMUNICATION)
        )
        await world.clock.advance(1.5)
        before = len(world.rows)
        for _ in range(100):
            await asyncio.sleep(0.01)  # the deadline is the event loop's, not the fake clock's
            await world.clock.advance(0.2)
        assert world.driver.connects > 3
        assert len(world.rows) > before + 15
        assert world.session.status.last_hint == "check address, cable and firewall"


async def test_a_driver_with_a_bug_is_contained_and_told() -> None:
    async with running(polled()) as world:
        world.driver.on_read = lambda: 1 // 0
        await world.clock.advance(20)
        assert world.events.count(SESSION_FAILED, device="press") > 3
        assert bad(world.rows[-1]) == {Quality.BAD_DEVICE_FAILURE}
        world.driver.on_read = lambda: None
        await world.clock.advance(6)
        assert bad(world.rows[-1]) == set()


async def test_a_violation_of_the_protocol_is_counted() -> None:
    async with running(polled()) as world:
        world.driver.on_read = lambda: (_ for _ in ()).throw(
            ProtocolViolation("wrong unit", hint="h", status=Quality.BAD_COMMUNICATION_ERROR)
        )
        await world.clock.advance(1.5)
        assert world.events.count(FRAME_REFUSED, device="press") >= 1


@pytest.mark.parametrize("refused", [{0}, {99}, {31, 32}, {5, 50, 95}, set(range(0, 100, 7))])
async def test_a_refused_tag_goes_bad_alone_within_the_poll_that_finds_it(
    refused: set[int],
) -> None:
    async with running(polled(count=100)) as world:
        world.driver.refused = refused
        await world.clock.advance(0)
        await world.clock.advance(3)
        last = world.rows[-1]
        assert last.quality is not None
        assert set(np.flatnonzero(last.quality[0] >> 31).tolist()) == refused
        good = [c for c in range(100) if c not in refused]
        assert ((last.values[0][0, good] - np.array(good)) % 1000 == 0).all()
        assert world.events.count(TAGS_REFUSED, device="press") >= 1
        assert world.events.count(DEVICE_LOST, device="press") == 0


async def test_what_was_learned_is_remembered_over_a_reconnection() -> None:
    async with running(polled(count=100)) as world:
        world.driver.refused = {42}
        await world.clock.advance(3)
        world.driver.on_read = lambda: (_ for _ in ()).throw(
            DeviceUnreachable("cut", hint="h", status=Quality.BAD_NO_COMMUNICATION)
        )
        await world.clock.advance(1)
        world.driver.on_read = lambda: None
        await world.clock.advance(5)
        world.driver.requests.clear()
        await world.clock.advance(1)
        assert len(world.driver.requests) <= 3


async def test_a_stream_is_handed_on_and_its_end_marks_every_tag() -> None:
    one = schema(3)
    world = World((one,), {"fast": GroupSettings(mode="subscribe", period=0.1)})
    async with running(world):
        times = np.array([5], np.int64)
        change = Batch(
            one, times, times, (np.array([7], np.int32),), None, np.array([1], np.uint32)
        )
        world.driver.feed.put_nowait(change)
        await world.clock.advance(0.1)
        assert world.rows == [change]
        world.driver.feed.put_nowait(
            DeviceUnreachable("restart", hint="wait", status=Quality.BAD_NO_COMMUNICATION)
        )
        await world.clock.advance(0)
        assert bad(world.rows[-1]) == {Quality.BAD_NO_COMMUNICATION}
        assert world.rows[-1].samples == 3
        await world.clock.advance(2)
        assert world.session.status.state == "connected"
        world.driver.feed.put_nowait(change)
        await world.clock.advance(0)
        assert world.rows[-1] is change


async def test_a_device_that_refuses_the_connection_is_tried_again() -> None:
    async with running(polled()) as world:
        world.driver.on_connect = lambda: (_ for _ in ()).throw(
            DeviceRefused("password", hint="check it", status=Quality.BAD_NOT_CONNECTED)
        )
        world.driver.on_read = lambda: (_ for _ in ()).throw(
            DeviceUnreachable("cut", hint="h", status=Quality.BAD_NO_COMMUNICATION)
        )
        await world.clock.advance(20)
        assert world.session.status.last_hint == "check it"
        assert world.driver.connects > 4


async def test_a_device_that_connects_and_gives_nothing_is_asked_ever_less_often() -> None:
    world = polled(period=0.1)
    world.driver.on_read = lambda: (_ for _ in ()).throw(
        DeviceUnreachable("cut", hint="h", status=Quality.BAD_NO_COMMUNICATION)
    )
    async with running(world):
        await world.clock.advance(100)
        assert 10 < world.session.status.connections < 40
        assert world.events.count(DEVICE_CONNECTED, device="press") == 0
        assert world.events.count(DEVICE_LOST, device="press") == 1
        world.driver.on_read = lambda: None
        await world.clock.advance(5)
        assert bad(world.rows[-1]) == set()
        assert world.events.count(DEVICE_CONNECTED, device="press") == 1
