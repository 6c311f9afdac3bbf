"""The search for what can be read: exact whatever the device refuses, and with few questions."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.clock import SystemClock
from forebay.drivers.modbus.scan import BUSY_MOST, BUSY_S, PAUSE_S, Ask, Run, areas_of, search
from forebay.errors import DeviceRefused, DeviceUnreachable, RequestInvalid
from forebay.interfaces import Span, Urgency
from forebay.testing.modbus_server import Illegal, Misbehaviour, ModbusServer
from support.modbus import connected, tag

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.modbus import Group

MOST = 125


def scanned(
    first: int,
    last: int,
    illegal: set[int],
    edges: set[int] | frozenset[int] = frozenset(),
    longest: int = MOST,
) -> tuple[list[Run], list[Ask]]:
    """Scan a device; give what was found and what was asked."""
    runs, asked = [], []
    steps = search(first, last, MOST)
    step = next(steps, None)
    while step is not None:
        good = False
        if isinstance(step, Run):
            runs.append(step)
        else:
            assert first <= step.start
            assert 1 <= step.size <= MOST
            assert step.start + step.size <= last + 1
            asked.append(step)
            places = range(step.start, step.start + step.size)
            good = (
                step.size <= longest and illegal.isdisjoint(places) and edges.isdisjoint(places[1:])
            )
        try:
            step = steps.send(good)
        except StopIteration:
            break
    return runs, asked


def there(first: int, last: int, illegal: set[int]) -> list[Run]:
    """What a scan ought to find."""
    runs: list[Run] = []
    for place in range(first, last + 1):
        if place in illegal:
            continue
        if runs and runs[-1].start + runs[-1].size == place:
            runs[-1] = Run(runs[-1].start, runs[-1].size + 1)
        else:
            runs.append(Run(place, 1))
    return runs


def bound(runs: list[Run], gaps: int, *, most: int) -> int:
    """So many questions may a scan cost: one for each place in a gap, few for each run."""
    whole = sum(math.ceil(run.size / most) for run in runs)
    return gaps + whole + len(runs) * (math.ceil(math.log2(MOST)) + 3) + 10


def test_a_device_that_has_everything_is_asked_in_the_longest_requests() -> None:
    runs, asked = scanned(0, 65_535, set())
    assert runs == [Run(0, 65_536)]
    assert len(asked) == math.ceil(65_536 / MOST)


def test_a_device_that_has_nothing_is_asked_for_each_place() -> None:
    runs, asked = scanned(0, 999, set(range(1000)))
    assert runs == []
    assert len(asked) <= 1000 + 10


@given(
    st.integers(0, 50),
    st.integers(0, 600),
    st.lists(st.tuples(st.integers(0, 650), st.integers(1, 150)), max_size=8),
    st.sets(st.integers(0, 650), max_size=4),
    st.integers(1, MOST),
)
def test_every_run_is_found_exactly(
    first: int, count: int, holes: list[tuple[int, int]], edges: set[int], longest: int
) -> None:
    last = first + count
    illegal = {place for start, size in holes for place in range(start, start + size)}
    runs, asked = scanned(first, last, illegal, edges, longest)
    assert runs == there(first, last, illegal)
    gaps = len(illegal & set(range(first, last + 1)))
    # What is refused for its length alone is found out twice; what crosses an edge, each time.
    more = (len(edges) + 2) * (math.ceil(math.log2(MOST)) + 3)
    assert len(asked) <= bound(runs, gaps, most=max(1, min(longest, MOST))) * 2 + more * 4


@pytest.mark.parametrize("longest", [1, 2, 16, 100])
def test_a_device_that_takes_only_shorter_requests_is_asked_so(longest: int) -> None:
    runs, asked = scanned(0, 1_999, set(), longest=longest)
    assert runs == [Run(0, 2_000)]
    assert len(asked) <= 2_000 / longest + 25


def test_every_area_is_scanned_unless_some_are_named() -> None:
    assert areas_of(()) == ("coil", "discrete", "holding", "input")
    assert areas_of(("input", "coil", "input")) == ("input", "coil")
    with pytest.raises(RequestInvalid, match="no area 'holdings'"):
        areas_of(("holdings",))


class Hasty(SystemClock):
    """Notes how long it was asked to wait, and hardly waits."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.on_sleep: Callable[[], None] = lambda: None

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        self.waits.append(seconds)
        self.on_sleep()
        await super().sleep(min(seconds, 1e-3))


