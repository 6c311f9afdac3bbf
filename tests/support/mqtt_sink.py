"""A consumer of what the MQTT uplink publishes, and a gate before the broker that closes.

The consumer is paho on its own thread, with a session that outlives the broker's restarts. It reads
messages by their own words: the JSON that the README promises.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from forebay.model import Position, Stream
from support.batches import shown
from support.uplink_files import nanoseconds

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 20.0


class Sink:
    """Subscribes to everything at `port`; `with` connects and disconnects it."""

    def __init__(
        self, port: int, topic: str = "#", *, modern: bool = True, mark: str = "sink/mark"
    ) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._topic, self._port, self._mark = topic, port, mark
        self._changed = threading.Condition()
        self._marks = self._connections = 0
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"sink-{port}",
            protocol=MQTTProtocolVersion.MQTTv5 if modern else MQTTProtocolVersion.MQTTv311,
            clean_session=None if modern else False,
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._modern = modern

    def __enter__(self) -> Self:
        more: dict[str, Any] = {}
        if self._modern:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 3600
            more = {"clean_start": False, "properties": properties}
        self._client.connect("127.0.0.1", self._port, keepalive=60, **more)
        self._client.loop_start()
        self.wait(lambda: self._connections > 0, "the sink subscribes")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Wait, on any thread but paho's, until something holds."""
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE_S), f"never: {what}"

    def reconnected(self, before: int) -> None:
        """Wait until it has subscribed again since `connections` was `before`."""
        self.wait(lambda: self._connections > before, "the sink comes back")

    @property
    def connections(self) -> int:
        """How often it has subscribed."""
        return self._connections

    def catch_up(self) -> None:
        """Wait until all that the broker has taken is here: a mark behind it is."""
        with self._changed:
            before = self._marks
        self._client.publish(self._mark, b"", qos=1)
        self.wait(lambda: self._marks > before, "the mark comes")

    def _on_connect(self, client: Any, *_: Any) -> None:
        client.subscribe(self._topic, qos=1)

    def _on_subscribe(self, *_: Any) -> None:
        with self._changed:
            self._connections += 1
            self._changed.notify_all()

    def _on_message(self, client: Any, data: Any, message: paho.MQTTMessage) -> None:
        with self._changed:
            if message.topic == self._mark:
                self._marks += 1
            else:
                self.messages.append((message.topic, bytes(message.payload)))
            self._changed.notify_all()


def samples(messages: list[tuple[str, bytes]]) -> dict[tuple[Position, int], list[Any]]:
    """Give each sample of JSON messages once, as (position, row) -> [tag, value, code, times]."""
    found: dict[tuple[Position, int], list[Any]] = {}
    for _, payload in messages:
        said = json.loads(payload)
        for one in () if "kind" in said else said.get("samples", [said]):
            row = [one["tag"], one["value"], one["code"], nanoseconds(one["time"]),
                   nanoseconds(one["received"])]  # fmt: skip
            key = (where(one), one["row"])
            assert found.setdefault(key, row) == row, f"{key} names two samples"
    return found


def stored(messages: list[tuple[str, bytes]]) -> dict[Position, bytes]:
    """Give the records that samples came of, in the order in which they came first."""
    rows: dict[Position, dict[int, list[Any]]] = defaultdict(dict)
    for (at, row), sample in samples(messages).items():
        rows[at][row] = sample
    return {at: shown([given[row] for row in sorted(given)]) for at, given in rows.items()}


def where(said: dict[str, Any]) -> Position:
    """Give the position that a message names."""
    return Position(Stream(said["stream"]), int(said["epoch"], 16), said["seq"])


class Gate:
    """A proxy before a broker that lets so many PUBLISH packets through, and then nothing more."""

    def __init__(self, port: int) -> None:
        self._broker = port
        self.publishes: int | None = None
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there_reader, there = await asyncio.open_connection("127.0.0.1", self._broker)
        back = asyncio.create_task(self._copy(there_reader, writer), name="gate.back")
        try:
            left = self.publishes
            while True:
                head, packet = await _packet(reader)
                if head >> 4 == 3 and left is not None:
                    if left == 0:
                        await reader.read(-1)
                        return
                    left -= 1
                there.write(packet)
                await there.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            back.cancel()
            for one in (writer, there):
                one.close()
            self._tasks.discard(task)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one control packet (MQTT 5.0, 2.1): its first byte, and all of it."""
    packet = await reader.readexactly(1)
    head, length, shift = packet[0], 0, 0
    while True:
        more = await reader.readexactly(1)
        packet += more
        length |= (more[0] & 0x7F) << shift
        shift += 7
        if more[0] < 0x80:
            return head, packet + await reader.readexactly(length)
