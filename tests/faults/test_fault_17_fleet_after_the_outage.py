"""Fault 17, at the destination: a real fleet server takes what an outage has thinned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay.journal.journal import Journal, JournalLimits
from forebay.model import Stream
from support.batches import batch_entry
from support.fleet import FleetServer
from support.fleet_life import life
from support.forwarding import make_seams
from support.journal import calm
from support.telemetry import scans

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

ROWS = 24
SMALL = JournalLimits(
    max_bytes=640 << 10, max_age_s=86_400, segment_bytes=1 << 20, ring_bytes=8 << 20
)


async def test_fault_17_fleet_after_the_outage(tmp_path: Path) -> None:
    directory = tmp_path / "journal"
    async with Journal(directory, SMALL, make_seams()) as journal:
        cursor, number = journal.cursor("cloud"), 0
        while journal.stats().thinned_samples < 200_000:
            await journal.submit([batch_entry(scans(number, rows=ROWS))])
            number += 1
            if number % 10 == 0:
                await calm(journal)
        await calm(journal)
        waiting = journal.ledger(Stream.TELEMETRY, cursor)
        assert waiting.balanced
        assert waiting.delivered == 0
    with FleetServer(tmp_path) as server:
        async with life(directory, server, limits=SMALL) as gateway:
            assert await gateway.forwarder.drain(600)
            account = gateway.account()
        answer = server.read_json("ledger", "--verify")
    assert account.balanced
    assert account.pending == 0
    assert account.delivered == waiting.pending
    assert account.gapped == waiting.gapped
    verified = answer["verified"]
    assert (verified["sound"], verified["wrong_chains"], verified["problems"]) == (True, 0, [])
    assert verified["samples"] == account.delivered
    assert verified["thinned"] == account.gapped >= 200_000
    assert account.produced == account.delivered + account.gapped
