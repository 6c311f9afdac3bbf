"""Fault 54: a command that comes again, even after a kill, is done once and hears how it ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from support.write_site import WRITE, accounts, audited, polling, site

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


async def test_fault_54_command_replayed(tmp_path: Path) -> None:
    async with site(tmp_path) as (world, plc):
        answers = await asyncio.gather(*(world.ask(*WRITE) for _ in range(4)))
        assert [(code, reply["outcome"]) for code, reply in answers] == [(0, "good")] * 4
        await world.agent.kill()
        await world.agent.start()
        await polling(world, plc)
        code, reply = await world.ask(*WRITE)
        assert (code, reply["outcome"]) == (0, "good")
        assert "let out before" in reply["detail"]
        other = await world.ask("write", "press/Setpoint", "7", "--id", WRITE[4])
        assert (other[0], other[1]["outcome"]) == (1, "refused")
        assert [values for _, _, values in plc.writes] == [(425,)]
        intents = [line for line in await audited(world) if "intent" in line]
        assert len(intents) == 1
        await accounts(world)
