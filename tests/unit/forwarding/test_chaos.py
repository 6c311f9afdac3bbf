"""Any order of faults, any credit: in the end everything was stored once, in order."""

from __future__ import annotations

import random
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
