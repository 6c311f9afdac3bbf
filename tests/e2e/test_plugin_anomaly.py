"""A fault on a line is flagged while it happens: PLC, agent, the anomaly plugin in its sandbox.

The three tags of a pump follow its load; then the flow stops following, well inside its own range.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from forebay.testing.modbus_server import ModbusServer
from support.processes import World

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PLUGIN = Path(__file__).resolve().parents[2] / "plugins/anomaly"
LEARN = 150


class Pump:
    """Registers 0 to 2: flow, current, pressure; `blocked` takes a tenth of the flow away."""

    def __init__(self) -> None:
        self.blocked = False
        self._random = random.Random(11)
        self._load = 0.0

    def __call__(self, area: str, address: int) -> int:
        """Answer for one register; the first of a poll sets the load for all."""
        if address == 0:
            self._load = self._random.gauss(0, 100)
        level = 5000 + self._load * (1 + address / 2) + self._random.gauss(0, 10)
        return round(level - 500 * (self.blocked and address == 0))


async def until_tag(world: World, name: str, met: Callable[[Any], bool]) -> Any:
    """Wait until a tag of the plugin has such a value; give it."""
    async with asyncio.timeout(90):
        while True:
            _, document = await world.ask("tags", f"watch/{name}")
            for tag in (document or {}).get("tags", []):
                if tag.get("value") is not None and met(tag["value"]):
                    return tag["value"]
            assert world.agent.running, world.agent.text()[-3000:]


async def test_a_fault_is_flagged_while_it_happens(tmp_path: Path) -> None:
    pump, server = Pump(), ModbusServer()
    server.values = pump
    async with World(tmp_path) as world, server:
        tags = ", ".join(
            f'{{ name = "{name}", address = "holding:{address}", type = "uint16" }}'
            for address, name in enumerate(("flow", "current", "pressure"))
        )
        world.write_config(
            f"""
[devices.pump]
protocol = "modbus"
host = "127.0.0.1"
port = {server.port}
tags = [{tags}]
[devices.pump.groups.default]
period = "20 ms"
[plugins.watch]
path = "{PLUGIN}"
inputs.values = ["pump/*"]
limits = {{ start_timeout = "90 s", deadline = "30 s" }}
settings = {{ learn = {LEARN}, report = 10 }}
"""
        )
        await world.agent.start()
        assert await until_tag(world, "score", lambda score: score < 1) >= 0
        assert await until_tag(world, "alarm", lambda alarm: alarm is False) is False
        pump.blocked = True
        assert await until_tag(world, "alarm", lambda alarm: alarm is True) is True
        _, document = await world.ask("plugins", "ls")
        (status,) = document["plugins"]
        facts = {fact["name"]: fact["text"] for fact in status["facts"]}
        assert facts["model"] == "anomaly-detector 1"
        assert facts["trust"] == "pinned by the plugin's settings"
        assert (status["windows_passed"], status["samples_refused"]) == (0, 0)
        pump.blocked = False
        assert await until_tag(world, "alarm", lambda alarm: alarm is False) is False
        assert await world.agent.stop() == 0
