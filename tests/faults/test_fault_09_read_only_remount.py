"""Fault 9: the file system under the journal becomes read-only.

The agent ends, three times; then it starts without a journal, reads its devices, shows values, and
says what is the matter.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
from typing import TYPE_CHECKING

import pytest

from forebay.columnar import decode_gap
from forebay.journal.journal import ATTACH_EVERY_S, Journal
from forebay.model import GapCause, RecordKind
from forebay.pipeline.intake import Pipeline
from forebay.pipeline.shadow import Shadow
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from support.faults import EXIT_IO_ERROR, injecting
from support.journal import DIRECTORY, PLENTY, T, read_all, seams
from support.processes import World, simulated, until
from support.telemetry import PLANT, scans

if TYPE_CHECKING:
    from pathlib import Path


def read_only(directory: Path) -> list[str]:
    """Give the words before a command that make a directory a read-only mount for it alone."""
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    return ["unshare", "-rm", "sh", "-c", script, str(directory)]


def contents(directory: Path) -> dict[Path, bytes]:
    """Give all files."""
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.e2e
@pytest.mark.timeout(150)
async def test_fault_09_read_only_remount(
    tmp_path: Path, strace_binary: Path, namespaces: None
) -> None:
    """No mount becomes read-only while somebody writes to it, but for the kernel's own reasons.

    So the first refusal is injected; what is found afterwards is real.
    """
    async with World(tmp_path) as world:
        world.write_config(simulated("a", 5, "20 ms"), more='commit_interval = "20 ms"')
        await world.server.start()

        async def fails(*before: str) -> None:
            world.agent.before = list(before)
            await world.agent.start()
            assert await asyncio.wait_for(world.agent.wait(), 40) == EXIT_IO_ERROR

        fault = "pwritev,pwritev2:error=EROFS:when=30+"
        await fails(*injecting(strace_binary, tmp_path / "strace", fault))
        assert world.agent.text().count('"agent_started"') == 1
        before = contents(world.journal)
        for _ in range(2):
            await fails(*read_only(world.journal))
        assert world.agent.text().count(os.strerror(errno.EROFS)) == 3
        assert len(json.loads((tmp_path / "control.sock.failures").read_text())["seconds"]) == 3
        await world.agent.start()
        await until(lambda: world.agent.text().count('"agent_started"') == 2, "it starts detached")
        assert world.agent.text().count('"journal_detached"') == 1
        _, status = await world.ask("status")
        assert any("three times" in problem for problem in status["problems"]), status
        first = (await world.ask("read", "a/t0"))[1]
        for _ in range(100):
            if (await world.ask("read", "a/t0"))[1] != first:
                break
        else:
            pytest.fail("the value stands still")
        code, journal = await world.ask("journal", "status")
        assert code == 0
        assert "three times" in journal["trouble"]
        _, ledger = await world.ask("ledger")
        assert ledger["total"]["delivered"] == 0
        assert await world.agent.stop(60) == 0
        assert contents(world.journal) == before


async def test_fault_09_what_was_read_without_a_journal_is_one_gap_when_there_is_one() -> None:
    disk, clock = FaultyDisk(), FakeClock()
    async with Journal(DIRECTORY, PLENTY, seams(disk, clock), detached="read-only") as journal:
        cursor = journal.cursor("cloud")
        shadow = Shadow([PLANT])
        pipeline = Pipeline(journal, shadow, {}, seams(disk, clock), commit_interval_s=0.25)
        running = asyncio.create_task(pipeline.run(), name="pipeline")
        accepted = 0
        for batch in map(scans, range(20)):
            await pipeline.accept(batch)
            accepted += batch.samples
            await clock.advance(2.0)
        assert pipeline.pending_samples() == accepted == pipeline.accepted_samples
        while journal.detached:
            await clock.advance(ATTACH_EVERY_S)
            await asyncio.sleep(0.001)
        await journal.opened()
        while pipeline.pending_samples():
            await clock.advance(1.0)
            await asyncio.sleep(0.001)
        account = journal.ledger(T, cursor)
        assert account.balanced
        assert account.produced == accepted == account.gapped + account.pending
        gaps = [decode_gap(r.payload) for r in await read_all(journal) if r.kind is RecordKind.GAP]
        assert {g.cause for g in gaps} == {GapCause.RING_OVERFLOW}
        assert sum(g.samples or 0 for g in gaps) == account.gapped
        running.cancel()
        await asyncio.wait([running])
