"""Fault 52: ten thousand tags fail at once.

That is one event with a count, the first names and the cause, and one when they come back; and the
loop stays as punctual as it was, so that nothing else on the box notices.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from forebay.drivers.modbus.tag import ModbusTag
from forebay.model import is_bad
from forebay.testing.modbus_server import Illegal, Misbehaviour
from support.modbus_process import modbus_process
from support.sessions import Site, statuses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

TAGS = 10_000
ROWS = 12
BEAT_S = 0.005
LATE_S = 0.050
"""What the 99th percentile of lateness may be on a machine that has time."""

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
        return late[int(len(late) * 0.99)]

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
            lateness.p99_s()
            await site.rows("press", ROWS)
            usual_s = lateness.p99_s()

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

    assert failed_s < LATE_S + 2 * usual_s, (usual_s, failed_s)
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
