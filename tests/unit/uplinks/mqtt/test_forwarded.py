"""The MQTT uplink behind a real forwarder: a silent broker, and a broker that comes back."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from forebay.forwarding.forwarder import Forwarder
from forebay.journal.journal import Journal, JournalLimits
from forebay.uplinks.mqtt import SPEC
from forebay.uplinks.mqtt.config import MqttUplinkSettings
from support.batches import batch_entry, batch_record, dense, schema_record
from support.forwarding import make_seams, running, until
from support.memory_journal import MemoryJournal
from support.mosquitto import Mosquitto
from support.mqtt_sink import Sink, samples, stored
from support.seams import system_seams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LIMITS = JournalLimits(
    max_bytes=64 << 20, max_age_s=86_400, segment_bytes=1 << 20, ring_bytes=8 << 20
)


async def test_a_silent_broker_is_left_and_gets_everything_in_the_end(
    mosquitto_binary: Path, tmp_path: Path
) -> None:
    records = [schema_record(1), *(batch_record(seq, dense(4, seq)) for seq in range(2, 60))]
    journal = MemoryJournal(*records[:20])
    async with Mosquitto(mosquitto_binary, tmp_path) as broker:
        sink = Sink(broker.port)
        await asyncio.to_thread(sink.__enter__)
        settings = MqttUplinkSettings.model_validate(
            {"kind": "mqtt", "host": "127.0.0.1", "port": broker.port, "tls": False,
             "keepalive": 600, "ack_deadline": 1.0, "timeout": 1.0,
             "backoff": {"first": 0.05, "most": 0.2}}
        )  # fmt: skip
        seams = system_seams()
        uplink = SPEC.build("broker", settings, seams)
        forwarder = Forwarder("broker", uplink, settings, journal, "gateway-1", seams)
        async with running(forwarder):
            await until(lambda: forwarder.status().records_acked >= 20)
            broker.freeze()
            journal.append(*records[20:])
            await until(lambda: forwarder.status().state != "connected")
            await until(lambda: forwarder.status().last_error)
            assert forwarder.status().last_hint
            broker.thaw()
            await until(lambda: forwarder.status().pending_records == 0)
        await asyncio.to_thread(sink.catch_up)
        await asyncio.to_thread(sink.__exit__)
    assert {at.seq for at in stored(sink.messages)} == set(range(2, 60))


@asynccontextmanager
async def forwarded(
    directory: Path, port: int, first: int
) -> AsyncIterator[tuple[Journal, Forwarder]]:
    """One run of a gateway whose backlog waits for hours; it begins with the batch `first`."""
    far = datetime.now().astimezone() + timedelta(hours=6)
    settings = MqttUplinkSettings.model_validate(
        {"kind": "mqtt", "host": "127.0.0.1", "port": port, "tls": False,
         "backoff": {"first": 0.05, "most": 0.4}, "topic": "plant/{device}",
         "backfill": {"after": "30 s", "windows": [f"{far:%H}:00-{far:%H}:01"]}}
    )  # fmt: skip
    seams = make_seams()
    async with Journal(directory, LIMITS, seams) as journal:
        await journal.submit([batch_entry(dense(4, first))])
        uplink = SPEC.build("broker", settings, seams)
        forwarder = Forwarder("broker", uplink, settings, journal, "gateway-1", seams)
        async with running(forwarder):
            yield journal, forwarder


async def test_what_was_acknowledged_beyond_a_backlog_does_not_come_again(
    mosquitto_binary: Path, tmp_path: Path
) -> None:
    """Not after a lost connection, nor after a restart of the gateway."""
    directory = tmp_path / "journal"
    async with Journal(directory, LIMITS, make_seams()) as journal:
        await journal.submit([batch_entry(dense(4, seq)) for seq in range(1, 11)])
    async with Mosquitto(mosquitto_binary, tmp_path, ["allow_anonymous true"]) as broker:
        sink = Sink(broker.port)
        await asyncio.to_thread(sink.__enter__)
        async with forwarded(directory, broker.port, 50) as (journal, forwarder):
            await until(lambda: forwarder.status().held)
            for seq in range(51, 101):
                await journal.submit([batch_entry(dense(4, seq))])
            await until(lambda: forwarder.status().live_records == 0)
            sent, sessions = forwarder.status().records_sent, forwarder.status().sessions
            backlog = forwarder.status().pending_records
            assert (sent, backlog) == (50, 13), "each run begins with a schema"
            before = sink.connections
            await broker.kill()
            await broker.start()
            await asyncio.to_thread(sink.reconnected, before)
            await until(lambda: forwarder.status().sessions > sessions)
            await until(lambda: forwarder.status().state == "connected")
            await journal.submit([batch_entry(dense(4, 101))])
            await until(lambda: forwarder.status().records_sent > sent)
            await until(lambda: forwarder.status().live_records == 0)
            assert forwarder.status().records_sent == sent + 1
            assert forwarder.status().pending_records == backlog
        async with forwarded(directory, broker.port, 102) as (journal, forwarder):
            await until(lambda: forwarder.status().held)
            await journal.submit([batch_entry(dense(4, 103))])
            await until(lambda: forwarder.status().records_sent)
            await until(lambda: forwarder.status().live_records == 0)
            late = forwarder.status().pending_records - backlog
            assert late == 2, "what was there when the session began: a schema and a batch"
        await asyncio.to_thread(sink.catch_up)
        await asyncio.to_thread(sink.__exit__)
    data = [said for said in sink.messages if said[0].startswith("plant/")]
    assert len(data) == len(stored(data)) == len(set(data))
    assert len(samples(data)) == 32 * len(data)


async def test_the_status_says_that_nobody_listens(mosquitto_binary: Path, tmp_path: Path) -> None:
    async with (
        Mosquitto(mosquitto_binary, tmp_path, ["allow_anonymous true"]) as broker,
        forwarded(tmp_path / "journal", broker.port, 1) as (_, forwarder),
    ):
        await until(lambda: forwarder.status().unheard_messages == 1)
