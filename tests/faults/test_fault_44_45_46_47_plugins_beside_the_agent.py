"""Faults 44 to 47 at once, in the real agent: a plugin that works, beside six that do their worst.

Polls keep their period; the one that works has a result for every reading; each of the others,
once repaired, goes on where it was, and what it could not compute stands in the journal as a Gap.
"""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from forebay.columnar import decode_batch, decode_gap, decode_schema, peek_schema_id
from forebay.model import GapCause, RecordKind
from forebay.testing.modbus_server import ModbusServer
from support.journal import journaled
from support.plugins import SOURCE
from support.processes import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from forebay.model import Batch, Gap, Schema

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PERIOD_S = 0.1
KEPT = 0.8
"""The least share of periods with a row: a busy machine may cost some."""
SCALE = 2.0
BAD = ("exits", "hangs", "eats", "breeds", "chatters", "invents")
MANIFEST = """\
[plugin]
name = "odd"
version = "1.0"
command = ["{python}", "{dir}/odd_plugin.py"]
[inputs.values]
tags = ["plc/*"]
[outputs.total]
[limits]
deadline = "2 s"
start_timeout = "60 s"
memory = "96 MiB"
processes = 40
samples_per_s = 100000
"""


def put(directory: Path, manner: str) -> Path:
    """Make the folder of an odd plugin of this manner."""
    directory.mkdir(exist_ok=True)
    shutil.copy(SOURCE, directory / SOURCE.name)
    (directory / "plugin.toml").write_text(MANIFEST, encoding="utf-8")
    (directory / "manner").write_text(manner, encoding="utf-8")
    return directory


def plc() -> ModbusServer:
    """Serve one uint32 that counts the requests."""
    server = ModbusServer()
    server.values = lambda area, address: len(server.requests) if address % 2 else 0
    return server


def write_config(world: World, port: int, folders: dict[str, Path]) -> None:
    world.write_config(
        f"""
[devices.plc]
protocol = "modbus"
host = "127.0.0.1"
port = {port}
tags = [{{ name = "count", address = "holding:0", type = "uint32", scale = {SCALE} }}]
[devices.plc.groups.default]
period = "{PERIOD_S:g} s"
"""
        + "".join(f'[plugins.{name}]\npath = "{path}"\n' for name, path in folders.items())
    )


async def until_all(world: World, names: set[str], met: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until each of these plugins has had a status that `met` likes."""
    left = set(names)
    try:
        async with asyncio.timeout(150):
            while left:
                _, document = await world.ask("plugins", "ls")
                listed = (document or {}).get("plugins", [])
                left -= {status["name"] for status in listed if met(status)}
                assert world.agent.running, world.agent.text()[-3000:]
    except TimeoutError:
        raise AssertionError((left, listed)) from None


async def read(journal: Path) -> tuple[list[Batch], list[Gap]]:
    """Give all batches of telemetry, and the gaps."""
    batches, gaps = [], []
    schemas: dict[int, Schema] = {}
    for record in await journaled(journal):
        if record.kind is RecordKind.SCHEMA:
            schema = decode_schema(record.payload)
            schemas[schema.id] = schema
        elif record.kind is RecordKind.GAP:
            gaps.append(decode_gap(record.payload))
        elif record.kind is RecordKind.BATCH:
            batches.append(decode_batch(record.payload, schemas[peek_schema_id(record.payload)]))
    return batches, gaps


def of(batches: list[Batch], source: str) -> Iterator[tuple[int, float]]:
    """Give times and raw values of the first tag of `source`; none of them is bad."""
    for batch in batches:
        if batch.schema.source == source:
            assert batch.quality is None or not (batch.quality >> 31).any()
            lane = int(batch.schema.lane_of[0])
            times = batch.times_ns if batch.index is None else batch.times_ns[batch.index == 0]
            values = batch.values[lane].ravel()
            yield from zip(times.tolist(), values.tolist(), strict=True)


async def test_faults_44_to_47_beside_the_agent(tmp_path: Path, bubblewrap: None) -> None:
    folders = {f"p-{manner}": put(tmp_path / manner, manner) for manner in (*BAD, "good")}
    bad = {f"p-{manner}" for manner in BAD}
    async with World(tmp_path) as world, plc() as server:
        write_config(world, server.port, folders)
        await world.agent.start()
        await until_all(world, bad, lambda status: status["restarts"] >= 2)
        for name in bad:
            put(folders[name], "good")
            assert (await world.ask("plugins", "restart", name))[0] == 0
        await until_all(
            world,
            {*bad, "p-good"},
            lambda status: (
                status["state"] == "running"
                and status["windows"] > 20
                and status["lag_s"] < 30 * PERIOD_S
            ),
        )
        assert await world.agent.stop() == 0
        batches, gaps = await read(world.journal)
    polled = dict(of(batches, "plc"))
    times = sorted(polled)
    assert len(times) >= KEPT * (times[-1] - times[0]) / 1e9 / PERIOD_S, "polls kept their period"
    for name in folders:
        told = [gap for gap in gaps if gap.source == name]
        assert all(gap.cause is GapCause.NOT_COMPUTED for gap in told)
        results = list(of(batches, name))
        found = dict(results)
        assert len(found) == len(results), f"{name} gave something twice"
        assert all(value == SCALE * polled[at] for at, value in results)
        missing = [at for at in times if at <= max(found) and at not in found]
        untold = [
            at
            for at in missing
            if not any(gap.time_from_ns <= at <= gap.time_to_ns for gap in told)
        ]
        assert not untold, f"{name}: {len(untold)} of {len(times)} are neither there nor told"
        if name == "p-good":
            assert not missing
