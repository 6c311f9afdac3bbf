"""A box gets another id, or another box's disk: it does not deliver what another gateway read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from forebay_fleet import certificates
from support.processes import GATEWAY, Process, World, run_forebay, simulated, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


OTHER = "gw-2"


def content(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


async def test_the_agent_refuses_a_journal_of_another_id(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.write_config(simulated("a", 5, "20 ms"))
        await world.agent.start()
        await until(lambda: '"agent_started"' in world.agent.text(), "the agent starts")
        await until(world.journal.joinpath("telemetry").exists, "it journals")
        await world.agent.kill()
        text = world.config.read_text(encoding="utf-8")
        certificates.issue_gateway(world.certificates, world.certificates, OTHER, 30)
        world.config.write_text(text.replace(GATEWAY, OTHER), encoding="utf-8")
        before = content(world.journal)
        async with Process("renamed", world.agent.command, tmp_path) as renamed:
            await renamed.start()
            assert await asyncio.wait_for(renamed.wait(), 60) == 2
            assert f"is of gateway '{GATEWAY}', and this one is '{OTHER}'" in renamed.text()
            assert "next: move the directory away" in renamed.text()
        assert content(world.journal) == before
        assert (await run_forebay("journal", "export", "--directory", str(world.journal)))[0] == 0
        world.config.write_text(text, encoding="utf-8")
        await world.server.start()
        await world.agent.start()
        await until(lambda: '"uplink_connected"' in world.agent.text(), "it delivers")
        assert await world.agent.stop() == 0
        verified = (await world.ask_fleet("ledger", "--verify"))["verified"]
        assert verified["sound"]
        assert verified["samples"] > 0
        assert '"pending": 0' in world.agent.text()
        world.journal.rename(tmp_path / "put-away")
        world.config.write_text(text.replace(GATEWAY, OTHER), encoding="utf-8")
        async with Process("second", world.agent.command, tmp_path) as second:
            await second.start()
            await until(lambda: '"agent_started"' in second.text(), "it starts with its own")
            assert await second.stop() == 0
