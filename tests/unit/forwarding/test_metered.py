"""A metered line on the wire: what is held, what it costs, and what a restart remembers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from forebay.clock import SystemClock
from forebay.forwarding.budget import ENVELOPE_BYTES
from forebay.model import Stream
from forebay.testing.records import make_record
from forebay.testing.uplink_server import UplinkServer
from support.forwarding import HurryingClock, make_forwarder, make_seams, running, until
from support.memory_journal import MemoryJournal
from support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from forebay.model import Record

E = 1 << 32
QUICK: dict[str, Any] = {"backoff": {"first": 0.05, "most": 0.4}}


@pytest.fixture
async def server() -> AsyncIterator[UplinkServer]:
    async with UplinkServer() as started:
        yield started


def records(first: int, last: int, size: int, *, epoch: int = 1) -> list[Record]:
    return [make_record(seq, bytes(size), epoch=epoch * E) for seq in range(first, last + 1)]


async def test_a_cap_holds_on_the_wire(server: UplinkServer) -> None:
    """Real time, real bytes: 1 Mbit/s for two seconds, give or take what TLS would add."""
    clock = SystemClock()
    async with Proxy(server.address) as proxy:
        journal = MemoryJournal(*records(1, 400, 2_000))
        forwarder = make_forwarder(
            server,
            journal,
            seams=make_seams(clock),
            address=proxy.address,
            link={"cap": "1 Mbit/s"},
        )
        async with running(forwarder):
            await until(lambda: server.store.records)
            begin_s, begin = clock.monotonic_s(), proxy.up
            await clock.sleep(2)
            rate = (proxy.up - begin) / (clock.monotonic_s() - begin_s)
            assert 100_000 < rate < 137_500
            sent = len(server.store.records)
            envelope = (proxy.up - sent * 2_000) / sent
            assert envelope < ENVELOPE_BYTES, "the limits count too little"


async def test_a_spent_day_holds_the_lane_and_not_the_alarms(server: UplinkServer) -> None:
    journal = MemoryJournal(*records(1, 50, 1_000))
    forwarder = make_forwarder(server, journal, live={"daily": "20 KiB"}, **QUICK)
    async with running(forwarder):
        await until(lambda: forwarder.status().held)
        assert forwarder.status().held == "live has used its 20 KiB of today"
        assert forwarder.status().state == "connected"
        await until(lambda: forwarder.status().unacked_bytes == 0)
        there = len(server.store.records)
        assert 10 < there <= 20
        journal.append(make_record(1, bytes(1_000), stream=Stream.AUDIT))
        await until(lambda: len(server.store.records) == there + 1)
        assert server.store.records[-1].stream == Stream.AUDIT.number
        assert forwarder.status().sent_today_bytes == (there + 1) * 1_000


async def test_what_the_live_lane_may_not_send_becomes_backfill(server: UplinkServer) -> None:
    journal = MemoryJournal(*records(1, 50, 1_000))
    forwarder = make_forwarder(
        server, journal, live={"daily": "20 KiB"}, backfill={"after": "30 s"}, **QUICK
    )
    async with running(forwarder):
        await until(lambda: len(server.store.records) == 50)
        late = [r.seq for r in server.store.records if r.historical]
        assert late == list(range(51 - len(late), 51))
        assert 30 <= len(late) < 40, "the day's amount went live, and the rest behind it"


async def test_a_restart_remembers_what_the_day_has_cost(
    server: UplinkServer, tmp_path: Path
) -> None:
    settings = {"live": {"daily": "20 KiB"}, **QUICK}
    journal = MemoryJournal(*records(1, 50, 1_000))
    journal.directory = tmp_path
    forwarder = make_forwarder(server, journal, **settings)
    async with running(forwarder):
        await until(lambda: forwarder.status().held)
        await until(lambda: len(server.store.records) == forwarder.status().records_sent)
    kept = json.loads((tmp_path / "budgets" / "cloud.json").read_text("utf-8"))
    assert kept["lanes"]["live"] >= 20 * 1024
    sent = len(server.store.records)
    again = make_forwarder(server, journal, **settings)
    async with running(again):
        await until(lambda: again.status().held)
        assert again.status().sent_today_bytes == sent * 1_000
    assert len(server.store.records) == sent
    (tmp_path / "budgets" / "cloud.json").write_text("rubbish", "utf-8")
    third = make_forwarder(server, journal, **settings)
    async with running(third):
        await until(lambda: third.status().held)
    assert len(server.store.records) > sent, "a damaged file costs the memory, and nothing else"


async def test_windows_open_and_close_while_a_session_lasts(server: UplinkServer) -> None:
    """The wall clock goes through the window; the session stays."""

    class Evening(HurryingClock):
        wall_ns = 0

        def now_ns(self) -> int:
            return self.wall_ns

    clock = Evening(20)
    from datetime import datetime

    def local(text: str) -> int:
        return int(datetime.fromisoformat(text).timestamp()) * 10**9

    clock.wall_ns = local("2026-03-01T21:59:00")
    journal = MemoryJournal(*records(1, 300, 1_000), *records(1, 1, 10, epoch=2))
    server.credit_bytes = 5_000
    server.faults = replace(server.faults, delay_s=0.01)
    forwarder = make_forwarder(
        server, journal, seams=make_seams(clock), backfill={"windows": ["22:00-06:00"]}, **QUICK
    )
    async with running(forwarder):
        await until(lambda: forwarder.status().held == "backfill waits for 22:00")
        journal.append(*records(2, 5, 10, epoch=2))
        await until(lambda: len(server.store.records) == 4)
        clock.wall_ns = local("2026-03-01T22:00:00")
        await until(lambda: len(server.store.records) > 10)
        clock.wall_ns = local("2026-03-02T06:00:00")
        await until(lambda: forwarder.status().held == "backfill waits for 22:00")
        before = forwarder.status().records_sent
        assert before < 250
        clock.wall_ns = local("2026-03-02T23:00:00")
        await until(lambda: forwarder.status().pending_records == 0)
        assert forwarder.status().sessions == 1
    assert server.store.duplicates == 0
