"""Fault 31: one position, two records: an alarm, a new epoch, and nothing lost of either."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import pytest

from support.fleet import FleetServer, Gateway, anchor
from support.fleet_life import GATEWAY, ROWS, SAMPLES, life, seconds

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


async def test_fault_31_same_seq_different_hash(tmp_path: Path) -> None:
    """A machine was put back in time with its memory, so that even its randomness repeats."""
    directory, copy = tmp_path / "journal", tmp_path / "copy"
    with FleetServer(tmp_path) as server:
        async with life(directory, server, seed=1) as gateway:
            await gateway.produce(range(5))
            assert await gateway.forwarder.drain(600)
        shutil.copytree(directory, copy)
        async with life(directory, server, seed=7) as gateway:
            await gateway.produce(range(5, 15))
            assert await gateway.forwarder.drain(600)
        await asyncio.to_thread(shutil.rmtree, directory)
        copy.rename(directory)
        async with life(directory, server, seed=7) as gateway:
            await gateway.produce(range(20, 40))
            assert await gateway.forwarder.drain(600)
            await gateway.produce(range(40, 45))
            account = await gateway.drained()
        answer = server.read_json("ledger", "--verify")
        forks = server.read_json("forks", "--gateway", GATEWAY)
        (row,) = server.read_json("gateways")
        assert "ALARM" in server.command("gateways").stdout
        there = seconds(server)
    assert account.balanced
    assert answer["verified"]["problems"] == []
    assert row["forks"] == len(forks) > 0
    wanted = [*range(15), *range(20, 45)]
    assert there == [number for number in wanted for _ in range(ROWS)]
    assert answer["verified"]["samples"] == len(wanted) * SAMPLES
    forked = sum(fork["samples"] for fork in forks)
    assert account.quarantined == forked
    newest = max(line["epoch"] for line in answer["lines"])
    assert newest not in {fork["epoch"] for fork in forks}


async def test_fault_31_the_session_goes_on(tmp_path: Path) -> None:
    """Whatever the gateway does about it: the server keeps what it had, and takes what is new."""
    with FleetServer(tmp_path) as server:
        async with Gateway(server.address, server.issue("g"), "g") as gateway:
            await gateway.send(*(anchor(seq) for seq in range(1, 11)))
            await gateway.ack_up_to(10)
            await gateway.send(*(anchor(seq, salt=1) for seq in range(6, 16)))
            ack = await gateway.ack_up_to(15)
            refused = {r.seq: (r.code, r.permanent) for r in ack.rejected}
        answer = server.read_json("ledger", "--verify")
        forks = server.read_json("forks")
    assert refused == dict.fromkeys(range(6, 11), ("Forked", True))
    assert [fork["seq"] for fork in forks] == list(range(6, 11))
    (line,) = answer["lines"]
    assert (line["records"], line["forks"], line["committed"]) == (15, 5, 15)
    assert answer["verified"]["sound"]
