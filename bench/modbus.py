"""What a Modbus request costs the gateway: CPU per read of 125 registers, against two clients.

All poll the same 10,000 registers of a libmodbus server over the loopback, in turns; only the
client's own CPU counts, that of the kernel on its behalf included. Ours is the driver on uvloop:
all checks, and decoding the row, since a reader gives nothing less. pymodbus's client, on the same
loop, gives lists of integers. The client in C (modbus_client.c) is a process of its own with
blocking reads; it checks each answer's header and swaps the bytes of its registers.

`modbus.cpu_vs_pymodbus` is what each gives at its best: ours with 16 requests open, pymodbus's with
one, since it has no more. `_depth1` has one open on both sides, so it is the like of it.
`_floats` too, and both give typed values: 62 float32 a block, pymodbus's by
`convert_from_registers` of each block's registers.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from typing import TYPE_CHECKING

import pymodbus
import uvloop
from pymodbus.client import AsyncModbusTcpClient

from bench.figures import Figure, figure
from bench.plc import RawClient, libmodbus_server
from forebay.acquisition.line import SharedLine
from forebay.acquisition.plan import plan
from forebay.clock import SystemClock
from forebay.drivers.modbus.config import ModbusSettings
from forebay.drivers.modbus.driver import ModbusDriver
from forebay.drivers.modbus.tag import ModbusTag
from forebay.events import Events
from forebay.files import SystemDisk
from forebay.interfaces import DeviceSpec, Seams
from forebay.model import Schema
from forebay.net import SystemNetwork

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.drivers.modbus.reader import ModbusReader

REGISTERS, QUANTITY = 10_000, 125
REQUESTS = REGISTERS // QUANTITY
PIPELINED = 16
FLOATS = 62
"""A block of this many float32: 124 registers, the most that one request holds."""
ROUNDS, SCANS, PEER_SCANS = 9, 40, 8


def words() -> list[ModbusTag]:
    """Give 10,000 `uint16` tags."""
    return [
        ModbusTag(name=f"r{a}", address=f"holding:{a}", type="uint16") for a in range(REGISTERS)
    ]


def floats() -> list[ModbusTag]:
    """Give 4,960 `float32` tags without a hole."""
    return [
        ModbusTag(name=f"f{n}", address=f"holding:{2 * n}", type="float32")
        for n in range(FLOATS * REQUESTS)
    ]


def device(port: int, depth: int, rows: Sequence[ModbusTag]) -> DeviceSpec:
    """Give a device with these tags."""
    tags = {row.name: row for row in rows}
    schema = Schema("bench", "all", tuple(tag.to_tag() for tag in tags.values()))
    settings = ModbusSettings(
        protocol="modbus", host="127.0.0.1", port=port, tags=(), pipeline=depth
    )
    return DeviceSpec("bench", settings, (schema,), tags)


async def connected(
    port: int, depth: int, rows: Sequence[ModbusTag], quantity: int = QUANTITY
) -> tuple[ModbusDriver, ModbusReader]:
    """Connect our driver and compile its plan of 80 requests."""
    seams = Seams(SystemClock(), SystemDisk(), SystemNetwork(), random.Random(1), Events())
    spec = device(port, depth, rows)
    driver = ModbusDriver(spec, seams, SharedLine("bench", seams.clock))
    await driver.connect()
    blocks = plan(driver.spans(spec.schemas[0]), driver.limits).blocks
    assert [block.count for block in blocks] == [quantity] * REQUESTS
    return driver, driver.reader(spec.schemas[0], blocks)


async def ours(reader: ModbusReader) -> float:
    """Give microseconds of CPU per request."""
    begin = time.process_time()
    for _ in range(SCANS):
        scan = await reader.read()
    spent = time.process_time() - begin
    assert scan.batch.quality is None
    return spent / SCANS / REQUESTS * 1e6


async def peer(client: AsyncModbusTcpClient) -> float:
    """Give microseconds of CPU per request of pymodbus's client."""
    begin = time.process_time()
    for _ in range(PEER_SCANS):
        for number in range(REQUESTS):
            answer = await client.read_holding_registers(number * QUANTITY, count=QUANTITY)
            assert len(answer.registers) == QUANTITY
    return (time.process_time() - begin) / PEER_SCANS / REQUESTS * 1e6


async def peer_floats(client: AsyncModbusTcpClient) -> float:
    """Give microseconds of CPU per request of pymodbus's client, turned into floats by it too."""
    size, kind = 2 * FLOATS, client.DATATYPE.FLOAT32
    begin = time.process_time()
    for _ in range(PEER_SCANS):
        for number in range(REQUESTS):
            answer = await client.read_holding_registers(number * size, count=size)
            values = client.convert_from_registers(answer.registers, kind)
            assert isinstance(values, list)
            assert len(values) == FLOATS
    return (time.process_time() - begin) / PEER_SCANS / REQUESTS * 1e6


async def bench_block_cpu() -> list[Figure]:
    """Measure all in turns, so that a slow spell of the machine falls on all alike."""
    single, pipelined, theirs, raw, raw_single = [], [], [], [], []
    typed, their_typed = [], []
    with libmodbus_server(REGISTERS) as port, RawClient(port, REGISTERS, QUANTITY) as in_c:
        one, one_reader = await connected(port, 1, words())
        many, many_reader = await connected(port, PIPELINED, words())
        typing, typed_reader = await connected(port, 1, floats(), 2 * FLOATS)
        client = AsyncModbusTcpClient("127.0.0.1", port=port)
        assert await client.connect()
        gc.collect()
        for _ in range(ROUNDS):
            single.append(await ours(one_reader))
            raw_single.append(await asyncio.to_thread(in_c.cpu_us, 1, SCANS))
            theirs.append(await peer(client))
            typed.append(await ours(typed_reader))
            their_typed.append(await peer_floats(client))
            pipelined.append(await ours(many_reader))
            raw.append(await asyncio.to_thread(in_c.cpu_us, PIPELINED, SCANS))
        client.close()
        await one.close()
        await many.close()
        await typing.close()
    peer_name, raw_name = f"pymodbus {pymodbus.__version__} client", "a client in C"
    at_its_best = f"{peer_name}, 16 requests open against 1"
    return [
        figure("modbus.cpu_vs_pymodbus", pipelined, "us", against=at_its_best, others=theirs),
        figure("modbus.cpu_vs_pymodbus_depth1", single, "us", against=peer_name, others=theirs),
        figure("modbus.cpu_vs_pymodbus_floats", typed, "us", against=peer_name, others=their_typed),
        figure("modbus.cpu_vs_c", pipelined, "us", against=raw_name, others=raw),
        figure("modbus.cpu_vs_c_depth1", single, "us", against=raw_name, others=raw_single),
    ]


def run() -> list[Figure]:
    """Measure on uvloop, as the agent runs."""
    return uvloop.run(bench_block_cpu())
