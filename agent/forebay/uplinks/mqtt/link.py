"""The connection to the broker: aiomqtt without its queue, its waits and its packets of any size.

Owns what aiomqtt 2.5 has no door for, which is why it derives from its client. Must not know
records.

aiomqtt waits for each PUBACK before it publishes again, and collects incoming packets of up to
256 MiB. Here many messages may be on their way, each answered by a callback, and what comes in is
bounded: only commands of a host do.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import aiomqtt
from aiomqtt import MqttError, ProtocolVersion
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from forebay.errors import UplinkUnavailable
from forebay.uplinks.mqtt.faults import CONNECTED, LIBRARY_ERRORS, refused, translate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import paho.mqtt.client as paho
    from paho.mqtt.reasoncodes import ReasonCode

    from forebay.errors import UplinkError
    from forebay.uplinks.mqtt.config import MqttUplinkSettings
    from forebay.uplinks.mqtt.form import Message

MAX_PACKET_BYTES = 256 << 10
"""Larger packets from the broker end the connection; commands are short."""
_GOODBYE_S = 1.0


class TlsSocket(ssl.SSLSocket):
    """A TLS socket that closes itself if the handshake fails, as paho forgets to."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - as its base
        """Shake hands; raises what ssl raises."""
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


class Link(aiomqtt.Client):
    """One connection to one broker.

    Used once: `open`, `listen`, `put` as often as there is `room`, `shut`. `on_ack` is called with
    the number that `put` gave, `on_fault` once when the connection is over, `on_command` with topic
    and payload of what comes in; all on the event loop.
    """

    def __init__(
        self,
        client_id: str,
        settings: MqttUplinkSettings,
        password: str | None,
        tls: ssl.SSLContext | None,
        will: Message | None,
    ) -> None:
        """Prepare; nothing is sent. `will` is what the broker says when we are gone unasked."""
        logger = logging.getLogger("aiomqtt")
        logger.setLevel(logging.CRITICAL)  # all of it comes as UplinkErrors
        modern = settings.version == "5"
        super().__init__(
            settings.host,
            settings.port_used,
            username=settings.username or None,
            password=password,
            logger=logger,
            identifier=client_id,
            protocol=ProtocolVersion.V5 if modern else ProtocolVersion.V311,
            clean_session=None if modern else True,
            clean_start=True if modern else MQTT_CLEAN_START_FIRST_ONLY,
            timeout=settings.timeout,
            keepalive=settings.keepalive,
            properties=_properties() if modern else None,
            tls_context=tls,
            will=aiomqtt.Will(will.topic, will.payload, qos=1) if will else None,
        )
        self._client.connect_timeout = settings.timeout
        self._client.max_inflight_messages_set(0)  # `room` bounds them
        self._settings = settings
        self._most = settings.max_inflight
        self._topics: dict[int, str] = {}
        self._entering: asyncio.Task[Any] | None = None
        self._abandoned = False
        self._room = asyncio.Event()
        self._room.set()
        self.max_packet_bytes = 0
        """What the broker takes at most in one packet; 0 if it does not say."""
        self.fault: UplinkError | None = None
        self.on_ack: Callable[[int], None] = _ignore
        self.on_fault: Callable[[], None] = _ignore
        self.on_command: Callable[[str, bytes], None] = _ignore

    async def open(self) -> None:
        """Connect and log in. Raises UplinkErrors. Cancelling leaves it to `shut` to clean up."""
        name = f"mqtt[{self.identifier}].connect"
        self._entering = asyncio.create_task(self.__aenter__(), name=name)
        try:
            await asyncio.shield(self._entering)
        except LIBRARY_ERRORS as error:
            raise translate(error, f"connecting to {self._hostname}:{self._port}") from error
        self._disconnected.add_done_callback(lambda _: self.fail(self._reason()))

    @property
    def ready(self) -> bool:
        """Whether the broker has taken us in and nothing has failed since."""
        connected = self._connected.done() and not self._connected.cancelled()
        return connected and self._connected.exception() is None and self.fault is None

    async def listen(self, topics: Sequence[str]) -> None:
        """Subscribe at QoS 1. Raises UplinkErrors, also if the broker refuses."""
        for topic in topics:
            try:
                codes = await self.subscribe(topic, qos=1)
            except LIBRARY_ERRORS as error:
                raise translate(error, f"subscribing to {topic}") from error
            values = [code if isinstance(code, int) else code.value for code in codes]
            if any(value >= 0x80 for value in values):
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

    async def quiet(self) -> None:
        """Wait a moment until every message has its PUBACK, or the connection is over.

        A socket that is closed with an answer unread may take back what was sent last: the broker
        would miss the goodbye.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                while self.fault is None and self._topics:
                    self._room.clear()
                    await self._room.wait()

    def put(self, message: Message) -> int:
        """Hand over a message at QoS 1; give its number. Raises UplinkErrors."""
        if self.fault is not None:
            raise self.fault
        try:
            info = self._client.publish(message.topic, message.payload, 1)
        except LIBRARY_ERRORS as error:
            raise translate(error, f"publishing to {message.topic}") from error
        if info.rc != 0:
            self.fail(translate(aiomqtt.MqttCodeError(info.rc), "publishing"))
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

    async def shut(self) -> None:
        """Say goodbye if anybody hears it, and leave no socket, reader or task; never raises."""
        if self._entering is not None and not self._entering.done():
            self._abandoned = True  # a thread still connects: it cleans up after itself
            self._entering.cancel()
            await asyncio.wait([self._entering])
        elif self._entering is not None and self._entering.exception() is None:
            try:
                async with asyncio.timeout(_GOODBYE_S):
                    await self.__aexit__(None, None, None)
            except LIBRARY_ERRORS:
                pass  # it is gone, or behaves as if it were
        self._client._sock_close()  # noqa: SLF001 - the only end that needs no answer
        if self._misc_task is not None:
            self._misc_task.cancel()
            await asyncio.wait([self._misc_task])
        for future in (self._connected, self._disconnected):
            if future.done() and not future.cancelled():
                future.exception()  # seen, so that the loop does not complain

    def _reason(self) -> UplinkError:
        error = None if self._disconnected.cancelled() else self._disconnected.exception()
        known = isinstance(error, LIBRARY_ERRORS)
        return translate(error if known else MqttError("the connection ended"), CONNECTED)  # type: ignore[arg-type]

    # --- what aiomqtt calls -----------------------------------------------------------------------

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
        elif self.fault is None:
            self._room.set()
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
            self.fail(_too_large(len(message.payload)))
        else:
            self.on_command(topic, bytes(message.payload))

    def _on_socket_open(self, client: paho.Client, userdata: Any, sock: Any) -> None:  # noqa: ANN401 - paho's signature
        """Register the socket, with a reader that bounds packets. Called in aiomqtt's thread."""
        if self._abandoned:
            return
        super()._on_socket_open(client, userdata, sock)
        self._loop.call_soon_threadsafe(self._watch, sock)

    def _on_socket_close(self, client: paho.Client, userdata: Any, sock: Any) -> None:  # noqa: ANN401 - paho's signature
        """Unregister the socket, unless it never was registered."""
        if not self._abandoned or self._misc_task is not None:
            super()._on_socket_close(client, userdata, sock)

    def _client_connect(self) -> None:
        """Connect, in a thread; close again what nobody waits for any more."""
        super()._client_connect()
        if self._abandoned and self._misc_task is None:
            self._client._sock_close()  # noqa: SLF001 - see `shut`

    def _watch(self, sock: Any) -> None:  # noqa: ANN401 - a socket or TLS socket
        """Take the place of aiomqtt's reader, if the socket is still open."""
        if sock.fileno() > -1:
            self._loop.add_reader(sock.fileno(), self._read, sock)

    def _read(self, sock: Any) -> None:  # noqa: ANN401 - a socket or TLS socket
        """Let paho read, and stop it before it collects a packet of any size."""
        while sock.fileno() > -1:
            try:
                self._client.loop_read()  # as many packets at most as wait for an answer
            except LIBRARY_ERRORS as error:
                if not self._disconnected.done():
                    self._disconnected.set_exception(error)
                return
            announced = self._client._in_packet["remaining_length"]  # noqa: SLF001 - known nowhere else
            if announced > MAX_PACKET_BYTES:
                self.fail(_too_large(announced))
                self._client._sock_close()  # noqa: SLF001 - see `shut`
                return
            if not isinstance(sock, ssl.SSLSocket) or sock.fileno() < 0 or not sock.pending():
                return


def _ignore(*_: object) -> None:
    """Hear nothing."""


def _too_large(announced_bytes: int) -> UplinkUnavailable:
    return UplinkUnavailable(
        f"the broker sends a packet of {announced_bytes} bytes",
        hint="see who sends commands to this gateway",
    )


def _properties() -> Properties:
    """Give what version 5 lets us ask of the broker (MQTT 5.0, 3.1.2.11)."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = MAX_PACKET_BYTES
    return properties
