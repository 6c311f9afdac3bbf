"""Fault 25: the server's store is put back from a backup; the gateway fills it up again.

What is still on the gateway's disk comes again, nothing is there twice, and what the gateway no
longer has is told as from before the restored store's time.
"""

from __future__ import annotations

import asyncio
import functools
import json
import shutil
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from forebay.model import Stream
from forebay_fleet.store.opening import FILE
from support.fleet import FleetServer
from support.fleet_life import GATEWAY, LIMITS, ROWS, SAMPLES, Life, eventually, life, seconds

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

SMALL = replace(LIMITS, max_bytes=192 << 10, segment_bytes=16 << 10)
"""Room for some tens of entries: what is delivered soon goes."""


async def put_back(server: FleetServer, backup: Path) -> None:
    """Stop the server and put its store back; the file beside it stays, as docs say."""
    assert await asyncio.to_thread(server.stop) == 0
    for path in server.data.glob(f"{FILE}*"):
        path.unlink()
    shutil.copyfile(backup, server.data / FILE)
    await asyncio.to_thread(server.start)


async def copied(server: FleetServer, backup: Path) -> None:
    """Copy the store of the server, which is stopped for it."""
    assert await asyncio.to_thread(server.stop) == 0
    shutil.copyfile(server.data / FILE, backup)
    await asyncio.to_thread(server.start)


def against(server: FleetServer, gateway: Life, directory: Path) -> tuple[int, Any]:
    """Compare both accounts; give the exit status and the stream."""
    file = directory / "ledger.json"
    file.write_text(json.dumps(gateway.ledger_json()))
    words = ("--gateway", GATEWAY, "--against", str(file), "--json")
    done = server.command("ledger", *words)
    (stream,) = json.loads(done.stdout)["streams"]
    return done.returncode, stream


async def test_fault_25_server_restored_from_backup(tmp_path: Path) -> None:
    """While the gateway goes on; all that was delivered since the backup is on its disk."""
    backup = tmp_path / "backup.db"
    with FleetServer(tmp_path) as server:
        async with life(tmp_path / "journal", server) as gateway:
            await gateway.produce(range(20))
            assert await gateway.forwarder.drain(600)
            await copied(server, backup)
            await gateway.produce(range(20, 60))
            assert await gateway.forwarder.drain(600)
        async with life(tmp_path / "journal", server, seed=2) as gateway:
            await gateway.produce(range(60, 80))
            assert await gateway.forwarder.drain(600)
            await put_back(server, backup)
            await gateway.produce(range(80, 90))
            await eventually(lambda: len(seconds(server)) == 90 * ROWS)
            account = await gateway.drained()
            assert account.balanced
            assert (account.delivered, account.pending) == (90 * SAMPLES, 0)
            assert against(server, gateway, tmp_path)[1]["verdict"] == "agree"
        assert seconds(server) == [number for number in range(90) for _ in range(ROWS)]
        verified = server.read_json("ledger", "--verify")["verified"]
        assert (verified["sound"], verified["earlier"]) == (True, 0)


async def test_fault_25_what_the_gateway_no_longer_has_is_explained(tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    with FleetServer(tmp_path) as server:
        async with life(tmp_path / "journal", server, limits=SMALL) as gateway:
            await gateway.produce(range(10))
            assert await gateway.forwarder.drain(600)
            await copied(server, backup)
            for begin in range(10, 400, 10):
                await gateway.produce(range(begin, begin + 10))
                assert await gateway.forwarder.drain(600)
            first = {h.stream: h.first_seq for h in gateway.journal.heads()}[Stream.TELEMETRY]
            assert first > 40, "retention dropped what was delivered"
            before = len(seconds(server))
            assert before == 400 * ROWS
            await put_back(server, backup)
            await gateway.produce(range(400, 405))
            assert await gateway.forwarder.drain(600)
            ledger_json = functools.partial(against, server, gateway, tmp_path)
            await eventually(lambda: ledger_json()[1]["verdict"] != "under way")
            account = await gateway.drained()
            code, stream = ledger_json()
        verified = server.read_json("ledger", "--verify")["verified"]
        there = Counter(seconds(server))
    assert account.balanced
    assert verified["sound"], verified
    assert verified["earlier"] > 0
    assert set(there.values()) == {ROWS}, "a row is there twice"
    kept = sorted(there)
    again = kept[10:]
    assert kept[:10] == list(range(10)), "what the backup had"
    assert again == list(range(again[0], 405)), "what was on the gateway's disk"
    assert len(again) > 20
    assert (code, stream["verdict"]) == (0, "explained"), stream
    assert stream["server"]["samples"] == len(there) * SAMPLES
