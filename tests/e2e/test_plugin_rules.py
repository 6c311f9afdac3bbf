"""Rules, features and a plugin in JavaScript under the real host, while the agent is killed.

What they gave is held against the same, computed anew from the readings in the journal.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forebay.testing.modbus_server import ModbusServer
from support.good_samples import good_samples
from support.processes import World, until
from support.writable_plc import WritablePlc

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[2]
HIGH, LOW, TURN = 60, 20, 80
"""The register rises from 0 to TURN - 1, one a request, and begins anew."""


def config(world: World, port: int, node: Path) -> None:
    plugins = ROOT / "plugins"
    world.write_config(
        f"""
[devices.plc]
protocol = "modbus"
host = "127.0.0.1"
port = {port}
tags = [{{ name = "Level", address = "holding:0", type = "uint16" }}]
backoff = {{ first = "20 ms", most = "200 ms" }}
[devices.plc.groups.default]
period = "20 ms"

[plugins.watch]
path = "{plugins / "rules"}"
inputs.tags = ["plc/Level"]
window = {{ every = "200 ms", grace = "200 ms" }}
outputs.twice = {{ type = "float64" }}
[plugins.watch.limits]
deadline = "30 s"
start_timeout = "60 s"
samples_per_s = 1000000
[plugins.watch.settings]
aliases = {{ level = "plc/Level" }}
expressions = {{ twice = "level * 2" }}
[plugins.watch.settings.alarms.high]
when = "level > {HIGH}"
clear = "level < {LOW}"
text = "High"
priority = "high"

[plugins.shape]
path = "{plugins / "features"}"
inputs.vibration = ["plc/Level"]
window = {{ rows = 32 }}
settings = {{ jitter = 1000.0 }}
[plugins.shape.limits]
deadline = "30 s"
start_timeout = "60 s"

[plugins.foreign]
path = "{node}"
inputs.any = ["plc/Level"]
[plugins.foreign.limits]
deadline = "30 s"
start_timeout = "60 s"
"""
    )


@pytest.fixture
def node(tmp_path: Path, node_binary: Path, grpc_js_dir: Path) -> Path:
    """The plugin in JavaScript with all that it needs beside it, modules included."""
    folder = tmp_path / "node-mean"
    shutil.copytree(ROOT / "plugins/sdk/examples/node-mean", folder)
    shutil.copytree(ROOT / "proto", folder / "proto")
    shutil.copytree(grpc_js_dir, folder / "node_modules", ignore=_all_but_grpc)
    manifest = folder / "plugin.toml"
    manifest.write_text(manifest.read_text().replace('"node"', f'"{node_binary}"'))
    return folder


def _all_but_grpc(folder: str, names: list[str]) -> list[str]:
    """What the other servers of the testbeds need is large, and not needed here."""
    large = ("node-opcua", "@types", "@sterfive", "@peculiar", "jsmodbus", "modbus-serial")
    return [name for name in names if name.startswith(large)] if "node_modules" in folder else []


async def until_windows(world: World, least: int) -> None:
    """Wait until each plugin has worked on so many windows in the agent's present life."""
    async with asyncio.timeout(120):
        while True:
            _, document = await world.ask("plugins", "ls")
            found = (document or {}).get("plugins", [])
            if len(found) == 3 and all(one["windows"] >= least for one in found):
                return
            assert world.agent.running, world.agent.text()[-3000:]
            await asyncio.sleep(0.05)


def transitions(readings: list[tuple[int, Any]]) -> list[tuple[int, bool]]:
    """When the alarm must have become active and normal, by the readings alone."""
    active, found = False, []
    for when, level in readings:
        if level > HIGH and not active:
            active = True
            found.append((when, True))
        elif level < LOW and active:
            active = False
            found.append((when, False))
    return found


@pytest.mark.long
async def test_results_are_what_the_readings_say_whatever_dies(tmp_path: Path, node: Path) -> None:
    async with World(tmp_path) as world, ModbusServer() as server:
        server.values = lambda area, address: len(server.requests) % TURN
        config(world, server.port, node)
        for life in range(2):
            await world.agent.start()
            await until_windows(world, 12)
            if life == 0:
                await world.agent.kill()
        assert await world.agent.stop() == 0
        found = await good_samples(world.journal)
    readings = sorted(found["plc/Level"])
    level = dict(readings)

    twice = found["watch/twice"]
    assert len({when for when, _ in twice}) == len(twice) > 200
    assert all(value == 2 * level[when] for when, value in twice)
    last = max(when for when, _ in twice)
    assert {when for when, _ in twice} == {when for when in level if when <= last}

    told = list(
        zip(
            [when for when, _ in found["watch/active"]],
            [bool(active) for _, active in found["watch/active"]],
            strict=True,
        )
    )
    assert told == [one for one in transitions(readings) if one[0] <= last]
    assert len(told) >= 4
    assert {str(text) for _, text in found["watch/message"]} == {
        "High: active, unacknowledged (high)",
        "High: normal (high)",
    }

    times = [when for when, _ in readings]
    for key, rows, compute in (
        ("foreign/mean", 8, np.mean),
        ("shape/rms", 32, np.std),
    ):
        given = found[key]
        assert len({when for when, _ in given}) == len(given) > 10, key
        for when, value in given:
            end = times.index(when) + 1
            wanted = float(compute([float(one) for _, one in readings[end - rows : end]]))
            assert value == pytest.approx(wanted, abs=1e-9), key


INTERLOCK = 5
"""The coil that stops the feed."""
GUARDED = """
[writes]
enabled = true
[[writes.allow]]
tags = ["tank/Stop"]
by = ["plugin:guard"]
rate = "100/s"

[devices.tank]
protocol = "modbus"
host = "127.0.0.1"
port = {port}
tags = [
    {{ name = "Level", address = "holding:0", type = "uint16" }},
    {{ name = "Stop", address = "coil:5", type = "bool", access = "read_write" }},
]
groups.default.period = "50 ms"

[plugins.guard]
path = "{path}"
inputs.tags = ["tank/Level"]
window = {{ rows = 1 }}
outputs.stop = {{ kind = "write", type = "bool" }}
writes.stop = "tank/Stop"
[plugins.guard.limits]
deadline = "30 s"
start_timeout = "60 s"
[plugins.guard.settings]
expressions.stop = 'hysteresis(tag("tank/Level"), 40, 60)'
"""


async def test_a_rule_stops_and_frees_a_machine_through_the_gate(tmp_path: Path) -> None:
    async with World(tmp_path) as world, WritablePlc() as plc:
        world.write_config(GUARDED.format(port=plc.port, path=ROOT / "plugins/rules"))
        plc.registers[0] = 50
        await world.agent.start()
        await until(lambda: plc.writes, "it says what holds")
        for level, stopped in ((50, 0), (61, 1), (45, 1), (39, 0), (70, 1)):
            plc.registers[0] = level
            await until(lambda: _judged(plc, level), f"{level} was read")  # noqa: B023
            await until(lambda: plc.coils[INTERLOCK] == stopped, f"{level}: {stopped}")  # noqa: B023
        assert {address for _, address, _ in plc.writes} == {INTERLOCK}
        assert [values[0] != 0 for _, _, values in plc.writes] == [False, True, False, True]
        assert await world.agent.stop() == 0


def _judged(plc: WritablePlc, level: int) -> bool:
    """Whether a poll began behind the change of the level, and ended."""
    if plc.registers[1] != level:
        plc.registers[1], plc.registers[2] = level, plc.reads
    return plc.reads > plc.registers[2] + 2
