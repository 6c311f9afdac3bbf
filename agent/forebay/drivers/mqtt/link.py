"""The connection to the broker: with our acknowledgement, and a bounded inbox.

Owns when a message is taken and when it is acknowledged. Must not know tags.

aiomqtt acknowledges a message when it has queued it, and throws away what finds the queue full.
Here nothing is acknowledged before `ack`, and a full inbox stops reading, so that the broker keeps
what we cannot take.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from forebay.clock import stamp
from forebay.drivers.mqtt.faults import translate
from forebay.drivers.mqtt.routes import Message
from forebay.errors import DeviceUnreachable
from forebay.model import Quality
from forebay.mqttclient.client import Client, Opening
from forebay.mqttclient.faults import LIBRARY_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import paho.mqtt.client as paho

    from forebay.clock import Clock
    from forebay.drivers.mqtt.config import MqttSettings
    from forebay.errors import DeviceError
    from forebay.mqttclient.credentials import Credentials

MAX_PACKET_BYTES = 17 << 20
"""Larger packets end the connection: paho would collect up to 256 MiB before it shows one."""
INBOX_MESSAGES = 2000
INBOX_BYTES = 32 << 20
"""When so much waits, the socket is read no further until there is room."""
_UNACKNOWLEDGED = 500
"""How many messages a broker that speaks version 5 sends ahead of our acknowledgements."""
_TOPICS_AT_ONCE = 100


class Link(Client):
    """One connection to one broker.

    Used once: `open`, `subscribe_all`, `receive` and `ack`, `shut`.
    """

    def __init__(
        self, device: str, settings: MqttSettings, credentials: Credentials, clock: Clock
    ) -> None:
        """Prepare; nothing is sent."""
        asks = {"ReceiveMaximum": _UNACKNOWLEDGED}
        if not settings.clean_session:
            asks["SessionExpiryInterval"] = int(settings.session_expiry)
        opening = Opening(
            settings.client_id or f"forebay-{device}",
            settings.timeout,
            MAX_PACKET_BYTES,
            clean=settings.clean_session,
            asks=asks,
        )
        super().__init__(settings, credentials, opening, translate)
        self._client.manual_ack_set(on=True)
        self._clock, self._qos, self._max_payload = clock, settings.qos, settings.max_payload
        self._again = settings.qos > 0 and not settings.clean_session
        self._inbox: deque[Message] = deque(maxlen=INBOX_MESSAGES + 1)
        self._inbox_bytes = 0
        self._paused: Any = None
        self._fault: DeviceError | None = None
        self._arrived = asyncio.Event()

    async def subscribe_all(self, topics: Sequence[str]) -> list[str]:
        """Subscribe, and give the topics that the broker refused. Raises DeviceErrors."""
        refused: list[str] = []
        for start in range(0, len(topics), _TOPICS_AT_ONCE):
            piece = topics[start : start + _TOPICS_AT_ONCE]
            refused += await self.refusals(piece, self._qos, "subscribing")
        return refused

    async def receive(self, most: int) -> list[Message]:
        """Wait for messages and give what has come, in order, at most `most`.

        Raises DeviceErrors.
        """
        while True:
            if self._fault is not None or self._disconnected.done():
                if self._again:
                    self._inbox.clear()  # the broker sends them again: do not journal them twice
                if not self._inbox:
                    raise self._fault or translate(self.reason, "listening")
            if self._inbox:
                count = min(most, len(self._inbox))
                taken = [self._inbox.popleft() for _ in range(count)]
                self._inbox_bytes -= sum(len(m.payload or b"") for m in taken)
                self._resume()
                return taken
            self._arrived.clear()
            await self._arrived.wait()

    def ack(self, messages: Iterable[Message]) -> None:
        """Acknowledge `messages`, for which somebody answers now."""
        for message in messages:
            if message.mid:
                self._client.ack(message.mid, 1)

    async def forget(self, topics: Iterable[str]) -> None:
        """End subscriptions that the broker has kept from an earlier tag list."""
        for topic in topics:
            try:
                await self.unsubscribe(topic)
            except LIBRARY_ERRORS as error:
                raise translate(error, "unsubscribing") from error

    # --- what the client calls --------------------------------------------------------------------

    def ended(self) -> None:
        """See `Client.ended`."""
        self._arrived.set()

    def too_large(self, announced_bytes: int) -> None:
        """See `Client.too_large`."""
        self._fault = DeviceUnreachable(
            f"the broker sends a packet of {announced_bytes} bytes",
            hint="limit the size of messages at the broker",
            status=Quality.BAD_COMMUNICATION_ERROR,
        )
        self._arrived.set()

    def full(self, sock: Any) -> bool:  # noqa: ANN401 - a socket or TLS socket
        """See `Client.full`: what we cannot take stays at the broker."""
        if not self._full:
            return False
        self._loop.remove_reader(sock.fileno())
        self._paused = sock
        return True

    def _on_message(
        self,
        client: paho.Client,  # noqa: ARG002 - paho's signature
        userdata: Any,  # noqa: ANN401, ARG002 - paho's signature
        message: paho.MQTTMessage,
    ) -> None:
        """Keep the message until it is asked for."""
        payload: bytes | None = bytes(message.payload)
        if payload is not None and len(payload) > self._max_payload:
            payload = None
        self._inbox_bytes += len(payload or b"")
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        mid = message.mid if message.qos else 0
        received = stamp(self._clock)
        self._inbox.append(Message(topic, payload, bool(message.retain), mid, received))
        self._arrived.set()

    @property
    def _full(self) -> bool:
        return len(self._inbox) >= INBOX_MESSAGES or self._inbox_bytes >= INBOX_BYTES

    def _resume(self) -> None:
        """Read on if the inbox was full and has room again."""
        sock, room = self._paused, len(self._inbox) <= INBOX_MESSAGES // 2
        if sock is None or not room or self._full:
            return
        self._paused = None
        if sock.fileno() > -1:
            self._loop.add_reader(sock.fileno(), self.read, sock)
            self._loop.call_soon(self.read, sock)  # TLS may hold bytes that no reader hears of
