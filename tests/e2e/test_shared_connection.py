"""Eight units behind one TCP connection, one of them silent: what that costs the other seven."""

from __future__ import annotations

import asyncio
import json
import statistics
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from forebay.events import DEVICE_CONNECTED, DEVICE_LOST
from forebay.model import Quality
from forebay.testing.modbus_server import ModbusServer
from support.modbus import tag
from support.processes import World, until
from support.sessions import Site, began_s, statuses

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from forebay.model import Batch

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

UNITS = range(1, 9)
SILENT = 4
PERIOD_S = 0.5
ROWS = 20


def errors(rows: Sequence[Batch]) -> list[float]:
    """Give by what part of a period each poll was off its distance to the one before."""
    return sorted(abs((began_s(b) - began_s(a)) / PERIOD_S - 1) for a, b in pairwise(rows))


def p95(values: Sequence[float]) -> float:
    return values[int(len(values) * 0.95)]


@pytest.mark.long
async def test_one_silent_unit_among_eight() -> None:
    tags = [tag(f"holding:{address}") for address in range(0, 1000, 5)]
    async with ModbusServer() as server:
        server.units = set(UNITS)
        site = Site()
        for unit in UNITS:
            site.add(f"u{unit}", server.port, tags, PERIOD_S, unit=unit)
        others = [f"u{unit}" for unit in UNITS if unit != SILENT]
        async with site.running():
            await site.until(lambda: len(site.sessions["u1"].status.last_error) == 0)
            await site.rows("u1", 3)
            before = {name: len(site.intake.rows(name)) for name in others}
            await site.rows("u1", ROWS)
            usual = {name: site.intake.rows(name)[before[name] :] for name in others}

            server.units.discard(SILENT)
            await site.until(lambda: site.events.count(DEVICE_LOST, device="u4") == 1)
            since = {name: len(site.intake.rows(name)) for name in others}
            await site.rows("u1", 2 * ROWS)
            silent = {name: site.intake.rows(name)[since[name] :] for name in others}

            server.units.add(SILENT)
            await site.until(lambda: statuses(site.intake.rows("u4")[-1]) == {0})
            told = len(UNITS) + 1
            await site.until(lambda: site.events.count(DEVICE_CONNECTED) == told)
            assert server.connections == 1, "one connection for all, all the time"

    for name in others:
        rows = silent[name]
        mean_s = (began_s(rows[-1]) - began_s(rows[0])) / (len(rows) - 1)
        assert abs(mean_s / PERIOD_S - 1) < 0.05, name
        assert {status for row in rows for status in statuses(row)} == {0}
        polls = [row.values[0][0].tolist() for row in rows]
        assert polls == [list(range(0, 1000, 5))] * len(rows), "no answer went astray"
    usually = p95(sorted(e for name in others for e in errors(usual[name])))
    meanwhile = p95(sorted(e for name in others for e in errors(silent[name])))
    middle = statistics.median(e for name in others for e in errors(silent[name]))
    assert middle < 0.05
    assert meanwhile < 0.05 + 3 * usually, (usually, meanwhile)

    dark = [row for row in site.intake.rows("u4") if statuses(row) != {0}]
    assert {s for row in dark for s in statuses(row)} == {Quality.BAD_TIMEOUT}
    assert len(dark) >= ROWS, "an outage is data"
    (lost,) = site.told("device_lost")
    assert lost["device"] == "u4"
    assert lost["line"] == f"127.0.0.1:{server.port}"
    assert lost["error"] == "unit 4: no answer within 1 s to function 3, address 0"


async def test_the_agent_shows_the_line_that_devices_share(tmp_path: Path) -> None:
    async with ModbusServer() as server, World(tmp_path) as world:
        server.units = {1, 2}
        world.write_config(
            "".join(
                f"""
[devices.u{unit}]
protocol = "modbus"
host = "127.0.0.1"
port = {server.port}
unit = {unit}
tags = [{{ name = "t", address = "holding:7", type = "uint16" }}]
[devices.u{unit}.groups.default]
period = "50 ms"
"""
                for unit in (1, 2, 3)
            )
        )
        await world.agent.start()
        async with asyncio.timeout(60):
            while True:
                code, found = await world.ask("devices")
                if code == 0 and found["devices"][0]["line_load"] > 0:
                    break
                await asyncio.sleep(0.2)  # the load is taken over ten seconds, by the agent's clock
        await until(lambda: '"device_lost"' in world.agent.text(), "unit 3 is told silent")
        assert await world.agent.stop() == 0, world.agent.text()[-2000:]
    lines = {device["name"]: device["line"] for device in found["devices"]}
    assert lines == dict.fromkeys(("u1", "u2", "u3"), f"127.0.0.1:{server.port}")
    loads = [device["line_load"] for device in found["devices"]]
    assert 0 < min(loads) <= max(loads) < 1
    assert max(loads) - min(loads) < 0.05, "it is that of the line"
    told = [json.loads(line) for line in world.agent.text().splitlines() if line[:1] == "{"]
    (lost,) = [line for line in told if line["event"] == "device_lost"]
    assert (lost["device"], lost["line"]) == ("u3", lines["u3"])
    assert lost["error"].startswith("unit 3: no answer within ")
    assert server.connections == 1
