"""An MQTT broker that says what a test wants, to the byte (MQTT 3.1.1, or 5)."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONNACK = b"\x20\x02\x00\x00"
CONNACK_5 = b"\x20\x03\x00\x00\x00"


def publish(topic: bytes, payload: bytes, mid: int) -> bytes:
    """A PUBLISH at QoS 1, shorter than 128 bytes."""
    body = len(topic).to_bytes(2, "big") + topic + mid.to_bytes(2, "big") + payload
    return bytes([0x32, len(body)]) + body


class ScriptedBroker:
    """Answers CONNECT with `connack`, SUBSCRIBE with the codes `granted`, and says what it is told.

    `hello` is the body of the last CONNECT, `heard` are PUBACKs' packet ids.
    """

    def __init__(self, granted: bytes, connack: bytes) -> None:
        self.granted, self.connack = granted, connack
        self.hello = b""
        self.heard: list[int] = []
        self.news = asyncio.Event()
        self.greeted, self.subscribed, self.left = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while True:
                kind, size = await reader.readexactly(2)
                body = await reader.readexactly(size)
                if kind == 0x10:
                    self.hello = body
                    writer.write(self.connack)
                    self.greeted.set()
                elif kind == 0x82:
                    writer.write(bytes([0x90, 2 + len(self.granted)]) + body[:2] + self.granted)
                    self.subscribed.set()
                elif kind == 0x40:
                    self.heard.append(int.from_bytes(body, "big"))
                    self.news.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left.set()
            writer.close()

    def say(self, data: bytes) -> None:
        self._writers[-1].write(data)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def scripted_broker(
    granted: bytes = b"\x01\x01", connack: bytes = CONNACK
) -> AsyncIterator[tuple[ScriptedBroker, int]]:
    """A broker, and its port on 127.0.0.1."""
    scripted = ScriptedBroker(granted, connack)
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    try:
        yield scripted, server.sockets[0].getsockname()[1]
    finally:
        scripted.close()
        server.close()
        await server.wait_closed()
