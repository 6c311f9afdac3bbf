"""Devices of other makes for the drivers' contract suites: foreign servers behind a proxy."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from forebay.acquisition.line import SharedLine
from forebay.drivers import modbus, mqtt, opcua
from forebay.interfaces import DeviceSpec
from forebay.model import Schema, is_bad
from support.node_opcua import NAMESPACE
from support.processes import free_port
from support.seams import system_seams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from forebay.interfaces import Driver, DriverSpec
    from forebay.model import Sample
    from support.mosquitto import Mosquitto
    from support.node_opcua import NodeOpcua
    from support.proxy import Proxy

_START_S = 30.0
_BASE = 1000
"""Above all that node-opcua's variables hold at first."""


class Proxied:
    """A server behind a proxy, as `forebay.testing.driver_contract.FieldDevice`."""

    spec: DriverSpec
    refused: frozenset[str] = frozenset()
    writable = ""
    first: int | float = 7
    second: int | float = 65_000

    def __init__(self, proxy: Proxy, rows: Sequence[Mapping[str, Any]], **settings: Any) -> None:
        """`rows` are its tags; those of the group `partly` are in a schema of their own."""
        self._proxy, self._seams = proxy, system_seams()
        self._settings = settings
        tags = [self.spec.tag.model_validate(row) for row in rows]
        self.schema = Schema("press", "default", _of(tags, "default"))
        self.partly = Schema("press", "partly", _of(tags, "partly"))
        self._tags = {tag.name: tag for tag in tags}
        self.line = SharedLine("press", self._seams.clock)

    def place(self, port: int) -> dict[str, Any]:
        """Give the settings that say where a server at `port` is."""
        return {"host": "127.0.0.1", "port": port}

    def driver(self) -> Driver:
        return self._build(int(self._proxy.address.rpartition(":")[2]), self.line)

    def astray(self) -> Driver:
        return self._build(free_port(), SharedLine("astray", self._seams.clock))

    async def turn(self) -> None:
        """Do nothing: it counts what it is asked."""

    @property
    def connections(self) -> int:
        return self._proxy.open_connections

    @property
    def asked_bytes(self) -> int:
        return self._proxy.up

    def hold(self) -> None:
        self._proxy.hold()

    def release(self) -> None:
        self._proxy.release()

    async def cut(self) -> None:
        self._proxy.cut()

    def _build(self, port: int, line: SharedLine) -> Driver:
        settings = self.spec.settings.model_validate(
            {
                "protocol": self.spec.protocol,
                "tags": (),
                "timeout": "2 s",
                **self.place(port),
                **self._settings,
            }
        )
        schemas = tuple(schema for schema in (self.schema, self.partly) if schema.tags)
        spec = DeviceSpec("press", settings, schemas, self._tags)
        return self.spec.build(spec, self._seams, line)


def _of(tags: Sequence[Any], group: str) -> tuple[Any, ...]:
    return tuple(tag.to_tag() for tag in tags if tag.group == group)


def _row(area: str, address: int, group: str = "default") -> dict[str, Any]:
    return {
        "name": f"{area}:{address}",
        "address": f"{area}:{address}",
        "type": "uint16" if area in ("holding", "input") else "bool",
        "group": group,
    }


class CountingModbus(Proxied):
    """Holding register 0 counts requests; the others hold their address, each area in its way.

    Of the group `partly` it refuses those of `refused`.
    """

    spec = modbus.SPEC
    writable = "holding:40"

    def __init__(self, proxy: Proxy, refused: Sequence[int] = (), **settings: Any) -> None:
        self.refused = frozenset(f"holding:{address}" for address in refused)
        rows = [
            *(_row("holding", a) for a in (*range(40), *range(200, 400))),
            *(_row("input", a) for a in range(100, 300, 3)),
            *(_row("coil", a) for a in range(30)),
            *(_row("discrete", a) for a in range(30)),
            *(
                _row("holding", a, "partly")
                for a in sorted({40, 45, 49, 56, 60, 995, 999, *refused})
            ),
        ]
        super().__init__(proxy, rows, **settings)

    def state(self, samples: Sequence[Sample]) -> int:
        found = 0
        for sample in samples:
            area, _, text = sample.tag.name.partition(":")
            address, value = int(text), sample.value
            assert sample.quality == 0, sample
            if sample.tag.name == "holding:0":
                assert isinstance(value, int)
                found = value
                continue
            expected = {
                "holding": address,
                "input": 65_535 - address,
                "coil": address % 3 == 0,
                "discrete": address % 2 == 1,
            }
            assert value == expected[area], sample
        return found


