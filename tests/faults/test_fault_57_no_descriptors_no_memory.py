"""Fault 57: the process runs out of file descriptors, or out of memory.

It ends and is started again; what was durable is there, and the account holds.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from forebay.control.client import AgentClient
from support.clocks import balanced, drained
from support.processes import World, simulated, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(150)]

READER = Path(__file__).parents[2] / "scripts/read-journal"
NO_MEMORY = ("MemoryError", "not enough memory", "Cannot allocate", "bad_alloc")
AFRESH = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
"""mallopt(3): what is larger is asked of the kernel each time, and nothing is reserved; else a
process lives on what it has freed before, and meets no limit."""


class Durable(NamedTuple):
    """How far telemetry was on disk; `epoch` as the reader and the server print it."""

    epoch: str
    last_seq: int


NOTHING = Durable("", 0)


def address_space(pid: int) -> int:
    """Give the bytes of address space that a process has, from proc(5) statm."""
    fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    return int(fields[0]) * resource.getpagesize()


def durable(world: World) -> Durable:
    """Ask the agent."""
    with AgentClient(world.socket) as agent:
        streams = agent.journal_status().streams
    return Durable(f"{streams[-1].epoch:016x}", streams[-1].next_seq - 1) if streams else NOTHING


def on_disk(journal: Path, epoch: str) -> set[int]:
    """Give the seqs of an epoch that another reader finds whole."""
    ran = subprocess.run(
        [sys.executable, str(READER), str(journal)], capture_output=True, check=True, timeout=60
    )
    records = map(json.loads, ran.stdout.splitlines())
    return {record["seq"] for record in records if record["epoch"] == epoch}


def lacks_memory(text: str) -> bool:
    """Whether a log says that memory ran out."""
    return any(words in text for words in NO_MEMORY)


async def begun(world: World) -> Durable:
    """Start server and agent; give how far it is on disk once some of it is there."""
    await world.server.start()
    await world.agent.start()
    await until(lambda: '"uplink_connected"' in world.agent.text(), "the uplink connects")
    await until(lambda: durable(world).last_seq > 20, "a few commits")
    return await asyncio.to_thread(durable, world)


async def again(world: World, before: Durable) -> None:
    """Start once more without the limit; what was durable is there, and everything is well."""
    promised = set(range(1, before.last_seq + 1))
    assert promised <= on_disk(world.journal, before.epoch)
    starts = world.agent.text().count('"agent_started"')
    await world.agent.start()
    await until(lambda: world.agent.text().count('"agent_started"') > starts, "it starts again")
    await drained(world)
    account = await balanced(world)
    assert account["gapped"] == 0, account
    there = {line["epoch"]: line for line in (await world.ask_fleet("ledger"))["lines"]}
    assert there[before.epoch]["committed"] >= before.last_seq
    assert len(there) > 1, "each run writes under an epoch of its own"


async def test_fault_57_no_file_descriptors(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.write_config(simulated("a", 50, "10 ms"), more='commit_interval = "20 ms"')
        before = await begun(world)
        resource.prlimit(world.agent.pid, resource.RLIMIT_NOFILE, (8, 8))
        code = await asyncio.wait_for(world.agent.wait(), 60)
        assert code != 0, "its supervisor starts it again"
        assert "Too many open files" in world.agent.text()
        await again(world, before)


async def test_fault_57_no_memory(tmp_path: Path) -> None:
    """Without memory a process may end in any way, or stand still: then the kernel ends it.

    It meets the limit while it begins to work: later it needs little that it has not got.
    """
    async with World(tmp_path) as world:
        world.write_config(simulated("a", 500, "10 ms"), more='commit_interval = "20 ms"')
        world.agent.environment = AFRESH
        before = await begun(world)
        await world.agent.kill()
        await world.agent.start()
        await until(lambda: world.agent.text().count('"agent_started"') > 1, "it starts again")
        told = len(world.agent.text())
        size = address_space(world.agent.pid)
        resource.prlimit(world.agent.pid, resource.RLIMIT_AS, (size, size))
        await until(
            lambda: not world.agent.running or lacks_memory(world.agent.text()[told:]),
            "it runs out of memory",
        )
        if not world.agent.running:
            assert await world.agent.wait() != 0, "its supervisor starts it again"
        await world.agent.kill()
        assert await world.agent.wait() != 0, "what says so does not end as if all were well"
        await again(world, before)
