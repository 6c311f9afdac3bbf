"""Plugins in the whole system: PLC, agent, plugin process, journal, fleet server.

A Modbus server counts; the plugin `echo` says for each row what it saw, and in which version.
So every row of the device must have exactly one echo, with its time and its value, whatever dies.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from forebay.columnar import decode_batch, decode_gap, decode_schema, peek_schema_id
from forebay.model import GapCause, RecordKind
from forebay.testing.modbus_server import ModbusServer
from support.journal import journaled
from support.processes import GATEWAY, World, run_forebay, until

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.model import Schema

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

MANIFEST = """\
[plugin]
name = "echo"
version = "{version}"
command = ["{{python}}", "{{dir}}/echo.py"]

[inputs.values]
tags = ["plc/*"]

[outputs.seen]
[outputs.version]
type = "int32"

[limits]
deadline = "20 s"
start_timeout = "60 s"
samples_per_s = 100000
"""
CODE = """\
import os
from forebay_plugin import Plugin, serve


class Echo(Plugin):
    def setup(self, setup):
        print("ready", flush=True)
        return {{"version": "{version}"}}

    def process(self, window):
        (series,) = window.role("values")
        if not series.good.all():
            return {{}}
        return {{"seen": float(series.values[-1]), "version": {version}}}


serve(Echo)
"""


def plc() -> ModbusServer:
    """Serve one uint32 that counts the requests."""
    server = ModbusServer()
    server.values = lambda area, address: len(server.requests) if address % 2 else 0
    return server


def plugin(directory: Path, version: int, code: str = CODE) -> Path:
    """Make the folder of a version of `echo`."""
    folder = directory / f"echo-{version}"
    folder.mkdir()
    (folder / "plugin.toml").write_text(MANIFEST.format(version=version), encoding="utf-8")
    (folder / "echo.py").write_text(code.format(version=version), encoding="utf-8")
    return folder


def write_config(world: World, port: int, plugin_table: str) -> None:
    world.write_config(
        f"""
[devices.plc]
protocol = "modbus"
host = "127.0.0.1"
port = {port}
tags = [{{ name = "count", address = "holding:0", type = "uint32" }}]
backoff = {{ first = "20 ms", most = "200 ms" }}
[devices.plc.groups.default]
period = "20 ms"
[plugins.watch]
{plugin_table}
"""
    )


async def samples(journal: Path) -> dict[str, list[tuple[int, Any]]]:
    """Give every good sample in the stream of telemetry: by DEVICE/TAG, (time, value)."""
    found: dict[str, list[tuple[int, Any]]] = {}
    schemas: dict[int, Schema] = {}
    for record in await journaled(journal):
        if record.kind is RecordKind.SCHEMA:
            schema = decode_schema(record.payload)
            schemas[schema.id] = schema
        if record.kind is RecordKind.GAP:
            gap = decode_gap(record.payload)
            assert gap.cause is not GapCause.NOT_COMPUTED, gap
        if record.kind is not RecordKind.BATCH:
            continue
        batch = decode_batch(record.payload, schemas[peek_schema_id(record.payload)])
        for key, at, value in listed(batch):
            found.setdefault(key, []).append((at, value))
    return found


def listed(batch: Any) -> list[tuple[str, int, Any]]:
    """Give the good samples of a batch, one by one."""
    schema, out = batch.schema, []
    if batch.index is not None:
        lanes = [iter(values) for values in batch.values]
        for at, column in enumerate(batch.index):
            value = next(lanes[schema.lane_of[column]])
            if batch.quality is None or batch.quality[at] >> 31 == 0:
                tag = schema.tags[column].name
                out.append((f"{schema.source}/{tag}", int(batch.times_ns[at]), value))
        return out
    for lane, values in zip(schema.lanes, batch.values, strict=True):
        for place, column in enumerate(lane.columns):
            tag = schema.tags[column].name
            out += [
                (f"{schema.source}/{tag}", int(batch.times_ns[row]), values[row][place])
                for row in range(batch.rows)
                if batch.quality is None or batch.quality[row][column] >> 31 == 0
            ]
    return out


async def plugins(world: World) -> dict[str, Any]:
    """Give the status of the plugin, empty while the agent does not answer."""
    _, document = await world.ask("plugins", "ls")
    return document["plugins"][0] if document and document.get("plugins") else {}


async def until_status(world: World, what: str, **wanted: Any) -> dict[str, Any]:
    """Wait until the plugin's status has these values; a callable judges one."""
    async with asyncio.timeout(60):
        while True:
            status = await plugins(world)
            met = (
                status and (want(status[key]) if callable(want) else status[key] == want)
                for key, want in wanted.items()
            )
            if all(met):
                return status
            assert world.agent.running, f"{what}: {world.agent.text()[-3000:]}"


