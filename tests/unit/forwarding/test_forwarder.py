"""The forwarder against a real gRPC server that fails in every way the ack protocol knows."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from forebay import uplinkproto
from forebay._proto import control_pb2
from forebay.columnar import decode_gap
from forebay.errors import JournalFailed
from forebay.events import UPLINK_CONNECTED, UPLINK_FORKED, UPLINK_LOST, UPLINK_REJECTED
from forebay.forwarding.status import UplinkStatus
from forebay.model import GapCause, Position, Stream
from forebay.testing.records import make_record
from forebay.testing.uplink_server import Faults, Store, UplinkServer
from support.forwarding import HurryingClock, make_forwarder, make_seams, running, until
from support.memory_journal import MemoryJournal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from forebay.model import Record

T, E = Stream.TELEMETRY, 1 << 32
QUICK: dict[str, Any] = {"backoff": {"first": 0.05, "most": 0.4}}


@pytest.fixture
async def server() -> AsyncIterator[UplinkServer]:
    async with UplinkServer() as started:
        yield started


def telemetry(first: int, last: int) -> list[Record]:
    return [make_record(seq) for seq in range(first, last + 1)]


def filled(*records: Record) -> Store:
    """Give a store that has `records`."""
    store = Store()
    sent = uplinkproto.group(records, historical=False).records.records
    taken = [store.take(record) for record in sent]
    assert all(taken)
    return store


def stored(server: UplinkServer) -> list[tuple[int, int, int]]:
    return [(r.stream, r.epoch, r.seq) for r in server.store.records]


def payloads(server: UplinkServer) -> list[bytes]:
    return [r.payload for r in server.store.records]


def test_status_has_the_fields_of_the_control_protocol() -> None:
    ours = {field.name for field in dataclasses.fields(UplinkStatus)}
    assert ours == set(control_pb2.UplinkStatus.DESCRIPTOR.fields_by_name)


async def test_everything_arrives_once_and_in_order(server: UplinkServer) -> None:
    journal = MemoryJournal(*telemetry(1, 300), make_record(1, stream=Stream.AUDIT))
    forwarder = make_forwarder(server, journal)
    async with running(forwarder):
        assert await forwarder.drain(600)
        assert sorted(stored(server)) == [(1, E, 1)] + [(3, E, n) for n in range(1, 301)]
        assert [seq for stream, _, seq in stored(server) if stream == 3] == list(range(1, 301))
        journal.append(*telemetry(301, 310))
        assert await forwarder.drain(600)
        assert server.store.records[-1].payload == make_record(310).payload
        status = forwarder.status()
    assert (status.name, status.kind, status.state) == ("cloud", "grpc", "connected")
    assert status.records_sent == status.records_acked == 311
    assert status.bytes_sent == sum(len(r.payload) for r in server.store.records)
    assert (status.pending_records, status.pending_bytes, status.unacked_bytes) == (0, 0, 0)
    assert (status.sessions, status.last_error, status.oldest_pending_s) == (1, "", 0.0)
    assert status.last_ack_s >= 0
    assert server.store.duplicates == server.store.damaged == 0
    cursor = journal.cursor("cloud")
    assert cursor.get(T) == Position(T, E, 310)
    assert cursor.get(Stream.BULK) == Position(Stream.BULK, 0, 0)


class StepClock(HurryingClock):
    """A wall clock that a test sets."""

    step_ns = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.step_ns


@pytest.mark.parametrize("years", [10, -10])
async def test_what_waits_does_not_age_by_steps_of_the_wall_clock(
    server: UplinkServer, years: int
) -> None:
    clock = StepClock(20)
    journal = MemoryJournal(*telemetry(1, 5))
    await server.stop()
    forwarder = make_forwarder(server, journal, seams=make_seams(clock))
    async with running(forwarder):
        await until(lambda: forwarder.status().oldest_pending_s > 1)
        clock.step_ns = years * 365 * 86_400 * 10**9
        assert 1 < forwarder.status().oldest_pending_s < 3_600


async def test_the_server_decides_where_to_resume(server: UplinkServer) -> None:
    """The cursor says 9, the server has nothing: everything is sent."""
    journal = MemoryJournal(*telemetry(1, 10))
    journal.cursor("cloud").advance(Position(T, E, 9))
    forwarder = make_forwarder(server, journal)
    assert forwarder.status().pending_records == 1
    async with running(forwarder):
        await until(lambda: len(server.store.records) == 10)


async def test_what_the_server_has_is_not_sent_again(server: UplinkServer) -> None:
    """The cursor says nothing, the server has 7."""
    server.store.committed[3, E] = 7
    forwarder = make_forwarder(server, MemoryJournal(*telemetry(1, 10)))
    async with running(forwarder):
        assert await forwarder.drain(600)
    assert [seq for _, _, seq in stored(server)] == [8, 9, 10]
    assert server.store.duplicates == 0
    hello = server.hellos[0]
    assert hello.gateway == "gateway-1"
    heads = [(h.stream, h.epoch, h.first_seq, h.next_seq) for h in hello.heads]
    assert heads == [(3, E, 1, 11), *((stream, E, 1, 1) for stream in (1, 2, 4))]


async def test_epochs_follow_one_another(server: UplinkServer) -> None:
    server.store.committed[3, E] = 5
    second = [make_record(seq, epoch=2 * E) for seq in (1, 2)]
    journal = MemoryJournal(*telemetry(1, 5), *second)
    forwarder = make_forwarder(server, journal)
    async with running(forwarder):
        assert await forwarder.drain(600)
        assert stored(server) == [(3, 2 * E, 1), (3, 2 * E, 2)]
    assert journal.cursor("cloud").get(T) == Position(T, 2 * E, 2)


async def test_a_later_epoch_that_is_partly_there_is_not_sent_again(server: UplinkServer) -> None:
    server.store.committed |= {(3, E): 3, (3, 2 * E): 1}
    second = [make_record(seq, epoch=2 * E) for seq in (1, 2)]
    forwarder = make_forwarder(server, MemoryJournal(*telemetry(1, 5), *second))
    async with running(forwarder):
        assert await forwarder.drain(600)
    assert sorted(stored(server)) == [(3, E, 4), (3, E, 5), (3, 2 * E, 2)]
    assert server.store.duplicates == 0


async def test_an_outage_is_told_once_and_survived(server: UplinkServer) -> None:
    journal = MemoryJournal(*telemetry(1, 5))
    seams = make_seams()
    forwarder = make_forwarder(server, journal, seams=seams, **QUICK)
    async with running(forwarder):
        assert await forwarder.drain(600)
        await server.stop()
        await until(lambda: forwarder.status().state == "waiting")
        journal.append(*telemetry(6, 10))
        seen = forwarder.status().sessions
        await until(lambda: forwarder.status().sessions >= seen + 3)
        lost = forwarder.status()
        assert lost.pending_records == 5
        assert lost.last_error
        assert lost.last_hint
        await server.start()
        assert await forwarder.drain(600)
        assert forwarder.status().last_error == ""
    assert payloads(server) == [r.payload for r in telemetry(1, 10)]
    assert seams.events.count(UPLINK_LOST, uplink="cloud") == 1
    assert seams.events.count(UPLINK_CONNECTED, uplink="cloud") == 2


async def test_a_server_that_never_acks_is_left_after_the_deadline(server: UplinkServer) -> None:
    server.faults = Faults(no_acks=True)
    forwarder = make_forwarder(server, MemoryJournal(*telemetry(1, 5)), ack_deadline=8)
    async with running(forwarder):
        await until(lambda: forwarder.status().last_error)
        assert forwarder.status().last_error == "no ack for 8 s of 5 records sent"
        assert "stores nothing" in forwarder.status().last_hint
        server.faults = Faults()
        await until(lambda: forwarder.status().state == "connected")
        assert await forwarder.drain(600)
        assert forwarder.status().records_acked == 0, "the Welcome told it"
    assert payloads(server) == [r.payload for r in telemetry(1, 5)]


async def test_an_idle_session_has_no_ack_deadline(server: UplinkServer) -> None:
    seams = make_seams()
    forwarder = make_forwarder(server, MemoryJournal(), seams=seams, ack_deadline=1)
    async with running(forwarder):
        await until(lambda: forwarder.status().state == "connected")
        began = seams.clock.monotonic_s()
        await until(lambda: seams.clock.monotonic_s() > began + 5)
        assert forwarder.status().sessions == 1


@pytest.mark.parametrize(
    "faults", [Faults(acks_ahead=1), Faults(backward_acks=True)], ids=["ahead", "backward"]
)
async def test_impossible_acks_end_the_session(server: UplinkServer, faults: Faults) -> None:
    server.faults = faults
    forwarder = make_forwarder(server, MemoryJournal(*telemetry(1, 5)), **QUICK)
    async with running(forwarder):
        await until(lambda: forwarder.status().last_error)
        assert forwarder.status().last_error.startswith("the destination ")
        server.faults = Faults()
        await until(lambda: forwarder.status().state == "connected")
        assert await forwarder.drain(600)
    assert payloads(server) == [r.payload for r in telemetry(1, 5)]


async def test_duplicate_and_stale_acks_are_harmless(server: UplinkServer) -> None:
    server.store.committed[3, E] = 4
    server.faults = Faults(duplicate_acks=True, stale_acks=True)
    journal = MemoryJournal(*telemetry(1, 10))
    forwarder = make_forwarder(server, journal)
    async with running(forwarder):
        assert await forwarder.drain(600)
        journal.append(*telemetry(11, 12))
        assert await forwarder.drain(600)
        assert forwarder.status().sessions == 1
        assert forwarder.status().records_acked == 8


async def test_a_crash_between_commit_and_ack_duplicates_nothing(server: UplinkServer) -> None:
    server.faults = Faults(crash_after=3)
    forwarder = make_forwarder(server, MemoryJournal(*telemetry(1, 10)), **QUICK)
    async with running(forwarder):
        assert await forwarder.drain(600)
        assert forwarder.status().sessions == 4
    assert payloads(server) == [r.payload for r in telemetry(1, 10)]
    assert server.store.duplicates == 0


async def test_a_restored_server_gets_again_what_it_lost(server: UplinkServer) -> None:
    forwarder = make_forwarder(server, MemoryJournal(*telemetry(1, 10)), **QUICK)
    async with running(forwarder):
        assert await forwarder.drain(600)
        await server.stop()
        server.store.forget(4)
        await server.start()
        await until(lambda: len(server.store.records) == 10)
    assert payloads(server) == [r.payload for r in telemetry(1, 10)]


async def test_credit_bounds_what_is_in_flight(server: UplinkServer) -> None:
    server.faults = Faults(no_acks=True)
    server.credit_bytes = 5_000
    records = [make_record(seq, bytes(900)) for seq in range(1, 101)]
    forwarder = make_forwarder(server, MemoryJournal(*records), ack_deadline=10, **QUICK)
    async with running(forwarder):
        await until(lambda: server.most_unacked_bytes)
        await until(lambda: forwarder.status().last_error)
        assert server.most_unacked_bytes == 4_500
        server.faults = Faults()
        await until(lambda: forwarder.status().state == "connected")
        assert await forwarder.drain(600)
        assert server.most_unacked_bytes <= 5_000
    assert [r.seq for r in server.store.records] == list(range(1, 101))


async def test_records_larger_than_all_credit_go_one_by_one(server: UplinkServer) -> None:
    server.credit_bytes = 10
    records = [make_record(seq, bytes(100)) for seq in range(1, 31)]
    forwarder = make_forwarder(server, MemoryJournal(*records))
    async with running(forwarder):
        assert await forwarder.drain(600)
        assert forwarder.status().sessions == 1
    assert server.most_unacked_bytes == 100


async def test_no_credit_stops_sending_until_the_deadline_asks_anew(server: UplinkServer) -> None:
    """Nothing is on its way that could bring credit: only another session can."""
    server.credit_bytes = 0
    journal = MemoryJournal(*telemetry(1, 5))
    forwarder = make_forwarder(server, journal, ack_deadline=8)
    async with running(forwarder):
        await until(lambda: forwarder.status().state == "connected")
        assert not await forwarder.drain(5)
        status = forwarder.status()
        assert (status.records_sent, status.credit_bytes, status.sessions) == (0, 0, 1)
        server.credit_bytes = 1 << 20
        assert await forwarder.drain(60)
        assert forwarder.status().sessions == 2


async def test_what_is_read_ahead_is_bounded(server: UplinkServer) -> None:
    server.credit_bytes = 0
    records = [make_record(seq, bytes(50_000)) for seq in range(1, 401)]
    journal = MemoryJournal(*records)
    forwarder = make_forwarder(server, journal)
    async with running(forwarder):
        await until(lambda: journal.reads)
        assert not await forwarder.drain(5)
    assert journal.reads == 1, "one read of 1 MiB fills the buffer"


async def test_urgent_records_overtake_a_backlog(server: UplinkServer) -> None:
    server.credit_bytes = 2_000
    server.faults = Faults(delay_s=0.001)
    backlog = [make_record(seq, bytes(1_000)) for seq in range(1, 201)]
    journal = MemoryJournal(*backlog)
    forwarder = make_forwarder(server, journal)
    async with running(forwarder):
        await until(lambda: len(server.store.records) > 20)
        before = len(server.store.records)
        journal.append(make_record(1, stream=Stream.AUDIT), make_record(1, stream=Stream.EVENTS))
        assert await forwarder.drain(600)
    order = [stream for stream, _, _ in stored(server)]
    assert order.index(1) < before + 20
    assert order.index(2) < before + 20


async def test_a_busy_stream_leaves_a_tenth_to_those_below(server: UplinkServer) -> None:
    server.credit_bytes = 1_000
    busy = [make_record(seq, bytes(1_000), stream=Stream.EVENTS) for seq in range(1, 101)]
    below = [make_record(seq, bytes(1_000), stream=Stream.BULK) for seq in range(1, 6)]
    forwarder = make_forwarder(server, MemoryJournal(*busy, *below))
    async with running(forwarder):
        assert await forwarder.drain(600)
    order = [stream for stream, _, _ in stored(server)]
    last_of_bulk = len(order) - order[::-1].index(4)
    assert order[0] == 2
    assert 40 <= last_of_bulk <= 60


async def test_a_record_refused_for_good_is_told_and_passed(server: UplinkServer) -> None:
    server.faults = Faults(reject=frozenset({3}))
    seams = make_seams()
    records = [make_record(seq, samples=10 * seq) for seq in range(1, 6)]
    journal = MemoryJournal(*records)
    forwarder = make_forwarder(server, journal, seams=seams)
    async with running(forwarder):
        assert await forwarder.drain(600)
    assert [r.seq for r in server.store.records] == [1, 2, 4, 5]
    assert journal.cursor("cloud").rejected == {Position(T, E, 3): 30}
    assert journal.cursor("cloud").get(T) == Position(T, E, 5)
    assert seams.events.count(UPLINK_REJECTED, uplink="cloud") == 1


async def test_a_record_refused_for_now_is_sent_again(server: UplinkServer) -> None:
    server.faults = Faults(postpone=frozenset({3}))
    forwarder = make_forwarder(server, MemoryJournal(*telemetry(1, 5)), **QUICK)
    async with running(forwarder):
        await until(lambda: "telemetry 3 now" in forwarder.status().last_error)
        server.faults = Faults()
        await until(lambda: forwarder.status().state == "connected")
        assert await forwarder.drain(600)
    assert payloads(server) == [r.payload for r in telemetry(1, 5)]


async def test_a_wait_that_the_server_asks_for_is_kept(server: UplinkServer) -> None:
    server.faults = Faults(refuse=grpc.StatusCode.UNAVAILABLE, retry_s=15)
    seams = make_seams()
    forwarder = make_forwarder(server, MemoryJournal(*telemetry(1, 5)), seams=seams, **QUICK)
    async with running(forwarder):
        await until(lambda: forwarder.status().state == "waiting")
        refused_at = seams.clock.monotonic_s()
        server.faults = Faults()
        await until(lambda: forwarder.status().sessions == 2)
        assert seams.clock.monotonic_s() - refused_at > 14
        assert await forwarder.drain(600)


async def test_a_journal_that_went_back_in_time_goes_on_in_a_new_epoch(
    server: UplinkServer,
) -> None:
    """The server has 6 to 8 of our epoch, which we have not written, and another 5 than we."""
    others = [make_record(5, b"another five"), *telemetry(6, 8)]
    server.store = filled(*telemetry(1, 4), *others)
    seams = make_seams()
    journal = MemoryJournal(*telemetry(1, 5))
    forwarder = make_forwarder(server, journal, seams=seams, **QUICK)
    async with running(forwarder):
        await until(lambda: journal.new_epochs)
        assert await forwarder.drain(600)
        await until(lambda: forwarder.status().pending_records == 0)
        assert forwarder.status().sessions == 2, "one more, to tell of the new epoch"
    assert len(journal.new_epochs) == 1
    assert stored(server)[-1] == (3, 2 * E, 1)
    assert payloads(server)[-1] == make_record(5).payload
    assert server.store.forked == 1
    kept = [(c.code, c.position) for c in journal.quarantine.kept]
    assert kept == [("Forked", Position(T, E, 5))]
    assert journal.cursor("cloud").rejected == {Position(T, E, 5): 1}
    assert seams.events.count(UPLINK_FORKED, uplink="cloud") == 1


async def test_a_record_beyond_the_servers_limit_is_set_aside(server: UplinkServer) -> None:
    server.max_record_bytes = 100
    large = make_record(2, bytes(101), samples=7)
    journal = MemoryJournal(make_record(1, bytes(100)), large, make_record(3))
    forwarder = make_forwarder(server, journal, **QUICK)
    async with running(forwarder):
        assert await forwarder.drain(600)
        await until(lambda: len(server.store.records) == 3)
        assert forwarder.status().sessions == 1
        assert forwarder.status().quarantined_records == 1
    assert [(c.code, c.record) for c in journal.quarantine.kept] == [("TooLarge", large)]
    assert journal.cursor("cloud").rejected == {Position(T, E, 2): 7}
    gap = decode_gap(server.store.records[-1].payload)
    assert (gap.cause, gap.epoch, gap.seq_from, gap.seq_to, gap.samples) == (
        GapCause.QUARANTINED,
        E,
        2,
        2,
        7,
    )
    assert server.store.committed[3, E] == 4, "the gap has closed the hole"


async def test_retention_may_take_what_was_not_sent(server: UplinkServer) -> None:
    journal = MemoryJournal(*telemetry(1, 10))
    journal.drop(T, 4)
    forwarder = make_forwarder(server, journal)
    async with running(forwarder):
        assert await forwarder.drain(600)
    assert [r.seq for r in server.store.records] == list(range(5, 11))


async def test_holes_in_the_journal_stop_nothing(server: UplinkServer) -> None:
    """Damage took 4 to 6 and, in the next epoch, the first record: the acks go on behind them."""
    second = [make_record(seq, epoch=2 * E) for seq in (2, 3)]
    server.faults = Faults(crash_after=4)
    journal = MemoryJournal(*telemetry(1, 3), *telemetry(7, 9), *second)
    forwarder = make_forwarder(server, journal, **QUICK)
    async with running(forwarder):
        assert await forwarder.drain(600)
        assert forwarder.status().pending_records == 0
    assert sorted((e // E, seq) for _, e, seq in stored(server)) == [
        *((1, seq) for seq in (1, 2, 3, 7, 8, 9)),
        *((2, seq) for seq in (2, 3)),
    ]
    assert journal.cursor("cloud").get(T) == Position(T, 2 * E, 3)


async def test_a_failed_journal_ends_the_forwarder(server: UplinkServer) -> None:
    journal = MemoryJournal(*telemetry(1, 5))
    forwarder = make_forwarder(server, journal)
    async with running(forwarder) as task:
        assert await forwarder.drain(600)
        journal.fail(JournalFailed("flush refused", hint="replace the disk"))
        with pytest.raises(JournalFailed, match="flush refused"):
            await task


async def test_draining_an_empty_journal_is_done_at_once(server: UplinkServer) -> None:
    assert await make_forwarder(server, MemoryJournal()).drain(0)


async def test_draining_without_a_destination_ends_in_time(server: UplinkServer) -> None:
    await server.stop()
    forwarder = make_forwarder(server, MemoryJournal(*telemetry(1, 5)))
    async with running(forwarder):
        assert not await forwarder.drain(1)


async def test_cancelling_at_any_moment_is_clean(server: UplinkServer) -> None:
    """Cut short after so many turns of the loop; the next forwarder finishes exactly."""
    journal = MemoryJournal(*[make_record(seq, bytes(3_000)) for seq in range(1, 201)])
    server.credit_bytes = 20_000
    for turns in range(0, 120, 7):
        async with running(make_forwarder(server, journal)):
            for _ in range(turns):
                await asyncio.sleep(0)
    last = make_forwarder(server, journal)
    async with running(last):
        assert await last.drain(600)
    assert [r.seq for r in server.store.records] == list(range(1, 201))
