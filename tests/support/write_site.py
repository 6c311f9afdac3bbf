"""What tests of writes share: an agent, a PLC that it polls, a fleet server, all real."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from support.processes import World, until
from support.writable_plc import WritablePlc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WRITES = """
[writes]
enabled = true
[[writes.allow]]
tags = ["press/Setpoint"]
min = 0
max = 80
rate = "100/s"
"""
WRITE = (
    "write",
    "press/Setpoint",
    "42.5",
    "--id",
    "shift-7",
    "--reason",
    "a test",
    "--deadline",
    "60",
)


def press(port: int, timeout: str) -> str:
    return f"""
[devices.press]
protocol = "modbus"
host = "127.0.0.1"
port = {port}
timeout = "{timeout}"
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
async def site(
    directory: Path, answers_in: str = "3 s"
) -> AsyncIterator[tuple[World, WritablePlc]]:
    """Start all three; the agent waits for `answers_in` for each answer of the PLC."""
    async with WritablePlc() as plc, World(directory) as world:
        world.write_config(press(plc.port, answers_in), more=WRITES)
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
