"""Fault 30: a box's disk is copied, and two boxes come as one.

The first renewal after the copy parts them, whoever comes first: both are locked, the operator is
told, and both go on journaling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.fleet_boxes import Box, Fleet
from support.processes import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


@pytest.mark.long
async def test_fault_30_cloned_gateway(tmp_path: Path) -> None:
    with Fleet(tmp_path, valid_for="20s") as fleet:
        async with Box(fleet, "original") as box:
            assert (await box.enroll(await fleet.token())).code == 0
            copy = box.copy("copy")
            async with copy:
                await box.agent.start()
                await copy.agent.start()
                boxes = (box, copy)
                await until(
                    lambda: any(b.told("identity_refused", code="clone") for b in boxes),
                    "one of them is found out",
                )
                known = await fleet.identity("gw-1")
                assert known["state"] == "locked"
                assert "two boxes have its identity" in known["reason"]
                for one in boxes:
                    refused = await one.until_uplink(
                        "waiting", lambda u: "locked" in u["last_error"]
                    )
                    assert "second box" in refused["last_hint"]
                    before = (await one.ledger())["produced"]
                    while (await one.ledger())["produced"] <= before:
                        assert one.agent.running
                # The one whose number the server knows is let in again, once a person says so.
                good, stale = sorted(boxes, key=lambda one: -one.identity.generation)
                assert good.identity.generation == stale.identity.generation + 1
                await stale.agent.stop()
                await fleet.ask("gateways", "unlock", "gw-1")
                await good.until_uplink("connected")
                assert await good.agent.stop() == 0
        (locked,) = [
            line for line in fleet.server.log.read_text().splitlines() if "gateway_locked" in line
        ]
        assert '"level": "error"' in locked
