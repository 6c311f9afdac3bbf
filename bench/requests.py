"""Requests a scan for 1,000 scattered tags, against one request a tag: the peers' way.

Counted at the server (libmodbus, which counts them in register 0), for two layouts:
- *stations*: 40 stations of a line, each with a data block of 100 registers as PLC programs lay
  them out: 25 tags in it, status words, process values as float32 with something unneeded between
  pairs, counters as uint32, set points each behind its limit, timers. The last 10 registers of
  each block do not exist, and a read that touches them is refused.
- *random*: 1,000 registers drawn from 10,000, all of which exist.
Our driver and planner as the agent uses them, with nothing configured: the plan has settled after
some scans, in which refusals were learned from and requests were measured.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import uvloop

from bench.figures import Figure, figure, seams
from bench.plc import libmodbus_server
from forebay.acquisition.line import SharedLine
from forebay.acquisition.planned import PlannedGroup
from forebay.acquisition.refine import PROBE_EVERY
from forebay.drivers.modbus.config import ModbusSettings
from forebay.drivers.modbus.driver import ModbusDriver
from forebay.drivers.modbus.tag import ModbusTag
from forebay.interfaces import DeviceSpec
from forebay.model import Schema

if TYPE_CHECKING:
    from collections.abc import Sequence

TAGS = 1_000
STATIONS, BLOCK, MISSING = 40, 100, 10
WORDS, TIMERS = (1, 2, 3, 5), (80, 81, 82, 83, 84)
VALUES, SET_POINTS = (10, 12, 14, 16, 20, 22), (52, 56, 60, 64, 68, 72)
COUNTERS = (30, 32, 40, 48)
SPREAD = 10_000
SETTLING, SCANS = 2 * PROBE_EVERY + 10, 10


def stations() -> list[ModbusTag]:
    """Give the tags of the line."""
    kinds = {
        **dict.fromkeys((*WORDS, *TIMERS), "uint16"),
        **dict.fromkeys((*VALUES, *SET_POINTS), "float32"),
        **dict.fromkeys(COUNTERS, "uint32"),
    }
    places = [(n * BLOCK + at, kind) for n in range(STATIONS) for at, kind in kinds.items()]
    return [ModbusTag(name=f"t{at}", address=f"holding:{at}", type=kind) for at, kind in places]


def scattered() -> list[ModbusTag]:
    """Give tags anywhere."""
    places = random.Random(1).sample(range(1, SPREAD), TAGS)
    return [ModbusTag(name=f"t{at}", address=f"holding:{at}", type="uint16") for at in places]


class Polled:
    """One device, polled by plan; `each` asks for every tag by itself instead."""

    def __init__(self, port: int, tags: Sequence[ModbusTag], *, each: bool = False) -> None:
        given = seams()
        schema = Schema("bench", "all", tuple(tag.to_tag() for tag in tags))
        settings = ModbusSettings(
            protocol="modbus", host="127.0.0.1", port=port, tags=(), one_request_per_tag=each
        )
        spec = DeviceSpec("bench", settings, (schema,), {tag.name: tag for tag in tags})
        self._driver = ModbusDriver(spec, given, SharedLine("bench", given.clock))
        self._planned = PlannedGroup(schema, lambda *_: None)

    async def poll(self, times: int) -> None:
        """Connect if need be, and read, refine, read on."""
        if self._planned.reader is None:
            await self._driver.connect()
            self._planned.connected(self._driver)
        for _ in range(times):
            self._planned.prepare()
            again = True
            while again:
                assert self._planned.reader is not None
                scan = await self._planned.reader.read()
                again = self._planned.learn(scan)
        assert scan.batch.quality is None, "every tag is good"

    async def close(self) -> None:
        """Hang up."""
        self._planned.disconnected()
        await self._driver.close()


async def requests(port: int, tags: Sequence[ModbusTag], *, each: bool, settling: int) -> float:
    """Give the requests of one scan, as the server counts them."""
    asking = Polled(port, [ModbusTag(name="n", address="holding:0", type="uint16")])
    polled = Polled(port, tags, each=each)
    await asking.poll(1)
    await polled.poll(settling)
    before = await count(asking)
    await polled.poll(SCANS)
    spent = await count(asking) - before - 1
    await polled.close()
    await asking.close()
    return spent / SCANS


async def count(asking: Polled) -> int:
    """Give what the server has counted, this question too."""
    reader = asking._planned.reader  # noqa: SLF001 - the other half of this bench
    assert reader is not None
    return int((await reader.read()).batch.values[0][0, 0])


async def bench_requests() -> list[Figure]:
    """Measure both layouts, each against one request a tag."""
    holes = [f"hole={n * BLOCK + BLOCK - MISSING}-{n * BLOCK + BLOCK - 1}" for n in range(STATIONS)]
    figures = []
    for name, tags, registers, mode in (
        ("modbus.requests_per_scan", stations(), STATIONS * BLOCK, holes),
        ("modbus.requests_per_scan_random", scattered(), SPREAD, []),
    ):
        assert len(tags) == TAGS
        with libmodbus_server(registers, *mode) as port:
            ours = await requests(port, tags, each=False, settling=SETTLING)
            theirs = await requests(port, tags, each=True, settling=1)
        figures.append(
            figure(name, [ours], "requests", against="one request a tag", others=[theirs])
        )
    return figures


def run() -> list[Figure]:
    """Measure on uvloop, as the agent runs."""
    return uvloop.run(bench_requests())
