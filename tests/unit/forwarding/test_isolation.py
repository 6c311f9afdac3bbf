"""A record that breaks its destination is found and set aside; a sick destination costs nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from forebay._proto import uplink_pb2 as pb
from forebay.columnar import decode_gap
from forebay.events import UPLINK_SET_ASIDE
from forebay.forwarding.suspicion import PATIENCE
from forebay.model import GapCause, Position, Stream
from forebay.testing.records import make_record
from forebay.testing.uplink_server import Faults, UplinkServer
from support.forwarding import make_forwarder, make_seams, running, until
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


def records(first: int, last: int) -> list[Record]:
    return [make_record(seq, samples=seq) for seq in range(first, last + 1)]


def seqs(server: UplinkServer) -> list[int]:
    """Give what is stored of telemetry but for gaps."""
    return [r.seq for r in server.store.records if r.kind != pb.GAP]


@pytest.mark.parametrize("how", ["crashes", "hangs"])
async def test_poison_is_set_aside_and_all_else_arrives(server: UplinkServer, how: str) -> None:
    server.faults = (
        Faults(poison=frozenset({5})) if how == "crashes" else Faults(hang=frozenset({5}))
    )
    seams = make_seams()
    journal = MemoryJournal(*records(1, 20))
    forwarder = make_forwarder(server, journal, seams=seams, ack_deadline=2, **QUICK)
    async with running(forwarder):
        await until(lambda: journal.quarantine.kept)
        assert await forwarder.drain(600)
        assert forwarder.status().sessions == PATIENCE + 3, "five, one by one, a comparison, and on"
        journal.append(*records(22, 25))  # 21 is the gap
        assert await forwarder.drain(600)
    (copy,) = journal.quarantine.kept
    assert (copy.code, copy.record) == ("Suspect", make_record(5, samples=5))
    assert sorted(seqs(server)) == [n for n in range(1, 26) if n not in (5, 21)]
    assert server.store.duplicates == 0
    gap = decode_gap(next(r.payload for r in server.store.records if r.kind == pb.GAP))
    assert (gap.cause, gap.seq_from, gap.seq_to) == (GapCause.QUARANTINED, 5, 5)
    assert gap.samples == 5
    assert server.store.committed[3, E] == 25, "nothing waits for it any more"
    cursor = journal.cursor("cloud")
    assert cursor.rejected == {Position(T, E, 5): 5}
    assert cursor.get(T) == Position(T, E, 25)
    assert seams.events.count(UPLINK_SET_ASIDE, uplink="cloud") == 1


@pytest.mark.parametrize(
    "faults",
    [
        Faults(no_acks=True, commit_most=0),
        Faults(poison=frozenset(range(1, 100))),
        Faults(commit_most=0),
        Faults(hang=frozenset(range(1, 100))),
    ],
    ids=["acks nothing", "breaks on everything", "disk full", "hangs on everything"],
)
async def test_a_sick_destination_sets_nothing_aside(server: UplinkServer, faults: Faults) -> None:
    server.faults = faults
    journal = MemoryJournal(*records(1, 20))
    forwarder = make_forwarder(server, journal, ack_deadline=1, **QUICK)
    async with running(forwarder):
        await until(lambda: forwarder.status().sessions > 4 * PATIENCE)
        assert journal.quarantine.kept == []
        server.faults = Faults()
        assert await forwarder.drain(600)
    assert sorted(seqs(server)) == list(range(1, 21))
    assert journal.quarantine.kept == []


async def test_poison_in_the_live_lane_is_found_while_the_backlog_gets_on(
    server: UplinkServer,
) -> None:
    server.faults = Faults(poison=frozenset({1000}), delay_s=0.02)
    server.credit_bytes = 2_000
    old = [make_record(seq, bytes(300)) for seq in range(1, 400)]
    new = [make_record(seq, epoch=2 * E) for seq in range(999, 1010)]
    journal = MemoryJournal(*old, new[0])
    forwarder = make_forwarder(server, journal, **QUICK)
    async with running(forwarder):
        await until(lambda: server.store.records)
        journal.append(*new[1:])
        await until(lambda: journal.quarantine.kept)
        server.faults = Faults(poison=frozenset({1000}))
        server.credit_bytes = 1 << 20
        assert await forwarder.drain(600)
    assert [copy.position for copy in journal.quarantine.kept] == [Position(T, 2 * E, 1000)]
    assert sorted(seqs(server)) == [*range(1, 400), 999, *range(1001, 1010)]
    assert server.store.duplicates == 0


async def test_a_suspect_that_is_taken_alone_is_none(server: UplinkServer) -> None:
    """The server breaks on any message of more than one record."""
    server.faults = Faults(alone=True)
    journal = MemoryJournal(*records(1, 8))
    forwarder = make_forwarder(server, journal, **QUICK)
    async with running(forwarder):
        assert await forwarder.drain(600)
        assert forwarder.status().sessions == PATIENCE + 1
    assert seqs(server) == list(range(1, 9))
    assert journal.quarantine.kept == []


async def test_poisons_in_a_row_are_all_found(server: UplinkServer) -> None:
    """The first one's neighbour is poison too: one further away is asked."""
    server.faults = Faults(poison=frozenset({5, 6, 7}))
    journal = MemoryJournal(*records(1, 40))
    forwarder = make_forwarder(server, journal, **QUICK)
    async with running(forwarder):
        await until(lambda: len(journal.quarantine.kept) == 3)
        assert await forwarder.drain(600)
    assert [copy.position.seq for copy in journal.quarantine.kept] == [5, 6, 7]
    assert sorted(seqs(server)) == [n for n in range(1, 41) if n not in (5, 6, 7)]


