"""Fault 27: a record crashes the server each time it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.forwarding.suspicion import PATIENCE
from forebay.model import RecordKind
from forebay.testing.uplink_server import Faults, UplinkServer
from support.fleet_life import SAMPLES
from support.forwarding import until
from support.site import T, conserved, opened

if TYPE_CHECKING:
    from pathlib import Path

    from support.site import Site


async def batches(site: Site) -> list[int]:
    """Give the seqs of all batches, of which there is one epoch."""
    records = await site.journal.read(site.journal.cursor("reader").get(T), 1 << 24)
    return [record.position.seq for record in records if record.kind is RecordKind.BATCH]


async def test_fault_27_it_is_isolated_quarantined_and_can_come_later(tmp_path: Path) -> None:
    async with UplinkServer() as server, opened(tmp_path, server.address) as site:
        await server.stop()
        await site.produce(range(30))
        poison = (await batches(site))[7]
        server.faults = Faults(poison=frozenset({poison}))
        await server.start()
        await until(lambda: site.journal.quarantine.copies("cloud"))
        assert await site.forwarder.drain(600)
        (copy,) = site.journal.quarantine.copies("cloud")
        assert (copy.code, copy.position.seq) == ("Suspect", poison)
        assert len(server.hellos) <= 1 + PATIENCE + 3
        await site.produce(range(30, 35))
        assert await site.forwarder.drain(600)
        await conserved(site, server, quarantined=SAMPLES)
        server.faults = Faults()  # somebody has mended the server
        record, _ = await site.journal.quarantine.read(copy.id)
        assert await site.forwarder.retry(record)
        await site.journal.quarantine.release(copy.id)
        account = site.journal.ledger(T, site.journal.cursor("cloud"))
        assert account.balanced
        assert (account.delivered, account.quarantined) == (35 * SAMPLES, 0)
    assert len({(r.epoch, r.seq) for r in server.store.records}) == len(server.store.records)
    assert sum(r.samples for r in server.store.records if r.kind == RecordKind.BATCH.value) == (
        35 * SAMPLES
    )


async def test_fault_27_what_was_found_is_known_after_a_restart(tmp_path: Path) -> None:
    async with UplinkServer() as server:
        async with opened(tmp_path, server.address) as site:
            await server.stop()
            await site.produce(range(10))
            server.faults = Faults(poison=frozenset({(await batches(site))[3]}))
            await server.start()
            await until(lambda: site.journal.quarantine.copies("cloud"))
            assert await site.forwarder.drain(600)
        hellos = len(server.hellos)
        async with opened(tmp_path, server.address) as site:
            await site.produce(range(10, 12))
            assert await site.forwarder.drain(600)
            assert len(server.hellos) == hellos + 1, "it was sent again"
            await conserved(site, server, quarantined=SAMPLES)
