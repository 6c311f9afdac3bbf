"""Live before backlog, against a real gRPC server: what overtakes what, and nothing is doubled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from forebay.model import Position, Stream
from forebay.testing.clock import FakeClock
from forebay.testing.records import make_record
from forebay.testing.uplink_server import Faults, UplinkServer
from support.forwarding import HurryingClock, make_forwarder, make_seams, running, until
from support.memory_journal import MemoryJournal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from forebay.forwarding.forwarder import Forwarder
    from forebay.model import Record

T, E = Stream.TELEMETRY, 1 << 32
QUICK: dict[str, Any] = {"backoff": {"first": 0.05, "most": 0.4}}
FAR = Position(T, 1 << 62, 0)


@pytest.fixture
async def server() -> AsyncIterator[UplinkServer]:
    async with UplinkServer() as started:
        yield started


def records(first: int, last: int, *, epoch: int = 1, size: int = 1000) -> list[Record]:
    return [make_record(seq, bytes(size), epoch=epoch * E) for seq in range(first, last + 1)]


def stored(server: UplinkServer) -> list[tuple[int, int]]:
    return [(record.epoch // E, record.seq) for record in server.store.records]


def historical(server: UplinkServer) -> dict[tuple[int, int], bool]:
    return {(r.epoch // E, r.seq): r.historical for r in server.store.records}


async def drained(forwarder: Forwarder) -> None:
    assert await forwarder.drain(600)
    await until(lambda: forwarder.status().pending_records == 0)


async def test_what_an_earlier_run_left_goes_behind_what_is_fresh(server: UplinkServer) -> None:
    """500 records of years ago; then new ones, while the backlog drains."""
    server.faults = Faults(delay_s=0.004)
    server.credit_bytes = 20_000
    journal = MemoryJournal(*records(1, 500), *records(1, 1, epoch=2))
    forwarder = make_forwarder(server, journal)
    async with running(forwarder):
        await until(lambda: len(server.store.records) > 20)
        status = forwarder.status()
        assert (status.live_records, status.backfill_records > 300) == (0, True)
        before = len(server.store.records)
        journal.append(*records(2, 21, epoch=2))
        await until(lambda: (2, 21) in stored(server))
        assert len(server.store.records) - before < 100, "live waited for the backlog"
        await drained(forwarder)
    assert sorted(stored(server)) == [
        *((1, n) for n in range(1, 501)),
        *((2, n) for n in range(1, 22)),
    ]
    of_backlog = [place for place in stored(server) if place <= (2, 1)]
    of_live = [place for place in stored(server) if place > (2, 1)]
    assert (of_backlog, of_live) == (sorted(of_backlog), sorted(of_live)), "order within a lane"
    assert {place for place, told in historical(server).items() if told} == set(of_backlog)
    assert server.store.duplicates == 0
    assert journal.cursor("cloud").get(T) == Position(T, 2 * E, 21)


async def test_one_lane_is_enough_for_a_young_backlog(server: UplinkServer) -> None:
    journal = MemoryJournal(*records(1, 200))
    forwarder = make_forwarder(server, journal)
    async with running(forwarder):
        await drained(forwarder)
    assert stored(server) == [(1, n) for n in range(1, 201)]
    assert not any(historical(server).values())


async def test_an_outage_makes_a_backlog_by_the_clock(server: UplinkServer) -> None:
    """The epoch is the same, and the records' own times say nothing: the outage lasted."""
    journal = MemoryJournal(*records(1, 5))
    forwarder = make_forwarder(server, journal, backfill={"after": "8 s"}, **QUICK)
    async with running(forwarder):
        await drained(forwarder)
        await server.stop()
        journal.append(*records(6, 105))
        await until(lambda: forwarder.status().sessions > 40)
        await server.start()
        server.faults = Faults(delay_s=0.01)
        server.credit_bytes = 5_000
        await until(lambda: forwarder.status().backfill_records)
        journal.append(*records(106, 110))
        await until(lambda: (1, 110) in stored(server))
        assert (1, 105) not in stored(server)
        await drained(forwarder)
    assert sorted(stored(server)) == [(1, n) for n in range(1, 111)]
    assert {n for (_, n), told in historical(server).items() if told} == set(range(6, 106))


async def test_who_falls_behind_within_a_session_gets_a_second_lane(server: UplinkServer) -> None:
    server.faults = Faults(delay_s=0.1)
    server.credit_bytes = 1_000
    journal = MemoryJournal(*records(1, 100))
    forwarder = make_forwarder(server, journal, backfill={"after": "20 s"}, ack_deadline=600)
    async with running(forwarder):
        await until(lambda: forwarder.status().backfill_records)
        assert forwarder.status().sessions == 1
        journal.append(*records(101, 103))
        await until(lambda: (1, 103) in stored(server))
        assert (1, 100) not in stored(server)
        server.faults = Faults()
        await drained(forwarder)
        assert forwarder.status().sessions == 1
    assert sorted(stored(server)) == [(1, n) for n in range(1, 104)]
    assert server.store.duplicates == 0


async def test_islands_outlive_sessions_and_are_not_sent_again(server: UplinkServer) -> None:
    """Cut off again and again while two lanes are open; nothing comes twice."""
    journal = MemoryJournal(*records(1, 400), *records(1, 1, epoch=2))
    server.faults = Faults(crash_after=60)
    forwarder = make_forwarder(server, journal, **QUICK)
    async with running(forwarder):
        for n in range(2, 30):
            journal.append(*records(n, n, epoch=2))
            seen = len(server.store.records)
            await until(lambda seen=seen: len(server.store.records) > seen)  # type: ignore[misc]
        server.faults = Faults()
        await drained(forwarder)
    assert sorted(stored(server)) == [
        *((1, n) for n in range(1, 401)),
        *((2, n) for n in range(1, 30)),
    ]
    assert server.store.duplicates == 0
    assert journal.cursor("cloud").get(T) == Position(T, 2 * E, 29)


