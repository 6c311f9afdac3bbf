"""One agent and its destinations at once: server, files of both forms, broker; kills in between.

Agent and broker are killed with SIGKILL while data flows. In the end every journaled sample is at
each destination: at the server and in the files once, at the broker's consumer at least once, and
exactly once by (epoch, seq, row).
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from forebay.columnar import decode_batch, decode_schema, peek_schema_id
from forebay.model import Position, RecordKind
from support.journal import journaled
from support.mqtt_sink import Sink, samples
from support.nats import Nats
from support.processes import World, until
from support.uplink_files import entries

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.model import Record, Schema

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

KILLS = 6
CONNECTED = '"uplink_connected"'
TAGS = 30
UPLINKS = """
[uplinks.lines]
kind = "file"
directory = "{folder}/lines"
max_size = "1 MiB"
max_age = "2 s"
min_free = 0
backoff = {{ first = "50 ms", most = "500 ms" }}
[uplinks.columns]
kind = "file"
format = "parquet"
directory = "{folder}/columns"
max_age = "2 s"
min_free = 0
backoff = {{ first = "50 ms", most = "500 ms" }}
[uplinks.broker]
kind = "mqtt"
host = "127.0.0.1"
port = {port}
tls = false
version = "3.1.1"
backoff = {{ first = "50 ms", most = "500 ms" }}
[devices.line]
protocol = "simulated"
tags = [{rows}]
[devices.line.groups.default]
period = "50 ms"
"""


def tables(folder: Path, port: int) -> str:
    rows = ", ".join(
        f'{{ name = "t{n}", address = "counter", type = "int32" }}' for n in range(TAGS)
    )
    return UPLINKS.format(folder=folder, port=port, rows=rows)


def all_samples(records: list[Record]) -> dict[tuple[Position, int], list[Any]]:
    """Give each journaled sample by position and row, as [tag, value, code, time, received]."""
    schemas: dict[int, Schema] = {}
    found: dict[tuple[Position, int], list[Any]] = {}
    for record in records:
        if record.kind is RecordKind.SCHEMA:
            schema = decode_schema(record.payload)
            schemas[schema.id] = schema
        elif record.kind is RecordKind.BATCH:
            batch = decode_batch(record.payload, schemas[peek_schema_id(record.payload)])
            for row, s in enumerate(batch.iter_samples()):
                told = [s.tag.name, s.value, s.quality, s.time_ns, s.received_ns]
                found[record.position, row] = told
    return found


def in_files(directory: Path) -> dict[tuple[Position, int], list[Any]]:
    """Give each sample in finished files and in the one that is being written; none twice."""
    told = [(at, about["rows"]) for at, about in entries(directory, parts=True) if about["rows"]]
    assert max(Counter(at for at, _ in told).values()) == 1, "a record is in the files twice"
    return {(at, row): sample for at, rows in told for row, sample in enumerate(rows)}


def sessions(world: World, least: int) -> bool:
    """Whether so many sessions have been opened."""
    return world.agent.text().count(CONNECTED) >= least


async def drained(world: World) -> None:
    """Wait until no uplink has anything pending that was there when this was asked for."""
    while True:
        code, document = await world.ask("uplinks")
        if code == 0:
            uplinks = document["uplinks"]
            assert len(uplinks) == 4
            if all(u["state"] == "connected" and u["pending_records"] < 5 for u in uplinks):
                return
        assert world.agent.running, world.agent.text()[-3000:]


async def test_every_destination_is_complete_after_kills(tmp_path: Path) -> None:
    rng = random.Random(7)
    async with World(tmp_path) as world, Nats(tmp_path / "nats") as broker:
        world.write_config(tables(tmp_path, broker.port), more='commit_interval = "50 ms"')
        sink = Sink(broker.port, "forebay/#", modern=False, mark="forebay/mark")
        await asyncio.to_thread(sink.__enter__)
        await world.server.start()
        for number in range(KILLS):
            connected = world.agent.text().count(CONNECTED)
            await world.agent.start()
            await until(partial(sessions, world, connected + 4), "all four uplinks connect")
            await asyncio.sleep(rng.uniform(0.2, 1.2))  # the random moment is what is tested
            if number % 2:
                before = sink.connections
                await broker.kill()
                await asyncio.sleep(rng.uniform(0.0, 0.5))  # as above
                await broker.start()
                await asyncio.to_thread(sink.reconnected, before)
            await world.agent.kill()
        await world.agent.start()
        await drained(world)
        assert await world.agent.stop() == 0
        await asyncio.to_thread(sink.catch_up)
        await asyncio.to_thread(sink.__exit__)
        verified = (await world.ask_fleet("ledger", "--verify"))["verified"]
        records = await journaled(world.journal)
    expected = all_samples(records)
    assert len(expected) > KILLS * TAGS
    assert verified["sound"]
    assert verified["samples"] == len(expected)
    for folder in ("lines", "columns"):
        assert in_files(tmp_path / folder) == expected, folder
    assert samples(sink.messages) == expected
    assert "Traceback" not in world.agent.text()
