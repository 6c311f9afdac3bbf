"""Fault 14: the journal's directory is put back in time, as from a backup of the disk."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from forebay.journal.entry import DEFAULT_OVERFLOW, Overflow
from forebay.model import Stream
from forebay_fleet.store.opening import FILE
from support.fleet import FleetServer
from support.fleet_life import LIMITS, ROWS, SAMPLES, eventually, life, seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.e2e

SMALL = replace(
    LIMITS,
    max_bytes=96 << 10,
    segment_bytes=8 << 10,
    overflow={**DEFAULT_OVERFLOW, Stream.TELEMETRY: Overflow.DROP_OLDEST},
)
"""Room for some tens of entries: what is not delivered soon goes, with a Gap."""
NOWHERE = "127.0.0.1:9"


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
            assert gateway.forwarder.status().sessions == 2, "the server knows a younger epoch"
        wanted += range(9000, 9020)
        assert account.balanced
        assert (account.pending, account.gapped, account.quarantined) == (0, 0, 0)
        assert account.delivered == account.produced == (8 * restarts + 20) * SAMPLES
        assert seconds(server) == [number for number in wanted for _ in range(ROWS)]
        answer = server.read_json("ledger", "--verify")
        assert answer["verified"]["problems"] == []
        assert answer["verified"]["samples"] == len(wanted) * SAMPLES
        assert sum(line["forks"] for line in answer["lines"]) == 0


@pytest.mark.parametrize("server_too", [False, True])
async def test_fault_14_what_was_told_as_gone_is_delivered_if_it_is_there_again(
    tmp_path: Path, *, server_too: bool
) -> None:
    """The copy holds what was dropped later, and the server was told so.

    `server_too`: it is put back as well, after all was delivered, to when it had only the Gap.
    """
    directory, copy, backup = tmp_path / "journal", tmp_path / "copy", tmp_path / "backup.db"
    with FleetServer(tmp_path) as server:
        async with life(directory, server, seed=1) as gateway:
            await gateway.produce(range(5))
            assert await gateway.forwarder.drain(600)
        async with life(directory, server, seed=2, address=NOWHERE) as gateway:
            await gateway.produce(range(5, 30))
        shutil.copytree(directory, copy)
        async with life(directory, server, seed=3, address=NOWHERE, limits=SMALL) as gateway:
            await gateway.produce(range(30, 400))
        async with life(directory, server, seed=4, limits=SMALL) as gateway:
            assert (await gateway.drained()).gapped >= 25 * SAMPLES
        assert server.read_json("ledger", "--verify")["verified"]["sound"]
        assert not set(range(5, 30)) & set(seconds(server)), "dropped, and a Gap says so"
        await asyncio.to_thread(shutil.rmtree, directory)
        copy.rename(directory)
        await restart(server, lambda: shutil.copyfile(server.data / FILE, backup))
        async with life(directory, server, seed=5) as gateway:
            account = await gateway.drained()
            assert gateway.forwarder.status().sessions == 1
            assert (account.balanced, account.delivered) == (True, 30 * SAMPLES)
        check(server, 400, set(range(30)))
        if server_too:
            await restart(server, lambda: put_back(server, backup))
            assert not set(range(5, 30)) & set(seconds(server))
        async with life(directory, server, seed=6) as gateway:
            await gateway.produce(range(400, 410))
            await eventually(lambda: set(range(30)) < set(seconds(server)))
            account = await gateway.drained()
            sent = gateway.forwarder.status().records_sent
        check(server, 410, {*range(30), *range(400, 410)})
    assert (account.delivered, account.gapped, account.pending) == (40 * SAMPLES, 0, 0)
    assert account.balanced
    assert server_too or sent <= 12, "what came late is not sent again"


async def restart(server: FleetServer, between: Callable[[], object]) -> None:
    """Stop the server, do something to its files, and start it."""
    assert await asyncio.to_thread(server.stop) == 0
    between()
    await asyncio.to_thread(server.start)


def put_back(server: FleetServer, backup: Path) -> None:
    """Put a copy of the store in its place; the file beside it stays, as docs say."""
    for path in server.data.glob(f"{FILE}*"):
        path.unlink()
    shutil.copyfile(backup, server.data / FILE)


def check(server: FleetServer, produced: int, wanted: set[int]) -> None:
    """The server has all that is `wanted`, nothing twice, and tells of all that it lacks."""
    answer, there = server.read_json("ledger", "--verify"), seconds(server)
    assert wanted < set(there)
    assert there == [number for number in sorted(set(there)) for _ in range(ROWS)]
    assert sum(line["late"] for line in answer["lines"]) >= 25
    assert answer["verified"]["sound"], answer["verified"]
    told = [sum(line[name] for line in answer["lines"]) for name in ("samples", "gapped")]
    assert told == [len(set(there)) * SAMPLES, (produced - len(set(there))) * SAMPLES]
