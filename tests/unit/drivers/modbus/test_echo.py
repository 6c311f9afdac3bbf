"""Adapters that repeat what is sent: our own bytes are never a device's answer."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from forebay.drivers.modbus.config import ModbusSettings
from forebay.drivers.modbus.echo import Echo
from forebay.drivers.modbus.framing import Ascii, Rtu
from forebay.errors import DeviceRefused, ProtocolViolation, WriteInDoubt
from support.modbus import Group, device, tag

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from forebay.drivers.modbus.framing import Framing
    from forebay.interfaces import Value

WORD, COIL, BIT = tag("holding:7"), tag("coil:3", "bool"), tag("holding:8.1", "bool")
WRITES: list[tuple[str, Value]] = [(WORD.name, 5), (COIL.name, True), (BIT.name, True)]
FRAMINGS: dict[str, Framing] = {"rtu-over-tcp": Rtu(), "ascii-over-tcp": Ascii()}


class Adapter:
    """A device server whose adapter repeats if `echoes`, before one unit, there if `alive`.

    `changes` are the functions of the writes that reached the unit.
    """

    def __init__(self, transport: str, *, echoes: bool, alive: bool) -> None:
        self.transport, self.framing = transport, FRAMINGS[transport]
        self.echoes, self.alive = echoes, alive
        self.changes: list[int] = []

    def answer(self, message: bytes) -> bytes:
        """Give what the unit says: 42 in each register and 0 in each coil, or what it was told."""
        function = message[1]
        if function in {1, 3}:
            data = b"\x00" if function == 1 else b"\x00\x2a" * message[5]
            return message[:2] + bytes((len(data),)) + data
        self.changes.append(function)
        return message

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rtu = self.transport.startswith("rtu")
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                frame = await (reader.readexactly(8) if rtu else reader.readuntil(b"\r\n"))
                if rtu and frame[1] == 22:
                    frame += await reader.readexactly(2)
                message = frame[:-2] if rtu else bytes.fromhex(frame[1:-4].decode())
                if self.echoes:
                    writer.write(frame)
                    await writer.drain()
                if self.alive:
                    writer.write(self.framing.wrap(self.answer(message)))
        writer.close()


@asynccontextmanager
async def joined(adapter: Adapter, *, echo: bool, timeout_s: float) -> AsyncIterator[Group]:
    server = await asyncio.start_server(adapter.serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        rows = [WORD, COIL, BIT]
        group = Group(device(port, rows, transport=adapter.transport, echo=echo, timeout=timeout_s))
        await group.driver.connect()
        yield group
        await group.driver.close()


@pytest.mark.parametrize("transport", FRAMINGS)
@pytest.mark.parametrize(("row", "value"), WRITES)
async def test_a_dead_unit_confirms_nothing(transport: str, row: str, value: Value) -> None:
    for echo, error in ((False, DeviceRefused), (True, WriteInDoubt)):
        adapter = Adapter(transport, echoes=True, alive=False)
        async with joined(adapter, echo=echo, timeout_s=0.2) as group:
            with pytest.raises(error):
                await group.driver.write(row, value)


@pytest.mark.parametrize("transport", FRAMINGS)
@pytest.mark.parametrize(("row", "value"), WRITES)
async def test_an_adapter_that_repeats_has_to_be_told_of(
    transport: str, row: str, value: Value
) -> None:
    adapter = Adapter(transport, echoes=True, alive=True)
    async with joined(adapter, echo=False, timeout_s=10.0) as group:
        with pytest.raises(DeviceRefused, match="the line repeats") as caught:
            await group.driver.write(row, value)
    assert "echo = true" in caught.value.hint
    assert not adapter.changes
    async with joined(adapter, echo=True, timeout_s=10.0) as group:
        await group.driver.write(row, value)
        assert (await group.reader().read()).batch.quality is None
    assert len(adapter.changes) == 1


@pytest.mark.parametrize("transport", FRAMINGS)
async def test_without_an_echo_one_read_shows_that_writes_can_be_trusted(transport: str) -> None:
    adapter = Adapter(transport, echoes=False, alive=True)
    async with joined(adapter, echo=False, timeout_s=10.0) as group:
        for row, value in WRITES:
            await group.driver.write(row, value)
    assert adapter.changes == [6, 5, 22]


@pytest.mark.parametrize("transport", FRAMINGS)
async def test_an_echo_that_is_told_of_and_does_not_come_is_said(transport: str) -> None:
    adapter = Adapter(transport, echoes=False, alive=True)
    async with joined(adapter, echo=True, timeout_s=0.2) as group:
        with pytest.raises(ProtocolViolation) as caught:
            await group.reader().read()
    assert "leave out echo" in caught.value.hint


def test_what_came_before_our_own_bytes_is_kept() -> None:
    echo = Echo(told=True)
    echo.sent(b"abc")
    buffer = bytearray(b"late ab")
    assert echo.cut(buffer) is None
    buffer += b"c answer"
    assert echo.cut(buffer) == bytearray(b"late ")
    assert buffer == b" answer"
    assert not echo.awaited


def test_only_serial_lines_have_such_adapters() -> None:
    with pytest.raises(ValueError, match="echo has no meaning here"):
        ModbusSettings(protocol="modbus", tags=(), host="192.0.2.7", echo=True)
