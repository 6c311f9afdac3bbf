"""The forwarder on the real journal and the real wire: the ledger balances through every outage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from forebay._proto import uplink_pb2 as pb
from forebay.journal.journal import Entry, Journal, JournalLimits
from forebay.model import Batch, RecordKind, Schema, Stream, Tag, ValueType
from forebay.testing.uplink_server import Faults, UplinkServer
from support.batches import batch_entry
from support.forwarding import make_forwarder, make_seams, running, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from forebay.forwarding.journal_view import JournalView
    from forebay.interfaces import Seams

LIMITS = JournalLimits(
    max_bytes=64 << 20, max_age_s=86_400, segment_bytes=1 << 20, ring_bytes=8 << 20
)
QUICK: dict[str, Any] = {"backoff": {"first": 0.05, "most": 0.4}}
SCHEMA = Schema("press", "fast", tuple(Tag(f"t{n}", "-", ValueType.FLOAT64) for n in range(500)))
RNG = np.random.default_rng(1)


@pytest.fixture
async def server() -> AsyncIterator[UplinkServer]:
    async with UplinkServer() as started:
        yield started


def entry(second: int, stream: Stream = Stream.TELEMETRY, rows: int = 10) -> Entry:
    times = (1_700_000_000 + second) * 10**9 + np.arange(rows, dtype=np.int64)
    batch = Batch(SCHEMA, times, times, (RNG.normal(size=(rows, 500)),))
    return batch_entry(batch, stream)


async def in_journal(journal: Journal) -> dict[tuple[int, int, int], bytes]:
    """Read everything that it holds."""
    view: JournalView = journal
    found: dict[tuple[int, int, int], bytes] = {}
    for stream in Stream:
        after = view.cursor("reader").get(stream)
        while records := await view.read(after, 1 << 20):
            after = records[-1].position
            found |= {(stream.number, r.position.epoch, r.position.seq): r.payload for r in records}
    return found


def in_store(server: UplinkServer) -> dict[tuple[int, int, int], bytes]:
    return {(r.stream, r.epoch, r.seq): r.payload for r in server.store.records}


def seams() -> Seams:
    return make_seams()


async def test_outages_and_restarts_lose_and_double_nothing(
    server: UplinkServer, tmp_path: Path
) -> None:
    """Three lives of the agent; in the second the server crashes, in the third it is away."""
    second = 0
    for life in range(3):
        async with Journal(tmp_path, LIMITS, seams()) as journal:
            forwarder = make_forwarder(server, journal, **QUICK)
            async with running(forwarder):
                server.faults = Faults(crash_after=7) if life == 1 else Faults()
                if life == 2:
                    await server.stop()
                for _ in range(40):
                    second += 1
                    stream = Stream.EVENTS if second % 9 == 0 else Stream.TELEMETRY
                    await journal.submit([entry(second, stream)])
                if life == 2:
                    await until(lambda: forwarder.status().pending_records >= 40)  # noqa: B023
                    assert forwarder.status().pending_bytes > 40 * 500 * 8
                    await server.start()
                assert await forwarder.drain(600)
                assert forwarder.status().pending_records == 0
            assert in_store(server) == await in_journal(journal)
            for stream in Stream:
                account = journal.ledger(stream, journal.cursor("cloud"))
                assert account.pending == account.gapped == account.quarantined == 0
                assert account.delivered == account.produced
    assert len(server.store.records) == len(in_store(server))
    assert server.store.damaged == 0
    batches = [r for r in server.store.records if r.kind == pb.BATCH]
    assert sum(r.samples for r in batches) == 120 * 5_000


async def test_what_a_server_refuses_for_good_is_quarantined_in_the_ledger(
    server: UplinkServer, tmp_path: Path
) -> None:
    async with Journal(tmp_path, LIMITS, seams()) as journal:
        await journal.submit([entry(n) for n in range(5)])
        await journal.submit([entry(5)])
        records = await journal.read(journal.cursor("reader").get(Stream.TELEMETRY), 1 << 20)
        refused = [r.position.seq for r in records if r.kind is RecordKind.BATCH][2]
        server.faults = Faults(reject=frozenset({refused}))
        forwarder = make_forwarder(server, journal)
        async with running(forwarder):
            assert await forwarder.drain(600)
        account = journal.ledger(Stream.TELEMETRY, journal.cursor("cloud"))
        assert (account.produced, account.quarantined, account.pending) == (30_000, 5_000, 0)
        assert account.delivered == 25_000


async def test_a_lost_cursor_costs_nothing_but_a_question(
    server: UplinkServer, tmp_path: Path
) -> None:
    async with Journal(tmp_path, LIMITS, seams()) as journal:
        await journal.submit([entry(n) for n in range(5)])
        async with running(forwarder := make_forwarder(server, journal)):
            assert await forwarder.drain(600)
    for file in (tmp_path / "cursors").iterdir():
        file.unlink()
    async with Journal(tmp_path, LIMITS, seams()) as journal:
        await journal.submit([entry(9)])
        async with running(forwarder := make_forwarder(server, journal)):
            assert await forwarder.drain(600)
        assert in_store(server) == await in_journal(journal)
        account = journal.ledger(Stream.TELEMETRY, journal.cursor("cloud"))
        assert (account.produced, account.delivered) == (30_000, 30_000)
    assert server.store.duplicates == 0
