"""Fault 25: the server's registry is put back from a backup; boxes have seen more than it knows.

A box does not go back with it: what it runs stays, an older state is refused as a replay and told,
and the next push is taken. A box that has renewed meanwhile is not taken for a clone.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from forebay.files import SystemDisk
from forebay.identity import FOLDER, IdentityStore
from forebay.management import certifying
from forebay_fleet.registry import FILE
from support.config_site import polled
from support.fleet_boxes import Box, Fleet
from support.live_agent import CountingPlc
from support.processes import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


async def attempt(fleet: Fleet, condition: Callable[[Any], object]) -> Any:
    """Wait until the server knows this of the last attempt; give all that it knows then."""
    last = None
    try:
        async with asyncio.timeout(90.0):
            while True:
                (row,) = await fleet.ask("gateways")
                last = (row["link"] or {}).get("config", {}).get("last_attempt", {})
                if last and condition(last):
                    return await fleet.ask("show", "gw-1")
    except TimeoutError:
        raise AssertionError(json.dumps(last)) from None


@pytest.mark.long
async def test_fault_25_registry_restored_from_backup(tmp_path: Path) -> None:
    async with CountingPlc() as plc:
        with Fleet(tmp_path) as fleet:
            async with Box(fleet, "box") as box:
                head = box.config.read_text("utf-8").partition("[devices.")[0]
                head += '[fleet]\nprobation = "5 s"\n'
                box.config.write_text(head + polled("press", plc.port), "utf-8")
                assert (await box.enroll(await fleet.token())).code == 0
                await box.agent.start()
                await until(lambda: box.told("fleet_connected"), "it comes")

                async def pushed(period: str) -> Any:
                    site = tmp_path / "site"
                    site.mkdir(exist_ok=True)
                    text = head + polled("press", plc.port, period)
                    (site / "forebay.toml").write_text(text, "utf-8")
                    offered = await fleet.ask("push", "gw-1", str(site))

                    def taken(last: Any) -> bool:
                        ended = last.get("ended_ns", "0") != "0"
                        return ended and bool(last.get("offer_id") == offered["offer_id"])

                    found = await attempt(fleet, taken)
                    assert found["config"]["last_attempt"]["phase"] == "committed"
                    assert found["config"]["running"] == offered["hash"]
                    return offered

                old = await pushed("300 ms")
                assert await asyncio.to_thread(fleet.server.stop) == 0
                backup = tmp_path / "backup.db"
                shutil.copyfile(fleet.server.data / FILE, backup)
                await asyncio.to_thread(fleet.server.start)
                new = await pushed("400 ms")
                await box.agent.kill()
                store = IdentityStore(box.state / FOLDER, SystemDisk())
                await certifying.renew(store, box.identity)
                assert box.identity.generation == 2

                assert await asyncio.to_thread(fleet.server.stop) == 0
                for path in fleet.server.data.glob(f"{FILE}*"):
                    path.unlink()
                shutil.copyfile(backup, fleet.server.data / FILE)
                await asyncio.to_thread(fleet.server.start)
                await box.agent.start()
                found = await attempt(fleet, lambda last: "replay" in last.get("error", ""))
                assert found["config"]["running"] == new["hash"] != old["hash"]
                assert box.told("fleet_state_refused", code="replay")

                # What it renews by now is of a generation that the registry never gave.
                await box.agent.kill()
                await certifying.renew(store, box.identity)
                assert (await fleet.identity("gw-1"))["generation"] == 3
                await box.agent.start()
                await pushed("500 ms")
