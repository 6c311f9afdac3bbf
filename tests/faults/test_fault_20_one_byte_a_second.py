"""Fault 20: a line that carries one byte a second, or hardly more."""

from __future__ import annotations

import gc
from pathlib import Path

from forebay.forwarding.suspicion import PATIENCE
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
        # Over one byte a second no session could be opened in place of one that was given up.
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
        assert status.unacked_bytes < RECORDS * SIZE / 10, "what it took in seconds before"
        assert resident_bytes() - before < MOST_GROWN_BYTES
        stuck = len(server.store.records)
        proxy.rate = None
        await until(lambda: site.forwarder.status().pending_records == 0)
        await conserved(site, server)
    order = [int(record.stream) for record in server.store.records[stuck:]]
    last_event = len(order) - order[::-1].index(Stream.EVENTS.number)
    assert last_event < RECORDS / 10, "events waited behind telemetry"


async def test_fault_20_large_records_on_16_kbit_s_are_no_poison(tmp_path: Path) -> None:
    """Each takes longer than the default deadline; the clock runs twenty times as fast."""
    async with (
        UplinkServer() as server,
        Proxy(server.address) as proxy,
        opened(tmp_path, proxy.address) as site,
    ):
        await site.produce(range(3))
        assert await site.forwarder.drain(600)
        proxy.rate = 2_000 * 20
        for number in range(3):
            await site.produce_noise(1, 100_000)
            await site.produce(range(10 + number, 11 + number))
        assert await site.forwarder.drain(600)
        await conserved(site, server)
        assert site.forwarder.status().sessions < PATIENCE, "what the line did before misleads once"
