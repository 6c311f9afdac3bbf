"""The plant's devices: a Modbus TCP server, an OPC UA server, an MQTT broker with a publisher.

Owns starting, updating and stopping them. Must not know the agent. The stacks are those of
pymodbus, asyncua and NATS, so that what the agent's drivers talk to is not of their own make.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import socket
import struct
import sys
import time
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from forebay.testing.plant.catalog import (
    CONVEYOR,
    CONVEYOR_TOPIC,
    METER,
    NAMESPACE,
    PRESS,
    WEAK,
    WEAK_PART,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from forebay.testing.plant.catalog import Point

_METER_S = 0.1
_PRESS_S = 0.2
_CONVEYOR_S = 0.25
_BROKER_START_S = 20.0
_STRUCTS = {"float32": ">f", "uint32": ">I", "uint64": ">Q"}
_WRITE_REGISTERS = 16
_MQTT_CONFIG = """\
server_name: plant
listen: "127.0.0.1:{nats}"
jetstream {{ store_dir: "{store}" }}
mqtt {{ listen: "127.0.0.1:{mqtt}", max_ack_pending: 500 }}
"""
_GUARD = '"$@" & broker=$!; cat >/dev/null; kill $broker; wait $broker'
"""Ends the broker when this program does, however it ends: its standard input closes."""


def free_ports(count: int) -> list[int]:
    """Give loopback ports that nobody listens on now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@asynccontextmanager
async def meter(port: int, fault: asyncio.Event) -> AsyncIterator[None]:
    """Serve the energy meter as Modbus unit 1, its holding registers renewed ten times a second.

    While `fault` is set, one phase carries less than the others.
    """
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    began_s = time.monotonic()
    image = SimData(0, values=_registers(0.0), datatype=DataType.REGISTERS)
    server = ModbusTcpServer(SimDevice(1, [image]), address=("127.0.0.1", port))
    await server.serve_forever(background=True)

    async def renew() -> None:
        while True:
            await asyncio.sleep(_METER_S)
            values = _registers(time.monotonic() - began_s, weak=fault.is_set())
            await server.async_setValues(1, _WRITE_REGISTERS, 0, values)

    try:
        async with _running(renew(), "plant.meter"):
            yield
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


def _registers(time_s: float, *, weak: bool = False) -> list[int]:
    """Give the meter's whole image, most significant register first."""
    raw = b"".join(
        struct.pack(
            _STRUCTS[point.type],
            WEAK_PART * value if weak and point.name == WEAK else value,
        )
        for point, value in ((point, _number(point, time_s)) for point in METER)
    )
    return list(struct.unpack(f">{len(raw) // 2}H", raw))


def _number(point: Point, time_s: float) -> float:
    value = point.signal.at(point.name, time_s)
    assert not isinstance(value, str)
    return value


@asynccontextmanager
async def press(port: int) -> AsyncIterator[None]:
    """Serve the press over OPC UA, its variables renewed five times a second, each dated."""
    from asyncua import ua
    from asyncua.server.server import Server

    logging.getLogger("asyncua").setLevel(logging.ERROR)
    kinds = {
        "float64": ua.VariantType.Double,
        "uint32": ua.VariantType.UInt32,
        "int32": ua.VariantType.Int32,
        "bool": ua.VariantType.Boolean,
        "string": ua.VariantType.String,
    }
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(NAMESPACE)
    folder = await server.nodes.objects.add_object(index, "Press")
    nodes = {}
    for point in PRESS:
        node = ua.NodeId(ua.String(point.place), ua.Int16(index))
        first = ua.Variant(point.signal.at(point.name, 0.0), kinds[point.type])
        nodes[point.name] = (await folder.add_variable(node, point.place, first)).nodeid
    began_s = time.monotonic()

    async def renew() -> None:
        while True:
            await asyncio.sleep(_PRESS_S)
            time_s, now = time.monotonic() - began_s, cast("Any", datetime.now(UTC))
            for point in PRESS:
                value = ua.Variant(point.signal.at(point.name, time_s), kinds[point.type])
                dated = ua.DataValue(value, SourceTimestamp=now, ServerTimestamp=now)
                await server.write_attribute_value(nodes[point.name], dated)

    async with server, _running(renew(), "plant.press"):
        yield


@asynccontextmanager
async def conveyor(port: int, folder: Path) -> AsyncIterator[None]:
    """Run a broker, stored in `folder`, and publish the conveyor's document four times a second."""
    import aiomqtt

    async with _broker(port, folder):
        began_s = time.monotonic()
        async with aiomqtt.Client("127.0.0.1", port, identifier="conveyor") as client:

            async def publish() -> None:
                while True:
                    await asyncio.sleep(_CONVEYOR_S)
                    document = _document(time.monotonic() - began_s)
                    await client.publish(CONVEYOR_TOPIC, json.dumps(document), qos=1)

            async with _running(publish(), "plant.conveyor"):
                yield


def _document(time_s: float) -> dict[str, Any]:
    """Give the conveyor's message; `ts` is in milliseconds since 1970."""
    document: dict[str, Any] = {"ts": time.time_ns() // 1_000_000}
    for point in CONVEYOR:
        *path, last = point.place[1:].split("/")
        inner = document
        for step in path:
            inner = inner.setdefault(step, {})
        value = point.signal.at(point.name, time_s)
        inner[last] = round(value, 3) if isinstance(value, float) else value
    return document


@asynccontextmanager
async def _broker(port: int, folder: Path) -> AsyncIterator[None]:
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent))
    binary = found or shutil.which("nats-server")
    if binary is None:
        raise FileNotFoundError("nats-server is not installed; install forebay[demo]")
    process = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", _GUARD, "sh", binary, "-c", str(_broker_config(port, folder)),
        "-l", str(folder / "broker.log"), stdin=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_BROKER_START_S):
            while not await _listens(port):  # noqa: ASYNC110 - another process tells no event
                await asyncio.sleep(0.05)
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


def _broker_config(port: int, folder: Path) -> Path:
    """Write the broker's configuration and give its path."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "broker.conf"
    text = _MQTT_CONFIG.format(nats=free_ports(1)[0], mqtt=port, store=folder / "store")
    config.write_text(text, encoding="utf-8")
    return config


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


@asynccontextmanager
async def _running(work: Any, name: str) -> AsyncIterator[None]:  # noqa: ANN401 - a coroutine
    """Run `work` beside the block; its failure is the block's."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work, name=name)
        try:
            yield
        finally:
            task.cancel()
