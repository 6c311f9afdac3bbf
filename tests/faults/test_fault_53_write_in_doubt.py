"""Fault 53: a write of which nobody knows is UNKNOWN, is on record, and is never sent again."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from support.processes import World, until
from support.writable_plc import WritablePlc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

WRITES = """
[writes]
enabled = true
[[writes.allow]]
tags = ["press/Setpoint"]
min = 0
max = 80
rate = "100/s"
"""
WRITE = ("write", "press/Setpoint", "42.5", "--id", "shift-7", "--reason", "a test")


def press(port: int) -> str:
    return f"""
[devices.press]
protocol = "modbus"
host = "127.0.0.1"
port = {port}
timeout = "1 s"
backoff = {{ first = "50 ms", most = "200 ms" }}
[[devices.press.tags]]
name = "Setpoint"
address = "holding:7"
type = "int16"
scale = 0.1
access = "read_write"
[[devices.press.tags]]
name = "Speed"
address = "holding:8"
type = "uint16"
[devices.press.groups.default]
period = "100 ms"
"""


@asynccontextmanager
async def site(directory: Path) -> AsyncIterator[tuple[World, WritablePlc]]:
    """An agent that polls a PLC and forwards to a fleet server, all real."""
    async with WritablePlc() as plc, World(directory) as world:
        world.write_config(press(plc.port), more=WRITES)
        await world.server.start()
        await world.agent.start()
        await polling(world, plc)
        yield world, plc


async def polling(world: World, plc: WritablePlc) -> None:
    """Wait until the agent polls the PLC, and answers."""
    before = plc.reads
    await until(lambda: plc.reads > before + 2 or not world.agent.running, "it polls")
    assert world.agent.running, world.agent.text()[-2000:]


async def audited(world: World) -> list[str]:
    """What the audit stream says, a line each."""
    _, document = await world.ask("journal", "show", "--stream", "audit", "--limit", "100")
    return [one["text"] for one in document["records"] if one["kind"] == "batch"]


async def accounts(world: World) -> dict[str, dict[str, int]]:
    """The ledger by stream, once all is delivered; each line balances."""
    await world.delivered()
    _, document = await world.ask("ledger")
    found = {line["stream"]: line for line in document["lines"]}
    for line in found.values():
        parts = ("delivered", "pending", "gapped", "quarantined")
        assert line["produced"] == sum(line[part] for part in parts)
    return found


async def asked_again(world: World) -> dict[str, Any]:
    """Ask for the same request once more."""
    code, document = await world.ask(*WRITE)
    assert code == 1
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
        assert "intent: write press/Setpoint = 42.5 (control socket: a test)" in intent
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
    async with site(tmp_path) as (world, plc):
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
