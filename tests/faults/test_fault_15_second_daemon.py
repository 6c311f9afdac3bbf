"""Fault 15: a second daemon on the same directory. The lock refuses it, and the first goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from support.processes import Process, World, simulated, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


async def test_fault_15_second_daemon(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.write_config(simulated("a", 5, "20 ms"))
        await world.server.start()
        await world.agent.start()
        await until(lambda: '"agent_started"' in world.agent.text(), "the agent starts")
        text = world.config.read_text(encoding="utf-8")
        (tmp_path / "second.toml").write_text(
            text.replace(str(world.socket), str(tmp_path / "second.sock")), encoding="utf-8"
        )
        command = [
            str(word).replace(str(world.config), str(tmp_path / "second.toml"))
            for word in world.agent.command
        ]
        async with Process("second", command, tmp_path) as second:
            await second.start()
            code = await asyncio.wait_for(second.wait(), 60)
            assert code not in (0, 74), "another try would end the same"
            assert "another process holds the journal" in second.text()
            assert not (tmp_path / "second.sock").exists()
        assert world.agent.running
        assert (await world.ask("status"))[0] == 0
        assert await world.agent.stop() == 0
        verified = (await world.ask_fleet("ledger", "--verify"))["verified"]
        assert verified["sound"]
        assert '"pending": 0' in world.agent.text()
