"""A fleet server with an hour of values of every kind, for who asks it by REST or by gRPC."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import grpc
import httpx2
import numpy as np

from forebay.columnar import encode_batch, encode_schema
from forebay.model import Batch, Quality, Schema, Tag, ValueType
from forebay_fleet._proto import batch_pb2, uplink_pb2, values_pb2_grpc
from support.fleet import FleetServer, Gateway, record
from support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECOND_NS = 10**9
START_NS = 1_760_000_000 * SECOND_NS  # 2025-10-09T08:53:20Z
NAME = "press-hall-1"
ROWS = 3600
SCHEMA = Schema(
    "press",
    "fast",
    (
        Tag("pressure", "holding:1", ValueType.INT16, "bar", 0.1, -5.0),
        Tag("level", "holding:4", ValueType.FLOAT64, "m"),
        Tag("count", "holding:2", ValueType.UINT64),
        Tag("product", "holding:9", ValueType.STRING),
        Tag("stamp", "holding:20", ValueType.BYTES),
        Tag("running", "coil:1", ValueType.BOOL),
    ),
)
SPAN = {"from": "2025-10-09T08:53:20Z", "to": str(START_NS + ROWS * SECOND_NS - 1)}


def batch(first: int, rows: int) -> Batch:
    numbers = np.arange(first, first + rows)
    quality = np.zeros((rows, len(SCHEMA.tags)), np.uint32)
    quality[numbers % 10 == 3, 0] = Quality.BAD_TIMEOUT
    quality[numbers % 10 == 4, 0] = Quality.UNCERTAIN_LAST_USABLE_VALUE
    level = numbers / 8
    level[numbers == 7] = np.nan
    values = {
        ValueType.INT16: (numbers % 1000).astype(np.int16)[:, None],
        ValueType.FLOAT64: level[:, None],
        ValueType.UINT64: (np.uint64((1 << 64) - 1) - numbers.astype(np.uint64))[:, None],
        ValueType.STRING: np.array([[f'Träger, "{n}"'] for n in numbers], object),
        ValueType.BYTES: np.array([[bytes([n % 256])] for n in numbers], object),
        ValueType.BOOL: (numbers % 2 == 0)[:, None],
    }
    times = START_NS + numbers * SECOND_NS
    lanes = tuple(values[lane.type] for lane in SCHEMA.lanes)
    return Batch(SCHEMA, times, times + 1_000_000, lanes, quality)


def batch_record(seq: int, first: int, rows: int) -> uplink_pb2.Record:
    made = batch(first, rows)
    times_ns = (int(made.times_ns.min()), int(made.times_ns.max()))
    payload = encode_batch([made])
    return record(seq, uplink_pb2.BATCH, payload, samples=made.samples, times_ns=times_ns)


def gap_record(seq: int) -> uplink_pb2.Record:
    payload = batch_pb2.Gap(
        cause=batch_pb2.RING_OVERFLOW,
        time_from_ns=START_NS + 100 * SECOND_NS,
        time_to_ns=START_NS + 200 * SECOND_NS,
        samples=600,
        source="press",
    )
    return record(seq, uplink_pb2.GAP, payload.SerializeToString(), samples=600)


class Site:
    """A server with its HTTPS port, and a token."""

    def __init__(self, server: FleetServer, port: int) -> None:
        self.server, self.port = server, port
        made = server.read_json(
            *("api-token", "add", "dashboard", "--role", "viewer", "--why", "it draws charts")
        )
        self.token: str = made["token"]

    def client(self, token: str | None = None) -> httpx2.AsyncClient:
        trust = ssl.create_default_context(cafile=self.server.pki / "ca.crt")
        return httpx2.AsyncClient(
            base_url=f"https://localhost:{self.port}/api/v1",
            verify=trust,
            headers={"authorization": f"Bearer {token or self.token}"},
            timeout=30.0,
        )

    async def send(self, *records: uplink_pb2.Record) -> None:
        async with Gateway(self.server.address, self.server.issue(NAME), NAME) as gateway:
            await gateway.send(*records)
            await gateway.ack_up_to(records[-1].seq)


@contextmanager
def serving(directory: Path, *arguments: str) -> Iterator[Site]:
    """Run one server for all questions: an hour of a scan a second, but for 100 s in a gap."""
    port = free_port()
    with FleetServer(directory, "--web", f"127.0.0.1:{port}", *arguments) as server:
        found = Site(server, port)
        records = [record(1, uplink_pb2.SCHEMA, encode_schema(SCHEMA))]
        records += [batch_record(2, 200, 1), gap_record(3), batch_record(4, 0, 100)]
        records += [batch_record(5 + n, 201 + n, 1) for n in range(39)]
        records += [batch_record(44 + n, 240 + n * 60, 60) for n in range(56)]
        asyncio.run(found.send(*records))
        yield found


class Asker:
    """`async with Asker(site, port) as asker:` asks by gRPC; `token` None sends none."""

    def __init__(self, site: Site, port: int, token: str | None = "") -> None:
        ca = (site.server.pki / "ca.crt").read_bytes()
        self._channel = grpc.aio.secure_channel(
            f"localhost:{port}",
            grpc.ssl_channel_credentials(ca),
            [
                ("grpc.max_receive_message_length", 64 << 20),
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.enable_retries", 0),
            ],
        )
        given = site.token if token == "" else token
        self.metadata = () if given is None else (("authorization", f"Bearer {given}"),)
        self.stub = values_pb2_grpc.ValuesStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    def raw(self, method: str) -> Any:
        """Open a call whose request is whatever bytes are written."""
        call: Any = self._channel.stream_stream(f"/forebay.values.v1.Values/{method}")
        return call(metadata=self.metadata)

    def call(self, method: str, request: Any, within_s: float = 60.0) -> Any:
        """Make a call, with a deadline."""
        return getattr(self.stub, method)(request, metadata=self.metadata, timeout=within_s)
