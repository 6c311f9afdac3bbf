"""Modbus RTU over a serial line against units on libmodbus and modbus_tk, and the line's faults."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import serial
from modbus_tk.defines import ANALOG_INPUTS, COILS, HOLDING_REGISTERS
from modbus_tk.modbus_rtu import RtuServer

from forebay.acquisition.line import SharedLine
from forebay.clock import SystemClock
from forebay.errors import DeviceRefused, DeviceUnreachable, ProtocolViolation, WriteInDoubt
from forebay.interfaces import Urgency
from support.modbus import Group, device, tag
from support.serial_line import libmodbus_unit, serial_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from forebay.drivers.modbus.tag import ModbusTag
    from forebay.interfaces import Value
    from support.serial_line import SerialLine

pytestmark = pytest.mark.e2e

TAGS = [tag("holding:5"), tag("holding:100"), tag("input:7"), tag("coil:3", "bool")]


def right(unit: int) -> list[Any]:
    return [1000 * unit + 5, 1000 * unit + 100, 65_528, True]


class Bus:
    def __init__(self, wire: SerialLine, **settings: Any) -> None:
        self.wire, self.line = wire, SharedLine(wire.ports[0], SystemClock())
        # A pseudo-terminal takes no parity.
        line = {"transport": "rtu", "serial_port": wire.ports[0], "parity": "none"}
        self.settings = {**line, **settings}

    def unit(self, number: int, tags: Sequence[Any] = TAGS, **settings: Any) -> Group:
        given = {**self.settings, **settings}
        return Group(device(0, tags, unit=number, **given), line=self.line)


@asynccontextmanager
async def bus(binary: Path, *units: int, **settings: Any) -> AsyncIterator[Bus]:
    """Run these units on one line."""
    with ExitStack() as stack:
        wire = stack.enter_context(serial_line(1 + len(units)))
        for port, unit in zip(wire.ports[1:], units, strict=True):
            stack.enter_context(libmodbus_unit(binary, port, unit))
        yield Bus(wire, **settings)


@asynccontextmanager
async def connected(line: Bus, *units: int, **settings: Any) -> AsyncIterator[list[Group]]:
    async with AsyncExitStack() as stack:
        groups = [line.unit(unit, **settings) for unit in units]
        for group in groups:
            stack.push_async_callback(group.driver.close)
            await group.driver.connect()
        yield groups


async def read(group: Group) -> list[Any]:
    async with group.line.turn(Urgency.POLL):
        batch = (await group.reader().read()).batch
    return [sample.value for sample in batch.iter_samples()]


async def test_units_on_one_line_are_read_in_turns(libmodbus_rtu_server_binary: Path) -> None:
    async with (
        bus(libmodbus_rtu_server_binary, 1, 2, 3) as line,
        connected(line, 1, 2, 3) as groups,
    ):
        for _ in range(3):
            found = await asyncio.gather(*map(read, groups))
            assert found == [right(unit) for unit in (1, 2, 3)]


async def test_long_answers_and_refusals(libmodbus_rtu_server_binary: Path) -> None:
    tags = [tag(f"holding:{a}") for a in range(1, 500)] + [tag("holding:5000")]
    async with bus(libmodbus_rtu_server_binary, 7) as line:
        group = line.unit(7, tags)
        await group.driver.connect()
        scan = await group.reader().read()
        await group.driver.close()
    values = [sample.value for sample in scan.batch.iter_samples()]
    assert values == [*(7000 + a for a in range(1, 500)), None]
    assert "exception 2" in scan.refusals[0].message


async def test_a_silent_unit_costs_its_own_values_only(libmodbus_rtu_server_binary: Path) -> None:
    async with (
        bus(libmodbus_rtu_server_binary, 1, 9) as line,
        connected(line, 1, timeout=2.0) as (good,),
    ):
        line.wire.muted = {2}
        for _ in range(3):
            assert await read(good) == right(1)
            dead = line.unit(9, timeout=0.3)
            with pytest.raises(DeviceUnreachable, match="no answer within"):
                await dead.driver.connect()
            await dead.driver.close()
        line.wire.muted = set()
        async with connected(line, 9, timeout=2.0) as (back,):
            assert await read(back) == right(9)
        assert await read(good) == right(1)


async def test_what_is_written_on_the_line_can_be_read_back(
    libmodbus_rtu_server_binary: Path,
) -> None:
    rows: list[tuple[ModbusTag, Value]] = [
        (tag("coil:4", "bool"), True),
        (tag("holding:10"), 4321),
        (tag("holding:20", "float32"), -2.5),
        (tag("holding:40.3", "bool"), True),
    ]
    async with bus(libmodbus_rtu_server_binary, 1, 2) as line:
        group, other = line.unit(1, [row for row, _ in rows], timeout=2.0), line.unit(2)
        await group.driver.connect()
        await other.driver.connect()
        for row, value in rows:
            await group.driver.write(row.name, value)
            assert await group.driver.read_back(row.name) == value
        line.wire.muted = {1}
        with pytest.raises(WriteInDoubt, match="no answer within"):
            await group.driver.write(rows[1][0].name, 1)
        line.wire.muted = set()
        with pytest.raises(DeviceRefused, match="nothing was written"):
            await group.driver.write(rows[1][0].name, 2)  # the echo of the first may still come
        assert await read(other) == right(2)
        await group.driver.close()
        await other.driver.close()


async def test_echo_and_noise_in_front_of_an_answer_are_passed_over(
    libmodbus_rtu_server_binary: Path,
) -> None:
    async with (
        bus(libmodbus_rtu_server_binary, 1) as line,
        connected(line, 1) as (group,),
    ):
        wire = line.wire

        def disturb(sender: int, data: bytes) -> bytes:
            if sender == 0:
                wire.say(1, data)  # the adapter hears itself
                return data
            return b"\x00\xff" + data

        wire.change = disturb
        assert await read(group) == right(1)
        assert await read(group) == right(1)


async def test_a_broken_answer_is_refused_and_the_next_poll_is_right(
    libmodbus_rtu_server_binary: Path,
) -> None:
    async with bus(libmodbus_rtu_server_binary, 1, timeout=1.0) as line:
        spoil = True

        def flip(sender: int, data: bytes) -> bytes:
            return bytes((data[0], data[1] ^ 1)) + data[2:] if sender and spoil else data

        line.wire.change = flip
        group = line.unit(1)
        await group.driver.connect()
        with pytest.raises(ProtocolViolation, match="no right answer"):
            await read(group)
        await group.driver.close()
        spoil = False
        async with connected(line, 1) as (again,):
            assert await read(again) == right(1)


async def test_a_late_answer_is_never_that_of_the_next_request(
    libmodbus_rtu_server_binary: Path,
) -> None:
    """Unit 1's answer comes during the next request to it, which asks for as many registers."""
    held: list[bytes] = []
    async with bus(libmodbus_rtu_server_binary, 1, 2, timeout=0.5) as line:
        hold = False

        def late(sender: int, data: bytes) -> bytes:
            if sender == 1 and hold:
                held.append(data)
                return b""
            if sender == 0 and held and not hold:
                line.wire.say(1, b"".join(held))  # just as the next request is under way
                held.clear()
            return data

        line.wire.change = late
        first, second = (line.unit(1, [tag(f"holding:{a}")]) for a in (10, 20))
        async with connected(line, 2) as (other,):
            await first.driver.connect()
            hold = True
            with pytest.raises(DeviceUnreachable, match="no answer within"):
                await first.reader().read()
            await first.driver.close()
            hold = False
            await second.driver.connect()
            batch = (await second.reader().read()).batch
            assert [sample.value for sample in batch.iter_samples()] == [1020]
            assert await read(other) == right(2)
            await second.driver.close()


