"""How fast a backlog goes while readings go on, and what these notice of it.

Agent, fleet server (mutual TLS) and PLCs are processes of their own on one machine. The journal
holds what hours at 10,000 values a second leave; then the server is up and the agent polls on.
README.md says what each figure means.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.figures import Figure, figure, scratch, seams
from bench.plc import libmodbus_server
from forebay.agent import journal_limits
from forebay.columnar import BatchEncoder, encode_schema
from forebay.config.load import load
from forebay.files import SystemDisk
from forebay.journal.journal import Entry, Journal
from forebay.model import Batch, RecordKind, Stream
from forebay.registry import Registry
from support.processes import Process, World, until

PLCS, TAGS = 10, 1_000
LIVE_PER_S = PLCS * TAGS
"""Live ingest: each PLC is polled once a second, one after the other, and gives a record."""
OUTAGE_S = 3 * 3_600
"""What the backlog stands for: so many seconds of all PLCs."""
IDLE_S, ROUNDS = 20.0, 2
MOST_WAITING = 1_000
LOOK_EVERY_S, CAUGHT_UP_TRIES, SETTLE_S = 2.0, 60, 2.0


class Round(NamedTuple):
    """What one round saw; waits are seconds from durable to acknowledged."""

    backlog: int
    drained_per_s: float
    ingested_per_s: float
    busy_waits_s: list[float]
    idle_waits_s: list[float]


def write_config(world: World, port: int) -> None:
    """Write ten devices of 1,000 float32 tags, all of one server."""
    rows = "\n".join(f"t{i},holding:{2 * i},float32" for i in range(TAGS))
    (world.directory / "plc.csv").write_text(f"name,address,type\n{rows}\n", encoding="utf-8")
    devices = "".join(
        f"""
