"""From a tag list to rows: values, qualities, refusals, and what is learned from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.acquisition.line import SharedLine
from forebay.acquisition.refine import refine
from forebay.drivers.modbus import SPEC
from forebay.drivers.modbus.driver import ModbusDriver
from forebay.errors import ProtocolViolation
from forebay.model import Quality, is_bad
from forebay.testing.clock import FakeClock
from forebay.testing.modbus_server import Illegal, Misbehaviour, ModbusServer, address_values
from support.fuzz import examples
from support.modbus import Group, connected, device, seams, tag

if TYPE_CHECKING:
    from forebay.drivers.modbus.tag import ModbusTag
    from forebay.model import Batch


def row(batch: Batch) -> list[tuple[Any, int]]:
    """Give each column's value and quality."""
    return [(sample.value, sample.quality) for sample in batch.iter_samples()]


async def settle(group: Group) -> Batch:
    """Read and learn until nothing is new, as a session does."""
    for _ in range(200):
        done = group.plan()
        scan = await group.driver.reader(group.schema, done.blocks).read()
        learned = refine(done, scan.refusals, group.learned)
        if learned is group.learned:
            return scan.batch
        group.learned = learned
    pytest.fail("never settles")


async def test_a_row_holds_every_column_with_its_value() -> None:
    tags = [
        tag("holding:7"),
        tag("coil:3", "bool"),
        tag("input:9", "int16"),
        tag("discrete:4", "bool"),
        tag("holding:258.8", "bool"),
        tag("holding:258.9", "bool"),
        tag("holding:258", "uint32"),
        tag("holding:258", "uint32", order="CDAB"),
        tag("40260", "uint16", order="BADC"),
        tag("holding:16705", "string", length=3),
    ]
    async with ModbusServer() as server, connected(server.port, tags) as group:
        scan = await group.reader().read()
    assert [value for value, _ in row(scan.batch)] == [
        7,
        True,
        -10,
        False,
        True,
        False,
        258 << 16 | 259,
        259 << 16 | 258,
        0x0301,
        "AAA",
    ]
    assert scan.batch.quality is None
    assert scan.refusals == ()
    assert scan.batch.rows == 1
    assert scan.batch.times_ns[0] <= scan.batch.received_ns[0]


@pytest.mark.parametrize("step_s", [3600, -3600, 0.02, -0.02])
async def test_a_clock_that_is_set_during_a_read_does_not_part_the_times_of_its_row(
    step_s: float,
) -> None:
    clock = FakeClock()

    def answer(area: str, address: int) -> int:
        clock.freeze(0.3)
        clock.step_wall(step_s)
        clock.freeze(0.2)
        return address_values(area, address)

    async with (
        ModbusServer(answer) as server,
        connected(server.port, [tag("holding:7")], clock) as group,
    ):
        batch = (await group.reader().read()).batch
    assert batch.boottime_ns is not None
    assert (batch.boottime_ns[0], batch.received_ns[0]) == (clock.boottime_ns(), clock.now_ns())
    assert batch.received_ns[0] - batch.times_ns[0] == 500_000_000


async def test_holes_are_bridged_and_the_rest_is_not_read() -> None:
    tags = [tag("holding:0"), tag("holding:9"), tag("holding:19"), tag("coil:0", "bool")]
    async with ModbusServer() as server, connected(server.port, tags) as group:
        await group.reader().read()
        assert sorted(server.requests) == [("coil", 0, 1), ("holding", 0, 10), ("holding", 19, 1)]


async def test_a_refused_block_is_bad_without_a_value_and_the_rest_is_good() -> None:
    tags = [tag("holding:1"), tag("holding:500", "float32"), tag("holding:600", "string", length=4)]
    async with ModbusServer() as server, connected(server.port, tags) as group:
        reader = group.reader()
        good = await reader.read()
        server.illegal = (Illegal("holding", 500, 601),)
        scan = await reader.read()
    assert good.batch.quality is None
    assert row(scan.batch) == [
        (1, Quality.GOOD),
        (None, Quality.BAD_NODE_ID_UNKNOWN),
        (None, Quality.BAD_NODE_ID_UNKNOWN),
    ]
    assert [values.tolist() for values in scan.batch.values] == [[[1]], [[0.0]], [[""]]]
    assert [(r.block, r.permanent) for r in scan.refusals] == [(1, True), (2, True)]
    assert scan.refusals[0].message == "exception 2, illegal data address, for holding:500 to 501"


async def test_a_busy_device_refuses_for_now() -> None:
    async with ModbusServer() as server, connected(server.port, [tag("holding:1")]) as group:
        server.illegal = (Illegal("holding", 0, 9, code=6),)
        scan = await group.reader().read()
    assert [(r.status, r.permanent) for r in scan.refusals] == [(Quality.BAD_OUT_OF_SERVICE, False)]


