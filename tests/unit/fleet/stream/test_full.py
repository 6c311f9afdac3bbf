"""A stream without room: boxes keep what it does not take, and what was acked is not missing."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from forebay_fleet._proto import uplink_pb2
from forebay_fleet.errors import StoreError
from forebay_fleet.ingest import SessionEnded
from forebay_fleet.limits import Limits
from forebay_fleet.stream.connecting import open_line
from forebay_fleet.stream.naming import STREAM
from forebay_fleet.stream.publishing import StreamIntake
from forebay_fleet.stream.working import ALIVE, WorkerSettings, work
from support.fleet import record
from support.fleet_ingest import EPOCH
from support.jetstream import Cluster
from support.scaled import greeted

if TYPE_CHECKING:
    from pathlib import Path

    from forebay_fleet.intake import Taker
    from support.postgres import Postgres

ROOM_BYTES = 300_000
RECORD_BYTES = 50_000


def hello(next_seq: int) -> uplink_pb2.Hello:
    made = uplink_pb2.Hello(gateway="press", boot_id="boot", session=1)
    made.heads.add(stream=uplink_pb2.TELEMETRY, epoch=EPOCH, first_seq=1, next_seq=next_seq)
    return made


async def fill(taker: Taker, told: list[int]) -> None:
    """Send more than there is room for; note what each ack covers."""
    for seq in range(1, 2 * ROOM_BYTES // RECORD_BYTES):
        one = record(seq, uplink_pb2.RECORD_KIND_UNSPECIFIED, bytes(RECORD_BYTES))
        (ack,) = await (await taker.take([one], RECORD_BYTES, twin=False))
        told.append(ack.committed.committed_seq)


async def test_a_full_stream_ends_the_session_and_forgets_nothing(
    tmp_path: Path, postgres: Postgres
) -> None:
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(Cluster(tmp_path / "nats"))
        line = await open_line(stack, cluster.settings)
        config = (await line.stream.stream_info(STREAM)).config
        await line.stream.update_stream(replace(config, max_bytes=ROOM_BYTES))
        intake = await stack.enter_async_context(StreamIntake(line, Limits(), time.time_ns))
        settings = WorkerSettings(postgres.site(tmp_path / "data"), cluster.settings)
        stopping = asyncio.Event()
        worker = asyncio.create_task(work(settings, stopping, lambda: None))
        taker, _ = await greeted(intake, hello(1))
        stopping.set()
        await worker
        assert (settings.data / ALIVE).exists()
        told: list[int] = []
        with pytest.raises(SessionEnded, match="full") as ended:
            await fill(taker, told)
        acked = told[-1]
        assert ended.value.status == "UNAVAILABLE"
        await taker.close()
        assert acked * RECORD_BYTES < ROOM_BYTES
        stopping.clear()
        worker = asyncio.create_task(work(settings, stopping, lambda: None))
        again, welcome = await greeted(intake, hello(acked + 2))
        assert welcome.committed[0].committed_seq == acked
        await again.close()
        stopping.set()
        await worker


async def test_a_stream_on_fewer_servers_than_asked_for_is_refused(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(Cluster(tmp_path / "nats"))
        line = await open_line(stack, cluster.settings)
        config = (await line.stream.stream_info(STREAM)).config
        assert config.num_replicas == 3
        await line.stream.update_stream(replace(config, num_replicas=1))
        with pytest.raises(StoreError, match="is on 1 servers, and 3 are asked for"):
            await open_line(stack, cluster.settings)
        await open_line(stack, replace(cluster.settings, replicas=1))