def once(found: dict[str, list[tuple[int, Any]]]) -> None:
    """Every reading of the device has its echo, once, with its time and value; but the last few."""
    read, seen = dict(found["plc/count"]), found["watch/seen"]
    twice = [at for at, number in Counter(at for at, _ in seen).items() if number > 1]
    assert twice == [], f"{len(twice)} of {len(seen)} echoes came twice"
    assert all(read.get(at) == value for at, value in seen)
    last = max(at for at, _ in seen)
    missing = [at for at in read if at <= last and at not in dict(seen)]
    assert missing == [], f"{len(missing)} of {len(read)} readings have no echo"


async def test_results_come_once_to_the_server_although_agent_and_plugin_are_killed(
    tmp_path: Path,
) -> None:
    folder = plugin(tmp_path, 1)
    async with World(tmp_path) as world, plc() as server:
        write_config(world, server.port, f'path = "{folder}"')
        await world.server.start()
        for life in range(3):
            await world.agent.start()
            await until_status(world, f"life {life}", windows=lambda n: n > 40)
            await world.agent.kill()
        await world.agent.start()
        status = await until_status(world, "the last life", windows=lambda n: n > 20)
        assert status["facts"] == [{"name": "version", "text": "1"}]
        assert (status["samples_refused"], status["windows_passed"]) == (0, 0)
        _, tags = await world.ask("tags", "watch/*")
        assert {tag["name"] for tag in tags["tags"]} == {"seen", "version"}
        _, logged = await world.ask("plugins", "logs", "watch")
        assert any(line["text"].endswith(" ready") for line in logged["lines"])
        await world.delivered()
        assert await world.agent.stop() == 0
        verified = (await world.ask_fleet("ledger", "--verify"))["verified"]
        assert (verified["sound"], verified["duplicate_samples"]) == (True, 0)
        found = await samples(world.journal)
        once(found)
        words = ("query", "--gateway", GATEWAY, "--tag", "watch/seen", "--limit", "100000")
        stored = [value["value"] for value in (await world.ask_fleet(*words))["values"]]
        assert sorted(stored) == sorted(value for _, value in found["watch/seen"])


async def test_another_version_takes_over_and_no_window_is_lost(tmp_path: Path) -> None:
    first, second = plugin(tmp_path, 1), plugin(tmp_path, 2)
    state = str(tmp_path / "state")
    async with World(tmp_path) as world, plc() as server:
        write_config(world, server.port, 'plugin = "echo"')
        code, _ = await world.ask("plugins", "install", str(first), "--state", state)
        assert code == 0
        await world.agent.start()
        await until_status(world, "the first version", windows=lambda n: n > 50, version="1")
        code, document = await world.ask("plugins", "install", str(second))
        assert (code, document["taken_up"]) == (0, ["watch"])
        (world.directory / "echo-2/echo.py").write_text("raise SystemExit(3)\n")
        begun = (await until_status(world, "the second version", version="2"))["windows"]
        await until_status(world, "it works", windows=lambda n: n > begun + 50, version="2")
        assert await world.agent.stop() == 0
        found = await samples(world.journal)
        once(found)
        versions = [value for _, value in sorted(found["watch/version"])]
        assert set(versions) == {1, 2}
        assert versions == sorted(versions)


async def test_what_was_missing_runs_when_it_is_installed(tmp_path: Path) -> None:
    async with World(tmp_path) as world, plc() as server:
        write_config(world, server.port, 'plugin = "echo"')
        await world.agent.start()
        status = await until_status(world, "it is missing", state="refused")
        assert "echo is not installed" in status["last_error"]
        code, document = await world.ask("plugins", "install", str(plugin(tmp_path, 1)))
        assert (code, document["taken_up"]) == (0, ["watch"])
        assert await tags_of(world) == ["seen", "version"], "known before the first result"
        await until_status(world, "it runs", windows=lambda n: n > 20)
        code, tags = await world.ask("read", "watch/seen")
        assert code == 0
        assert tags["tags"][0]["value"] > 0
        assert await world.agent.stop() == 0
        once(await samples(world.journal))


async def tags_of(world: World) -> list[str]:
    """Give the plugin's tags, by name."""
    _, document = await world.ask("tags", "watch/*")
    return sorted(tag["name"] for tag in document["tags"])


async def test_another_version_gives_other_tags(tmp_path: Path) -> None:
    second = plugin(tmp_path, 2, CODE.replace('"version": {version}}}', '"made": {version}}}'))
    manifest = second / "plugin.toml"
    manifest.write_text(manifest.read_text("utf-8").replace("outputs.version", "outputs.made"))
    async with World(tmp_path) as world, plc() as server:
        write_config(world, server.port, 'plugin = "echo"')
        state = str(tmp_path / "state")
        code, _ = await world.ask("plugins", "install", str(plugin(tmp_path, 1)), "--state", state)
        assert code == 0
        await world.agent.start()
        await until_status(world, "the first version", windows=lambda n: n > 5)
        assert await tags_of(world) == ["seen", "version"]
        assert (await world.ask("plugins", "install", str(second)))[0] == 0
        assert await tags_of(world) == ["made", "seen"]
        _, found = await world.ask("read", "watch/seen")
        assert found["tags"][0]["value"] > 0, "the last value of a tag that stays is kept"
        assert await world.agent.stop() == 0


