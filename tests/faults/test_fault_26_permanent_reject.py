"""Fault 26: the server refuses a record for good; it is kept, and the rest flows on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from support.fleet import FleetServer
from support.fleet_life import SAMPLES, entry, life, seconds

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


async def test_fault_26_a_refused_record_is_quarantined_and_flow_goes_on(tmp_path: Path) -> None:
    """Real journal, real server: a batch whose bytes say nothing, between sound ones."""
    rubbish = replace(entry(2), payload=b"\xff\xff", schema=None)
    with FleetServer(tmp_path) as server:
        async with life(tmp_path / "journal", server) as gateway:
            await gateway.produce(range(2))
            await gateway.journal.submit([rubbish])
            await gateway.produce(range(3, 10))
            assert await gateway.forwarder.drain(600)
            assert gateway.forwarder.status().sessions == 1
            (copy,) = gateway.journal.quarantine.copies("cloud")
            record, _ = await gateway.journal.quarantine.read(copy.id)
            assert (copy.code, record.payload) == ("BadDecodingError", b"\xff\xff")
            account = gateway.account()
            assert account.balanced
            assert (account.delivered, account.quarantined) == (9 * SAMPLES, SAMPLES)
            assert (account.pending, account.gapped) == (0, 0)
            assert not await gateway.forwarder.retry(record), "still no batch"
            assert gateway.account() == account
            await gateway.journal.quarantine.drop(copy.id)
            assert await gateway.forwarder.drain(600)
            dropped = gateway.account()
            assert dropped.balanced
            assert (dropped.delivered, dropped.gapped, dropped.quarantined, dropped.pending) == (
                9 * SAMPLES,
                SAMPLES,
                0,
                0,
            )
        assert sorted(set(seconds(server))) == [0, 1, *range(3, 10)]
        answer = server.read_json("ledger", "--verify")["verified"]
        assert (answer["problems"], answer["samples"]) == ([], 9 * SAMPLES)
        (line,) = [
            one for one in server.read_json("ledger")["streams"] if one["stream"] == "telemetry"
        ]
        assert line["gapped"] + line["refused"] == SAMPLES, "refused, and then dropped"
