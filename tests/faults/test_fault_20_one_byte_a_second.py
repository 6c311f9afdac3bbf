"""Fault 20: a line that carries one byte a second."""

from __future__ import annotations

import gc
from pathlib import Path

from forebay.model import Stream
from forebay.testing.uplink_server import UplinkServer
from support.forwarding import until
from support.proxy import Proxy
from support.site import conserved, opened

RECORDS, SIZE = 400, 100_000
"""40 MB of telemetry."""
MOST_GROWN_BYTES = RECORDS * SIZE // 4


def resident_bytes() -> int:
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


async def test_fault_20_memory_is_flat_and_events_go_before_telemetry(tmp_path: Path) -> None:
    async with (
        UplinkServer() as server,
        Proxy(server.address) as proxy,
        opened(tmp_path, proxy.address, ack_deadline=3600) as site,
    ):
        await site.produce(range(3))
        assert await site.forwarder.drain(600)
        before = resident_bytes()
        proxy.rate = 1
        await site.produce_noise(RECORDS, SIZE)
        await until(lambda: site.forwarder.status().unacked_bytes)
        await site.produce(range(5), Stream.EVENTS)
        status = site.forwarder.status()
        assert status.pending_records > RECORDS
        assert status.unacked_bytes < 1 << 20
        assert resident_bytes() - before < MOST_GROWN_BYTES
        stuck = len(server.store.records)
        proxy.rate = None
        await until(lambda: site.forwarder.status().pending_records == 0)
        await conserved(site, server)
    order = [int(record.stream) for record in server.store.records[stuck:]]
    last_event = len(order) - order[::-1].index(Stream.EVENTS.number)
    assert last_event < RECORDS / 10, "events waited behind telemetry"
