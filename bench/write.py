"""How long a write takes while 10,000 tags are polled each second over the same connection.

Agent and PLC (libmodbus) are processes of their own. The PLC answers one request at a time, so that
a write waits for the block on the wire. Every write goes through the whole gate: the control
socket, the rules, the intent durable on disk, the line, the device's answer. `write.p99_ms_*` is up
to the device's answer, as the agent says it; `write.p99_ms_answered` up to the reply that the
command gets: read back, and the outcome durable too. Writes fall anywhere in the period.
"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import NamedTuple

from bench.figures import Figure, figure, scratch
from bench.plc import libmodbus_server
from forebay._proto import control_pb2 as pb
from forebay.control.client import AgentClient
from support.processes import World, until

TAGS = 10_000
WRITTEN = 4_242
"""The tag that is written; the server counts scans in the first register."""
WRITES, ROUNDS = 400, 3
PAUSE_S = 0.06
"""The mean time between two writes; the single ones are drawn."""
WARM_UP_S = 4.0


class Times(NamedTuple):
    """Milliseconds of each write: up to the device's answer, and up to the reply."""

    device: list[float]
    reply: list[float]


def write_config(world: World, port: int) -> None:
    """Write a device of 10,000 tags without a hole, of which one may be written."""
    rows = "\n".join(
        f"t{i},holding:{i},uint16,{'read_write' if i == WRITTEN else 'read'}" for i in range(TAGS)
    )
    listed = world.directory / "plc.csv"
    listed.write_text(f"name,address,type,access\n{rows}\n", encoding="utf-8")
    world.write_config(
        f"""
[writes]
enabled = true
[[writes.allow]]
tags = ["plc/t{WRITTEN}"]
min = 0
max = 65535
rate = "999/s"
[devices.plc]
protocol = "modbus"
host = "127.0.0.1"
port = {port}
tags = "plc.csv"
"""
    )


def write_often(socket: Path, seed: int) -> Times:
    """Write one value after the other; every one must be taken."""
    rng, times = random.Random(seed), Times([], [])
    with AgentClient(socket) as agent:
        for number in range(WRITES):
            time.sleep(rng.uniform(0.0, 2 * PAUSE_S))
            request = pb.WriteRequest(tag=f"plc/t{WRITTEN}", value=pb.Value(int_value=number))
            began = time.perf_counter()
            reply = agent.write(request)
            times.reply.append((time.perf_counter() - began) * 1e3)
            if reply.outcome != pb.GOOD or reply.read_back.int_value != number:
                raise RuntimeError(f"write {number} was not taken: {reply}")
            times.device.append(reply.took_ms)
    return times


async def window(seed: int) -> Times:
    """Run everything once; what was polled meanwhile must have been in time."""
    with scratch() as name, libmodbus_server(TAGS) as port:
        async with World(Path(name)) as world:
            write_config(world, port)
            await world.agent.start()
            await until(lambda: '"device_connected"' in world.agent.text(), "the PLC is read")
            await asyncio.sleep(WARM_UP_S)  # the load to be under, not a wait for anything
            times = await asyncio.to_thread(write_often, world.socket, seed)
            _, document = await world.ask("devices")
            (device,) = document["devices"]
            if device["polls"] < WRITES * PAUSE_S * 0.8 or device["tags_bad"]:
                raise RuntimeError(f"the load was not there: {device}")
            if await world.agent.stop() != 0:
                raise RuntimeError(world.agent.text()[-2000:])
    return times


def percentile(samples: list[float], share: float) -> float:
    """Give the sample below which `share` of them lie."""
    return sorted(samples)[min(len(samples) - 1, int(share * len(samples)))]


async def measure() -> list[Figure]:
    """Measure some rounds."""
    rounds = [await window(seed) for seed in range(ROUNDS)]
    device, reply = [one.device for one in rounds], [one.reply for one in rounds]
    return [
        figure("write.p99_ms_under_load", [percentile(one, 0.99) for one in device], "ms"),
        figure("write.p50_ms_under_load", [percentile(one, 0.50) for one in device], "ms"),
        figure("write.p99_ms_answered", [percentile(one, 0.99) for one in reply], "ms"),
    ]


def run() -> list[Figure]:
    """Measure; about two minutes."""
    return asyncio.run(measure())
