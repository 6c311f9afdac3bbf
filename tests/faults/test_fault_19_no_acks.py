"""Fault 19: a server that takes everything and acknowledges nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay.testing.uplink_server import Faults, UplinkServer
from support.forwarding import until
from support.site import conserved, opened

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("stores", [True, False])
async def test_fault_19_credit_stops_and_the_deadline_reconnects(
    tmp_path: Path, *, stores: bool
) -> None:
    async with UplinkServer() as server:
        server.credit_bytes = 20_000
        server.faults = Faults(no_acks=True, commit_most=None if stores else 0)
        async with opened(tmp_path, server.address, ack_deadline=5) as site:
            await site.produce(range(60))
            if stores:  # the next Welcome tells what the acks did not
                await until(lambda: site.forwarder.status().pending_records == 0)
            else:
                await until(lambda: site.forwarder.status().sessions >= 12)
            status = site.forwarder.status()
            assert status.records_acked == 0
            assert server.most_unacked_bytes <= 20_000, "more than the credit was sent"
            assert status.quarantined_records == 0, "sick is not poison"
            server.faults = Faults()
            assert await site.forwarder.drain(600)
            await conserved(site, server)
