"""How exact polls begin: against their own grid at 10,000 tags a second, and beside a silent unit.

The first is the agent as a process, reading a libmodbus server and sending to a fleet server; what
is judged is the time that each row carries. The second is eight sessions in this process behind
one connection to a server of another, of which one unit falls silent.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures import Figure, figure, scratch
from bench.plc import libmodbus_server
from forebay.columnar import decode_batch, decode_schema, peek_schema_id
from forebay.model import RecordKind
from forebay.testing.modbus_server import ModbusServer
from support.journal import journaled
from support.modbus import tag
from support.processes import World, until
from support.sessions import Site, began_s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.model import Batch, Record, Schema

TAGS, PERIOD_S = 10_000, 1.0
WINDOWS, WINDOW_ROWS = 3, 60
"""Each window gives a figure; the median of them is told, so that one bad minute is not all."""
SETTLE_S = 5.0
UNITS, SILENT = range(1, 9), 4
WARM_UP, UNIT_ROWS = 3, 30
"""Rows at the start that are left out: everything else begins then too; and rows looked at."""


async def bare(times: int) -> list[float]:
    """Wake each period so often; give how late each was, in ms: what this machine can do now."""
    late_ms = []
    begin = time.monotonic()  # uvloop's own time counts whole milliseconds
    for number in range(1, times + 1):
        await asyncio.sleep(begin + number * PERIOD_S - time.monotonic())
        late_ms.append((time.monotonic() - begin - number * PERIOD_S) * 1e3)
    return late_ms


async def rows() -> tuple[list[float], list[float]]:
    """Give when the read of each row began, in seconds of the wall clock, and `bare` meanwhile."""
    with scratch() as name, libmodbus_server(TAGS) as port:
        async with World(Path(name)) as world:
            tags = "\n".join(f"t{i},holding:{i},uint16" for i in range(TAGS))
            (world.directory / "plc.csv").write_text(f"name,address,type\n{tags}\n", "utf-8")
            world.write_config(
                f"""
[devices.plc]
protocol = "modbus"
host = "127.0.0.1"
port = {port}
tags = "plc.csv"
[devices.plc.groups.default]
period = "{PERIOD_S:g} s"
"""
            )
            await world.server.start()
            await world.agent.start()
            await until(lambda: '"uplink_connected"' in world.agent.text(), "the uplink connects")
            await asyncio.sleep(SETTLE_S)  # what begins is not measured; no wait for anything
            machine_ms = await bare(WINDOWS * WINDOW_ROWS)
            if await world.agent.stop() != 0:
                raise RuntimeError(world.agent.text()[-2000:])
            records = await journaled(world.journal)
    times = sorted(int(t) / 1e9 for batch in batches(records) for t in batch.times_ns)
    return times[-len(machine_ms) :], machine_ms


def batches(records: Sequence[Record]) -> list[Batch]:
    """Decode what was journaled."""
    schemas: dict[int, Schema] = {}
    found = []
    for record in records:
        if record.kind is RecordKind.SCHEMA:
            schema = decode_schema(record.payload)
            schemas[schema.id] = schema
        elif record.kind is RecordKind.BATCH:
            found.append(decode_batch(record.payload, schemas[peek_schema_id(record.payload)]))
    return found


def p99(samples: Sequence[float]) -> float:
    """Give the 99th percentile: of fewer than a hundred, the greatest."""
    return sorted(samples)[int(len(samples) * 0.99)]


def windows(samples: Sequence[float]) -> list[Sequence[float]]:
    """Split what came in time's order."""
    return [samples[n * WINDOW_ROWS : (n + 1) * WINDOW_ROWS] for n in range(WINDOWS)]


def deviations(found: Sequence[float]) -> list[float]:
    """Give how far each is from where most are: the grid that fits all of them best."""
    grid = statistics.median(found)
    return [abs(each - grid) for each in found]


async def jitter() -> list[Figure]:
    """Hold every row, and every waking of the bare timer, against the grid that fits it best."""
    times, timer_ms = await rows()
    off = [at - round((at - times[0]) / PERIOD_S) * PERIOD_S for at in times]
    late_ms = deviations([each * 1e3 for each in off])
    machine_ms = deviations(timer_ms)
    steps = [round((b - a) / PERIOD_S) for a, b in pairwise(times)]
    half = len(off) // 2
    drift_ms = (statistics.median(off[half:]) - statistics.median(off[:half])) * 1e3
    return [
        figure(
            "poll.start_jitter_p99_ms",
            [p99(window) for window in windows(late_ms)],
            "ms",
            against="a bare timer meanwhile",
            others=[p99(window) for window in windows(machine_ms)],
        ),
        figure("poll.bare_timer_p99_ms", [p99(window) for window in windows(machine_ms)], "ms"),
        figure(
            "poll.start_jitter_p50_ms",
            [statistics.median(window) for window in windows(late_ms)],
            "ms",
        ),
        figure("poll.drift_ms_per_min", [drift_ms / (half * PERIOD_S) * 60], "ms"),
        figure("poll.missed", [float(sum(steps) - len(steps))], "polls"),
    ]


async def silent() -> list[Figure]:
    """Give by how much the others' periods are off, with a unit silent and with none."""
    tags = [tag(f"holding:{address}") for address in range(0, 1000, 5)]
    others = [f"u{unit}" for unit in UNITS if unit != SILENT]
    site, errors = Site(), []
    async with ModbusServer() as server:
        server.units = set(UNITS)
        for unit in UNITS:
            site.add(f"u{unit}", server.port, tags, PERIOD_S, unit=unit)
        async with site.running():
            await site.rows("u1", WARM_UP)
            for answering in (set(UNITS), set(UNITS) - {SILENT}):
                server.units = answering
                await site.rows("u1", WARM_UP)
                since = {name: len(site.intake.rows(name)) for name in others}
                await site.rows("u1", UNIT_ROWS, 120)
                seen = [
                    abs((began_s(b) - began_s(a)) / PERIOD_S - 1) * 100
                    for name in others
                    for a, b in pairwise(site.intake.rows(name)[since[name] :])
                ]
                errors.append(seen)
    usual, meanwhile = errors
    return [
        figure("poll.period_error_pct", [statistics.mean(usual)], "%"),
        figure("poll.period_error_pct_silent_unit", [statistics.mean(meanwhile)], "%"),
        figure("poll.period_error_p99_pct_silent_unit", [p99(meanwhile)], "%"),
    ]


async def measure() -> list[Figure]:
    """Measure both."""
    return [*await jitter(), *await silent()]


def run() -> list[Figure]:
    """Measure; about five minutes."""
    import uvloop

    return uvloop.run(measure())