class WalkingModbus(Proxied):
    """modbus-serial: register a of scan n holds 1000 n + a, and no two scans agree anywhere."""

    spec = modbus.SPEC
    writable = "holding:40"

    def __init__(self, proxy: Proxy, unit: int = 1, **settings: Any) -> None:
        rows = [*(_row("holding", a) for a in range(250)), _row("holding", 40, "partly")]
        super().__init__(proxy, rows[:-1] if unit == 1 else rows[-1:], unit=unit, **settings)

    def state(self, samples: Sequence[Sample]) -> int:
        values = [sample.value for sample in samples]
        assert all(sample.quality == 0 for sample in samples)
        first = values[0]
        assert isinstance(first, int)
        assert values == [(first + address) & 0xFFFF for address in range(len(values))]
        return next(n for n in range(1, 8193) if (1000 * n) & 0xFFFF == first)


class OpcUaPress(Proxied):
    """node-opcua: five variables, which `turn` gives the same number one after the other."""

    spec = opcua.SPEC
    refused = frozenset({"gone"})
    writable = "Level"
    first, second = 1.5, -7.25
    _NAMES = ("V0", "V1", "V2", "V3", "V4")

    def __init__(self, proxy: Proxy, server: NodeOpcua, **settings: Any) -> None:
        rows = [_node(name) for name in self._NAMES]
        rows += [{**_node(name), "group": "partly"} for name in ("V5", "gone", "V6")]
        rows += [{**_node("Level"), "group": "unread"}]
        super().__init__(proxy, rows, security_policy="None", keepalive="500 ms", **settings)
        self._server, self._turns = server, 0

    def place(self, port: int) -> dict[str, Any]:
        return {"endpoint": f"opc.tcp://127.0.0.1:{port}"}

    async def turn(self) -> None:
        self._turns += 1
        for name in self._NAMES:
            await self._server.set(name, float(_BASE + self._turns))

    def state(self, samples: Sequence[Sample]) -> int:
        assert all(sample.quality == 0 for sample in samples)
        value = samples[0].value
        assert {sample.value for sample in samples} == {value}
        assert isinstance(value, float)
        assert value > _BASE, "what it held before its first turn"
        return int(value) - _BASE


def _node(name: str) -> dict[str, Any]:
    return {"name": name, "address": f"nsu={NAMESPACE};s={name}", "type": "float64"}


class MqttHall(Proxied):
    """mosquitto: three topics, which `turn` gives the same retained number one after the other."""

    spec = mqtt.SPEC
    _NAMES = ("a", "b", "c")

    def __init__(self, proxy: Proxy, broker: Mosquitto, **settings: Any) -> None:
        rows = [{"name": n, "address": f"hall/{n}", "type": "int32"} for n in self._NAMES]
        super().__init__(proxy, rows, tls=False, keepalive=2, **settings)
        self._broker, self._turns = broker, 0

    async def turn(self) -> None:
        self._turns += 1
        for name in self._NAMES:
            await self._broker.publish(f"hall/{name}", str(self._turns), retain=True)

    def state(self, samples: Sequence[Sample]) -> int:
        assert not any(is_bad(sample.quality) for sample in samples)  # retained: uncertain
        value = samples[0].value
        assert {sample.value for sample in samples} == {value}
        assert isinstance(value, int)
        return value


@asynccontextmanager
async def node_server(node: Path, script: Path) -> AsyncIterator[int]:
    """Run a server script of tests/testbeds that tells its port; it ends with its input."""
    process = await asyncio.create_subprocess_exec(
        str(node), str(script), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _START_S)
        yield int(json.loads(line)["port"])
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), _START_S)
