"""Fault 5: a flush fails. Nothing is retried, the process ends with 74, no number is used again.

Linux marks the pages clean all the same, so that the record may be there after the restart: it was
never acknowledged, and its position still names it alone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from support.faults import EXIT_IO_ERROR, found, injecting, lived
from support.processes import World, simulated, until

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.model import Position


@pytest.mark.parametrize("call", ["fdatasync", "pwritev,pwritev2"])
@pytest.mark.parametrize("when", [12, 13, 31])
async def test_fault_05_eio_on_fsync(
    call: str, when: int, tmp_path: Path, strace_binary: Path
) -> None:
    seen: dict[Position, bytes] = {}
    first, durable = 1, 0
    for number in range(2):
        before = injecting(
            strace_binary, tmp_path / f"strace-{number}", f"{call}:error=EIO:when={when}"
        )
        status, told = lived(tmp_path / "journal", first, 100, before=before)
        assert status == EXIT_IO_ERROR
        log = (tmp_path / f"strace-{number}").read_text()
        assert log.count("(INJECTED)") == 1, "one failure is enough"
        durable = max(durable, told)
        there = await found(tmp_path / "journal")
        assert there.names == list(range(1, len(there.names) + 1))
        assert durable <= len(there.names) <= durable + 1, "what was not acknowledged may be there"
        for position, payload in there.records.items():
            assert seen.setdefault(position, payload) == payload
        first = len(there.names) + 1


@pytest.mark.e2e
@pytest.mark.timeout(120)
async def test_fault_05_the_agent_ends_and_starts_again(
    tmp_path: Path, strace_binary: Path
) -> None:
    async with World(tmp_path) as world:
        world.write_config(simulated("a", 50, "10 ms"), more='commit_interval = "20 ms"')
        await world.server.start()
        fault = "fdatasync:error=EIO:when=100"
        world.agent.before = injecting(strace_binary, tmp_path / "strace", fault)
        await world.agent.start()
        assert await asyncio.wait_for(world.agent.wait(), 60) == EXIT_IO_ERROR
        world.agent.before = []
        assert world.agent.text().count('"journal_failed"') == 1
        assert "Traceback" not in world.agent.text()
        await world.agent.start()
        await until(lambda: world.agent.text().count('"agent_started"') == 2, "it starts again")
        await until(lambda: world.agent.text().count('"uplink_connected"') == 2, "and connects")
        assert await world.agent.stop() == 0
        assert '"pending": 0' in world.agent.text()
        verified = (await world.ask_fleet("ledger", "--verify"))["verified"]
        assert verified["sound"], verified
        assert verified["samples"] > 0
