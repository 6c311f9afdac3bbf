"""What a refusing device costs its neighbours: nothing, in no scan, and no second search.

Over libmodbus, with holes and with a request length of its own; requests are counted at the server.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from forebay.acquisition.line import SharedLine
from forebay.acquisition.memory import PlanMemory
from forebay.acquisition.session import Session
from forebay.acquisition.standstill import Pulse
from forebay.drivers.modbus import SPEC
from forebay.model import Quality
from forebay.settings import GroupSettings
from forebay.testing.driver import CollectingIntake
from support.modbus import connected, device, libmodbus_server, tag
from support.processes import until
from support.seams import system_seams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from forebay.drivers.modbus.tag import ModbusTag
    from forebay.interfaces import Seams
    from support.modbus import Group

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

REGISTERS = 2_000
HOLES = ((130, 149), (300, 300), (707, 711), (1_003, 1_006))
UNTAGGED = range(1_001, 1_008)
"""Nothing wants these: a request that bridges them touches the last hole."""


@dataclass
class Life:
    """One run of a session."""

    session: Session
    intake: CollectingIntake
    memory: PlanMemory
    seams: Seams


@asynccontextmanager
async def living(port: int, tags: Sequence[ModbusTag], state: Path) -> AsyncIterator[Life]:
    seams, intake = system_seams(), CollectingIntake()
    spec = device(port, tags, groups={"fast": GroupSettings(period=1.0)})
    session = Session(spec, SPEC.build, SharedLine("plc", seams.clock), intake, seams, Pulse(seams))
    memory = PlanMemory(state, [spec], seams)
    await memory.load()
    session.remember(memory.of("plc"))
    running = asyncio.create_task(session.run(), name="session")
    try:
        yield Life(session, intake, memory, seams)
        assert not running.done(), running
    finally:
        running.cancel()
        await asyncio.wait([running])


def check_rows(life: Life, tags: Sequence[ModbusTag], holes: Sequence[tuple[int, int]]) -> None:
    """Every row, the first too, has each tag outside of the holes, exact, and the others bad."""
    for row in life.intake.batches:
        for column, sample in enumerate(row.iter_samples()):
            start, count = tags[column].place.start, tags[column].count
            touched = any(start <= last and start + count > first for first, last in holes)
            if touched:
                assert sample.quality == Quality.BAD_NODE_ID_UNKNOWN, sample
            else:
                assert (sample.quality, sample.value) == (Quality.GOOD, start), sample


class Count:
    """How many requests a server has got, as it says itself in register 0."""

    def __init__(self, group: Group) -> None:
        self._reader, self._own = group.reader(), 0

    async def so_far(self) -> int:
        """Give the requests of others since the server's start."""
        value = (await self._reader.read()).batch.values[0][0, 0]
        self._own += 1
        return int(value) - self._own


@asynccontextmanager
async def counting(port: int) -> AsyncIterator[Count]:
    async with connected(port, [tag("holding:0")]) as group:
        yield Count(group)


async def polled(life: Life, count: int) -> None:
    await until(lambda: life.session.status.polls >= count, f"{count} polls")


async def test_neighbours_of_refused_ranges_lose_nothing_and_the_split_is_remembered(
    libmodbus_server_binary: Path, tmp_path: Path
) -> None:
    tags = [tag(f"holding:{a}") for a in range(1, REGISTERS) if a not in UNTAGGED]
    with libmodbus_server(libmodbus_server_binary, REGISTERS, holes=HOLES) as port:
        async with counting(port) as count:
            async with living(port, tags, tmp_path) as life:
                await polled(life, 5)
                plan = life.session.planned[0].plan
                assert plan is not None
                await life.memory.of("plc").save()
            check_rows(life, tags, HOLES)
            settled, first = len(plan.blocks), await count.so_far()
            assert settled <= REGISTERS / 125 + len(HOLES) + 1
            assert first > settled * life.session.status.polls + 100, "there was a search"

            async with living(port, tags, tmp_path) as life:
                await polled(life, 5)
            check_rows(life, tags, HOLES)
            # One poll more may have been under way.
            second = await count.so_far() - first
            assert second <= settled * (life.session.status.polls + 1) + 2


@pytest.mark.parametrize("longest", [100, 32])
async def test_a_device_that_takes_only_shorter_requests_is_read_whole_in_the_first_poll(
    libmodbus_server_binary: Path, tmp_path: Path, longest: int
) -> None:
    tags = [tag(f"holding:{a}") for a in range(1, REGISTERS) if a not in UNTAGGED]
    holes = HOLES[1:]
    with libmodbus_server(libmodbus_server_binary, REGISTERS, holes=holes, longest=longest) as port:
        async with living(port, tags, tmp_path) as life:
            await polled(life, 9)
            plan = life.session.planned[0].plan
        check_rows(life, tags, holes)
        assert plan is not None
        assert len(plan.blocks) <= REGISTERS / longest + len(holes) + 1
        assert life.session.status.connections == 1
