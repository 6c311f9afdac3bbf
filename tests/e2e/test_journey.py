"""A reading's whole journey.

Three foreign servers, the agent, the fleet server, and back to a person.

Nothing here is ours but agent and fleet server: libmodbus, node-opcua and mosquitto are the field.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from forebay.testing.modbus_server import ModbusServer
from support.modbus import libmodbus_server
from support.mosquitto import Mosquitto
from support.node_opcua import NAMESPACE, NodeOpcua
from support.processes import GATEWAY, World, run_forebay, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

LIBMODBUS_TAGS = 10_000


async def eventually(
    ask: Callable[[], Awaitable[Any]], good: Callable[[Any], object], what: str, tries: int = 120
) -> Any:
    """Ask until the answer is good, every half second at most."""
    answer = None
    for _ in range(tries):
        answer = await ask()
        if good(answer):
            return answer
        await asyncio.sleep(0.5)
    pytest.fail(f"never {what}; last seen: {answer!r}")


async def stored(world: World, tag: str, limit: int = 1000) -> list[dict[str, Any]]:
    answer = await world.ask_fleet(
        "query", "--gateway", GATEWAY, "--tag", tag, "--limit", str(limit)
    )
    values: list[dict[str, Any]] = answer["values"]
    return values


def write_tags(path: Path, header: str, rows: list[str]) -> None:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def three_protocols(world: World, modbus: int, opcua: str, mqtt: int) -> None:
    registers = [f"r{a},holding:{a},uint16,,," for a in range(1, LIBMODBUS_TAGS)]
    scaled = ["temperature,holding:300,int16,degC,0.1,-40", "running,coil:3,bool,,,"]
    write_tags(
        world.directory / "meter.csv", "name,address,type,unit,scale,offset", registers + scaled
    )
    nodes = [
        f"Level,nsu={NAMESPACE};s=Level,float64,live",
        f"Text,nsu={NAMESPACE};s=Text,string,live",
        f"ULong,nsu={NAMESPACE};s=ULong,uint64,slow",
        f"Nothing,nsu={NAMESPACE};s=DoesNotExist,float64,live",
    ]
    write_tags(world.directory / "press.csv", "name,address,type,group", nodes)
    topics = ["speed,line/1#/speed,float64", "belt,line/1#/belt/name,string", "raw,line/raw,int32"]
    write_tags(world.directory / "line.csv", "name,address,type", topics)
    world.write_config(
        f"""
[devices.meter]
protocol = "modbus"
host = "127.0.0.1"
port = {modbus}
tags = "meter.csv"
[devices.meter.groups.default]
period = "200 ms"

[devices.press]
protocol = "opcua"
endpoint = "{opcua}"
security_policy = "None"
tags = "press.csv"
backoff = {{ first = "100 ms", most = "1 s" }}
[devices.press.groups.live]
mode = "subscribe"
period = "100 ms"
[devices.press.groups.slow]
mode = "poll"
period = "500 ms"

