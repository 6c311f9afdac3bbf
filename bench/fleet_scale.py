"""What a batch costs a fleet server of many processes: servers that keep nothing, NATS, workers.

Real processes, as tests have them: TLS everywhere, three servers of NATS that flush before they
answer, PostgreSQL that flushes at each commit. GATEWAYS send a batch of 100 tags a second each, by
the real protocol. All of them share this machine, and the gateways, too.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path

from bench.figures import Figure, figure, scratch
from support.postgres import Postgres, binaries
from support.scaled import Load, Scaled

GATEWAYS = int(os.environ.get("FOREBAY_BENCH_GATEWAYS", "1000"))
LOADS = 2
WARM_S, WINDOW_S = 10.0, 30.0
_TICKS = os.sysconf("SC_CLK_TCK")


def run() -> list[Figure]:
    """Measure once."""
    found = binaries()
    if found is None:
        return []
    with scratch() as folder, Postgres(found) as postgres:
        return asyncio.run(_measure(Path(folder), postgres))


async def _measure(folder: Path, postgres: Postgres) -> list[Figure]:
    async with AsyncExitStack() as stack:
        fleet = Scaled(folder, postgres.fresh(), takers=2, workers=2)
        await stack.enter_async_context(fleet)
        addresses = [f"127.0.0.1:{port}" for port in fleet.ports]
        count = GATEWAYS // LOADS
        loads = [
            Load(fleet.pki, addresses, first=number * count, count=count) for number in range(LOADS)
        ]
        for load in loads:
            stack.push_async_callback(load.kill)
        await asyncio.gather(*(load.begin() for load in loads))
        await asyncio.sleep(WARM_S)
        kinds = {
            "serve": [one.pid for one in fleet.takers],
            "worker": [one.pid for one in fleet.workers],
            "nats": [one.pid for one in fleet.cluster.servers],
            "postgres": [postgres.pid],
        }
        before = {kind: sum(map(cpu_s, pids)) for kind, pids in kinds.items()}
        stored, messages = await asyncio.to_thread(fleet.records), await fleet.cluster.messages()
        await asyncio.sleep(WINDOW_S)
        after = {kind: sum(map(cpu_s, pids)) for kind, pids in kinds.items()}
        batches = await asyncio.to_thread(fleet.records) - stored
        messages = await fleet.cluster.messages() - messages
        told = await asyncio.gather(*(load.end() for load in loads))
        await fleet.drained()
        held = await asyncio.to_thread(fleet.bytes) / await asyncio.to_thread(fleet.records)
    assert all(one["made"] == one["acked"] for one in told), "batches are missing"
    waits_ms = sorted(wait for one in told for wait in one["waits_ms"])
    each = {kind: (after[kind] - before[kind]) / batches * 1e6 for kind in kinds}
    return [
        figure("fleet.jetstream_cpu_us_per_batch", [sum(each.values())], "us"),
        *(
            figure(f"fleet.jetstream_{kind}_cpu_us_per_batch", [cost], "us")
            for kind, cost in each.items()
        ),
        figure("fleet.jetstream_batches_per_s", [batches / WINDOW_S], "1/s"),
        figure("fleet.jetstream_batches_per_message", [batches / messages], "batches"),
        figure("fleet.jetstream_bytes_per_batch", [held], "B"),
        figure("fleet.jetstream_ack_p99_ms", [waits_ms[len(waits_ms) * 99 // 100]], "ms"),
    ]


def cpu_s(pid: int) -> float:
    """Give the CPU time of a process and its children, those that have ended too."""
    used = _ticks(pid, ended=True) / _TICKS
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return used + sum(_ticks(int(child), ended=False) for child in children) / _TICKS


def _ticks(pid: int, *, ended: bool) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(") ")[2].split()
    except FileNotFoundError:
        return 0
    return sum(map(int, fields[11 : 15 if ended else 13]))
