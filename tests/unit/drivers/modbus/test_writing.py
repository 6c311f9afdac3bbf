"""Writes: one request each, its echo checked, and no outcome claimed that nobody knows."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from forebay.errors import DeviceRefused, WriteInDoubt
from forebay.interfaces import Urgency
from forebay.model import Quality
from forebay.testing.modbus_server import Illegal, Misbehaviour, ModbusServer
from support.modbus import connected, tag

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from forebay.drivers.modbus.driver import ModbusDriver
    from forebay.drivers.modbus.tag import ModbusTag
    from forebay.interfaces import Value

COIL = tag("coil:3", "bool")
WORD = tag("holding:7")
FLOAT = tag("holding:20", "float32")
BIT = tag("holding:258.9", "bool")
TEXT = tag("holding:40", "string", length=5)
TAGS = [COIL, WORD, FLOAT, BIT, TEXT, tag("input:1"), tag("discrete:1", "bool")]


@pytest.fixture
async def server() -> AsyncIterator[ModbusServer]:
    async with ModbusServer() as running:
        yield running


@asynccontextmanager
async def driver(server: ModbusServer, **settings: Any) -> AsyncIterator[ModbusDriver]:
    async with connected(server.port, TAGS, **settings) as group:
        yield group.driver


@pytest.mark.parametrize(
    ("row", "value", "sent", "settings"),
    [
        (COIL, True, "05 0003 ff00", {}),
        (COIL, False, "05 0003 0000", {}),
        (COIL, True, "0f 0003 0001 01 01", {"write_multiple_only": True}),
        (WORD, 513, "06 0007 0201", {}),
        (WORD, 513, "10 0007 0001 02 0201", {"write_multiple_only": True}),
        (WORD, 513, "06 0006 0201", {"address_base": 1}),
        (WORD, 513, "17 0007 0001 0007 0001 02 0201", {"write_with_read": True}),
        (FLOAT, 1.5, "10 0014 0002 04 3fc00000", {}),
        (FLOAT, 1.5, "10 0014 0002 04 00003fc0", {"order": "CDAB"}),
        (TEXT, "abc", "10 0028 0003 06 616263000000", {}),
        (BIT, True, "16 0102 fdff 0200", {}),
        (BIT, False, "16 0102 fdff 0000", {}),
        (BIT, True, "06 0102 0302", {"bit_write": "read-modify-write"}),
    ],
)
async def test_a_value_is_one_request_and_can_be_read_back(
    server: ModbusServer, row: ModbusTag, value: Value, sent: str, settings: dict[str, Any]
) -> None:
    async with driver(server, **settings) as plc:
        await plc.write(row.name, value)
        assert server.writes == [bytes.fromhex(sent)]
        assert await plc.read_back(row.name) == value


async def test_the_other_bits_of_a_register_stay(server: ModbusServer) -> None:
    async with driver(server) as plc:
        await plc.write(BIT.name, value=True)
    assert server.written["holding", 258] == 258 | 1 << 9


@pytest.mark.parametrize(
    ("row", "value", "status"),
    [
        (WORD, 65_536, Quality.BAD_OUT_OF_RANGE),
        (WORD, 1.5, Quality.BAD_OUT_OF_RANGE),
        (TEXT, "too long", Quality.BAD_OUT_OF_RANGE),
        (tag("input:1"), 1, Quality.BAD_NOT_WRITABLE),
        (tag("discrete:1", "bool"), True, Quality.BAD_NOT_WRITABLE),
    ],
)
async def test_what_cannot_be_written_is_not_sent(
    server: ModbusServer, row: ModbusTag, value: Value, status: Quality
) -> None:
    async with driver(server) as plc:
        with pytest.raises(DeviceRefused) as caught:
            await plc.write(row.name, value)
    assert caught.value.status == status
    assert server.writes == []


async def test_a_no_of_the_device_is_a_refusal(server: ModbusServer) -> None:
    server.illegal = (Illegal("holding", 7, 7, code=3),)
    async with driver(server) as plc:
        with pytest.raises(DeviceRefused, match="exception 3, illegal data value, to function 6"):
            await plc.write(WORD.name, 1)
        await plc.write(COIL.name, value=True)


async def test_a_device_that_cannot_write_bits_is_not_helped_silently(
    server: ModbusServer,
) -> None:
    server.unknown = frozenset({22})
    async with driver(server) as plc:
        with pytest.raises(DeviceRefused) as caught:
            await plc.write(BIT.name, value=True)
        assert 'bit_write = "read-modify-write"' in caught.value.hint
    assert server.writes == []


@pytest.mark.parametrize(
    "how",
    [
        Misbehaviour.SILENCE,
        Misbehaviour.CLOSE,
        Misbehaviour.HALF_THEN_SILENCE,
        Misbehaviour.WRONG_TRANSACTION,
        Misbehaviour.WRONG_FUNCTION,
    ],
)
async def test_without_a_right_answer_nobody_knows(server: ModbusServer, how: Misbehaviour) -> None:
    server.misbehaviour = how
    async with driver(server, timeout=0.2) as plc:
        with pytest.raises(WriteInDoubt, match="it was sent, and then") as caught:
            await plc.write(WORD.name, 9)
        assert caught.value.hint
    assert server.written["holding", 7] == 9, "the device did take it"
    assert len(server.writes) == 1


@pytest.mark.parametrize("code", [4, 5, 7, 8, 11, 99])
async def test_an_exception_that_may_come_after_the_deed_leaves_it_open(
    server: ModbusServer, code: int
) -> None:
    server.illegal = (Illegal("holding", 7, 7, code=code),)
    async with driver(server) as plc:
        with pytest.raises(WriteInDoubt, match=f"exception {code}"):
            await plc.write(WORD.name, 9)


@pytest.mark.parametrize("code", [1, 2, 3, 6, 10])
async def test_a_clear_no_is_a_refusal(server: ModbusServer, code: int) -> None:
    server.illegal = (Illegal("holding", 7, 7, code=code),)
    async with driver(server) as plc:
        with pytest.raises(DeviceRefused, match=f"exception {code}"):
            await plc.write(WORD.name, 9)


async def test_an_echo_of_something_else_leaves_it_open(server: ModbusServer) -> None:
    number = bytes.fromhex("0000 0000 0006 01 06 0007 0008")
    server.misbehaviour, server.garbage = Misbehaviour.GARBAGE, number
    async with driver(server) as plc:
        with pytest.raises(WriteInDoubt, match="confirmed something else"):
            await plc.write(WORD.name, 9)


async def test_on_a_connection_that_is_gone_nothing_is_sent(server: ModbusServer) -> None:
    async with connected(server.port, TAGS) as group:
        server.misbehaviour = Misbehaviour.CLOSE
        with pytest.raises(Exception, match="closed the connection"):
            await group.reader().read()
        with pytest.raises(DeviceRefused, match="nothing was written"):
            await group.driver.write(WORD.name, 9)
        await group.driver.close()
        with pytest.raises(DeviceRefused, match="not connected"):
            await group.driver.write(WORD.name, 9)
    assert server.writes == []


async def test_reading_back_what_the_device_does_not_give_gives_nothing(
    server: ModbusServer,
) -> None:
    server.illegal = (Illegal("holding", 7, 7),)
    async with driver(server) as plc:
        assert await plc.read_back(WORD.name) is None


async def test_a_device_that_does_not_say_who_it_is_has_no_name(server: ModbusServer) -> None:
    async with driver(server) as plc:
        assert await plc.identify() == {}


async def test_two_bits_of_one_register_are_both_written(server: ModbusServer) -> None:
    """Whoever goes before has to wait until the register that was read is written, too."""
    rows = [tag("holding:256.1", "bool"), tag("holding:256.2", "bool")]
    async with connected(server.port, rows, bit_write="read-modify-write") as group:

        async def write(row: ModbusTag, due_s: float) -> None:
            async with group.line.turn(Urgency.WRITE, due_s):
                await group.driver.write(row.name, value=True)

        now_s = asyncio.get_running_loop().time()
        await asyncio.gather(write(rows[0], now_s + 100), write(rows[1], now_s + 50))
    assert server.written["holding", 256] == 256 | 0b110


@pytest.mark.parametrize(
    "settings", [{"close_after_read": True, "connect_pause": 0.5}, {"request_pause": 0.5}]
)
async def test_a_write_is_not_sent_after_its_time(
    server: ModbusServer, settings: dict[str, Any]
) -> None:
    async with connected(server.port, TAGS, timeout=20.0, **settings) as group:
        plc, clock = group.driver, asyncio.get_running_loop()
        await group.reader().read()
        with pytest.raises(DeviceRefused, match="too late"):
            await plc.write_by(WORD.name, 9, clock.time() + 0.05)
        assert server.writes == []
        await plc.write_by(WORD.name, 9, clock.time() + 60.0)
        assert len(server.writes) == 1


async def test_the_answer_to_a_write_that_went_out_in_time_is_waited_for(
    server: ModbusServer,
) -> None:
    server.delay_s = 0.3
    async with connected(server.port, TAGS, timeout=20.0) as group:
        await group.driver.write_by(WORD.name, 9, asyncio.get_running_loop().time() + 0.1)
        with pytest.raises(DeviceRefused, match="too late"):
            await group.driver.write_by(WORD.name, 9, asyncio.get_running_loop().time() - 1.0)
    assert len(server.writes) == 1