[devices.plc{number}]
protocol = "modbus"
host = "127.0.0.1"
port = {port}
tags = "plc.csv"
[devices.plc{number}.groups.default]
period = "1 s"
"""
        for number in range(PLCS)
    )
    world.write_config(devices)


def lines(path: Path) -> list[dict[str, Any]]:
    """Read what the probe has written, but for a line that is not whole yet."""
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def p99(waits_s: list[float]) -> float:
    """Give the 99th percentile in milliseconds."""
    return statistics.quantiles(waits_s, n=100, method="inclusive")[98] * 1e3


async def fill(world: World) -> None:
    """Journal an outage, record by record what the intake would have journaled in it."""
    loaded = load(world.config, Registry(), os.environ)
    schemas = [device.spec.schemas[0] for device in loaded.devices]
    known = [(schema.id, encode_schema(schema)) for schema in schemas]
    settings, encoder = loaded.config.journal, BatchEncoder()
    limits = journal_limits(settings, SystemDisk())
    rng = np.random.default_rng(1)
    values = 20 + rng.normal(0, 5, (PLCS, TAGS))
    begin_ns = time.time_ns() - OUTAGE_S * 10**9
    waiting: deque[asyncio.Future[None]] = deque()
    async with Journal(world.journal, limits, seams()) as journal:
        for second in range(OUTAGE_S):
            values += rng.normal(0, 0.05, (PLCS, TAGS))
            rounded = np.round(values, 2).astype(np.float32)
            for number, schema in enumerate(schemas):
                time_ns = begin_ns + second * 10**9 + number * 10**9 // PLCS
                times = np.array([time_ns], np.int64)
                batch = Batch(schema, times, times + 4_000_000, (rounded[number : number + 1],))
                entry = Entry(
                    stream=Stream.TELEMETRY,
                    kind=RecordKind.BATCH,
                    payload=encoder.encode([batch]),
                    samples=TAGS,
                    time_min_ns=time_ns,
                    time_max_ns=time_ns,
                    schema=known[number],
                )
                waiting.append(journal.submit([entry]))
            if len(waiting) > MOST_WAITING:
                await waiting.popleft()
                while waiting and waiting[0].done():
                    waiting.popleft()
        await asyncio.gather(*waiting)


async def catch_up(probe: Path) -> None:
    """Wait until acks are of fresh records only. Looks seldom, not to take what is measured."""
    for _ in range(CAUGHT_UP_TRIES):
        await asyncio.sleep(LOOK_EVERY_S)
        acks = [line for line in lines(probe) if "t" in line]
        old = [ack["t"] for ack in acks if ack["backlog"]]
        if old and acks[-1]["t"] > old[-1] + SETTLE_S:
            return
    raise RuntimeError("the backlog did not go")


async def drain(world: World, probe: Path) -> Round:
    """Come back: live polls go on, the server is up, the backlog goes; then measure in peace."""
    await world.agent.start()
    await until(world.socket.exists, "the agent runs")
    await world.server.start()
    await until(probe.exists, "the uplink connects")
    await catch_up(probe)
    _, document = await world.ask("ledger")
    total = document["total"]
    if total["pending"] > 2 * LIVE_PER_S or total["gapped"]:
        raise RuntimeError(f"the backlog did not go whole: {total}")
    await asyncio.sleep(IDLE_S)  # the time measured, not a wait for anything
    found = lines(probe)
    if await world.agent.stop() != 0:
        raise RuntimeError(world.agent.text()[-2000:])
    sessions = [line for line in found if "connected" in line]
    if len(sessions) != 1:
        raise RuntimeError(f"the session broke: {world.agent.text()[-2000:]}")
    acks = [line for line in found if "t" in line]
    begin_s = sessions[0]["connected"]
    end_s = max(ack["t"] for ack in acks if ack["backlog"])
    backlog = sum(ack["backlog"] for ack in acks)
    waits = [(ack["t"] - wait, wait) for ack in acks for wait in ack["waits"]]
    live = sum(ack["live"] for ack in acks)
    return Round(
        backlog,
        backlog / (end_s - begin_s),
        live / (acks[-1]["t"] - begin_s),
        [wait for durable_s, wait in waits if durable_s <= end_s],
        [wait for durable_s, wait in waits if durable_s > end_s + SETTLE_S],
    )


async def one_round() -> Round:
    """Make an outage and end it, in a world of its own."""
    with (
        scratch() as name,
        libmodbus_server(2 * TAGS, "walk") as port,
    ):
        directory = Path(name)
        async with World(directory) as world:
            write_config(world, port)
            await fill(world)
            probe = directory / "probe.jsonl"
            command = [sys.executable, "-m", "bench.probed_agent", str(probe)]
            arguments = ["run", "--json", "--config", str(world.config)]
            async with Process("agent", [*command, *arguments], directory) as world.agent:
                return await drain(world, probe)


async def measure() -> list[Figure]:
    """Measure a few rounds, each with its own quiet time to compare with."""
    rounds = [await one_round() for _ in range(ROUNDS)]
    return [
        figure(
            "drain.vs_ingest",
            [one.drained_per_s for one in rounds],
            "values/s",
            against=f"live readings acknowledged a second, {LIVE_PER_S:,} polled",
            others=[one.ingested_per_s for one in rounds],
        ),
        figure(
            "drain.live_p99_ratio",
            [p99(one.busy_waits_s) for one in rounds],
            "ms",
            against="p99 of durable to acknowledged without a backlog",
            others=[p99(one.idle_waits_s) for one in rounds],
        ),
        figure(
            "drain.live_p50_ms", [1e3 * statistics.median(r.busy_waits_s) for r in rounds], "ms"
        ),
        figure(
            "drain.idle_p50_ms", [1e3 * statistics.median(r.idle_waits_s) for r in rounds], "ms"
        ),
        figure("drain.backlog_values", [float(one.backlog) for one in rounds], "values"),
    ]


def run() -> list[Figure]:
    """Measure; about two minutes."""
    return asyncio.run(measure())
