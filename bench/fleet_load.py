"""What a gateway costs the embedded server, and how 10,000 come back after a stop.

Real processes: the server with SQLite that flushes at each commit, gateways by the real protocol
over TLS with a certificate each, GATEWAYS of them with a batch of 100 tags a second. All share this
machine. In the storm the sessions are real, too, but share connections without TLS: what is
measured there is when boxes come that a stop of the server has sent away.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from bench.figures import Figure, figure, scratch
from bench.fleet_scale import cpu_s
from forebay_fleet._proto import uplink_pb2, uplink_pb2_grpc
from forebay_fleet.certificates import init, issue_server
from forebay_fleet.store.reader import StoreReader
from support.load import PUSHBACK
from support.processes import BIN, Process, free_port, until
from support.scaled import Load

if TYPE_CHECKING:
    from collections.abc import Sequence

GATEWAYS = int(os.environ.get("FOREBAY_BENCH_GATEWAYS", "1000"))
STORM = int(os.environ.get("FOREBAY_BENCH_STORM", "10000"))
LOADS = 2
WARM_S, WINDOW_S = 5.0, 30.0
CHANNELS = 20
RETRY_S = 1.0


def run() -> list[Figure]:
    """Measure once."""
    with scratch() as folder:
        figures = asyncio.run(_load(Path(folder)))
    with scratch() as folder:
        return [*figures, *asyncio.run(_storm(Path(folder)))]


async def _load(folder: Path) -> list[Figure]:
    pki, data = folder / "pki", folder / "data"
    init(pki, "throw-away CA")
    issue_server(pki, pki, ["127.0.0.1"], 1)
    port = free_port()
    trust = ["--cert", str(pki / "server.crt"), "--key", str(pki / "server.key")]
    async with AsyncExitStack() as stack:
        server = await _serve(
            stack, folder, port, [*trust, "--client-ca", str(pki / "ca.crt")], GATEWAYS
        )
        empty_bytes = _resident_bytes(server.pid)
        count = GATEWAYS // LOADS
        loads = [
            Load(pki, [f"127.0.0.1:{port}"], first=number * count, count=count)
            for number in range(LOADS)
        ]
        for load in loads:
            stack.push_async_callback(load.kill)
        await asyncio.gather(*(load.begin() for load in loads))
        await asyncio.sleep(WARM_S)
        used_s, began_s, stored = cpu_s(server.pid), time.monotonic(), _records(data)
        await asyncio.sleep(WINDOW_S)
        used_s, window_s = cpu_s(server.pid) - used_s, time.monotonic() - began_s
        batches, full_bytes = _records(data) - stored, _resident_bytes(server.pid)
        told = await asyncio.gather(*(load.end() for load in loads))
    assert all(one["made"] == one["acked"] for one in told), "batches are missing"
    assert _records(data) == sum(one["made"] for one in told) + LOADS * count, "not once each"
    waits_ms = sorted(wait for one in told for wait in one["waits_ms"])
    return [
        # One that sends a batch a second counts as one.
        figure("fleet.gateways", [batches / window_s], "gateways"),
        figure("fleet.cpu_us_per_batch", [used_s / batches * 1e6], "us"),
        figure("fleet.cpu_share", [used_s / window_s], "cores"),
        figure("fleet.kib_per_gateway", [(full_bytes - empty_bytes) / GATEWAYS / 1024], "KiB"),
        figure("fleet.ack_p50_ms", [waits_ms[len(waits_ms) // 2]], "ms"),
        figure("fleet.ack_p99_ms", [waits_ms[len(waits_ms) * 99 // 100]], "ms"),
    ]


async def _serve(
    stack: AsyncExitStack, folder: Path, port: int, trust: Sequence[str], gateways: int
) -> Process:
    command = [
        *(str(BIN / "forebay-fleet"), "serve", "--data", str(folder / "data"), *trust),
        *("--listen", f"127.0.0.1:{port}", "--max-gateways", str(max(1000, gateways))),
    ]
    server = await stack.enter_async_context(Process("serve", command, folder))
    await server.start()
    await until(lambda: "listening on" in server.text(), "the server listens")
    return server


def _records(data: Path) -> int:
    with StoreReader(data) as store:
        return sum(row.records for row in store.gateways())


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class _Box:
    """One session, and another after its break; `told_s` is what the stop told it to wait."""

    def __init__(self, number: int) -> None:
        self._hello = uplink_pb2.Hello(gateway=f"gw-{number:05d}", boot_id="storm", version="storm")
        self.told_s = -1.0
        self.came_s: list[float] = []
        self.refused = 0

    async def run(self, channels: Sequence[grpc.aio.Channel]) -> None:
        """Come, stay until sent away, come again when told; end once in again."""
        channel = random.choice(channels)
        while len(self.came_s) < 2:
            try:
                await self._visit(uplink_pb2_grpc.UplinkStub(channel))
            except grpc.aio.AioRpcError as error:
                asked = dict(error.trailing_metadata() or ()).get(PUSHBACK)
                if self.came_s and asked is not None and self.told_s < 0:
                    self.told_s = int(asked) / 1000
                    await asyncio.sleep(self.told_s)
                elif len(self.came_s) < 2:
                    self.refused += 1
                    await asyncio.sleep(random.uniform(0, RETRY_S))

    async def _visit(self, stub: uplink_pb2_grpc.UplinkStub) -> None:
        call: Any = stub.Session()
        await call.write(uplink_pb2.FromGateway(hello=self._hello))
        answer = await call.read()
        if answer is not grpc.aio.EOF:
            self.came_s.append(time.monotonic())
            if len(self.came_s) == 2:
                call.cancel()
                return
            await call.read()
        await call  # raises what ended it


async def _storm(folder: Path) -> list[Figure]:
    port = free_port()
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
    async with AsyncExitStack() as stack:
        server = await _serve(stack, folder, port, ["--insecure"], STORM)
        channels = [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(f"127.0.0.1:{port}", (*options, ("bench.number", number)))
            )
            for number in range(CHANNELS)
        ]
        boxes = [_Box(number) for number in range(STORM)]
        tasks = [asyncio.create_task(box.run(channels), name="storm.box") for box in boxes]
        await until(partial(_all_in, boxes, 1), "all boxes are in", 120)
        await server.stop()
        left_s = time.monotonic()
        server.log.unlink()
        await _serve(stack, folder, port, ["--insecure"], STORM)
        await until(partial(_all_in, boxes, 2), "all boxes are back", 240)
        await asyncio.wait(tasks)
    told_s = sorted(box.told_s for box in boxes if box.told_s >= 0)
    back_s = sorted(box.came_s[1] - left_s for box in boxes)
    busiest = max(Counter(int(one) for one in told_s).values())
    return [
        figure("fleet.storm_told", [len(told_s)], "gateways"),
        figure("fleet.storm_busiest_second", [busiest], "gateways"),
        figure("fleet.storm_back_p50_s", [back_s[len(back_s) // 2]], "s"),
        figure("fleet.storm_back_last_s", [back_s[-1]], "s"),
    ]


def _all_in(boxes: Sequence[_Box], times: int) -> bool:
    return all(len(box.came_s) >= times for box in boxes)
