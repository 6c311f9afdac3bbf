"""The MQTT uplink behind a real forwarder: a silent broker, and a broker that comes back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from forebay.forwarding.forwarder import Forwarder
from forebay.uplinks.mqtt import SPEC
from forebay.uplinks.mqtt.config import MqttUplinkSettings
from support.batches import batch_record, dense, schema_record
from support.forwarding import running, until
from support.memory_journal import MemoryJournal
from support.mosquitto import Mosquitto
from support.mqtt_sink import Sink, stored
from support.seams import system_seams

if TYPE_CHECKING:
    from pathlib import Path


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