async def test_a_version_that_does_not_get_ready_changes_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = plugin(tmp_path, 1)
    second = plugin(tmp_path, 2, CODE.replace("print(", 'raise ValueError("no model") or print('))
    async with World(tmp_path) as world, plc() as server:
        write_config(world, server.port, 'plugin = "echo"')
        assert (await world.ask("plugins", "install", str(first), "--state", str(state)))[0] == 0
        await world.agent.start()
        before = await until_status(world, "the first version", windows=lambda n: n > 20)
        code, document = await world.ask("plugins", "install", str(second))
        assert code == 1
        assert "1 stays" in document["error"]["message"]
        assert str((state / "plugins/installed/echo/current").readlink()) == "1"
        after = await until_status(
            world, "it goes on", windows=lambda n: n > before["windows"] + 20, version="1"
        )
        assert (after["state"], after["pid"]) == ("running", before["pid"])
        assert await world.agent.stop() == 0
        once(await samples(world.journal))


async def test_a_plugin_that_cannot_run_costs_nothing_else(tmp_path: Path) -> None:
    folder = plugin(tmp_path, 1)
    async with World(tmp_path) as world, plc() as server:
        write_config(world, server.port, f'path = "{folder}"')
        shutil.rmtree(folder)
        await world.agent.start()
        status = await until_status(world, "the agent starts without it", state="refused")
        assert "plugin.toml does not exist" in status["last_error"]
        _, devices = await world.ask("devices")
        assert devices["devices"][0]["name"] == "plc"
        _, found = await world.ask("status")
        assert any(line.startswith("plugin watch: ") for line in found["problems"])
        assert (await world.ask("plugins", "restart", "watch"))[0] == 1
        assert (await world.ask("plugins", "restart", "nobody"))[0] == 2
        folder.mkdir()
        (folder / "plugin.toml").write_text(MANIFEST.format(version=1), encoding="utf-8")
        (folder / "echo.py").write_text(CODE.format(version=1), encoding="utf-8")
        assert (await world.ask("plugins", "restart", "watch"))[0] == 0
        await until_status(world, "it runs once it is mended", windows=lambda n: n > 20)
        assert await world.agent.stop() == 0
        once(await samples(world.journal))
        assert np.all(np.diff([at for at, _ in (await samples(world.journal))["plc/count"]]) > 0)


async def test_a_restart_by_hand_does_what_it_had_in_hand_again(tmp_path: Path) -> None:
    async with World(tmp_path) as world, plc() as server:
        write_config(world, server.port, f'path = "{plugin(tmp_path, 1)}"')
        await world.agent.start()
        before = await until_status(world, "it runs", windows=lambda n: n > 20)
        code, done = await world.ask("plugins", "restart", "watch")
        assert (code, done) == (0, {"done": ["watch"], "failed": []})
        await until_status(
            world,
            "a new process",
            pid=lambda pid: pid not in (0, before["pid"]),
            windows=lambda n: n > before["windows"] + 50,
        )
        assert await world.agent.stop() == 0
        await until(lambda: '"agent_stopped"' in world.agent.text(), "it stops in order")
        once(await samples(world.journal))


async def test_a_replay_gives_the_same_results_as_live(tmp_path: Path) -> None:
    folder = plugin(tmp_path, 1)
    async with World(tmp_path) as world, plc() as server:
        write_config(world, server.port, f'path = "{folder}"')
        await world.agent.start()
        await until_status(world, "it runs", windows=lambda n: n > 60)
        _, listed_ = await world.ask("journal", "ls")
        segment = next(s["file"] for s in listed_["segments"] if s["stream"] == "telemetry")
        assert await world.agent.stop() == 0
        words = ("plugins", "replay", "watch", "--config", str(world.config), "--from", segment)
        code, said = await run_forebay(*words, "--json")
        told = json.loads(said)
        assert (code, told["same"], told["failed"]) == (0, True, 0), told
        assert told["equal"] == told["standing"] > 60
        once(await samples(world.journal))

        (folder / "echo.py").write_text(CODE.format(version=2), encoding="utf-8")
        code, said = await run_forebay(*words)
        assert code == 1, said
        assert "different" in said
        code, said = await run_forebay(*words[:-1], "nothing.seg")
        assert code == 2
        assert "there is no segment" in said
