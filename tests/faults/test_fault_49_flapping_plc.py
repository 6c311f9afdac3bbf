"""Fault 49: a PLC that comes and goes once a second.

Every edge is in the data, every period has its row, tries back off, and the log tells every
transition, in few lines.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from forebay.acquisition.news import AT_ONCE
from forebay.model import is_bad
from forebay.settings import BackoffSettings
from forebay.testing.modbus_server import Misbehaviour
from support.modbus import tag
from support.modbus_process import modbus_process
from support.sessions import Site, began_s, statuses

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

FLAPS = 12
HALF_S = 0.5
PERIOD_S = 0.1


@pytest.mark.long
async def test_fault_49_flapping_plc() -> None:
    tags = [tag(f"holding:{address}") for address in range(20)]
    site = Site()
    async with modbus_process() as plc:
        backoff = BackoffSettings(first=0.1, most=1.6)
        site.add("press", plc.port, tags, PERIOD_S, timeout=0.4, backoff=backoff)

        def good() -> bool:
            rows = site.intake.rows("press")
            return bool(rows) and statuses(rows[-1]) == {0}

        async with site.running():
            await site.until(good)
            before = (await plc.set())["connections"]
            for _ in range(FLAPS):
                await plc.set(misbehaviour=Misbehaviour.CLOSE)
                await asyncio.sleep(HALF_S)  # the flapping itself
                await site.until(lambda: not good())
                await plc.set()
                await asyncio.sleep(HALF_S)
                await site.until(good)
            flapped = (await plc.set(misbehaviour=Misbehaviour.CLOSE))["connections"] - before
            await site.until(lambda: not good())
            await site.rows("press", round(20 * 1.6 / PERIOD_S / 4))
            dark = (await plc.set(misbehaviour=Misbehaviour.CLOSE))["connections"]
            await site.rows("press", round(4 * 1.6 / PERIOD_S))
            tries = (await plc.set())["connections"] - dark

    rows = site.intake.rows("press")
    seen = [any(is_bad(status) for status in statuses(row)) for row in rows]
    edges = [after for before, after in pairwise(seen) if before != after]
    assert edges.count(True) == FLAPS + 1, "each time that it went is in the data"
    assert edges.count(False) == FLAPS, "and each time that it came back"
    values = {tuple(row.values[0][0].tolist()) for row in rows}
    assert values == {tuple(range(20)), (0,) * 20}, "what is bad has no value"
    apart = [(began_s(b) - began_s(a)) / PERIOD_S for a, b in pairwise(rows)]
    assert min(apart) > 0, "no row is sent twice"
    session = site.sessions["press"]
    missing = sum(round(each) - 1 for each in apart)
    assert missing <= session.status.overruns + 2, "no period without its row, or its account"

    assert FLAPS <= flapped <= FLAPS * 8, "within one flap it backs off from 0.1 s"
    assert 2 <= tries <= 10, "and in the dark it tries every 0.8 to 1.6 s"
    told = [line for line in site.lines if line["event"].startswith("device_")]
    at_once = [line["event"] for line in told[:AT_ONCE]]
    assert at_once == ["device_connected", "device_lost"] * (AT_ONCE // 2)
    held = sum(line["changes"] for line in told[AT_ONCE:])
    assert AT_ONCE + held == 2 * (FLAPS + 1), "every transition is in some line"
    assert len(told) < FLAPS, "and few lines tell of them"
    assert told[-1]["event"] == "device_lost", "the last one says how it ended"
