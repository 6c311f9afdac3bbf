"""Every transport against servers that we did not write: pymodbus's, and libmodbus for writes."""

from __future__ import annotations

import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from pymodbus.framer import FramerType
from pymodbus.pdu.device import ModbusDeviceIdentification
from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusTlsServer, ModbusUdpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from forebay.errors import DeviceRefused, DeviceUnreachable
from support.certificates import Authority
from support.modbus import Group, connected, device, libmodbus_server, tag
from support.serial_line import serial_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from forebay.drivers.modbus.tag import ModbusTag
    from forebay.interfaces import Value

pytestmark = pytest.mark.e2e

TAGS = [tag(f"holding:{address}") for address in range(0, 300, 3)]
VALUES = list(range(0, 300, 3))
NAMES = {
    "VendorName": "Example Works",
    "ProductCode": "EW-7",
    "MajorMinorRevision": "1.2",
    "ProductName": "Press",
}


def simulated() -> SimDevice:
    """Unit 1, whose holding register a holds a."""
    return SimDevice(1, simdata=[SimData(0, values=list(range(300)), datatype=DataType.REGISTERS)])


@asynccontextmanager
async def running(server: Any) -> AsyncIterator[int]:
    """Serve, and give the port."""
    await server.serve_forever(background=True)
    try:
        listening = server.transport
        sockets = getattr(listening, "sockets", None)
        if sockets:
            yield sockets[0].getsockname()[1]
        elif hasattr(listening, "get_extra_info"):
            name = listening.get_extra_info("sockname")
            yield name[1] if name else 0
        else:
            yield 0
    finally:
        await server.shutdown()


async def read(port: int, **settings: Any) -> list[Any]:
    async with connected(port, TAGS, **settings) as group:
        reader = group.reader()
        for _ in range(3):
            batch = (await reader.read()).batch
        assert batch.quality is None
        values: list[Any] = batch.values[0][0].tolist()
        return values


@pytest.mark.parametrize(
    ("transport", "framer"),
    [("rtu-over-tcp", FramerType.RTU), ("ascii-over-tcp", FramerType.ASCII)],
)
async def test_serial_frames_through_tcp(transport: str, framer: FramerType) -> None:
    server = ModbusTcpServer(simulated(), framer=framer, address=("127.0.0.1", 0))
    async with running(server) as port:
        assert await read(port, transport=transport) == VALUES


async def test_udp() -> None:
    server = ModbusUdpServer(simulated(), address=("127.0.0.1", 0))
    async with running(server) as port:
        assert await read(port, transport="udp") == VALUES


async def test_udp_where_nobody_listens() -> None:
    async with running(ModbusUdpServer(simulated(), address=("127.0.0.1", 0))) as port:
        pass
    with pytest.raises(DeviceUnreachable):
        await read(port, transport="udp", timeout=1.0)


@pytest.mark.parametrize("framer", [FramerType.RTU, FramerType.ASCII])
async def test_a_serial_port(framer: FramerType) -> None:
    with serial_line(2) as wire:
        server = ModbusSerialServer(
            simulated(), framer=framer, port=wire.ports[1], baudrate=115_200, parity="N"
        )
        async with running(server):
            settings = {"serial_port": wire.ports[0], "baudrate": 115_200, "parity": "none"}
            assert await read(0, transport=str(framer.value), **settings) == VALUES


@asynccontextmanager
async def tls_server(authority: Authority) -> AsyncIterator[int]:
    """Serve Modbus/TCP Security: who has no certificate of `authority` is not let in."""
    own = authority.issue("plc")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.ca)
    context.load_cert_chain(own.cert, own.key)
    context.verify_mode = ssl.CERT_REQUIRED
    server = ModbusTlsServer(
        simulated(), framer=FramerType.SOCKET, address=("127.0.0.1", 0), sslctx=context
    )
    async with running(server) as port:
        yield port


async def test_tls_with_certificates_of_both_sides(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ours")
    own = authority.issue("gateway")
    settings = {"transport": "tls", "ca": authority.ca, "certificate": own.cert, "key": own.key}
    async with tls_server(authority) as port:
        assert await read(port, **settings) == VALUES
        assert await read(port, **settings, server_name="localhost") == VALUES


@pytest.mark.parametrize("wrong", ["ca", "certificate", "name", "file"])
async def test_tls_with_a_stranger_is_refused(tmp_path: Path, wrong: str) -> None:
    authority, other = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs", "Stranger")
    own = (other if wrong == "certificate" else authority).issue("gateway")
    ca = other.ca if wrong == "ca" else authority.ca
    settings = {"transport": "tls", "ca": ca, "certificate": own.cert, "key": own.key}
    if wrong == "name":
        settings["server_name"] = "another.example.org"
    if wrong == "file":
        own.key.write_bytes(b"no key")
    async with tls_server(authority) as port:
        with pytest.raises(DeviceUnreachable) as caught:
            await read(port, **settings, timeout=5.0)
    assert caught.value.hint


async def test_who_the_device_says_it_is() -> None:
    identity = ModbusDeviceIdentification(info_name=NAMES)  # type: ignore[no-untyped-call]
    server = ModbusTcpServer(simulated(), identity=identity, address=("127.0.0.1", 0))
    async with running(server) as port, connected(port, TAGS) as group:
        known = await group.driver.identify()
        assert (known["vendor"], known["product_code"]) == ("Example Works", "EW-7")
        assert (known["revision"], known["product_name"]) == ("1.2", "Press")
        assert (await group.reader().read()).batch.quality is None


async def test_who_the_device_says_it_is_on_a_serial_line() -> None:
    identity = ModbusDeviceIdentification(info_name=NAMES)  # type: ignore[no-untyped-call]
    server = ModbusTcpServer(
        simulated(), framer=FramerType.RTU, identity=identity, address=("127.0.0.1", 0)
    )
    async with (
        running(server) as port,
        connected(port, TAGS, transport="rtu-over-tcp") as group,
    ):
        assert (await group.driver.identify())["vendor"] == "Example Works"


@pytest.mark.parametrize("settings", [{}, {"write_multiple_only": True}, {"write_with_read": True}])
async def test_writes_to_libmodbus(libmodbus_server_binary: Path, settings: dict[str, Any]) -> None:
    rows: list[tuple[ModbusTag, Value]] = [
        (tag("coil:4", "bool"), True),
        (tag("holding:10"), 4321),
        (tag("holding:20", "float64"), -2.5),
        (tag("holding:30", "int32", order="CDAB"), -70_000),
        (tag("holding:40.3", "bool"), True),
        (tag("holding:50", "string", length=7), "Forebay"),
    ]
    async with AsyncExitStack() as stack:
        port = stack.enter_context(libmodbus_server(libmodbus_server_binary, 100))
        group = Group(device(port, [row for row, _ in rows], **settings))
        stack.push_async_callback(group.driver.close)
        await group.driver.connect()
        for row, value in rows:
            await group.driver.write(row.name, value)
            assert await group.driver.read_back(row.name) == value
        batch = (await group.reader().read()).batch
    assert [sample.value for sample in batch.iter_samples()] == [value for _, value in rows]


async def test_libmodbus_refuses_what_it_does_not_have(libmodbus_server_binary: Path) -> None:
    row = tag("holding:500")
    with libmodbus_server(libmodbus_server_binary, 100) as port:
        async with connected(port, [row]) as group:
            with pytest.raises(DeviceRefused, match="exception 2"):
                await group.driver.write(row.name, 1)
