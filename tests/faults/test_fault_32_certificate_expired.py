"""Fault 32: a box is off for longer than its certificate is good.

It journals all the same, proves itself by its bound key, once, and renews in the usual way again.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from support.fleet_boxes import Box, Fleet
from support.processes import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


async def expiry(box: Box) -> None:
    """Wait until the box's certificate has expired."""
    _, end = box.identity.valid()
    await asyncio.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds()) + 1.0)


@pytest.mark.long
async def test_fault_32_certificate_expired(tmp_path: Path) -> None:
    with Fleet(tmp_path, valid_for="16s") as fleet:
        async with Box(fleet, "box") as box:
            assert (await box.enroll(await fleet.token())).code == 0
            fleet.server.stop()
            await expiry(box)
            assert not (await box.forebay("fleet", "status")).document()["valid"]
            await box.agent.start()
            await until(lambda: box.told("identity_failed"), "it asks a server that is not there")
            account = await box.ledger()
            async with asyncio.timeout(60):  # it may be about to poll for the first time
                while account["produced"] == 0:
                    account = await box.ledger()
            assert account["delivered"] == 0
            fleet.server.start()
            await until(lambda: box.told("identity_recovered"), "its recovery")
            await box.until_uplink("connected")
            assert (await fleet.identity("gw-1"))["state"] == "active"
            await until(lambda: box.told("identity_renewed"), "a renewal in the usual way")
            assert (await fleet.identity("gw-1"))["recoveries"] == 0
            assert await box.agent.stop() == 0
            (end,) = box.told("agent_stopped")
            assert end["produced"] == end["delivered"] + end["pending"]
            assert (end["gapped"], end["quarantined"]) == (0, 0)
            assert end["delivered"] > account["produced"]


async def test_fault_32_a_second_recovery_needs_a_person(tmp_path: Path) -> None:
    with Fleet(tmp_path, valid_for="4s") as fleet:
        async with Box(fleet, "box") as box:
            assert (await box.enroll(await fleet.token())).code == 0
            await expiry(box)
            await box.agent.start()
            await until(lambda: box.told("identity_recovered"), "its recovery")
            # The agent looks every 5 s: what it got expires before it is renewed.
            await until(lambda: box.told("identity_refused", code="budget"), "the no")
            assert (await box.ledger())["produced"] > 0
            # A token for this very id mends it, while the agent runs.
            before = box.identity.generation
            token = await fleet.token("--gateway", "gw-1", "--replace")
            assert (await box.enroll(token)).code == 0
            assert box.identity.generation == before + 1
