"""The whole path flat out.

10,000 registers of a libmodbus server, polled, journaled, sent, committed and acknowledged.

Agent, fleet server (mutual TLS) and PLC are processes of their own on one machine, started as their
commands. 5,000 float32 tags are polled as fast as answers come; the figure counts samples that the
server has committed and acknowledged, by the agent's own ledger, over a window after warm-up. CPU
and memory are the agent process alone. Depth is `pipeline`.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.figures import Figure, figure, scratch
from bench.plc import libmodbus_server
from support.processes import World, until

if TYPE_CHECKING:
    from collections.abc import Sequence

TAGS = 5_000
WARM_UP_S, WINDOW_S, ROUNDS = 3.0, 6.0, 3
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Window(NamedTuple):
    """What one window saw."""

    values_per_s: float
    cpu_ns_per_value: float
    rss_mib: float
    commit_p99_ms: float


def cpu_s(pid: int) -> float:
    """Give the CPU seconds of a process so far, from proc(5) stat."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def rss_mib(pid: int) -> float:
    """Give the resident memory of a process, from proc(5) statm."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def write_config(world: World, port: int, depth: int, period: str) -> None:
    """Write a device of 5,000 float32 tags without a hole."""
    rows = "\n".join(f"t{i},holding:{2 * i},float32" for i in range(TAGS))
    (world.directory / "plc.csv").write_text(f"name,address,type\n{rows}\n", encoding="utf-8")
    world.write_config(
        f"""
[devices.plc]
protocol = "modbus"
host = "127.0.0.1"
port = {port}
pipeline = {depth}
tags = "plc.csv"
[devices.plc.groups.default]
period = "{period}"
"""
    )


async def account(world: World) -> dict[str, Any]:
    """Ask the agent for its ledger."""
    code, document = await world.ask("ledger")
    if document is None or "total" not in document:
        raise RuntimeError(f"the agent gave no ledger (exit {code}): {world.agent.text()[-2000:]}")
    total: dict[str, Any] = document["total"]
    return total


async def window(depth: int, period: str = "1 ms") -> Window:
    """Run everything once and measure one window."""
    with (
        scratch() as name,
        libmodbus_server(2 * TAGS, "walk") as port,
    ):
        async with World(Path(name)) as world:
            write_config(world, port, depth, period)
            await world.server.start()
            await until(lambda: "listening on" in world.server.text(), "the server listens")
            await world.agent.start()
            await until(lambda: '"uplink_connected"' in world.agent.text(), "the uplink connects")
            loop = asyncio.get_running_loop()
            await asyncio.sleep(WARM_UP_S)  # the time measured, not a wait for anything
            before, cpu, began = await account(world), cpu_s(world.agent.pid), loop.time()
            await asyncio.sleep(WINDOW_S)
            after, spent, took = await account(world), cpu_s(world.agent.pid), loop.time() - began
            _, status = await world.ask("journal", "status")
            memory = rss_mib(world.agent.pid)
            if await world.agent.stop() != 0:
                raise RuntimeError(world.agent.text()[-2000:])
            gapped = after["gapped"] - before["gapped"]
            if gapped:
                raise RuntimeError(f"{gapped} samples were lost on the way")
    done = after["delivered"] - before["delivered"]
    return Window(done / took, (spent - cpu) / done * 1e9, memory, status["commit_p99_ms"])


def column(windows: Sequence[Window], name: str) -> list[float]:
    """Give one measure of all windows."""
    return [getattr(w, name) for w in windows]


async def measure() -> list[Figure]:
    """Measure pipelined and one request at a time in turns, then a paced run."""
    pipelined, single = [], []
    for _ in range(ROUNDS):
        pipelined.append(await window(16))
        single.append(await window(1))
    paced = await window(1, "100 ms")
    return [
        figure("e2e.values_per_s", column(pipelined, "values_per_s"), "values/s"),
        figure("e2e.agent_cpu_ns_per_value", column(pipelined, "cpu_ns_per_value"), "ns"),
        figure("e2e.rss_mib", column(pipelined, "rss_mib"), "MiB"),
        figure("e2e.values_per_s_depth1", column(single, "values_per_s"), "values/s"),
        figure("e2e.agent_cpu_ns_per_value_depth1", column(single, "cpu_ns_per_value"), "ns"),
        figure("e2e.commit_p99_ms", column(pipelined, "commit_p99_ms"), "ms"),
        figure("e2e.agent_cpu_ns_per_value_50k", [paced.cpu_ns_per_value], "ns"),
        figure("e2e.rss_mib_50k", [paced.rss_mib], "MiB"),
    ]


def run() -> list[Figure]:
    """Measure; about two minutes."""
    return asyncio.run(measure())
