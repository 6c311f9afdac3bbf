"""Foreign servers: libmodbus (C), which takes pipelined requests, and pymodbus, which does not."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from forebay.drivers.modbus.tag import ModbusTag
from forebay.errors import DeviceUnreachable
from forebay.model import Quality
from support.modbus import connected, libmodbus_server, tag

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

REGISTERS = 10_000


@pytest.fixture(scope="module")
def libmodbus_port(libmodbus_server_binary: Path) -> Iterator[int]:
    with libmodbus_server(libmodbus_server_binary, REGISTERS) as port:
        yield port


@asynccontextmanager
async def pymodbus_server() -> AsyncIterator[int]:
    """Pymodbus's own server: holding register a holds a."""
    data = SimData(0, values=list(range(1000)), datatype=DataType.REGISTERS)
    server = ModbusTcpServer(SimDevice(1, simdata=[data]), address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    try:
        assert isinstance(server.transport, asyncio.Server)
        yield server.transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("depth", [1, 16])
async def test_ten_thousand_registers_are_right_and_cost_eighty_requests(
    libmodbus_port: int, depth: int
) -> None:
    counter = tag("holding:0")
    tags = [
        ModbusTag(name=f"r{address}", address=f"holding:{address}", type="uint16")
        for address in range(1, REGISTERS)
    ]
    async with (
        connected(libmodbus_port, [counter]) as counting,
        connected(libmodbus_port, tags, pipeline=depth) as group,
    ):
        reader, counts = group.reader(), counting.reader()
        before = (await counts.read()).batch.values[0][0, 0]
        scan = await reader.read()
        after = (await counts.read()).batch.values[0][0, 0]
    assert scan.refusals == ()
    assert scan.batch.quality is None
    assert scan.batch.values[0].tolist() == [list(range(1, REGISTERS))]
    assert after - before == 80 + 1  # the second look at the counter is a request too


async def test_every_area_type_and_order_against_known_bytes(libmodbus_port: int) -> None:
    a, b, c, d = 0x1234, 0x1235, 0x1236, 0x1237
    tags = [
        tag("holding:4660", "uint32"),
        tag("holding:4660", "uint32", order="CDAB"),
        tag("holding:4660", "uint32", order="BADC"),
        tag("holding:4660", "uint32", order="DCBA"),
        tag("holding:4660", "uint64"),
        tag("holding:4660", "uint64", order="CDAB"),
        tag("input:9", "int16"),
        tag("coil:9", "bool"),
        tag("coil:10", "bool"),
        tag("discrete:9", "bool"),
        tag("discrete:10", "bool"),
        tag("holding:4660.2", "bool"),
        tag("holding:4660.3", "bool"),
    ]
    async with connected(libmodbus_port, tags) as group:
        batch = (await group.reader().read()).batch
    assert [sample.value for sample in batch.iter_samples()] == [
        a << 16 | b,
        b << 16 | a,
        0x3412_3512,
        0x3512_3412,
        a << 48 | b << 32 | c << 16 | d,
        d << 48 | c << 32 | b << 16 | a,
        -10,
        True,
        False,
        True,
        False,
        True,
        False,
    ]


async def test_what_lies_behind_the_last_register_is_refused(libmodbus_port: int) -> None:
    tags = [tag(f"holding:{REGISTERS - 1}"), tag(f"holding:{REGISTERS + 50}")]
    async with connected(libmodbus_port, tags) as group:
        scan = await group.reader().read()
    assert [s.value for s in scan.batch.iter_samples()] == [REGISTERS - 1, None]
    assert [(r.status, r.permanent) for r in scan.refusals] == [(Quality.BAD_NODE_ID_UNKNOWN, True)]


async def test_many_connections_at_once(libmodbus_port: int) -> None:
    async def one(first: int) -> list[int]:
        tags = [tag(f"holding:{first + i}") for i in range(300)]
        async with connected(libmodbus_port, tags, pipeline=3) as group:
            reader = group.reader()
            for _ in range(5):
                batch = (await reader.read()).batch
            values: list[int] = batch.values[0][0].tolist()
            return values

    found = await asyncio.gather(*[one(first) for first in range(1, 6001, 400)])
    assert found == [list(range(first, first + 300)) for first in range(1, 6001, 400)]


async def test_pymodbus_answers_one_request_at_a_time() -> None:
    tags = [tag(f"holding:{address}") for address in range(1000)]
    async with pymodbus_server() as port:
        async with connected(port, tags) as group:
            batch = (await group.reader().read()).batch
            assert batch.quality is None
            assert batch.values[0].tolist() == [list(range(1000))]
        async with connected(port, tags, pipeline=4, timeout=0.3) as group:
            with pytest.raises(DeviceUnreachable, match="no answer"):
                await group.reader().read()
