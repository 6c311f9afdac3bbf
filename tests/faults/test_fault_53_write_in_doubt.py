"""Fault 53: a write of which nobody knows is UNKNOWN, is on record, and is never sent again."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from support.write_site import WRITE, accounts, audited, polling, site

if TYPE_CHECKING:
    from pathlib import Path

    from support.processes import World

pytestmark = pytest.mark.e2e


async def asked_again(world: World) -> dict[str, Any]:
    """Ask for the same request once more."""
    code, document = await world.ask(*WRITE)
    assert code == 1, (code, document, world.agent.text()[-3000:])
    return dict(document)


async def test_fault_53_the_answer_is_swallowed(tmp_path: Path) -> None:
    async with site(tmp_path) as (world, plc):
        plc.mute_writes = True
        code, reply = await world.ask(*WRITE)
        assert (code, reply["outcome"], len(plc.writes)) == (1, "unknown", 1)
        assert plc.registers[7] == 425, "it happened, and nobody could know"
        plc.mute_writes = False
        await polling(world, plc)
        assert (await asked_again(world))["outcome"] == "unknown"
        await polling(world, plc)
        assert len(plc.writes) == 1
        intent, outcome, *more = await audited(world)
        assert f"intent: write press/Setpoint = 42.5 (uid:{os.getuid()}: a test)" in intent
        assert "shift-7 UNKNOWN" in outcome
        assert more == []
        found = await accounts(world)
        assert found["audit"]["delivered"] == found["audit"]["produced"] > 0
        assert found["audit"]["gapped"] == 0


async def test_fault_53_killed_between_intent_and_answer(tmp_path: Path) -> None:
    async with site(tmp_path) as (world, plc):
        plc.mute_writes = True
        asking = asyncio.create_task(world.ask(*WRITE), name="ask")
        await asyncio.wait_for(plc.wrote.wait(), 60)
        await world.agent.kill()
        assert (await asking)[0] == 3
        plc.mute_writes = False
        await world.agent.start()
        await polling(world, plc)
        assert (await asked_again(world))["outcome"] == "unknown"
        await polling(world, plc)
        assert len(plc.writes) == 1
        intent, outcome = await audited(world)
        assert "intent" in intent
        assert "shift-7 UNKNOWN" in outcome
        await accounts(world)


async def test_fault_53_killed_before_it_went_out(tmp_path: Path) -> None:
    """The intent is on record and the line is busy: after the kill nobody knows, so never again."""
    async with site(tmp_path, answers_in="60 s") as (world, plc):
        plc.held = asyncio.Event()
        await asyncio.wait_for(plc.holding.wait(), 60)
        asking = asyncio.create_task(world.ask(*WRITE), name="ask")
        while not await audited(world):
            assert not asking.done()
        await world.agent.kill()
        assert (await asking)[0] == 3
        plc.held.set()
        plc.held = None
        written = len(plc.writes)
        await world.agent.start()
        await polling(world, plc)
        assert (await asked_again(world))["outcome"] == "unknown"
        await polling(world, plc)
        assert len(plc.writes) == written == 0
        await accounts(world)
