"""Records through a real JetStream to a worker and PostgreSQL, and what the box is told."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
import pytest_asyncio

from forebay_fleet._proto import ingest_pb2, uplink_pb2
from forebay_fleet.audit import verify
from forebay_fleet.db import place
from forebay_fleet.ingest import SessionEnded
from forebay_fleet.limits import Limits
from forebay_fleet.store.reader import StoreReader
from forebay_fleet.stream import publishing
from forebay_fleet.stream.connecting import open_line
from forebay_fleet.stream.naming import MAX_PARCEL_BYTES, WORKERS
from forebay_fleet.stream.publishing import StreamIntake
from forebay_fleet.stream.working import WorkerSettings, work
from support.fleet import anchor, record
from support.fleet_ingest import EPOCH, batch, codes, schema
from support.jetstream import Cluster
from support.scaled import greeted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from forebay_fleet.intake import Taker
    from support.postgres import Postgres

LIMITS = Limits(max_gateways=3)
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path_factory.mktemp("stream") / "nats") as running:
        yield running


def hello(next_seq: int, name: str = "press") -> uplink_pb2.Hello:
    made = uplink_pb2.Hello(gateway=name, boot_id="boot", session=1)
    made.heads.add(stream=uplink_pb2.TELEMETRY, epoch=EPOCH, first_seq=1, next_seq=next_seq)
    return made


def many_heads() -> uplink_pb2.Hello:
    made = hello(1, "g0")
    for epoch in range(LIMITS.max_heads):
        made.heads.add(stream=1, epoch=EPOCH + epoch, first_seq=1, next_seq=2)
    return made


async def sent(taker: Taker, *records: uplink_pb2.Record) -> uplink_pb2.Ack:
    (ack,) = await (await taker.take(records, 1_000, twin=False))
    return ack


async def without_end(taker: Taker) -> None:
    while True:
        await sent(taker, anchor(9))


@asynccontextmanager
async def intake(cluster: Cluster) -> AsyncIterator[StreamIntake]:
    async with AsyncExitStack() as stack:
        line = await open_line(stack, cluster.settings)
        yield await stack.enter_async_context(StreamIntake(line, LIMITS, time.time_ns))


@asynccontextmanager
async def worker(cluster: Cluster, data: Path) -> AsyncIterator[None]:
    stopping, ready = asyncio.Event(), asyncio.Event()
    settings = WorkerSettings(data, cluster.settings, LIMITS)
    task = asyncio.create_task(work(settings, stopping, ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        yield
    finally:
        stopping.set()
        await task


def aside(data: Path) -> list[tuple[int, str]]:
    with psycopg.connect(place.address(data) or "") as connection:
        return connection.execute(
            "SELECT seq, code FROM forebay_store.aside ORDER BY seq"
        ).fetchall()


async def test_a_worker_welcomes_behind_all_that_was_taken(
    tmp_path: Path, postgres: Postgres, cluster: Cluster
) -> None:
    data = postgres.site(tmp_path / "data")
    async with intake(cluster) as one:
        async with worker(cluster, data), intake(cluster) as two:
            taker, welcome = await greeted(one, hello(1))
            assert welcome.incarnation
            assert not welcome.committed
            ack = await sent(taker, schema(1), batch(2, 3), anchor(4))
            assert ack.committed.committed_seq == 2
            # Of the same box, by another process, at once: nothing that was acked is missing.
            again, welcome = await two.greet(hello(5))
            (line,) = welcome.committed
            assert line.committed_seq == 2
            assert [(run.first_seq, run.last_seq) for run in line.islands] == [(4, 4)]
            assert (await sent(again, anchor(3), anchor(4))).committed.committed_seq == 4
            # What only the store can refuse was acked: it is kept with its bytes.
            wrong = batch(5, 4)
            wrong.samples = 9
            forked = anchor(3, salt=1)
            assert codes(await sent(again, forked, wrong, anchor(6))) == []
            # What needs no store is refused at once, and accounted for.
            ack = await sent(again, record(7, uplink_pb2.BATCH, b"\xff"))
            assert codes(ack) == [(7, "BadDecodingError", True)]
            await taker.close()
            await again.close()
            last, welcome = await one.greet(hello(8))
            await last.close()
            assert welcome.committed[0].committed_seq == 7
        # No worker is there now: records are taken all the same, and committed later.
        with StoreReader(data) as reader:
            assert verify(reader).problems == []
            (row,) = reader.lines()
            assert (row.records, row.samples, row.duplicates) == (5, 3, 1)
            assert (row.forks, row.rejections) == (1, 2)
        assert aside(data) == [(3, "Forked"), (5, "BadDecodingError")]


async def test_without_a_worker_records_are_taken_but_nobody_is_welcomed(
    tmp_path: Path, postgres: Postgres, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = postgres.site(tmp_path / "data")
    async with intake(cluster) as one:
        async with worker(cluster, data):
            taker, _ = await greeted(one, hello(1))
        await sent(taker, *(anchor(seq) for seq in range(1, 4)))
        assert await cluster.waiting() == 1
        with monkeypatch.context() as patched:
            patched.setattr(publishing, "GREET_S", 0.5)
            with pytest.raises(SessionEnded, match="no worker") as ended:
                await one.greet(hello(4))
        assert ended.value.status == "UNAVAILABLE"
        async with worker(cluster, data):
            later, welcome = await greeted(one, hello(4))
            assert welcome.committed[0].committed_seq == 3
            await later.close()
            # A store that was put back: sessions of before must end.
            present = ingest_pb2.Present(worker="w", incarnation="another")
            async with AsyncExitStack() as stack:
                line = await open_line(stack, cluster.settings)
                await line.client.publish(WORKERS, present.SerializeToString())
                await line.client.flush()
            with pytest.raises(SessionEnded, match="put back"):
                await without_end(taker)
        await taker.close()


async def test_gateways_are_bounded_and_a_second_boot_is_an_alarm(
    tmp_path: Path, postgres: Postgres, cluster: Cluster
) -> None:
    data = postgres.site(tmp_path / "data")
    async with intake(cluster) as one, worker(cluster, data):
        takers = [(await greeted(one, hello(1, f"g{number}")))[0] for number in range(3)]
        with pytest.raises(SessionEnded, match="no more gateways"):
            await one.greet(hello(1, "one-too-many"))
        other = hello(1, "g0")
        other.boot_id = "another"
        newer, _ = await one.greet(other)
        await sent(takers[0], anchor(1))
        one.now_ns = lambda: time.time_ns() + 60 * 10**9
        await sent(takers[0], anchor(2))
        other.version = "x" * 2 * MAX_PARCEL_BYTES  # no message takes it: what counts of it does
        last, _ = await one.greet(other)
        with pytest.raises(SessionEnded, match="heads"):
            await one.greet(many_heads())
        large = ingest_pb2.Parcel(gateway="g0", boot_id="x" * MAX_PARCEL_BYTES)
        with pytest.raises(SessionEnded, match="no message takes so much"):
            await one.parcels.put(large)
        with StoreReader(data) as reader:
            assert [row.twins for row in reader.gateways()] == [1, 0, 0]
        for taker in (*takers, newer, last):
            await taker.close()