[devices.line]
protocol = "mqtt"
host = "127.0.0.1"
port = {mqtt}
tls = false
tags = "line.csv"
"""
    )


@pytest.mark.long
async def test_three_foreign_servers_an_outage_and_a_restart(
    tmp_path: Path,
    libmodbus_server_binary: Path,
    mosquitto_binary: Path,
    node_binary: Path,
    node_opcua_dir: Path,
) -> None:
    (tmp_path / "opcua").mkdir()
    (tmp_path / "mqtt").mkdir()
    press = NodeOpcua(node_binary, node_opcua_dir, tmp_path / "opcua")
    broker = Mosquitto(mosquitto_binary, tmp_path / "mqtt")
    with libmodbus_server(libmodbus_server_binary, LIBMODBUS_TAGS + 1) as modbus:
        async with press, broker, World(tmp_path) as world:
            three_protocols(world, modbus, press.endpoint, broker.port)
            await world.server.start()
            await world.agent.start()
            await _all_connected(world)
            await broker.publish("line/1", '{"speed": 1.5, "belt": {"name": "A"}}')
            await press.set("Level", 7.25, status="UncertainSensorNotAccurate")
            await _read_at_the_box(world)

            await world.server.kill()  # the outage
            await broker.publish("line/1", '{"speed": 2.5, "belt": {"name": "B"}}')
            await press.set("Level", 8.5)
            await _level_is(world, 8.5)
            await broker.publish("line/raw", "42", "not a number")
            await _press_restarts(world, press)
            await world.server.start()

            await world.delivered()
            await _read_at_the_server(world)
            assert await world.agent.stop() == 0
            verified = (await world.ask_fleet("ledger", "--verify"))["verified"]
            assert verified["sound"], verified
            assert verified["duplicate_samples"] == 0


async def _all_connected(world: World) -> None:
    async def states() -> dict[str, str]:
        _, document = await world.ask("devices")
        devices = (document or {}).get("devices", [])
        return {device["name"]: device["state"] for device in devices}

    wanted = {"meter": "connected", "press": "connected", "line": "connected"}
    await eventually(states, lambda found: found == wanted, "are all devices connected")


async def _read_at_the_box(world: World) -> None:
    """Ask the agent for last values, as a person at the machine does."""
    names = ["meter/r777", "meter/temperature", "meter/running", "press/Level", "line/speed"]

    async def values() -> dict[str, Any]:
        _, document = await world.ask("read", *names, "press/Nothing")
        return {f"{t['device']}/{t['name']}": t for t in document["tags"]}

    seen = await eventually(
        values,
        lambda v: v["press/Level"]["value"] == 7.25 and v["line/speed"]["value"] == 1.5,
        "do the last values arrive",
    )
    assert seen["meter/r777"]["value"] == 777
    assert seen["meter/temperature"]["value"] == pytest.approx(300 * 0.1 - 40)
    assert seen["meter/running"]["value"] is True
    assert (
        seen["press/Level"]["quality_name"].startswith("Uncertain")
        or seen["press/Level"]["quality"] == 0x4093_0000
    )
    assert seen["press/Nothing"]["value"] is None
    assert seen["press/Nothing"]["quality"] >> 16 == 0x8034


async def _press_restarts(world: World, press: NodeOpcua) -> None:
    """Restart the OPC UA server with another namespace index; the agent must heal by itself."""
    await press.kill()
    await press.start(extra_namespaces=2)
    await press.set("Level", 9.75)
    await _level_is(world, 9.75)


async def _level_is(world: World, wanted: float) -> None:
    async def level() -> Any:
        _, document = await world.ask("read", "press/Level")
        return document["tags"][0]["value"]

    await eventually(level, lambda value: value == wanted, f"is the level {wanted}")


async def _read_at_the_server(world: World) -> None:
    """Ask the fleet server what it stored."""
    levels = [v["value"] for v in await stored(world, "press/Level")]
    for level in (7.25, 8.5, 9.75):
        assert level in levels, levels
    qualities = {v["status"] for v in await stored(world, "press/Level") if v["value"] == 7.25}
    assert 0x4093_0000 in qualities
    assert None in levels  # the restart was seen as bad quality
    assert [v["value"] for v in await stored(world, "line/speed")][-2:] == [1.5, 2.5]
    raw = await stored(world, "line/raw")
    assert [(v["value"], v["status"] >> 31) for v in raw][-2:] == [(42, 0), (None, 1)]
    for number in (1, 125, 126, 5_000, LIBMODBUS_TAGS - 1):
        values = await stored(world, f"meter/r{number}")
        assert {v["value"] for v in values} == {number}
        assert len(values) > 5
    temperatures = {v["value"] for v in await stored(world, "meter/temperature")}
    assert temperatures == {300 * 0.1 - 40}


async def test_a_wrong_config_starts_no_daemon_and_stops_none(tmp_path: Path) -> None:
    async with World(tmp_path) as world, ModbusServer() as plc:
        write_tags(tmp_path / "plc.csv", "name,address,type", ["a,holding:1,uint16"])
        device = f'protocol = "modbus"\nhost = "127.0.0.1"\nport = {plc.port}\ntags = "plc.csv"'
        world.write_config(f"[devices.plc]\n{device}")
        await world.server.start()
        await world.agent.start()
        await until(lambda: '"uplink_connected"' in world.agent.text(), "the uplink connects")
        world.config.write_text(
            world.config.read_text(encoding="utf-8").replace('"plc.csv"', '"missing.csv"')
        )
        for command in (["check", str(world.config)], ["run", "--config", str(world.config)]):
            code, printed = await run_forebay(*command)
            assert code == 2, printed
            assert "devices.plc.tags: missing.csv does not exist" in printed
        _, status = await world.ask("status")
        assert (status["state"], status["devices_connected"]) == ("running", 1)
        assert await world.agent.stop() == 0


async def test_a_second_agent_on_the_same_journal_is_refused(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.write_config("")
        await world.agent.start()
        await until(lambda: '"agent_started"' in world.agent.text(), "the agent starts")
        code, printed = await run_forebay("run", "--config", str(world.config))
        assert code == 1
        assert "another process" in printed
        code, status = await world.ask("status")
        assert (code, status["state"]) == (0, "running")
        assert await world.agent.stop() == 0
