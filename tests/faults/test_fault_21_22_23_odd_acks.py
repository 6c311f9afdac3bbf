"""Faults 21 to 23: acks that come twice, late, in another order, or for what was never sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.testing.uplink_server import Faults, UplinkServer
from support.forwarding import until
from support.site import T, conserved, opened

if TYPE_CHECKING:
    from pathlib import Path


async def test_fault_21_duplicate_acks_are_ignored(tmp_path: Path) -> None:
    async with UplinkServer() as server:
        server.faults = Faults(duplicate_acks=True)
        async with opened(tmp_path, server.address) as site:
            await site.produce(range(50))
            assert await site.forwarder.drain(600)
            status = site.forwarder.status()
            assert status.records_acked == status.records_sent, "an ack was counted twice"
            assert status.sessions == 1
            await conserved(site, server)


async def test_fault_22_of_stale_and_reordered_acks_the_most_is_kept(tmp_path: Path) -> None:
    """Stale ones are passed over; one that takes back what was told ends the session."""
    async with UplinkServer() as server, opened(tmp_path, server.address) as site:
        await site.produce(range(20))
        assert await site.forwarder.drain(600)
        server.faults = Faults(stale_acks=True)
        await site.produce(range(20, 40))
        assert await site.forwarder.drain(600)
        assert site.forwarder.status().sessions == 1
        server.faults = Faults(backward_acks=True)
        reached = site.journal.cursor("cloud").get(T)
        await site.produce(range(40, 60))
        await until(lambda: site.forwarder.status().sessions > 1)
        assert site.journal.cursor("cloud").get(T) >= reached, "the cursor went back"
        server.faults = Faults()
        assert await site.forwarder.drain(600)
        await conserved(site, server)


async def test_fault_23_an_ack_ahead_retires_nothing(tmp_path: Path) -> None:
    async with UplinkServer() as server, opened(tmp_path, server.address) as site:
        await site.produce(range(20))
        assert await site.forwarder.drain(600)
        reached = site.journal.cursor("cloud").get(T)
        server.faults = Faults(acks_ahead=1000, commit_most=0)
        await site.produce(range(20, 40))
        await until(lambda: site.forwarder.status().sessions > 3)
        assert site.journal.cursor("cloud").get(T) == reached, "what was not stored is passed"
        server.faults = Faults()
        assert await site.forwarder.drain(600)
        await conserved(site, server)
