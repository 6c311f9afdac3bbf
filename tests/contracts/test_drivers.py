"""Every driver against servers that others wrote, by the words of its interface.

A driver that is installed and has no suite here fails.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from forebay.registry import DRIVERS
from forebay.testing.driver_contract import (
    PolledContract,
    RefusingContract,
    StreamedContract,
    WritableContract,
)
from support.field_devices import (
    CountingModbus,
    MqttHall,
    OpcUaPress,
    WalkingModbus,
    node_server,
)
from support.folder_device import BenchFolder
from support.modbus import libmodbus_server
from support.mosquitto import Mosquitto
from support.node_opcua import NodeOpcua
from support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("pipeline", [1, 4])
class TestModbusAgainstLibmodbus(PolledContract, RefusingContract, WritableContract):
    """libmodbus, in C: answers pipelined requests."""

    @pytest_asyncio.fixture
    async def device(
        self, libmodbus_server_binary: Path, pipeline: int
    ) -> AsyncIterator[CountingModbus]:
        with libmodbus_server(libmodbus_server_binary, 1000, holes=[(50, 55)]) as port:
            async with Proxy(f"127.0.0.1:{port}") as proxy:
                yield CountingModbus(proxy, (50, 55, 1000, 1004), pipeline=pipeline)


@pytest.mark.parametrize("pipeline", [1, 4])
class TestModbusAgainstModbusSerial(PolledContract):
    """modbus-serial: each value is another at every read, and each register a promise."""

    @pytest_asyncio.fixture
    async def device(
        self, node_binary: Path, modbus_serial_dir: Path, pipeline: int
    ) -> AsyncIterator[WalkingModbus]:
        script = modbus_serial_dir / "modbus_serial_server.js"
        async with (
            node_server(node_binary, script) as port,
            Proxy(f"127.0.0.1:{port}") as proxy,
        ):
            yield WalkingModbus(proxy, pipeline=pipeline)


class TestModbusAgainstJsmodbus(PolledContract, RefusingContract, WritableContract):
    """jsmodbus: where its memory ends it cuts the answer, in place of an exception."""

    @pytest_asyncio.fixture
    async def device(self, node_binary: Path, jsmodbus_dir: Path) -> AsyncIterator[CountingModbus]:
        script = jsmodbus_dir / "jsmodbus_server.js"
        async with (
            node_server(node_binary, script) as port,
            Proxy(f"127.0.0.1:{port}") as proxy,
        ):
            yield CountingModbus(proxy, (1000, 1004))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def press(
    node_binary: Path, node_opcua_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[NodeOpcua]:
    state = tmp_path_factory.mktemp("node-opcua")
    async with NodeOpcua(node_binary, node_opcua_dir, state) as server:
        yield server


@pytest.mark.asyncio(loop_scope="module")
class TestOpcUaPolled(PolledContract, RefusingContract, WritableContract):
    """node-opcua, read in groups."""

    @pytest_asyncio.fixture(loop_scope="module")
    async def device(self, press: NodeOpcua) -> AsyncIterator[OpcUaPress]:
        async with Proxy(f"127.0.0.1:{press.port}") as proxy:
            yield OpcUaPress(proxy, press)


@pytest.mark.asyncio(loop_scope="module")
class TestOpcUaStreamed(StreamedContract):
    """node-opcua, subscribed to."""

    @pytest_asyncio.fixture(loop_scope="module")
    async def device(self, press: NodeOpcua) -> AsyncIterator[OpcUaPress]:
        async with Proxy(f"127.0.0.1:{press.port}") as proxy:
            device = OpcUaPress(proxy, press)
            await device.turn()
            yield device


class TestMqtt(StreamedContract):
    """mosquitto."""

    @pytest_asyncio.fixture
    async def device(self, mosquitto_binary: Path, tmp_path: Path) -> AsyncIterator[MqttHall]:
        async with (
            Mosquitto(mosquitto_binary, tmp_path) as broker,
            Proxy(f"127.0.0.1:{broker.port}") as proxy,
        ):
            device = MqttHall(proxy, broker)
            await device.turn()
            yield device


class TestFolder(StreamedContract):
    """A directory of this machine."""

    @pytest_asyncio.fixture
    async def device(self, tmp_path: Path) -> BenchFolder:
        device = BenchFolder(tmp_path)
        await device.turn()
        return device


SUITES = {
    "folder": (TestFolder,),
    "modbus": (TestModbusAgainstLibmodbus, TestModbusAgainstModbusSerial),
    "mqtt": (TestMqtt,),
    "opcua": (TestOpcUaPolled, TestOpcUaStreamed),
}
NO_NETWORK = {"simulated"}
"""Drivers without a device: tests/unit holds all there is to hold."""


def test_every_driver_has_a_suite() -> None:
    assert {entry.name for entry in entry_points(group=DRIVERS)} == SUITES.keys() | NO_NETWORK
