"""Every type, encoding and order of one device in one tag list, read from a server of pymodbus."""

from __future__ import annotations

import asyncio
import math
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, get_args

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from forebay.drivers.modbus.encode import encode
from forebay.drivers.modbus.order import Order
from forebay.model import Quality, is_bad
from support.modbus import connected, tag
from support.modbus_values import reading

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from forebay.drivers.modbus.tag import ModbusTag
    from forebay.interfaces import Value

pytestmark = pytest.mark.e2e

REGISTERS = 1000
ORDERS: tuple[Order, ...] = get_args(Order)
INTEGERS = [f"{sign}int{bits}" for bits in (16, 32, 64) for sign in ("", "u")]
FORMS: list[tuple[str, str, dict[str, Any]]] = [
    *(("", kind, {}) for kind in (*INTEGERS, "float32", "float64")),
    *(("", kind, {"encoding": "bcd"}) for kind in INTEGERS),
    *(("", kind, {"encoding": "mod10k"}) for kind in ("uint32", "uint64")),
    ("", "float32", {"encoding": "float16"}),
    ("", "uint64", {"encoding": "48-bit"}),
    (".h", "int8", {}),
    (".l", "uint8", {}),
    (".4-10", "int16", {}),
    (".9", "bool", {}),
    ("", "string", {"length": 7}),
    ("", "string", {"length": 6, "encoding": "latin-1"}),
    ("", "string", {"length": 10, "encoding": "utf-16"}),
]


def orders_of(more: dict[str, Any]) -> tuple[Order, ...]:
    """Give the orders that a value can have."""
    return ORDERS[:4] if more.get("encoding") == "48-bit" else ORDERS


@asynccontextmanager
async def server_of(registers: Sequence[int]) -> AsyncIterator[int]:
    """Run pymodbus's server with these holding registers; gives its port."""
    data = SimData(0, values=list(registers), datatype=DataType.REGISTERS)
    server = ModbusTcpServer(SimDevice(1, simdata=[data]), address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    try:
        assert isinstance(server.transport, asyncio.Server)
        yield server.transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


async def test_a_tag_list_of_everything_reads_as_the_slow_reading_says() -> None:
    rng = random.Random(4)
    wire = b"".join(
        rng.choice((rng.randbytes(2), bytes(rng.choices(b"\x00\x12\x34\x56\x78\x99 AZ", k=2))))
        for _ in range(REGISTERS)
    )
    tags = []
    for part, kind, more in FORMS * 3:
        for order in orders_of(more):
            address = f"holding:{rng.randrange(REGISTERS - 8)}{part}"
            tags.append(tag(address, kind, order=order, **more))
    tags = list({row.name: row for row in tags}.values())
    registers = [int.from_bytes(wire[i : i + 2], "big") for i in range(0, len(wire), 2)]
    async with server_of(registers) as port, connected(port, tags) as group:
        samples = list((await group.reader().read()).batch.iter_samples())
    assert len(samples) == len(tags) > 700
    bad = 0
    for row, sample in zip(tags, samples, strict=True):
        begin = row.place.start * 2
        assert row.order is not None
        value, quality = reading(row, row.order, wire[begin : begin + row.count * 2])
        assert sample.quality == quality, row.name
        assert sample.value == value or math.isnan(value), row.name  # type: ignore[arg-type]
        bad += is_bad(quality)
    assert 0 < bad < len(tags)


async def test_registers_as_they_would_be_written_read_as_the_values() -> None:
    rows: list[tuple[ModbusTag, Value]] = [
        (tag("holding:0", "float32", order="CDAB"), 20.5),
        (tag("holding:2", "int32", encoding="bcd"), -1_234_567),
        (tag("holding:4", "uint64", encoding="mod10k", order="DCBA"), 123_456_789_012),
        (tag("holding:8", "int64", encoding="48-bit", order="CDAB"), -(1 << 40)),
        (tag("holding:11", "float32", encoding="float16"), -0.25),
        (tag("holding:12", "string", length=10, encoding="utf-16"), "Öl 7"),
        (tag("holding:17", "int64", order="FEHGBADC"), -2),
    ]
    wire = b"".join(bytes(encode(row, row.order or "ABCD", value)) for row, value in rows)
    registers = [int.from_bytes(wire[i : i + 2], "big") for i in range(0, len(wire), 2)]
    async with server_of(registers) as port, connected(port, [row for row, _ in rows]) as group:
        samples = list((await group.reader().read()).batch.iter_samples())
    assert [(s.value, s.quality) for s in samples] == [(value, Quality.GOOD) for _, value in rows]


async def test_every_type_in_every_order_is_written_and_reads_back() -> None:
    rng = random.Random(5)
    rows: list[tuple[ModbusTag, Value]] = []
    for part, kind, more in FORMS:
        for order in orders_of(more):
            row = tag(f"holding:{len(rows) * 5}{part}", kind, order=order, **more)
            rows.append((row, plausible(rng, row, order)))
    async with (
        server_of([0xA5A5] * (len(rows) * 5)) as port,
        connected(port, [row for row, _ in rows]) as group,
    ):
        for row, value in rows:
            await group.driver.write(row.name, value)
        for row, value in rows:
            assert await group.driver.read_back(row.name) == value, row.name
        samples = list((await group.reader().read()).batch.iter_samples())
    assert [sample.value for sample in samples] == [value for _, value in rows]


def plausible(rng: random.Random, row: ModbusTag, order: Order) -> Value:
    """Give any finite value that the tag can have."""
    while True:
        wire = rng.choice((rng.randbytes, lambda n: bytes(rng.choices(b"\x00\x12\x34AZ", k=n))))(
            row.count * 2
        )
        value, quality = reading(row, order, wire)
        if quality == Quality.GOOD and value is not None:
            return value
