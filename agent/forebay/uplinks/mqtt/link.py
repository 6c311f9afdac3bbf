"""The connection to the broker: many messages on their way, each answered by a callback.

Owns how many may be, and what a broker's bounds mean for them. Must not know records.

Left alone, aiomqtt waits for each PUBACK before it publishes again. What comes in is little: only
commands of a host do.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aiomqtt import MqttCodeError

from forebay.errors import UplinkUnavailable
from forebay.mqttclient.client import Client, Opening
from forebay.mqttclient.faults import LIBRARY_ERRORS
from forebay.uplinks.mqtt.faults import CONNECTED, NO_MATCHING_SUBSCRIBERS, refused, translate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import paho.mqtt.client as paho
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

    from forebay.errors import UplinkError
    from forebay.mqttclient.credentials import Credentials
    from forebay.uplinks.mqtt.config import MqttUplinkSettings
    from forebay.uplinks.mqtt.form import Message

MAX_PACKET_BYTES = 256 << 10
"""Larger packets from the broker end the connection; commands are short."""
_GOODBYE_S = 1.0


class Link(Client):
    """One connection to one broker.

    Used once: `open`, `listen`, `put` as often as there is `room`, `shut`. `on_ack` is called with
    the number that `put` gave, `on_fault` once when the connection is over, `on_command` with topic
    and payload of what comes in, `on_unheard` with the topic of a message that the broker took and
    that nobody subscribes to; all on the event loop.
    """

    def __init__(
        self,
        client_id: str,
        settings: MqttUplinkSettings,
        credentials: Credentials,
        will: Message | None,
    ) -> None:
        """Prepare; nothing is sent. `will` is what the broker says when we are gone unasked."""
        opening = Opening(client_id, settings.timeout, MAX_PACKET_BYTES, will=will)
        super().__init__(settings, credentials, opening, translate)
        self._client.max_inflight_messages_set(0)  # `room` bounds them
        self._settings = settings
        self._most = settings.max_inflight
        self._topics: dict[int, str] = {}
        self._room = asyncio.Event()
        self._room.set()
        self.max_packet_bytes = 0
        """What the broker takes at most in one packet; 0 if it does not say."""
        self.fault: UplinkError | None = None
        self.on_ack: Callable[[int], None] = _ignore
        self.on_fault: Callable[[], None] = _ignore
        self.on_command: Callable[[str, bytes], None] = _ignore
        self.on_unheard: Callable[[str], None] = _ignore

    async def listen(self, topics: Sequence[str]) -> None:
        """Subscribe at QoS 1. Raises UplinkErrors, also if the broker refuses."""
        for topic in topics:
            if await self.refusals([topic], 1, f"subscribing to {topic}"):
                raise UplinkUnavailable(
                    f"the broker refused to subscribe to {topic}",
                    hint="let the user of this uplink read that topic",
                )

    async def room(self) -> None:
        """Wait until one message more may be on its way. Raises UplinkErrors."""
        while self.fault is None and len(self._topics) >= self._most:
            self._room.clear()
            await self._room.wait()
        if self.fault is not None:
            raise self.fault

    async def leave(self, goodbye: Sequence[Message]) -> None:
        """Say `goodbye`, whatever else has failed, and wait a moment until the broker has it.

        If it has not, the connection is cut, so that the broker says the will: it throws that away
        with an orderly leave. All other messages get their PUBACKs meanwhile too, or the socket
        would be closed with answers unread, which may take back what was sent last.
        """
        connected = self.ready and self._client.socket() is not None
        if not connected or (self.fault is not None and not goodbye):
            return
        for message in goodbye:
            with suppress(*LIBRARY_ERRORS):
                info = self._client.publish(message.topic, message.payload, 1)
                self._topics[info.mid] = message.topic
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                while self._topics and self._client.socket() is not None:
                    self._room.clear()
                    await self._room.wait()
        if goodbye and self._topics:
            self.cut()

    def put(self, message: Message) -> int:
        """Hand over a message at QoS 1; give its number. Raises UplinkErrors."""
        if self.fault is not None:
            raise self.fault
        try:
            info = self._client.publish(message.topic, message.payload, 1)
        except LIBRARY_ERRORS as error:
            raise translate(error, f"publishing to {message.topic}") from error
        if info.rc != 0:
            self.fail(translate(MqttCodeError(info.rc), "publishing"))
            assert self.fault is not None, "it was just told"
            raise self.fault
        self._topics[info.mid] = message.topic
        return info.mid

    def fail(self, fault: UplinkError) -> None:
        """End the session's use of this connection; the first fault counts."""
        if self.fault is None:
            self.fault = fault
            self._room.set()
            self.on_fault()

    # --- what the client calls --------------------------------------------------------------------

    def ended(self) -> None:
        """See `Client.ended`."""
        self.fail(translate(self.reason, CONNECTED))

    def too_large(self, announced_bytes: int) -> None:
        """See `Client.too_large`."""
        self.fail(
            UplinkUnavailable(
                f"the broker sends a packet of {announced_bytes} bytes",
                hint="see who sends commands to this gateway",
            )
        )

    def _on_connect(
        self,
        client: paho.Client,
        userdata: Any,  # noqa: ANN401 - paho's signature
        flags: Any,  # noqa: ANN401 - paho's signature
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        """Take over what the broker bounds us to (MQTT 5.0, 3.2.2.3)."""
        receive_maximum = getattr(properties, "ReceiveMaximum", None)
        if receive_maximum:
            self._most = min(self._most, receive_maximum)
        self.max_packet_bytes = getattr(properties, "MaximumPacketSize", 0)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_publish(
        self,
        client: paho.Client,  # noqa: ARG002 - paho's signature
        userdata: Any,  # noqa: ANN401, ARG002 - paho's signature
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,  # noqa: ARG002 - paho's signature
    ) -> None:
        """Tell of a PUBACK."""
        topic = self._topics.pop(mid, "")
        fault = refused(reason_code.value, topic, needs_listener=self._settings.needs_listener)
        if fault is not None:
            self.fail(fault)
        elif reason_code.value == NO_MATCHING_SUBSCRIBERS:
            self.on_unheard(topic)
        self._room.set()
        if self.fault is None:
            self.on_ack(mid)

    def _on_message(
        self,
        client: paho.Client,  # noqa: ARG002 - paho's signature
        userdata: Any,  # noqa: ANN401, ARG002 - paho's signature
        message: paho.MQTTMessage,
    ) -> None:
        """Tell of a command, unless it is too large to be one."""
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        if len(message.payload) > MAX_PACKET_BYTES:
            self.too_large(len(message.payload))
        else:
            self.on_command(topic, bytes(message.payload))


def _ignore(*_: object) -> None:
    """Hear nothing."""
