"""Fault 28: one of three uplinks is dead; the others notice nothing."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from forebay.journal.journal import Journal
from forebay.testing.uplink_server import UplinkServer
from support.fleet_life import LIMITS, SAMPLES
from support.forwarding import make_seams, until
from support.site import Site, T, conserved, forwarder_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from forebay.forwarding.forwarder import Forwarder


@asynccontextmanager
async def together(*forwarders: Forwarder) -> AsyncIterator[None]:
    """Run them all."""
    tasks = [asyncio.create_task(forwarder.run()) for forwarder in forwarders]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)


async def test_fault_28_the_others_get_everything_meanwhile(tmp_path: Path) -> None:
    seams = make_seams()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, and nobody listens: refused
        dead = f"127.0.0.1:{nobody.getsockname()[1]}"
        async with AsyncExitStack() as stack:
            servers = [await stack.enter_async_context(UplinkServer()) for _ in range(2)]
            journal = await stack.enter_async_context(Journal(tmp_path, LIMITS, seams))
            addresses = {"first": servers[0].address, "dead": dead, "third": servers[1].address}
            forwarders = {
                name: forwarder_to(journal, address, seams, name=name)
                for name, address in addresses.items()
            }
            alive = [forwarders["first"], forwarders["third"]]
            async with asyncio.timeout(60), together(*forwarders.values()):
                site = Site(journal, alive[0], seams)
                for begin in range(0, 60, 20):
                    await site.produce(range(begin, begin + 20))
                    assert all([await forwarder.drain(600) for forwarder in alive])
                status = forwarders["dead"].status()
                assert status.last_error
                assert (status.records_sent, status.pending_records >= 60) == (0, True)
                for server, name in zip(servers, ("first", "third"), strict=True):
                    await conserved(site, server, name)
                account = journal.ledger(T, journal.cursor("dead"))
                assert account.balanced
                assert (account.delivered, account.pending) == (0, 60 * SAMPLES)
            async with UplinkServer() as late:
                moved = forwarder_to(journal, late.address, seams, name="dead")
                async with together(moved):
                    assert await moved.drain(600)
                    await until(lambda: moved.status().pending_records == 0)
                await conserved(site, late, "dead")
