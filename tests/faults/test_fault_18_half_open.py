"""Fault 18: half-open TCP, as a firewall leaves it that forgot the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay.clock import SystemClock
from forebay.testing.uplink_server import UplinkServer
from support.fleet import FleetServer
from support.fleet_life import SAMPLES, life, seconds
from support.forwarding import until
from support.proxy import Proxy
from support.site import conserved, opened

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


@pytest.mark.timeout(120)
async def test_fault_18_half_open_tcp_is_seen_within_30_s(tmp_path: Path) -> None:
    """An idle session, real time: the ping after 18 s has no answer within 10."""
    clock = SystemClock()
    async with (
        UplinkServer() as server,
        Proxy(server.address) as proxy,
        opened(tmp_path, proxy.address, clock=clock) as site,
    ):
        await site.produce(range(3))
        assert await site.forwarder.drain(20)
        proxy.dark = True
        dark_s = clock.monotonic_s()
        while site.forwarder.status().state == "connected":
            await clock.sleep(0.05)
            assert clock.monotonic_s() < dark_s + 30, "nobody noticed"
        print(f"noticed after {clock.monotonic_s() - dark_s:.1f} s")  # noqa: T201 - the figure
        await site.produce(range(3, 6))
        proxy.dark = False
        assert await site.forwarder.drain(30)
        await conserved(site, server)


async def test_fault_18_with_records_in_flight_the_ack_deadline_sees_it(tmp_path: Path) -> None:
    """Against the real server, under TLS, twenty times as fast: deadline and back-off alike."""
    with FleetServer(tmp_path) as server:
        async with (
            Proxy(server.address) as proxy,
            life(tmp_path / "journal", server, address=proxy.address) as gateway,
        ):
            await gateway.produce(range(5))
            assert await gateway.forwarder.drain(600)
            proxy.dark = True
            await gateway.produce(range(5, 10))
            await until(lambda: "no ack for 30 s" in gateway.forwarder.status().last_error)
            proxy.cut()
            proxy.dark = False
            assert await gateway.forwarder.drain(600)
            account = gateway.account()
        assert account.balanced
        assert account.delivered == account.produced == 10 * SAMPLES
        assert sorted(set(seconds(server))) == list(range(10))
        answer = server.read_json("ledger", "--verify")["verified"]
        assert (answer["problems"], answer["samples"]) == ([], 10 * SAMPLES)
