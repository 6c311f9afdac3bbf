"""Fault 28: one of three uplinks is dead; the others notice nothing, whatever a stream drops."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from forebay.journal.entry import Overflow
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


async def test_fault_28_a_dead_one_does_not_stop_a_stream_that_drops_its_newest(
    tmp_path: Path,
) -> None:
    seams, size = make_seams(), 8_000
    limits = replace(
        LIMITS,
        max_bytes=1 << 20,
        segment_bytes=64 << 10,
        overflow={**LIMITS.overflow, T: Overflow.DROP_NEWEST},
    )
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{nobody.getsockname()[1]}"
        async with UplinkServer() as server, Journal(tmp_path, limits, seams) as journal:
            alive = forwarder_to(journal, server.address, seams, name="alive")
            forwarders = (alive, forwarder_to(journal, dead, seams, name="dead"))
            async with asyncio.timeout(60), together(*forwarders):
                site = Site(journal, alive, seams)
                for _ in range(12):  # three times what there is room for
                    await site.produce_noise(20, size)
                    assert await alive.drain(600)
                there = journal.ledger(T, journal.cursor("alive"))
                assert (there.delivered, there.pending, there.gapped) == (240, 0, 0)
                missed = journal.ledger(T, journal.cursor("dead"))
                assert missed.balanced
                assert (missed.produced, missed.delivered) == (240, 0)
                assert missed.gapped > 100
                assert not journal.stats().trouble
