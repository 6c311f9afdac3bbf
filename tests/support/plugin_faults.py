"""Polls of a real server beside a plugin that misbehaves, and whether they keep their period."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from forebay.events import DEVICE_LOST
from forebay.model import Quality
from support.modbus import tag
from support.modbus_process import modbus_process
from support.sessions import Site, began_s, statuses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PERIOD_S = 0.1
KEPT = 0.5
"""The least share of periods with a row: a busy machine may cost some, a stalled agent all."""
WARM_ROWS = 10


@asynccontextmanager
async def polled() -> AsyncIterator[Site]:
    """Poll a server of its own process while entered; then check that every row came, and good."""
    tags = [tag(f"holding:{address}") for address in range(20)]
    site = Site()
    async with modbus_process() as plc:
        site.add("press", plc.port, tags, PERIOD_S)
        async with site.running():
            await site.rows("press", WARM_ROWS)
            yield site
            await site.rows("press", WARM_ROWS)
    rows = site.intake.rows("press")
    lasted_s = began_s(rows[-1]) - began_s(rows[0])
    assert len(rows) >= KEPT * lasted_s / PERIOD_S, "polls kept their period"
    # A busy machine stands still now and then, and says so of what it read then: uncertain, slower
    # than asked for. None is lost.
    found = Counter(status for row in rows for status in statuses(row))
    assert found.keys() <= {0, Quality.GOOD_OVERLOAD, Quality.UNCERTAIN}, found
    assert found[0] >= KEPT * found.total(), found
    assert site.events.count(DEVICE_LOST) == 0