async def test_values_that_are_no_numbers_are_kept_and_doubted() -> None:
    words = {0: 0x7FC0, 1: 0, 2: 0xFF80, 3: 0, 4: 0x3F80, 5: 0}
    tags = [tag("holding:0", "float32"), tag("holding:2", "float32"), tag("holding:4", "float32")]
    async with (
        ModbusServer(lambda _, address: words[address]) as server,
        connected(server.port, tags) as group,
    ):
        batch = (await group.reader().read()).batch
    assert np.isnan(batch.values[0][0, 0])
    assert batch.values[0][0, 1:].tolist() == [-np.inf, 1.0]
    assert batch.quality is not None
    assert batch.quality.tolist() == [[Quality.UNCERTAIN, Quality.UNCERTAIN, Quality.GOOD]]


async def test_one_failing_register_costs_one_tag_and_moves_no_value_to_another() -> None:
    tags = [tag(f"holding:{address}") for address in range(500)]
    async with ModbusServer() as server, connected(server.port, tags) as group:
        server.illegal = (Illegal("holding", 300, 300),)
        batch = await settle(group)
    assert len(row(batch)) == len(tags)
    for address, (value, quality) in enumerate(row(batch)):
        if address == 300:
            assert (value, quality) == (None, Quality.BAD_NODE_ID_UNKNOWN)
        else:
            assert (value, quality) == (address, Quality.GOOD)


kinds = st.sampled_from(["uint16", "uint32", "uint64"])


@st.composite
def tag_lists(draw: st.DrawFn) -> list[ModbusTag]:
    rows = [
        tag(f"holding:{address}", kind)
        for address, kind in draw(st.sets(st.tuples(st.integers(0, 300), kinds), max_size=60))
    ]
    rows += [tag(f"coil:{a}", "bool") for a in draw(st.sets(st.integers(0, 300), max_size=20))]
    return draw(st.permutations(rows))


@examples(40)
@given(
    tag_lists(),
    st.lists(st.integers(0, 304), max_size=12),
    st.frozensets(st.integers(1, 304), max_size=3),
    st.integers(4, 125),
    st.integers(0, 10),
    st.integers(1, 16),
)
async def test_whatever_is_refused_no_value_stands_under_another_tag(
    tags: list[ModbusTag],
    illegal: list[int],
    edges: frozenset[int],
    max_registers: int,
    max_hole: int,
    depth: int,
) -> None:
    async with (
        ModbusServer() as server,
        connected(
            server.port,
            tags,
            max_registers=max_registers,
            max_hole_registers=max_hole,
            pipeline=depth,
        ) as group,
    ):
        server.illegal = tuple(Illegal("holding", address, address) for address in illegal)
        server.edges = edges
        batch = await settle(group)
    for row_, (value, quality) in zip(tags, row(batch), strict=True):
        place = row_.place
        places = range(place.start, place.start + row_.count)
        if place.area == "coil":
            want = address_values("coil", place.start)
            hopeless = False
        else:
            want = int.from_bytes(b"".join(a.to_bytes(2, "big") for a in places), "big")
            hopeless = any(a in places for a in illegal) or any(e in places[1:] for e in edges)
        assert is_bad(quality) == hopeless, row_.address
        assert value == (None if hopeless else want)


async def test_a_lie_reaches_the_session_as_a_violation() -> None:
    async with ModbusServer() as server, connected(server.port, [tag("holding:1")]) as group:
        server.misbehaviour = Misbehaviour.WRONG_UNIT
        with pytest.raises(ProtocolViolation):
            await group.reader().read()


def test_a_tag_longer_than_a_request_is_a_fault_of_the_configuration() -> None:
    tags = [
        tag("holding:0", "float64"),
        tag("holding:9", "string", length=9),
        tag("coil:1", "bool"),
    ]
    spec = device(502, tags, max_registers=3, max_bits=1)
    faults = list(SPEC.check(spec))
    assert [fault.path for fault in faults] == ["devices.plc.tags"] * 2
    assert repr(tags[0].name) in faults[0].message
    assert "one request may read 3" in faults[0].message


async def test_closing_twice_or_before_connecting_does_nothing() -> None:
    async with ModbusServer() as server:
        group = Group(device(server.port, [tag("holding:1")]))
        await group.driver.close()
        await group.driver.connect()
        await group.driver.close()
        await group.driver.close()


def test_the_face_is_that_of_a_polled_driver() -> None:
    assert SPEC.protocol == "modbus"
    assert SPEC.modes == {"poll"}
    assert isinstance(
        SPEC.build(device(502, []), seams(), SharedLine("plc", seams().clock)), ModbusDriver
    )
