"""Polls of a real server beside a plugin that misbehaves, and whether they keep their period."""

from __future__ import annotations

import asyncio
import sys
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
KEPT = 0.8
"""The least share of what another process kept of its periods at that time, on the same cores."""
WARM_ROWS = 10
CONTROL = f"""
import time
due = time.monotonic()
while True:
    due += {PERIOD_S}
    time.sleep(max(0.0, due - time.monotonic()))
    if time.monotonic() - due < {PERIOD_S}:
        print("in time", flush=True)
"""
"""A process that has nothing to do with any plugin: what it misses, the machine has taken."""


@asynccontextmanager
async def polled() -> AsyncIterator[Site]:
    """Poll a server of its own process while entered; then check that rows came, and how good."""
    tags = [tag(f"holding:{address}") for address in range(20)]
    site = Site()
    async with modbus_process() as plc:
        site.add("press", plc.port, tags, PERIOD_S)
        async with site.running():
            await site.rows("press", WARM_ROWS)
            control = await asyncio.create_subprocess_exec(
                sys.executable, "-c", CONTROL, stdout=asyncio.subprocess.PIPE
            )
            try:
                yield site
            finally:
                control.kill()
                beats, _ = await control.communicate()
            await site.rows("press", WARM_ROWS)
    rows = site.intake.rows("press")
    lasted_s = began_s(rows[-1]) - began_s(rows[0])
    kept = min(1.0, (beats.count(b"\n") + 2 * WARM_ROWS) * PERIOD_S / lasted_s)
    assert len(rows) >= KEPT * kept * lasted_s / PERIOD_S, f"{len(rows)} in {lasted_s}, {kept}"
    # Where the machine is busy a scan may take longer than a period, and says so: uncertain. It is
    # never bad, and seldom.
    found = Counter(status for row in rows for status in statuses(row))
    assert found.keys() <= {0, Quality.GOOD_OVERLOAD, Quality.UNCERTAIN}, found
    assert found[0] >= KEPT * kept * found.total(), (found, kept)
    assert site.events.count(DEVICE_LOST) == 0
