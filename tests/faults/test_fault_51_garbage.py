"""Fault 51: garbage, endless and half frames from a PLC.

What is read of them is capped and becomes no value; the connection is given up and made anew;
memory stays flat; the device is read again as soon as it behaves.
"""

from __future__ import annotations

import gc

import pytest

from forebay.events import FRAME_REFUSED
from forebay.model import is_bad
from forebay.settings import BackoffSettings
from forebay.testing.modbus_server import Misbehaviour
from forebay.usage import rss_bytes
from support.modbus import tag
from support.modbus_process import modbus_process
from support.sessions import Site, statuses

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

COUNT = 500
PERIOD_S = 0.05
REPEATS = 40
GROWTH_BYTES = 16 << 20

BREAKS_THE_PROTOCOL = (Misbehaviour.GARBAGE, Misbehaviour.GARBAGE_BEHIND, Misbehaviour.ENDLESS)
STOPS_IN_THE_MIDDLE = (Misbehaviour.HALF_THEN_CLOSE, Misbehaviour.HALF_THEN_SILENCE)


@pytest.mark.parametrize("how", [*BREAKS_THE_PROTOCOL, *STOPS_IN_THE_MIDDLE])
async def test_fault_51_garbage(how: Misbehaviour) -> None:
    tags = [tag(f"holding:{address}") for address in range(COUNT)]
    site = Site()
    async with modbus_process() as plc:
        backoff = BackoffSettings(first=0.02, most=0.05)
        site.add("press", plc.port, tags, PERIOD_S, timeout=0.3, backoff=backoff)
        async with site.running():
            await site.until(lambda: any(statuses(r) == {0} for r in site.intake.batches))
            begin = (await plc.set(misbehaviour=how))["connections"]
            for count in (REPEATS // 4, REPEATS):
                rss_before = rss_bytes()
                while (await plc.set(misbehaviour=how))["connections"] < begin + count:
                    await site.rows("press", 1)
                gc.collect()
            grown = rss_bytes() - rss_before
            await plc.set()
            await site.until(lambda: statuses(site.intake.batches[-1]) == {0})

    assert grown < GROWTH_BYTES, grown
    if how in BREAKS_THE_PROTOCOL:
        assert site.events.count(FRAME_REFUSED, device="press") >= REPEATS - 1
    right, nothing = list(range(COUNT)), [0] * COUNT
    for row in site.intake.batches:
        bad = any(is_bad(quality) for quality in statuses(row))
        assert row.values[0][0].tolist() == (nothing if bad else right)
    lost = len(site.told("device_lost"))
    assert 1 <= lost <= 3, "it is told once, however often it is tried"
