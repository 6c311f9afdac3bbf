"""Another way to the fleet server: a box that gets there keeps it, any other stays where it is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from forebay.files import SystemDisk
from forebay.identity import FOLDER, IdentityStore
from forebay.management import certifying
from support.fleet_boxes import Box, Fleet
from support.processes import free_port, until
from support.proxy import Proxy

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


async def became(fleet: Fleet, gateway: str, state: str) -> Any:
    """Wait until the server knows that its offer has come to this end."""
    async with asyncio.timeout(150.0):
        while True:
            found = await fleet.ask("move", gateway)
            if found["state"] != "pending":
                assert found["state"] == state, found
                return found
            await asyncio.sleep(0.3)


@pytest.mark.long
async def test_a_way_that_leads_nowhere_is_given_up_and_one_that_holds_is_kept(
    tmp_path: Path,
) -> None:
    with Fleet(tmp_path) as fleet:
        async with Box(fleet, "box") as box:
            assert (await box.enroll(await fleet.token())).code == 0
            await box.agent.start()
            await until(lambda: box.told("fleet_connected"), "it comes")
            first = box.identity

            # Nobody is there: the stream that there is never ends.
            dead = f"127.0.0.1:{free_port()}"
            await fleet.ask("move", "gw-1", dead)
            found = await became(fleet, "gw-1", "failed")
            assert found["address"] == dead
            assert "cannot be reached" in found["error"]
            assert box.identity == first
            assert len(box.told("fleet_connected")) == 1
            assert not box.told("fleet_lost")

            # It leads to this server by another way: the next stream is opened by it, and it stays.
            async with Proxy(fleet.server.address) as proxy:
                other = proxy.address
                await fleet.ask("move", "gw-1", other)
                await became(fleet, "gw-1", "kept")
                assert box.identity.address == other
                assert box.identity.key == first.key
                assert len(box.told("fleet_connected")) == 2
                # Also over a restart, and a renewal, which names the server's own address.
                await box.agent.kill()
                store = IdentityStore(box.state / FOLDER, SystemDisk())
                assert (await certifying.renew(store, box.identity)).address == other
                assert box.identity.generation == first.generation + 1
                assert box.identity.address == other
                await box.agent.start()
                await until(lambda: len(box.told("fleet_connected")) == 3, "it comes again")
                assert proxy.connections >= 3
