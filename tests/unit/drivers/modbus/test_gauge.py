"""Scans that are measured bring what the others bring, and what they tell makes better plans."""

from __future__ import annotations

import math

import pytest

from forebay.acquisition.planned import PlannedGroup
from forebay.acquisition.refine import PROBE_EVERY
from forebay.drivers.modbus.gauge import AT_ONCE, EVERY, FROM
from forebay.errors import DeviceUnreachable
from forebay.model import Quality
from forebay.testing.modbus_server import Illegal, Misbehaviour, ModbusServer
from support.modbus import connected, tag

APART = 20
"""Registers from one tag to the next: more than are bridged before anything was measured."""
MOST_POLLS = 20 * PROBE_EVERY
"""So long a busy machine may hide what requests take."""


async def test_a_measured_scan_brings_the_same_values_and_refusals() -> None:
    tags = [tag(f"holding:{n * APART}") for n in range(3 * AT_ONCE)]
    bad = 2 * AT_ONCE + 3
    async with ModbusServer() as server, connected(server.port, tags) as group:
        server.illegal = (Illegal("holding", bad * APART, bad * APART),)
        reader = group.reader()
        assert reader.gauge is not None
        seen = set()
        for _ in range(FROM + 3 * AT_ONCE + EVERY):
            scan = await reader.read()
            seen.add(
                (
                    tuple(scan.batch.values[0][0].tolist()),
                    tuple((r.block, r.status, r.permanent) for r in scan.refusals),
                )
            )
        assert len(server.requests) % len(tags) == 0, "each request once a scan"
        cost = group.driver.cost("holding")
    values = tuple(0 if n == bad else n * APART for n in range(len(tags)))
    assert seen == {(values, ((bad, Quality.BAD_NODE_ID_UNKNOWN, True),))}
    assert cost is not None
    assert cost.per_request_s > 0


async def settle(planned: PlannedGroup, requests: int) -> None:
    """Poll until the plan has so many requests, some time at least; no poll may lose a value."""
    polls = 0
    while polls < 2 * PROBE_EVERY or planned.plan is None or len(planned.plan.blocks) != requests:
        polls += 1
        assert polls < MOST_POLLS, planned.plan
        planned.prepare()
        again = True
        while again:
            assert planned.reader is not None
            scan = await planned.reader.read()
            again = planned.learn(scan)
        assert scan.batch.quality is None
        assert scan.batch.values[0][0].tolist() == [n * APART for n in range(30)]


async def test_holes_are_bridged_once_requests_have_shown_what_they_take() -> None:
    tags = [tag(f"holding:{n * APART}") for n in range(30)]
    async with ModbusServer() as server, connected(server.port, tags) as group:
        server.delay_s = 0.001
        planned = PlannedGroup(group.schema, lambda *_: None)
        planned.connected(group.driver)
        assert planned.plan is not None
        assert len(planned.plan.blocks) == len(tags)
        await settle(planned, math.ceil(30 / 7))
        server.requests.clear()
        assert planned.reader is not None
        await planned.reader.read()
        assert len(server.requests) == len(planned.plan.blocks)
        cost = group.driver.cost("holding")
    assert cost is not None
    assert cost.of(1) >= 0.001


@pytest.mark.parametrize("longest", [1, 30, 41, 100])
async def test_no_scan_is_lost_where_bridged_holes_make_requests_too_long(longest: int) -> None:
    tags = [tag(f"holding:{n * APART}") for n in range(30)]
    together = 1 + (longest - 1) // APART
    async with ModbusServer() as server, connected(server.port, tags) as group:
        server.delay_s, server.max_count = 0.001, longest
        planned = PlannedGroup(group.schema, lambda *_: None)
        planned.connected(group.driver)
        await settle(planned, math.ceil(30 / together))


async def test_a_number_that_a_person_wrote_stands_whatever_is_measured() -> None:
    tags = [tag(f"holding:{n * APART}") for n in range(30)]
    async with (
        ModbusServer() as server,
        connected(server.port, tags, max_hole_registers=0, pipeline=4) as group,
    ):
        reader = group.reader()
        for _ in range(FROM + AT_ONCE):
            await reader.read()
        assert group.driver.cost("holding") is not None
        assert group.driver.limits("holding").max_hole == 0
        assert group.driver.limits("coil").max_hole == 64


async def test_where_each_read_has_a_connection_of_its_own_nothing_is_measured() -> None:
    async with (
        ModbusServer() as server,
        connected(server.port, [tag("holding:1")], close_after_read=True) as group,
    ):
        assert group.reader().gauge is None


async def test_silence_in_a_measured_scan_is_told_as_in_any_other() -> None:
    tags = [tag(f"holding:{n * APART}") for n in range(4)]
    async with ModbusServer() as server, connected(server.port, tags, timeout=0.2) as group:
        reader = group.reader()
        for _ in range(FROM):
            await reader.read()
        server.misbehaviour, server.from_request = Misbehaviour.SILENCE, len(server.requests) + 2
        with pytest.raises(DeviceUnreachable, match="no answer"):
            await reader.read()
