"""The connection to the broker: aiomqtt with our acknowledgement, a bounded inbox and a clean end.

Owns what aiomqtt 2.5 has no door for, which is why it derives from its client. Must not know tags.

aiomqtt acknowledges a message when it has queued it, and throws away what finds the queue full.
Here nothing is acknowledged before `ack`, and a full inbox stops reading, so that the broker keeps
what we cannot take.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from typing import TYPE_CHECKING, Any

import aiomqtt
from aiomqtt import MqttError, ProtocolVersion
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from forebay.drivers.mqtt.faults import LIBRARY_ERRORS, translate
from forebay.drivers.mqtt.routes import Message
from forebay.errors import DeviceUnreachable
from forebay.model import Quality

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import paho.mqtt.client as paho

    from forebay.clock import Clock
    from forebay.drivers.mqtt.config import MqttSettings
    from forebay.errors import DeviceError

MAX_PACKET_BYTES = 17 << 20
"""Larger packets end the connection: paho would collect up to 256 MiB before it shows one."""
INBOX_MESSAGES = 2000
INBOX_BYTES = 32 << 20
"""When so much waits, the socket is read no further until there is room."""
_UNACKNOWLEDGED = 500
"""How many messages a broker that speaks version 5 sends ahead of our acknowledgements."""
_TOPICS_AT_ONCE = 100
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

    Used once: `open`, `subscribe_all`, `receive` and `ack`, `shut`.
    """

    def __init__(
        self,
        device: str,
        settings: MqttSettings,
        password: str | None,
        tls: ssl.SSLContext | None,
        clock: Clock,
    ) -> None:
        """Prepare; nothing is sent."""
        logger = logging.getLogger("aiomqtt")
        logger.setLevel(logging.CRITICAL)  # all of it comes as DeviceErrors
        modern = settings.version == "5"
        super().__init__(
            settings.host,
            settings.port_used,
            username=settings.username or None,
            password=password,
            logger=logger,
            identifier=settings.client_id or f"forebay-{device}",
            protocol=ProtocolVersion.V5 if modern else ProtocolVersion.V311,
            clean_session=None if modern else settings.clean_session,
            clean_start=settings.clean_session if modern else MQTT_CLEAN_START_FIRST_ONLY,
            timeout=settings.timeout,
            keepalive=settings.keepalive,
            properties=_properties(settings) if modern else None,
            tls_context=tls,
        )
        self._client.manual_ack_set(on=True)
        self._client.connect_timeout = settings.timeout
        self._device, self._clock = device, clock
        self._qos, self._modern, self._max_payload = settings.qos, modern, settings.max_payload
        self._again = settings.qos > 0 and not settings.clean_session
        self._inbox: deque[Message] = deque(maxlen=INBOX_MESSAGES + 1)
        self._inbox_bytes = 0
        self._paused: Any = None
        self._fault: DeviceError | None = None
        self._arrived = asyncio.Event()
        self._entering: asyncio.Task[Any] | None = None
        self._abandoned = False

    async def open(self) -> None:
        """Connect and log in. Raises DeviceErrors. Cancelling leaves it to `shut` to clean up."""
        name = f"mqtt[{self._device}].connect"
        self._entering = asyncio.create_task(self.__aenter__(), name=name)
        try:
            await asyncio.shield(self._entering)
        except LIBRARY_ERRORS as error:
            raise translate(error, f"connecting to {self._hostname}:{self._port}") from error
        self._disconnected.add_done_callback(lambda _: self._arrived.set())

    async def subscribe_all(self, topics: Sequence[str]) -> list[str]:
        """Subscribe, and give the topics that the broker refused. Raises DeviceErrors."""
        options = SubscribeOptions(qos=self._qos) if self._modern else self._qos
        refused: list[str] = []
        for start in range(0, len(topics), _TOPICS_AT_ONCE):
            piece = topics[start : start + _TOPICS_AT_ONCE]
            asked: Any = [(topic, options) for topic in piece]
            try:
                codes = await self.subscribe(asked)
            except LIBRARY_ERRORS as error:
                raise translate(error, "subscribing") from error
            values = [code if isinstance(code, int) else code.value for code in codes]
            pairs = zip(piece, values, strict=True)
            refused += [topic for topic, value in pairs if value >= 0x80]
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
                    raise self._reason()
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

    def _reason(self) -> DeviceError:
        if self._fault is not None:
            return self._fault
        error = self._disconnected.exception() or MqttError("the connection ended")
        known = isinstance(error, LIBRARY_ERRORS)
        return translate(error if known else MqttError(str(error)), "listening")  # type: ignore[arg-type]

    # --- what aiomqtt calls -----------------------------------------------------------------------

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
        now_ns = self._clock.now_ns()
        self._inbox.append(Message(topic, payload, bool(message.retain), mid, now_ns))
        self._arrived.set()

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
                self._client.loop_read()  # one packet at most
            except LIBRARY_ERRORS as error:
                if not self._disconnected.done():
                    self._disconnected.set_exception(error)
                return
            announced = self._client._in_packet["remaining_length"]  # noqa: SLF001 - known nowhere else
            if announced > MAX_PACKET_BYTES:
                self._refuse(announced)
            elif self._full and sock.fileno() > -1:
                self._loop.remove_reader(sock.fileno())
                self._paused = sock
                return
            if not isinstance(sock, ssl.SSLSocket) or sock.fileno() < 0 or not sock.pending():
                return

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
            self._loop.add_reader(sock.fileno(), self._read, sock)
            self._loop.call_soon(self._read, sock)  # TLS may hold bytes that no reader hears of

    def _refuse(self, announced_bytes: int) -> None:
        """End the connection before a packet of this size is collected."""
        self._fault = DeviceUnreachable(
            f"the broker sends a packet of {announced_bytes} bytes",
            hint="limit the size of messages at the broker",
            status=Quality.BAD_COMMUNICATION_ERROR,
        )
        self._arrived.set()
        self._client._sock_close()  # noqa: SLF001 - see `shut`


def _properties(settings: MqttSettings) -> Properties:
    """Give what version 5 lets us ask of the broker (MQTT 5, 3.1.2.11)."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    if not settings.clean_session:
        properties.SessionExpiryInterval = int(settings.session_expiry)
    properties.ReceiveMaximum = _UNACKNOWLEDGED
    properties.MaximumPacketSize = MAX_PACKET_BYTES
    return properties
