"""Who asks and does not read: it costs the server next to nothing, and nobody else their turn."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest

from forebay.columnar import encode_batch, encode_schema
from forebay.model import Batch, Schema, Tag, ValueType
from forebay_fleet._proto import uplink_pb2, values_pb2_grpc
from forebay_fleet._proto import values_pb2 as pb
from forebay_fleet.access import apitokens, trail
from forebay_fleet.access.roles import Principal, Role
from forebay_fleet.registry import RegistryThread
from forebay_fleet.rpc import calls
from forebay_fleet.rpc.serving import open_values
from forebay_fleet.values import exports
from forebay_fleet.values.offer import open_offer
from support.fleet import Gateway, anchor, record
from support.fleet_ingest import Server
from support.fleet_values import NAME, SECOND_NS, START_NS, Asker, Site, serving
from support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forebay_fleet.registry import Registry

NOTES = Schema("press", "notes", (Tag("note", "x", ValueType.STRING),))
NOTE_BYTES, ROWS, RECORDS = 10_000, 20, 100
READERS = 8
"""Of each kind: with all of it in memory for each of them it would be 320 MB."""
MOST_BYTES = 120 << 20


def notes(seq: int, rows: int = ROWS) -> uplink_pb2.Record:
    """A batch of long texts."""
    times = START_NS + (np.arange(rows) + seq * 100) * SECOND_NS
    made = Batch(NOTES, times, times, (np.array([["x" * NOTE_BYTES]] * rows, object),))
    span = (int(times[0]), int(times[-1]))
    return record(seq, uplink_pb2.BATCH, encode_batch([made]), samples=rows, times_ns=span)


def rss_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


async def streaming(site: Site, stack: AsyncExitStack) -> asyncio.StreamReader:
    """Open a stream of events on a connection with small buffers."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.setblocking(False)  # noqa: FBT003 - the name of the call
    await asyncio.get_running_loop().sock_connect(line, ("127.0.0.1", site.port))
    trust = ssl.create_default_context(cafile=site.server.pki / "ca.crt")
    reader, writer = await asyncio.open_connection(
        sock=line, ssl=trust, server_hostname="localhost", limit=4096
    )
    stack.callback(writer.close)
    path = f"/api/v1/gateways/{NAME}/live?tag=press/note"
    head = f"GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {site.token}\r\n\r\n"
    writer.write(head.encode())
    await reader.readuntil(b": open\n")
    return reader


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Site, int]]:
    port = free_port()
    with serving(tmp_path, "--values", f"127.0.0.1:{port}") as found:
        yield found, port


@pytest.mark.timeout(180)
async def test_who_looks_on_and_does_not_read_costs_no_memory(site: tuple[Site, int]) -> None:
    """Sixteen of them, by both ports; who reads on is told what it missed, and gets the newest."""
    at, port = site
    schema = record(100, uplink_pb2.SCHEMA, encode_schema(NOTES))
    await at.send(schema, notes(101, 1))
    request = pb.LiveRequest(gateway=NAME, tag="press/note")
    async with asyncio.timeout(150), AsyncExitStack() as stack:
        looking: list[Any] = []
        for _ in range(READERS):
            asker = await stack.enter_async_context(Asker(at, port))
            looking.append(asker.call("Live", request, 150.0))
            await looking[-1].initial_metadata()
        streams = [await streaming(at, stack) for _ in range(READERS)]
        before = rss_bytes(at.server.pid)
        behind = 102 + RECORDS
        for seq in range(102, behind):
            await at.send(notes(seq))
        async with Gateway(at.server.address, at.server.issue(NAME), NAME) as gateway:
            for first in range(behind, behind + 21_000, 1000):
                await gateway.send(*(anchor(first + n) for n in range(1000)))
            await gateway.ack_up_to(behind + 20_999)
        await at.send(notes(behind + 21_000, 1))
        grown = rss_bytes(at.server.pid) - before
        assert grown < MOST_BYTES
        missed: list[pb.Missed] = []
        newest = 0
        while not missed or newest < behind + 21_000:
            reply = await looking[0].read()
            missed += reply.missed
            newest = max([newest, *(part.seq[-1] for one in reply.series for part in one.parts)])
        assert missed[0].stream == "telemetry"
        assert 102 < missed[0].first < missed[0].last < behind + 21_000
        came = b""
        while b"\nevent: missed\n" not in came:
            part = await streams[0].read(64 << 10)
            assert part, came[-500:]
            came = came[-100:] + part
        await check_places(at, asker)
        assert await asyncio.to_thread(at.server.stop) == 0  # nobody holds it up


async def check_places(site: Site, asker: Asker) -> None:
    """Exports by one port take the places of those by the other."""
    request = pb.ExportRequest(gateway=NAME, tag="press/note", from_ns=0)
    making = [asker.call("Export", request) for _ in range(exports.MOST_AT_ONCE)]
    for call in making:
        await call.read()
    async with site.client() as client:
        parameters = {"tag": "press/note", "from": "0"}
        answer = await client.get(f"/gateways/{NAME}/export", params=parameters)
    assert (answer.status_code, answer.json()["title"]) == (503, "4 exports run")


async def rest_of(call: Any) -> None:
    """Read a call to its end. Raises AioRpcError if that is not an orderly one."""
    while await call.read() is not grpc.aio.EOF:
        pass


async def test_an_export_that_nobody_reads_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "MOST_AT_ONCE", 1)
    monkeypatch.setattr(calls, "STALLED_S", 1.0)
    data = tmp_path / "fleet"
    server = Server(data)
    server.hello()
    server.send(record(1, uplink_pb2.SCHEMA, encode_schema(NOTES)))
    server.send(*(notes(2 + n) for n in range(50)))
    server.store.close()

    def token(registry: Registry) -> str:
        trail.prepare(registry)
        who = Principal("test", Role.ADMIN, "command line")
        now_ns = time.time_ns()
        return apitokens.create(registry, who, "notebook", Role.VIEWER, 3600.0, now_ns, "test")[0]

    async with asyncio.timeout(60), AsyncExitStack() as stack:
        registry = await stack.enter_async_context(RegistryThread(data))
        metadata = (("authorization", f"Bearer {await registry(token)}"),)
        offer = await open_offer(stack, data, asyncio.Event())
        port = await open_values(stack, "127.0.0.1:0", None, offer, registry)
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        stub = values_pb2_grpc.ValuesStub(await stack.enter_async_context(channel))
        request = pb.ExportRequest(
            gateway="g", tag="press/note", from_ns=0, to_ns=START_NS + 10**6 * SECOND_NS
        )
        idle = stub.Export(request, metadata=metadata)
        await idle.read()
        with pytest.raises(grpc.aio.AioRpcError, match="1 exports run"):
            await stub.Export(request, metadata=metadata).read()
        parts: list[bytes] = []
        while not parts:
            with suppress(grpc.aio.AioRpcError):
                parts = [part.data async for part in stub.Export(request, metadata=metadata)]
            await asyncio.sleep(0.1)
        assert b"".join(parts).count(b"x" * NOTE_BYTES) == 50 * ROWS
        with pytest.raises(grpc.aio.AioRpcError, match="nothing was taken"):
            await rest_of(idle)