async def test_a_port_that_is_not_there_or_not_ours_says_so(
    libmodbus_rtu_server_binary: Path,
) -> None:
    async with bus(libmodbus_rtu_server_binary, 1) as line:
        gone = Group(device(0, TAGS, transport="rtu", serial_port="/dev/forebay-none"))
        with pytest.raises(DeviceUnreachable, match=r"no connection to /dev/forebay-none"):
            await gone.driver.connect()
        async with connected(line, 1):
            twice = Group(device(0, TAGS, **line.settings))
            with pytest.raises(DeviceUnreachable, match="no connection to") as caught:
                await twice.driver.connect()
        assert "free" in caught.value.hint


@pytest.fixture
async def modbus_tk_line() -> AsyncIterator[SerialLine]:
    """One port with the units 1 to 7 of modbus_tk, whose register a of unit u holds 1000 u + a."""
    with serial_line(2) as wire:
        port = serial.Serial(wire.ports[1], 9600, timeout=0.05)
        server = RtuServer(port, error_on_missing_slave=False)
        for unit in range(1, 8):
            slave = server.add_slave(unit)
            slave.add_block("holding", HOLDING_REGISTERS, 0, 200)
            slave.set_values("holding", 0, [1000 * unit + a for a in range(200)])
            slave.add_block("input", ANALOG_INPUTS, 7, 1)
            slave.set_values("input", 7, [65_528])
            slave.add_block("coils", COILS, 0, 8)
            slave.set_values("coils", 3, [1])
        server.start()
        try:
            yield wire
        finally:
            server.stop()
            port.close()


@pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # of modbus_tk
async def test_seven_units_of_modbus_tk_and_one_that_is_not_there(
    modbus_tk_line: SerialLine,
) -> None:
    line = Bus(modbus_tk_line, baudrate=9600, timeout=5.0)
    async with connected(line, *range(1, 8)) as groups:
        for _ in range(3):
            dead = line.unit(8, timeout=0.5)
            with pytest.raises(DeviceUnreachable, match="no answer within"):
                await dead.driver.connect()
            await dead.driver.close()
            found = await asyncio.gather(*map(read, groups))
            assert found == [right(unit) for unit in range(1, 8)]


async def test_a_port_that_is_pulled_out_is_lost(libmodbus_rtu_server_binary: Path) -> None:
    async with bus(libmodbus_rtu_server_binary, 1) as line, connected(line, 1) as (group,):
        assert await read(group) == right(1)
        line.wire.close()
        with pytest.raises(DeviceUnreachable, match="connection lost"):
            await read(group)
        with pytest.raises(DeviceUnreachable, match="no connection to"):
            await line.unit(1).driver.connect()
