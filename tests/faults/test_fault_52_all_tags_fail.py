"""Fault 52: ten thousand tags fail at once.

That is one event with a count, the first names and the cause, and one when they come back; and the
loop stays punctual, so that nothing else on the box notices. So it is for one device, and for a
hundred behind one gateway, which are one event of their line.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from forebay.acquisition.news import NAMES_TOLD
from forebay.drivers.modbus.tag import ModbusTag
from forebay.model import is_bad
from forebay.testing.modbus_server import Illegal, Misbehaviour
from support.modbus_process import modbus_process
from support.sessions import Site, statuses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from forebay.model import Batch

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

TAGS = 10_000
ROWS = 12
BEAT_S = 0.005
LATE_S = 0.050
"""What the 99th percentile of lateness may be."""
BUSY_S = 0.020
"""What it may be before anything fails; beyond it the machine itself has no time to judge by."""
TRIES = 3
UNITS = 100

FAILURES: dict[str, Illegal | Misbehaviour] = {
    "the device says that it has failed": Illegal("holding", 0, 65_535, code=4),
    "the device refuses every address": Illegal("holding", 0, 65_535, code=2),
    "the connection is gone": Misbehaviour.CLOSE,
}


class Lateness:
    """How late the event loop wakes who sleeps BEAT_S."""

    def __init__(self) -> None:
        self.late_s: list[float] = []

    def p99_s(self) -> float:
        """Give it for the time since the last call."""
        late, self.late_s = sorted(self.late_s), []
        return late[int(len(late) * 0.99)] if late else 0.0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + BEAT_S
            await asyncio.sleep(BEAT_S)
            self.late_s.append(loop.time() - due_s)


@asynccontextmanager
async def measured() -> AsyncIterator[Lateness]:
    lateness = Lateness()
    task = asyncio.create_task(lateness.run(), name="lateness")
    try:
        yield lateness
    finally:
        task.cancel()
        await asyncio.wait([task])


async def usual_s(site: Site, lateness: Lateness, device: str) -> float:
    """Measure while all is well, anew while the machine is busy, at most TRIES times."""
    for _ in range(TRIES):
        lateness.p99_s()
        await site.rows(device, ROWS)
        found_s = lateness.p99_s()
        if found_s <= BUSY_S:
            break
    return found_s


def check_lateness(usual_s: float, failed_s: float) -> None:
    """The bound is absolute, unless the machine was busy before anything had failed."""
    limit_s = LATE_S if usual_s <= BUSY_S else LATE_S + 2 * usual_s
    assert failed_s < limit_s, (usual_s, failed_s)


@pytest.mark.long
@pytest.mark.parametrize("what", FAILURES)
async def test_fault_52_all_tags_fail(what: str) -> None:
    failure = FAILURES[what]
    tags = [ModbusTag(name=f"t{n}", address=f"holding:{n}", type="uint16") for n in range(TAGS)]
    site = Site()
    async with modbus_process() as plc:
        site.add("press", plc.port, tags, 1.0, pipeline=8, timeout=5.0)

        def all_bad() -> bool:
            rows = site.intake.rows("press")
            return bool(rows) and all(map(is_bad, statuses(rows[-1])))

        def all_good() -> bool:
            rows = site.intake.rows("press")
            return bool(rows) and statuses(rows[-1]) == {0}

        async with site.running(), measured() as lateness:
            await site.until(all_good)
            before_s = await usual_s(site, lateness, "press")

            if isinstance(failure, Illegal):
                await plc.set(illegal=(failure,))
            else:
                await plc.set(misbehaviour=failure)
            await site.until(all_bad)
            await site.rows("press", ROWS)
            failed_s = lateness.p99_s()
            told = site.lines.copy()

            await plc.set()
            await site.until(all_good, 150)
            await site.until(lambda: len(site.lines) > len(told))

    check_lateness(before_s, failed_s)
    events = [line for line in told if line["event"] not in ("device_connected", "poll_overrun")]
    expected = {
        "the device says that it has failed": "tags_bad",
        "the device refuses every address": "tags_bad",
        "the connection is gone": "device_lost",
    }
    assert {line["event"] for line in events} == {expected[what]}, events
    (line,) = events
    if isinstance(failure, Illegal):
        assert (line["count"], line["bad"], line["statuses"]) == (TAGS, TAGS, 1)
        assert line["tags"] == [f"t{n}" for n in range(20)]
        assert line["error"].startswith(f"exception {failure.code}, ")
        assert [each["count"] for each in site.told("tags_good")] == [TAGS]


@pytest.mark.long
async def test_fault_52_a_hundred_devices_behind_one_gateway() -> None:
    tags = [ModbusTag(name=f"t{n}", address=f"holding:{n}", type="uint16") for n in range(100)]
    names = [f"unit{number}" for number in range(1, UNITS + 1)]
    site = Site()
    async with modbus_process(UNITS) as gateway:
        for number, name in enumerate(names, 1):
            site.add(name, gateway.port, tags, 1.0, unit=number, timeout=5.0)

        def all_are(test: Callable[[Batch], bool]) -> bool:
            newest = {row.schema.source: row for row in site.intake.batches}
            return len(newest) == UNITS and all(map(test, newest.values()))

        def good(row: Batch) -> bool:
            return statuses(row) == {0}

        def bad(row: Batch) -> bool:
            return all(map(is_bad, statuses(row)))

        async with site.running(), measured() as lateness:
            await site.until(lambda: all_are(good))
            await site.until(lambda: sum(_devices(site, "restored", "connected")) == UNITS)
            before_s = await usual_s(site, lateness, names[0])

            await gateway.set(misbehaviour=Misbehaviour.CLOSE)
            await site.until(lambda: all_are(bad))
            await site.rows(names[0], ROWS)
            failed_s = lateness.p99_s()
            told = site.lines.copy()

            await gateway.set()
            await site.until(lambda: all_are(good), 150)
            await site.until(lambda: sum(_devices(site, "restored", "connected")) == 2 * UNITS)

    check_lateness(before_s, failed_s)
    lost = [line for line in told if line["event"] in ("line_lost", "device_lost")]
    assert [(line["event"], line["count"]) for line in lost] == [("line_lost", UNITS)], lost
    assert len(lost[0]["devices"]) == NAMES_TOLD
    assert not [line for line in told if line["event"].startswith("tags_")]


def _devices(site: Site, line: str, device: str) -> list[int]:
    """Give for each log line of these events how many devices it is about."""
    lines = [told["count"] for told in site.told(f"line_{line}")]
    return lines + [1] * len(site.told(f"device_{device}"))