async def test_the_cursor_waits_for_the_hole_to_close(server: UplinkServer) -> None:
    server.faults = Faults(delay_s=0.02)
    server.credit_bytes = 3_000
    journal = MemoryJournal(*records(1, 60), *records(1, 1, epoch=2))
    cursor = journal.cursor("cloud")
    forwarder = make_forwarder(server, journal)
    async with running(forwarder):
        await until(lambda: len(server.store.records) > 5)
        journal.append(*records(2, 3, epoch=2))
        await until(lambda: (2, 3) in stored(server))
        assert cursor.get(T) < Position(T, E, 60)
        await drained(forwarder)
    assert cursor.get(T) == Position(T, 2 * E, 3)


async def test_a_short_outage_makes_no_new_island(server: UplinkServer) -> None:
    """Thirty interruptions while the backlog is held: the live lane goes on where it was."""
    journal = MemoryJournal(*records(1, 50), *records(1, 1, epoch=2))
    forwarder = make_forwarder(
        server, journal, backfill={"windows": ["00:00-00:01"]}, seams=at_noon(), **QUICK
    )
    async with running(forwarder):
        await until(lambda: forwarder.status().state == "connected")
        for n in range(2, 32):
            journal.append(*records(n, n, epoch=2))
            await until(lambda n=n: (2, n) in stored(server))  # type: ignore[misc]
            await server.stop()
            await server.start()
        await until(lambda: forwarder.status().held == "backfill waits for 00:00")
    assert len(server.store.runs((3, 2 * E))) <= 1
    assert stored(server) == [(2, n) for n in range(2, 32)]


class NoonClock(HurryingClock):
    """The machine's clock at noon, UTC or whatever the zone is."""

    def now_ns(self) -> int:
        import time

        now = time.time()
        local = time.localtime(now)
        return int(now - 3600 * local.tm_hour - 60 * local.tm_min + 12 * 3600) * 10**9


def at_noon() -> Any:
    return make_seams(NoonClock(20))


async def test_beyond_sixteen_islands_the_live_lane_goes_on_behind_the_last(
    server: UplinkServer,
) -> None:
    for n in range(1, 17):
        server.store.cover((3, E), 10 * n, 10 * n)
    journal = MemoryJournal(*records(1, 300))
    forwarder = make_forwarder(server, journal, backfill={"after": "1 s"}, **QUICK)
    forwarder_lag = forwarder._tally.lag[T]  # noqa: SLF001 - the backlog is to be old from the start
    forwarder_lag.note(Position(T, 0, 0), FAR, -1e9)
    server.faults = Faults(delay_s=0.05)
    server.credit_bytes = 1_000
    async with running(forwarder):
        await until(lambda: len(server.store.records) > 12)
        live = [r.seq for r in server.store.records if not r.historical]
        assert live == list(range(161, 161 + len(live)))
        assert len(server.store.runs((3, E))) <= 16
        server.faults, server.credit_bytes = Faults(), 1 << 20
        await drained(forwarder)
    assert sorted(seq for _, seq in stored(server)) == [
        n for n in range(1, 301) if n % 10 or n > 160
    ]


async def test_retention_between_the_lanes_leaves_no_hole_that_the_server_waits_for(
    server: UplinkServer,
) -> None:
    """The backlog goes while its lane is held; the next record tells the server."""
    server.faults = Faults(delay_s=0.01)
    server.credit_bytes = 1_000
    journal = MemoryJournal(*records(1, 100))
    forwarder = make_forwarder(server, journal, backfill={"after": "8 s"}, ack_deadline=600)
    async with running(forwarder):
        await until(lambda: forwarder.status().backfill_records)
        journal.append(*records(101, 103))
        await until(lambda: (1, 103) in stored(server))
        await server.stop()
        journal.drop(T, 80)
        await server.start()
        server.faults, server.credit_bytes = Faults(), 1 << 20
        await until(lambda: server.store.committed.get((3, E)) == 103)
        await drained(forwarder)
    assert journal.cursor("cloud").get(T) == Position(T, E, 103)


async def test_lanes_of_all_streams_at_once_lose_and_double_nothing(server: UplinkServer) -> None:
    server.faults = Faults(delay_s=0.001)
    server.credit_bytes = 30_000
    every = [
        make_record(seq, bytes(500), stream=stream, epoch=epoch * E)
        for epoch in (1, 2)
        for stream in Stream
        for seq in range(1, 101)
    ]
    journal = MemoryJournal(*every)
    forwarder = make_forwarder(server, journal)
    async with running(forwarder):
        await until(lambda: server.store.records)
        more = [make_record(s, stream=st, epoch=2 * E) for st in Stream for s in range(101, 121)]
        journal.append(*more)
        await drained(forwarder)
    got = [(r.stream, r.epoch, r.seq) for r in server.store.records]
    want = [(r.position.stream.number, *r.position[1:]) for r in [*every, *more]]
    assert sorted(got) == sorted(want)
    assert server.store.duplicates == 0


async def test_a_fake_clock_moves_lanes_too() -> None:
    """No wall time is waited for: on a clock that stands still nothing falls behind."""
    clock = FakeClock()
    async with UplinkServer() as server:
        forwarder = make_forwarder(server, MemoryJournal(*records(1, 50)), seams=make_seams(clock))
        async with running(forwarder):
            await until(lambda: len(server.store.records) == 50)
            await asyncio.sleep(0)
            assert forwarder.status().backfill_records == 0