async def test_poison_in_a_quiet_stream_does_not_stop_the_busy_ones(server: UplinkServer) -> None:
    """An audit record that nothing follows for weeks: telemetry tells that the server is well."""
    server.faults = Faults(poison=frozenset({777}))
    journal = MemoryJournal(make_record(777, stream=Stream.AUDIT), *records(1, 20))
    forwarder = make_forwarder(server, journal, **QUICK)
    async with running(forwarder):
        await until(lambda: journal.quarantine.kept)
        assert await forwarder.drain(600)
    assert [copy.position[::2] for copy in journal.quarantine.kept] == [(Stream.AUDIT, 777)]
    assert sorted(seqs(server)) == list(range(1, 21))


async def test_a_destination_that_recovers_at_any_moment_costs_no_record(
    server: UplinkServer,
) -> None:
    """It breaks on everything for so many sessions, then takes everything."""
    for sick in range(PATIENCE, 2 * PATIENCE + 6):
        server.faults = Faults(poison=frozenset(range(1, 100)))
        server.store.forget(0)
        journal = MemoryJournal(*records(1, 20))
        forwarder = make_forwarder(server, journal, **QUICK)
        async with running(forwarder):
            await until(lambda f=forwarder, n=sick: f.status().sessions >= n)  # type: ignore[misc]
            server.faults = Faults()
            assert await forwarder.drain(600)
        assert journal.quarantine.kept == []
        assert sorted(seqs(server)) == list(range(1, 21))


async def test_what_was_set_aside_is_not_sent_by_the_next_run(server: UplinkServer) -> None:
    journal = MemoryJournal(*records(1, 6))
    await journal.quarantine.put(make_record(3), uplink="cloud", code="Suspect", reason="")
    server.faults = Faults(poison=frozenset({3}))
    forwarder = make_forwarder(server, journal, **QUICK)
    async with running(forwarder):
        assert await forwarder.drain(600)
        assert forwarder.status().sessions == 1
    assert seqs(server) == [1, 2, 4, 5, 6]
    assert journal.cursor("cloud").rejected == {Position(T, E, 3): 1}
    assert journal.cursor("cloud").rewinds == []


async def test_a_refused_record_is_kept_before_it_is_passed(server: UplinkServer) -> None:
    server.faults = Faults(reject=frozenset({3}))
    journal = MemoryJournal(*records(1, 6))
    forwarder = make_forwarder(server, journal, **QUICK)
    async with running(forwarder):
        assert await forwarder.drain(600)
    (copy,) = journal.quarantine.kept
    assert (copy.code, copy.record) == ("BadDecodingError", make_record(3, samples=3))
    assert len(server.store.records) == 5, "the destination has accounted for it: no gap"


async def test_retry_sends_one_record_and_tells_what_became_of_it(server: UplinkServer) -> None:
    server.faults = Faults(reject=frozenset({3}))
    journal = MemoryJournal(*records(1, 6))
    forwarder = make_forwarder(server, journal, **QUICK)
    record = make_record(3, samples=3)
    async with running(forwarder):
        assert not await forwarder.retry(record), "there is no session yet"
        assert await forwarder.drain(600)
        assert not await forwarder.retry(record)
        assert journal.cursor("cloud").rejected == {Position(T, E, 3): 3}
        server.faults = Faults(delay_s=0.01)
        journal.append(*records(7, 60))
        assert await forwarder.retry(record)
        assert journal.cursor("cloud").rejected == {}
        assert await forwarder.drain(600)
        assert forwarder.status().sessions == 1
    assert sorted(seqs(server)) == list(range(1, 61))
    assert server.store.duplicates == 0


async def test_retry_of_what_breaks_the_server_costs_a_session(server: UplinkServer) -> None:
    journal = MemoryJournal(*records(1, 6))
    await journal.quarantine.put(make_record(3), uplink="cloud", code="Suspect", reason="")
    server.faults = Faults(poison=frozenset({3}))
    forwarder = make_forwarder(server, journal, **QUICK)
    async with running(forwarder):
        assert await forwarder.drain(600)
        assert not await forwarder.retry(make_record(3))
        journal.append(*records(7, 9))
        assert await forwarder.drain(600)
        assert forwarder.status().sessions == 2


async def test_retry_without_an_answer_ends_with_the_ack_deadline(server: UplinkServer) -> None:
    journal = MemoryJournal(*records(1, 6))
    forwarder = make_forwarder(server, journal, ack_deadline=4, **QUICK)
    async with running(forwarder):
        assert await forwarder.drain(600)
        server.faults = Faults(hang=frozenset({3}))
        async with asyncio.timeout(20):
            assert not await forwarder.retry(make_record(3, b"another"))
        server.max_record_bytes = 3
