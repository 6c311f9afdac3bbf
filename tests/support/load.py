"""Gateways by the thousand in one process: the real protocol over TLS, each with its certificate.

    python -m support.load '{"addresses": ["127.0.0.1:7443"], "pki": "pki", "first": 0, ...}'

Each makes a batch a period, keeps it until it is acknowledged, and comes again by jitter after a
break. A line on standard input ends the making; what was made is still delivered. Writes lines of
JSON: `{"sessions": N}` once all are in, then what became of everything.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import resource
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google_crc32c
import grpc
import numpy as np

from forebay.columnar import BatchEncoder, encode_schema
from forebay.model import Batch, Schema, Tag, ValueType
from forebay_fleet._proto import uplink_pb2, uplink_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterable

SLOTS = 50
"""Parts of a period: gateways are spread over them, as clocks of boxes are."""
PUSHBACK = "grpc-retry-pushback-ms"
FIRST_S, MOST_S = 0.2, 5.0
"""Backoff of a gateway that nobody told when to come; it is drawn from nought to it."""


@dataclass(frozen=True)
class Job:
    """What one process does. `addresses` are tried one after the other, from a drawn one on."""

    addresses: list[str]
    pki: str
    first: int
    count: int
    period_s: float = 1.0
    tags: int = 100
    seconds: float = 0.0
    """How long batches are made; 0: until a line comes in."""
    drain_s: float = 60.0


@dataclass
class Told:
    """What became of it."""

    made: int = 0
    acked: int = 0
    rejected: int = 0
    sessions: int = 0
    refused: int = 0
    waits_ms: list[float] = field(default_factory=list)
    """From the making of a batch to its ack, of those that no break was in."""
    came_s: list[float] = field(default_factory=list)
    """When sessions were welcomed, on the clock of this machine that nobody sets."""
    gateways: dict[str, int] = field(default_factory=dict)
    """Batches that each made."""
    cpu_s: float = 0.0


class Maker:
    """Makes the same records for all: one encoding a moment."""

    def __init__(self, tags: int) -> None:
        names = (f"press{number // 10}/temperature{number % 10}" for number in range(tags))
        self._schema = Schema(
            "line4",
            "all",
            tuple(Tag(n, f"holding:{i}", ValueType.FLOAT32) for i, n in enumerate(names)),
        )
        self._encoder, self._tags = BatchEncoder(), tags
        self._values = 20 + np.random.default_rng(1).normal(0, 5, (1, tags))
        self.schema = _sealed(uplink_pb2.SCHEMA, encode_schema(self._schema), 0, 0)

    def batch(self) -> uplink_pb2.Record:
        """Give a record of now, without its position."""
        now_ns = time.time_ns()
        self._values += np.random.default_rng(now_ns).normal(0, 0.05, (1, self._tags))
        times = np.array([now_ns], np.int64)
        batch = Batch(self._schema, times, times, (self._values.astype(np.float32),))
        return _sealed(uplink_pb2.BATCH, self._encoder.encode([batch]), self._tags, now_ns)


def _sealed(
    kind: uplink_pb2.RecordKind, payload: bytes, samples: int, time_ns: int
) -> uplink_pb2.Record:
    return uplink_pb2.Record(
        stream=uplink_pb2.TELEMETRY,
        kind=kind,
        samples=samples,
        time_min_ns=time_ns,
        time_max_ns=time_ns,
        crc=google_crc32c.value(payload),
        hash=hashlib.sha256(payload).digest(),
        payload=payload,
    )


class Gateway:
    """One gateway: `put` makes, `run` delivers until `over` is set and all is delivered."""

    def __init__(self, number: int, job: Job, told: Told, schema: uplink_pb2.Record) -> None:
        self.name = f"gw-{job.first + number:05d}"
        self._job, self._told = job, told
        self._epoch = (1 << 32) + job.first + number + 1
        self._next, self._acked = 1, 0
        self._pending: deque[tuple[uplink_pb2.Record, float]] = deque()
        self._sent = 0
        self._wake, self.over = asyncio.Event(), asyncio.Event()
        self._address = random.randrange(len(job.addresses))
        self.broken = True
        self.put(schema)

    @property
    def done(self) -> bool:
        """Whether all that was made is delivered."""
        return self._acked >= self._next - 1

    def put(self, record: uplink_pb2.Record) -> None:
        """Make a record: it has the next position."""
        own = uplink_pb2.Record()
        own.CopyFrom(record)
        own.epoch, own.seq = self._epoch, self._next
        self._next += 1
        self._pending.append((own, 0.0 if self.broken else time.monotonic()))
        self._wake.set()

    async def run(self) -> None:
        """Deliver, over as many sessions as it takes."""
        credentials = _credentials(Path(self._job.pki), self.name)
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
        backoff_s = FIRST_S
        while not (self.over.is_set() and self.done):
            address = self._job.addresses[self._address % len(self._job.addresses)]
            wait_s = random.random() * backoff_s
            try:
                async with grpc.aio.secure_channel(address, credentials, options) as channel:
                    came = self._told.sessions
                    await self._session(uplink_pb2_grpc.UplinkStub(channel))
                    backoff_s = FIRST_S if self._told.sessions > came else backoff_s
            except grpc.aio.AioRpcError as error:
                asked = dict(error.trailing_metadata() or ()).get(PUSHBACK)
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    self._told.refused += 1
                if asked is not None:
                    wait_s = int(asked) / 1000
            except TimeoutError:
                self._told.refused += 1
            self.broken = True
            self._address += 1
            backoff_s = min(2 * backoff_s, MOST_S)
            if not (self.over.is_set() and self.done):
                await asyncio.sleep(wait_s)

    async def _session(self, stub: uplink_pb2_grpc.UplinkStub) -> None:
        call: Any = stub.Session()
        hello = uplink_pb2.Hello(gateway=self.name, boot_id=self.name, version="load")
        hello.heads.add(
            stream=uplink_pb2.TELEMETRY, epoch=self._epoch, first_seq=self._acked + 1
        ).next_seq = self._next
        await call.write(uplink_pb2.FromGateway(hello=hello))
        async with asyncio.timeout(30):
            answer = await call.read()
        if answer is grpc.aio.EOF:
            await call  # raises what ended it
            return
        for committed in answer.welcome.committed:
            self._note(committed.committed_seq)
        self._sent = self._acked
        self._told.sessions += 1
        self._told.came_s.append(time.monotonic())
        self.broken = False
        writing = asyncio.create_task(self._write(call), name="load.write")
        try:
            while (answer := await call.read()) is not grpc.aio.EOF:
                self._told.rejected += len(answer.ack.rejected)
                self._note(answer.ack.committed.committed_seq)
            await call
        finally:
            writing.cancel()
            await asyncio.wait([writing])
            call.cancel()

    async def _write(self, call: Any) -> None:
        while True:
            self._wake.clear()
            ready = [record for record, _ in self._pending if record.seq > self._sent]
            if ready:
                group = uplink_pb2.RecordGroup(records=ready[:64])
                self._sent = group.records[-1].seq
                await call.write(uplink_pb2.FromGateway(records=group))
                continue
            if self.over.is_set() and self.done:
                await call.done_writing()
                return
            await self._wake.wait()

    def _note(self, seq: int) -> None:
        self._acked = max(self._acked, seq)
        now_s = time.monotonic()
        while self._pending and self._pending[0][0].seq <= self._acked:
            _, made_s = self._pending.popleft()
            self._told.acked += 1
            if made_s and not self.broken:
                self._told.waits_ms.append((now_s - made_s) * 1000)
        self._wake.set()

    def end(self) -> None:
        """Make nothing more."""
        self.over.set()
        self._wake.set()

    def made(self) -> int:
        """How many batches it made."""
        return self._next - 2


def _credentials(pki: Path, name: str) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        (pki / "ca.crt").read_bytes(),
        (pki / f"{name}.key").read_bytes(),
        (pki / f"{name}.crt").read_bytes(),
    )


async def work(job: Job) -> Told:
    """Do a job."""
    told, maker = Told(), Maker(job.tags)
    gateways = [Gateway(number, job, told, maker.schema) for number in range(job.count)]
    tasks = [asyncio.create_task(one.run(), name=one.name) for one in gateways]
    ending = asyncio.create_task(asyncio.to_thread(sys.stdin.readline), name="load.stdin")
    while told.sessions < job.count and not ending.done():
        await asyncio.wait((ending,), timeout=0.05)
    _write({"sessions": told.sessions})
    await _make(job, gateways, maker, ending)
    for one in gateways:
        one.end()
    await asyncio.wait(tasks, timeout=job.drain_s)
    for task in tasks:
        task.cancel()
    told.gateways = {one.name: one.made() for one in gateways}
    told.made = sum(told.gateways.values())
    told.acked -= job.count  # the schemas
    return told


async def _make(job: Job, gateways: list[Gateway], maker: Maker, ending: asyncio.Task[str]) -> None:
    clock = asyncio.get_running_loop().time
    began_s = clock()
    turns: list[Iterable[Gateway]] = [gateways[slot::SLOTS] for slot in range(SLOTS)]
    turn = 0
    while not ending.done() and (not job.seconds or clock() < began_s + job.seconds):
        record = maker.batch()
        for one in turns[turn % SLOTS]:
            one.put(record)
        turn += 1
        await asyncio.sleep(max(0.0, began_s + turn * job.period_s / SLOTS - clock()))


def _write(found: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(found)}\n")
    sys.stdout.flush()


def main() -> None:
    """Do the job that the first argument names."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65_536)), hard))
    told = asyncio.run(work(Job(**json.loads(sys.argv[1]))))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    told.cpu_s = usage.ru_utime + usage.ru_stime
    _write(asdict(told))
    import os

    os._exit(0)  # a thread may wait for a line still


if __name__ == "__main__":
    main()
