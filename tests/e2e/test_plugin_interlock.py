"""A unit that is not OK holds the line: PLC, agent, plugin `sequence`, gate and audit, all real."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.processes import World, until
from support.writable_plc import WritablePlc
from support.write_site import audited

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SEQUENCE = Path(__file__).resolve().parents[2] / "plugins" / "sequence"
SERIAL, STEP, FORCE, RESET, INTERLOCK = 0, 1, 2, 3, 5
"""Holding registers; the last one is a coil."""
CONFIG = """
[writes]
enabled = true
[[writes.allow]]
tags = ["station/Interlock"]
by = ["{by}"]
rate = "100/s"

[devices.station]
protocol = "modbus"
host = "127.0.0.1"
port = {port}
tags = [
    {{ name = "Serial", address = "holding:0", type = "uint16" }},
    {{ name = "Step", address = "holding:1", type = "uint16" }},
    {{ name = "Force", address = "holding:2", type = "uint16", scale = 0.1 }},
    {{ name = "Reset", address = "holding:3", type = "uint16" }},
    {{ name = "Interlock", address = "coil:5", type = "bool", access = "read_write" }},
]
groups.default.period = "50 ms"

[plugins.cell4]
path = "{path}"
inputs.tags = ["station/*"]
outputs.interlock = {{ kind = "write", type = "bool" }}
writes.interlock = "station/Interlock"

[plugins.cell4.settings]
serial = "station/Serial"
reset = "station/Reset"
state = "station/Interlock"
again = "1 s"

[[plugins.cell4.settings.steps]]
name = "press"
begin = {{ tag = "station/Step", is = 1 }}
checks.force = {{ kind = "range", tag = "station/Force", min = 5, max = 9 }}
"""


async def plugin(world: World) -> dict[str, Any]:
    """Give the status of the plugin, empty while the agent does not answer."""
    _, document = await world.ask("plugins", "ls")
    assert world.agent.running, world.agent.text()[-3000:]
    return document["plugins"][0] if document and document.get("plugins") else {}


async def until_asked(question: Callable[[dict[str, Any]], bool], world: World) -> dict[str, Any]:
    """Wait until the plugin's status is as asked for."""
    async with asyncio.timeout(90):
        while not question(status := await plugin(world)):
            pass
    return status


async def unit(world: World, plc: WritablePlc, serial: int, force: int) -> None:
    """Make one unit: each state stays until it was polled."""
    for step, number in ((0, serial), (1, serial), (0, serial), (0, 0)):
        plc.registers[STEP], plc.registers[SERIAL], plc.registers[FORCE] = step, number, force
        before = plc.reads
        await until(lambda: plc.reads > before + 4 or not world.agent.running, "it is polled")  # noqa: B023


async def started(world: World, plc: WritablePlc, by: str) -> None:
    world.write_config(CONFIG.format(by=by, port=plc.port, path=SEQUENCE))
    await world.server.start()
    await world.agent.start()
    await until_asked(lambda status: status.get("windows", 0) > 3, world)


async def test_a_unit_that_is_not_ok_holds_the_line_until_the_reset(tmp_path: Path) -> None:
    async with WritablePlc() as plc, World(tmp_path) as world:
        await started(world, plc, "plugin:cell4")
        await unit(world, plc, 500, 70)
        await unit(world, plc, 501, 40)
        await until(lambda: plc.coils[INTERLOCK] == 1, "the line is held")
        assert plc.registers[RESET] == 0
        plc.registers[RESET] = 1
        await until(lambda: plc.coils[INTERLOCK] == 0, "the reset lets it go")
        assert {address for _, address, _ in plc.writes} == {INTERLOCK}
        lines = await audited(world)
        for value in ("true", "false"):
            for word in ("intent", "GOOD"):
                assert any(f"{word}: write station/Interlock = {value}" in line for line in lines)
        assert all("(plugin:cell4: interlock of cell4)" in line for line in lines)
        await world.delivered()
        assert await world.agent.stop() == 0
        records = await stored(world, "cell4/record")
        assert [(one["serial"], one["result"]) for one in records] == [
            ("500", "OK"),
            ("501", "NOK"),
        ]
        assert records[1]["reasons"][0]["code"] == "force-low"


async def stored(world: World, name: str) -> list[dict[str, Any]]:
    """The records that the fleet server has."""
    found = await world.ask_fleet("query", "--gateway", "gw-1", "--tag", name, "--limit", "100")
    return [json.loads(value["value"]) for value in found["values"]]


async def test_without_a_rule_the_write_is_refused_and_told(tmp_path: Path) -> None:
    async with WritablePlc() as plc, World(tmp_path) as world:
        await started(world, plc, "operator")
        await unit(world, plc, 501, 40)
        await until(
            lambda: "no rule allows to write" in world.agent.text() or not world.agent.running,
            "the refusal is in the log",
        )
        lines = await audited(world)
        assert lines
        assert all("REFUSED" in line and "plugin:cell4" in line for line in lines)
        await world.delivered()
        assert plc.writes == []
        assert plc.coils[INTERLOCK] == 0
        assert await world.agent.stop() == 0
