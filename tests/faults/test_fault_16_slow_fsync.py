"""Fault 16: each flush takes two seconds. Polling goes on at its pace; memory takes what waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from support.faults import injecting
from support.processes import World, simulated, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(150)]

PERIOD_S = 0.1
LOOK_S = 6.0
"""Over three flushes."""


@pytest.mark.long
async def test_fault_16_slow_fsync(tmp_path: Path, strace_binary: Path) -> None:
    async with World(tmp_path) as world:
        world.write_config(simulated("a", 20, f"{PERIOD_S * 1000:.0f} ms"))
        await world.server.start()
        fault = "fdatasync,fsync:delay_enter=2000000:when=40+"
        world.agent.before = injecting(strace_binary, tmp_path / "strace", fault)
        await world.agent.start()
        await until(lambda: '"agent_started"' in world.agent.text(), "the agent starts")
        await until(
            lambda: (tmp_path / "strace").read_text().count("(DELAYED)") > 1, "flushes are slow"
        )

        async def polls() -> int:
            _, document = await world.ask("devices")
            (device,) = document["devices"]
            return int(device["polls"])

        loop = asyncio.get_running_loop()
        began, before = loop.time(), await polls()
        await asyncio.sleep(LOOK_S)  # the time over which the pace is judged
        done, took = await polls() - before, loop.time() - began
        assert done > 0.5 * took / PERIOD_S, (done, took)  # 0.05 if it waited for them
        assert '"ring_overflow"' not in world.agent.text()
        _, journal = await world.ask("journal", "status")
        assert journal["commit_p99_ms"] > 1500
        assert await world.agent.stop(100) == 0
        verified = (await world.ask_fleet("ledger", "--verify"))["verified"]
        assert verified["sound"]
        assert '"pending": 0' in world.agent.text()
