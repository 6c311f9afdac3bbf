"""Any order of faults, any credit: in the end everything was stored once, in order."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
import pytest

from forebay.model import Stream
from forebay.testing.records import make_record
from forebay.testing.uplink_server import Faults, UplinkServer
from support.forwarding import make_forwarder, running, until
from support.memory_journal import MemoryJournal

if TYPE_CHECKING:
    from forebay.model import Record

FAULTS = (
    Faults(),
    Faults(no_acks=True),
    Faults(no_welcome=True),
    Faults(duplicate_acks=True, stale_acks=True),
    Faults(backward_acks=True),
    Faults(acks_ahead=2),
    Faults(crash_after=7),
    Faults(commit_most=5),
    Faults(postpone=frozenset(range(0, 1000, 11))),
    Faults(refuse=grpc.StatusCode.UNAVAILABLE, retry_s=1),
    Faults(refuse=grpc.StatusCode.PERMISSION_DENIED),
    Faults(delay_s=0.002),
)


def records(rng: random.Random, first: dict[Stream, int], count: int) -> list[Record]:
    out = []
    for _ in range(count):
        stream = rng.choice(list(Stream))
        out.append(make_record(first[stream], rng.randbytes(rng.randrange(2_000)), stream=stream))
        first[stream] += 1
    return out


@pytest.mark.parametrize("seed", range(6))
async def test_exactly_once_whatever_happens(seed: int) -> None:
    rng = random.Random(seed)
    following = dict.fromkeys(Stream, 1)
    journal = MemoryJournal()
    produced: list[Record] = []
    async with UplinkServer() as server:
        forwarder = make_forwarder(
            server,
            journal,
            ack_deadline=1,
            connect_timeout=0.2,
            backoff={"first": 0.1, "most": 0.5},
        )
        async with running(forwarder):
            for _ in range(12):
                server.faults = rng.choice(FAULTS)
                server.credit_bytes = rng.choice([1, 500, 5_000, 1 << 20])
                if rng.random() < 0.3:
                    await server.stop()
                    await server.start()
                fresh = records(rng, following, rng.randrange(40))
                produced += fresh
                journal.append(*fresh)
                goal = forwarder.status().sessions + rng.randrange(3)
                await until(
                    lambda goal=goal: (  # type: ignore[misc]
                        forwarder.status().sessions >= goal
                        or forwarder.status().pending_records == 0
                    )
                )
            server.faults, server.credit_bytes = Faults(), 1 << 20
            await until(lambda: len(server.store.records) == len(produced))
            assert await forwarder.drain(600)
    for stream in Stream:
        want = [(r.position.seq, r.payload) for r in produced if r.position.stream is stream]
        got = [(r.seq, r.payload) for r in server.store.records if r.stream == stream.number]
        assert got == want
    assert server.store.damaged == 0


@pytest.mark.parametrize("seed", range(8))
async def test_every_record_is_stored_once_or_set_aside(seed: int) -> None:
    """Lanes, islands, poison, records too large, and a server that goes back to a backup."""
    rng = random.Random(seed)
    journal = MemoryJournal()
    following = dict.fromkeys(Stream, 1)
    produced = records(rng, following, 150)
    following = dict.fromkeys(Stream, 1)
    journal.append(*produced)
    poison = frozenset(rng.sample(range(5, 30), 2))
    async with UplinkServer() as server:
        server.max_record_bytes = 1_950
        forwarder = make_forwarder(
            server,
            journal,
            ack_deadline=1,
            connect_timeout=0.2,
            backoff={"first": 0.05, "most": 0.2},
            backfill={"after": "2 s"},
        )
        async with running(forwarder):
            for _ in range(14):
                server.faults = replace(rng.choice(FAULTS), poison=poison)
                server.credit_bytes = rng.choice([500, 5_000, 1 << 20])
                fate = rng.random()
                if fate < 0.3:
                    await server.stop()
                    if fate < 0.15:
                        server.store.forget(rng.randrange(len(server.store.records) + 1))
                        server.incarnation = f"restored-{rng.random()}"
                    await server.start()
                fresh = [in_epoch(r, 2) for r in records(rng, following, rng.randrange(15))]
                mine = [r for r in fresh if all(r.position > j.position for j in of(journal, r))]
                produced += mine
                journal.append(*mine)
                goal = forwarder.status().sessions + rng.randrange(4)
                await until(
                    lambda goal=goal: (  # type: ignore[misc]
                        forwarder.status().sessions >= goal
                        or forwarder.status().pending_records == 0
                    )
                )
            server.faults, server.credit_bytes = Faults(poison=poison), 1 << 20
            await until(lambda: forwarder.status().pending_records <= 1)
            last = [make_record(1, stream=stream, epoch=3 << 32) for stream in Stream]
            produced += last
            journal.append(*last)  # poison is told from sickness by another record
            await until(lambda: forwarder.status().pending_records == 0)
            assert await forwarder.drain(600)
    there = [(r.stream, r.epoch, r.seq) for r in server.store.records]
    aside = {(c.position.stream.number, *c.position[1:]): c for c in journal.quarantine.kept}
    assert len(set(there)) == len(there), "stored twice"
    for record in produced:
        place = (record.position.stream.number, *record.position[1:])
        assert (place in there) != (place in aside), record.position
    for (_, _, seq), copy in aside.items():
        large = len(copy.record.payload) > 1_950
        assert copy.code == ("TooLarge" if large else "Suspect")
        assert large or seq in poison
    for key in server.store.committed:
        assert server.store.runs(key) == [], "the server waits for a hole"
    assert server.store.damaged == server.store.forked == 0
    assert journal.new_epochs == []


def in_epoch(record: Record, number: int) -> Record:
    place = record.position
    return replace(record, position=place._replace(epoch=number << 32))


def of(journal: MemoryJournal, record: Record) -> list[Record]:
    """Give what stands in the record's stream already: gaps may have taken its number."""
    return journal._records[record.position.stream]  # noqa: SLF001 - what no reader asks