async def found(
    group: Group, areas: tuple[str, ...] = ("holding",), first: int = 0, last: int = 299
) -> list[Span]:
    return [span async for span in group.driver.scan(areas, first, last)]


async def test_a_device_is_scanned_one_request_at_a_time_with_a_pause_after_each() -> None:
    clock = Hasty()
    async with ModbusServer() as server, connected(server.port, [tag("holding:1")], clock) as group:
        server.illegal = (Illegal("holding", 0, 59), Illegal("holding", 200, 200))
        server.requests.clear()
        spans = await found(group)
        asked = [(start, count) for _, start, count in server.requests]
    runs = [span for span in spans if span.count]
    assert runs == [Span("holding", 60, 140), Span("holding", 201, 99)]
    assert spans[0] == Span("holding", 43, 0), "in a long gap it says how far it is"
    assert clock.waits == [PAUSE_S] * len(asked)
    assert len(asked) == len(set(asked)), "nothing is asked twice"


async def test_an_area_that_the_device_does_not_have_costs_one_request() -> None:
    async with ModbusServer() as server, connected(server.port, [tag("holding:1")]) as group:
        server.illegal = (Illegal("input", 0, 65_535, code=1),)
        server.requests.clear()
        spans = await found(group, ("input", "discrete"), 0, 9)
        assert [area for area, _, _ in server.requests] == ["input", "discrete"]
    assert spans == [Span("discrete", 0, 10)]


async def test_addresses_count_as_those_of_tags_do() -> None:
    async with (
        ModbusServer() as server,
        connected(server.port, [tag("holding:5")], address_base=1) as group,
    ):
        server.illegal = (Illegal("holding", 10, 65_535),)
        assert await found(group, first=1, last=20) == [Span("holding", 1, 10)]
        server.requests.clear()
        assert await found(group, first=0, last=1) == [Span("holding", 1, 1)]
        assert {start for _, start, _ in server.requests} == {0}
        server.illegal = ()
        assert await found(group, first=65_530, last=1 << 32) == [Span("holding", 65_530, 7)]


async def test_a_busy_device_is_given_time_and_then_left_alone() -> None:
    clock = Hasty()
    async with ModbusServer() as server, connected(server.port, [tag("holding:1")], clock) as group:
        server.illegal = (Illegal("holding", 0, 65_535, code=6),)
        server.requests.clear()
        with pytest.raises(DeviceRefused, match="exception 6"):
            await found(group)
        assert len(server.requests) == BUSY_MOST
        assert clock.waits == [BUSY_S] * BUSY_MOST

        def recover() -> None:
            if len(clock.waits) == BUSY_MOST + 3:
                server.illegal = ()

        clock.on_sleep = recover
        assert await found(group) == [Span("holding", 0, 300)]


async def test_a_scan_ends_with_its_connection() -> None:
    async with ModbusServer() as server, connected(server.port, [tag("holding:1")]) as group:
        scan = group.driver.scan(("holding", "input"), 0, 299)
        assert await anext(scan) == Span("holding", 0, 300)
        await group.driver.close()
        with pytest.raises(DeviceUnreachable, match="connection was lost"):
            await anext(scan)


async def test_silence_ends_a_scan() -> None:
    async with (
        ModbusServer() as server,
        connected(server.port, [tag("holding:1")], timeout=0.2) as group,
    ):
        server.misbehaviour, server.from_request = Misbehaviour.SILENCE, len(server.requests) + 1
        with pytest.raises(DeviceUnreachable, match="no answer"):
            await found(group)


async def test_polls_go_before_a_scan_and_wait_for_one_request_at_most() -> None:
    async with ModbusServer() as server, connected(server.port, [tag("holding:1")]) as group:
        server.illegal = (Illegal("input", 0, 199),)
        reader, line = group.reader(), group.line
        scanning = asyncio.create_task(found(group, ("input",), 0, 199), name="scan")
        for _ in range(20):
            await asyncio.sleep(0)
            before = len(server.requests)
            async with line.turn(Urgency.POLL):
                ahead = len(server.requests) - before
                assert (await reader.read()).batch.quality is None
            assert ahead <= 1
        assert [span for span in await scanning if span.count] == []
