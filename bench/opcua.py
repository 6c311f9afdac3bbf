"""What a data change costs the gateway: CPU per notification, held against asyncua's own client.

Both subscribe to the same 10,000 variables of a node-opcua server, sampled once a second, on
uvloop, in turns, in this process; only this process's CPU counts. Ours includes the batch with its
times and qualities that a session takes over; asyncua's a callback that counts. Each variable
counts its samples: that ours heard of every one is asserted, not assumed.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import uvloop
from asyncua.client.client import Client

from bench.figures import Figure, figure, scratch, seams
from forebay.acquisition.line import SharedLine
from forebay.drivers.opcua.driver import OpcUaDriver
from support.nodejs import find_node
from support.opcua_load import NAMESPACE, Heard, load_device, load_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from forebay.model import Batch

TAGS = 10_000
PERIOD_S = 1.0
ROUND_S = 8.0
ROUNDS = 5


@asynccontextmanager
async def our_stream(endpoint: str) -> AsyncIterator[asyncio.Queue[Batch]]:
    """Subscribe with our driver; the batches come in a queue, taken over at once."""
    spec, world = load_device(endpoint, TAGS), seams()
    driver = OpcUaDriver(spec, world, SharedLine("bench", world.clock))
    queue: asyncio.Queue[Batch] = asyncio.Queue(maxsize=100_000)

    async def listen() -> None:
        async for batch in driver.stream({spec.schemas[0]: PERIOD_S}):
            queue.put_nowait(batch)

    await driver.connect()
    task = asyncio.create_task(listen(), name="bench.listen")
    try:
        yield queue
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait([task])
        await driver.close()


async def ours(endpoint: str) -> float:
    """Give microseconds of CPU per notification."""
    heard = Heard(load_device(endpoint, TAGS).schemas[0])
    async with our_stream(endpoint) as queue:
        while heard.count < 2 * TAGS:
            heard.take(await queue.get())
        before, begin_s = heard.count, time.process_time()
        await asyncio.sleep(ROUND_S)
        spent_s = time.process_time() - begin_s
        while not queue.empty():
            heard.take(queue.get_nowait())
    assert not heard.qualities
    assert heard.each.min() >= ROUND_S / PERIOD_S - 2, "the server was too slow to tell"
    return spent_s / (heard.count - before) * 1e6


class _Counter:
    """asyncua's subscription handler."""

    count = 0

    def datachange_notification(self, node: object, val: object, data: object) -> None:
        """Count one."""
        del node, val, data
        self.count += 1


async def theirs(endpoint: str) -> float:
    """Give the same of asyncua's own client."""
    counter = _Counter()
    async with Client(endpoint, timeout=30) as client:
        index = await client.get_namespace_index(NAMESPACE)
        nodes = [client.get_node(f"ns={index};s=V{n}") for n in range(TAGS)]
        subscription = await client.create_subscription(int(PERIOD_S * 1000), counter)
        interval: Any = PERIOD_S * 1000
        for start in range(0, TAGS, 1000):
            part: Any = nodes[start : start + 1000]
            await subscription.subscribe_data_change(part, sampling_interval=interval)
        before, begin_s = counter.count, time.process_time()
        await asyncio.sleep(ROUND_S)
        return (time.process_time() - begin_s) / (counter.count - before) * 1e6


async def bench_notifications() -> list[Figure]:
    """Measure both in turns, so that a slow spell of the machine falls on both alike."""
    node = find_node()
    assert node is not None, "scripts/setup-testbeds installs Node.js"
    us, them = [], []
    with scratch() as state, load_server(str(node), state, TAGS) as endpoint:
        for _ in range(ROUNDS):
            us.append(await ours(endpoint))
            them.append(await theirs(endpoint))
    against = f"asyncua {version('asyncua')} client"
    each, their_each = [1e6 / cost for cost in us], [1e6 / cost for cost in them]
    return [
        figure("opcua.notification_cpu_us", us, "us", against=against, others=them),
        figure(
            "opcua.notification_vs_asyncua", each, "1/CPU s", against=against, others=their_each
        ),
    ]


def run() -> list[Figure]:
    """Measure on uvloop, as the agent runs."""
    return uvloop.run(bench_notifications())
