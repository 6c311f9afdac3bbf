"""What tests of the Modbus driver share: drivers over real sockets, and foreign servers."""

from __future__ import annotations

import random
import subprocess
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from forebay.acquisition.line import SharedLine
from forebay.acquisition.plan import Learned, Plan, plan
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
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from forebay.clock import Clock
    from forebay.drivers.modbus.reader import ModbusReader


def tag(address: str, kind: str = "uint16", **more: Any) -> ModbusTag:
    """One validated row, named by its address and type."""
    return ModbusTag(name=f"{address} {kind} {more}", address=address, type=kind, **more)


def seams() -> Seams:
    return Seams(SystemClock(), SystemDisk(), SystemNetwork(), random.Random(1), Events())


def device(port: int, tags: Sequence[ModbusTag], **settings: Any) -> DeviceSpec:
    """A device on the loopback with one group of `tags`."""
    schema = Schema("plc", "fast", tuple(row.to_tag() for row in tags))
    place = {} if "serial_port" in settings else {"host": "127.0.0.1", "port": port}
    given = ModbusSettings(
        **{"protocol": "modbus", "tags": (), "timeout": 5.0, **place, **settings}
    )
    return DeviceSpec("plc", given, (schema,), {row.name: row for row in tags})


class Group:
    """A connected driver and its one group, planned and compiled."""

    def __init__(
        self, spec: DeviceSpec, clock: Clock | None = None, line: SharedLine | None = None
    ) -> None:
        given = seams()
        self.line = line or SharedLine("plc", given.clock)
        self.driver = ModbusDriver(spec, replace(given, clock=clock or given.clock), self.line)
        self.schema = spec.schemas[0]
        self.learned = Learned()

    def plan(self) -> Plan:
        return plan(self.driver.spans(self.schema), self.driver.limits, self.learned)

    def reader(self) -> ModbusReader:
        return self.driver.reader(self.schema, self.plan().blocks)


@asynccontextmanager
async def connected(
    port: int, tags: Sequence[ModbusTag], clock: Clock | None = None, **settings: Any
) -> AsyncIterator[Group]:
    group = Group(device(port, tags, **settings), clock)
    await group.driver.connect()
    try:
        yield group
    finally:
        await group.driver.close()


@contextmanager
def libmodbus_server(
    binary: Path, registers: int, *, holes: Sequence[tuple[int, int]] = (), longest: int = 65_536
) -> Iterator[int]:
    """Run tests/testbeds/libmodbus_server.c on a free port, which is given.

    A read that touches one of `holes`, or has more than `longest` places, is refused.
    """
    more = [f"longest={longest}", *(f"hole={first}-{last}" for first, last in holes)]
    with subprocess.Popen(
        [binary, "0", str(registers), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            word, port = process.stdout.readline().split()
            assert word == "ready"
            yield int(port)
        finally:
            process.stdin.close()
            process.wait(timeout=10)
