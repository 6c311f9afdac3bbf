"""Fault 57: the process runs out of file descriptors, or out of memory.

It ends and is started again; what was durable is there, and the account holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from pathlib import Path

import pytest

from support.processes import World, simulated, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(150)]


def address_space(pid: int) -> int:
    """Give the bytes of address space that a process has, from proc(5) statm."""
    fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    return int(fields[0]) * resource.getpagesize()


async def delivered(world: World) -> int:
    _, document = await world.ask("ledger")
    return int(document["total"]["delivered"]) if document else 0


async def again(world: World) -> None:
    """Start once more without the limit; everything must be well."""
    before = world.agent.text().count('"agent_started"')
    await world.agent.start()
    await until(lambda: world.agent.text().count('"agent_started"') > before, "it starts again")
    for _ in range(200):
        if await delivered(world) > 0:
            break
        await asyncio.sleep(0.1)
    else:
        pytest.fail("nothing is delivered after the restart")
    assert await world.agent.stop() == 0
    assert '"pending": 0' in world.agent.text()
    verified = (await world.ask_fleet("ledger", "--verify"))["verified"]
    assert verified["sound"], verified
    assert verified["samples"] > 0


async def test_fault_57_no_file_descriptors(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.write_config(simulated("a", 50, "10 ms"), more='commit_interval = "20 ms"')
        await world.server.start()
        await world.agent.start()
        await until(lambda: '"uplink_connected"' in world.agent.text(), "the uplink connects")
        resource.prlimit(world.agent.pid, resource.RLIMIT_NOFILE, (8, 8))
        code = await asyncio.wait_for(world.agent.wait(), 60)
        assert code != 0, "its supervisor starts it again"
        assert "Too many open files" in world.agent.text()
        await again(world)


async def test_fault_57_no_memory(tmp_path: Path) -> None:
    """Without memory a process may end in any way, or stand still: then the kernel ends it."""
    async with World(tmp_path) as world:
        world.write_config(simulated("a", 500, "5 ms"), more='commit_interval = "20 ms"')
        await world.server.start()
        await world.agent.start()
        await until(lambda: '"uplink_connected"' in world.agent.text(), "the uplink connects")
        size = address_space(world.agent.pid)
        resource.prlimit(world.agent.pid, resource.RLIMIT_AS, (size, size))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(world.agent.wait(), 10)
        await world.agent.kill()
        await again(world)
