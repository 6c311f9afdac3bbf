"""Fault 14: the journal's directory is put back in time, as from a backup of the disk."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import pytest

from support.fleet import FleetServer
from support.fleet_life import ROWS, SAMPLES, life, seconds

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("restarts", [1, 3])
async def test_fault_14_a_new_epoch_and_nothing_dropped_as_duplicate(
    tmp_path: Path, restarts: int
) -> None:
    """What was delivered between the copy and its return stays, and so does what comes after."""
    directory, copy = tmp_path / "journal", tmp_path / "copy"
    wanted: list[int] = []
    with FleetServer(tmp_path) as server:
        for again in range(restarts):
            begin = 1000 * again
            async with life(directory, server, seed=begin + 1) as gateway:
                await gateway.produce(range(begin, begin + 5))
                assert await gateway.forwarder.drain(600)
                await gateway.produce(range(begin + 5, begin + 8))
            shutil.copytree(directory, copy)
            async with life(directory, server, seed=begin + 2) as gateway:
                await gateway.produce(range(begin + 8, begin + 30))
                assert await gateway.forwarder.drain(600)
            await asyncio.to_thread(shutil.rmtree, directory)
            copy.rename(directory)
            wanted += range(begin, begin + 30)
        async with life(directory, server, seed=9) as gateway:
            await gateway.produce(range(9000, 9020))
            assert await gateway.forwarder.drain(600)
            account = gateway.account()
            assert gateway.forwarder.status().sessions == 1
        wanted += range(9000, 9020)
        assert account.balanced
        assert (account.pending, account.gapped, account.quarantined) == (0, 0, 0)
        assert account.delivered == account.produced == (8 * restarts + 20) * SAMPLES
        assert seconds(server) == [number for number in wanted for _ in range(ROWS)]
        answer = server.read_json("ledger", "--verify")
        assert answer["verified"]["problems"] == []
        assert answer["verified"]["samples"] == len(wanted) * SAMPLES
        assert sum(line["forks"] for line in answer["lines"]) == 0
