"""A connection to a broker: aiomqtt with bounded packets, errors of ours and a clean end.

Owns what aiomqtt 2.5 has no door for and every adapter needs, which is why it derives from its
client. Must not know what messages mean, nor keep any.

Left alone, paho collects a packet of up to 256 MiB before it shows one, and a connection that is
given up while a thread still opens it leaves its socket behind.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import aiomqtt
from aiomqtt import MqttError, ProtocolVersion
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from forebay.mqttclient.faults import LIBRARY_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import paho.mqtt.client as paho

    from forebay.errors import ForebayError
    from forebay.mqttclient.credentials import Credentials
    from forebay.mqttclient.settings import BrokerSettings

_GOODBYE_S = 1.0


class Opening(NamedTuple):
    """What a connection says of itself, beside what a person wrote.

    Without `clean`, the broker keeps our session from last time. `asks` are properties of CONNECT
    by paho's names (MQTT 5.0, 3.1.2.11), `will` is topic and payload of what the broker says when
    we are gone unasked, at QoS 1. Larger packets than `max_packet_bytes` end the connection.
    """

    client_id: str
    timeout_s: float
    max_packet_bytes: int
    clean: bool = True
    asks: Mapping[str, int] = MappingProxyType({})
    will: tuple[str, bytes] | None = None


class Client(aiomqtt.Client):
    """One connection to one broker, used once: `open`, whatever an adapter does, `shut`.

    An adapter's client overrides `too_large`, and takes messages by `_on_message`.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        credentials: Credentials,
        opening: Opening,
        translate: Callable[[Exception, str], ForebayError],
    ) -> None:
        """Prepare; nothing is sent.

        `translate` makes an error of what the library raised and of what was being done.
        """
        logger = logging.getLogger("aiomqtt")
        logger.setLevel(logging.CRITICAL)  # all of it comes as errors
        modern, will = settings.version == "5", opening.will
        super().__init__(
            settings.host,
            settings.port_used,
            username=settings.username or None,
            password=credentials.password,
            logger=logger,
            identifier=opening.client_id,
            protocol=ProtocolVersion.V5 if modern else ProtocolVersion.V311,
            clean_session=None if modern else opening.clean,
            clean_start=opening.clean if modern else MQTT_CLEAN_START_FIRST_ONLY,
            timeout=opening.timeout_s,
            keepalive=settings.keepalive,
            properties=_properties(opening) if modern else None,
            tls_context=credentials.tls,
            will=None if will is None else aiomqtt.Will(*will, qos=1),
        )
        self._client.connect_timeout = opening.timeout_s
        self._modern, self._max_packet_bytes = modern, opening.max_packet_bytes
        self._translate = translate
        self._entering: asyncio.Task[Any] | None = None
        self._abandoned = False

    async def open(self) -> None:
        """Connect and log in. Raises what `translate` gives.

        Cancelling leaves it to `shut` to clean up.
        """
        name = f"mqtt[{self.identifier}].connect"
        self._entering = asyncio.create_task(self.__aenter__(), name=name)
        try:
            await asyncio.shield(self._entering)
        except LIBRARY_ERRORS as error:
            doing = f"connecting to {self._hostname}:{self._port}"
            raise self._translate(error, doing) from error
        self._disconnected.add_done_callback(lambda _: self.ended())

    async def refusals(self, topics: Sequence[str], qos: int, doing: str) -> list[str]:
        """Subscribe to `topics` in one request; give those that the broker refused.

        Raises what `translate` gives.
        """
        options = SubscribeOptions(qos=qos) if self._modern else qos
        asked: Any = [(topic, options) for topic in topics]
        try:
            codes = await self.subscribe(asked)
        except LIBRARY_ERRORS as error:
            raise self._translate(error, doing) from error
        values = [code if isinstance(code, int) else code.value for code in codes]
        return [topic for topic, value in zip(topics, values, strict=True) if value >= 0x80]

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
        self.cut()
        if self._misc_task is not None:
            self._misc_task.cancel()
            await asyncio.wait([self._misc_task])
        for future in (self._connected, self._disconnected):
            if future.done() and not future.cancelled():
                future.exception()  # seen, so that the loop does not complain

    def cut(self) -> None:
        """End the connection at once, without a word."""
        self._client._sock_close()  # noqa: SLF001 - the only end that needs no answer

    @property
    def ready(self) -> bool:
        """Whether the broker has taken us in."""
        connected = self._connected.done() and not self._connected.cancelled()
        return connected and self._connected.exception() is None

    @property
    def reason(self) -> Exception:
        """Why the connection is over, as one of LIBRARY_ERRORS."""
        error = None if self._disconnected.cancelled() else self._disconnected.exception()
        if isinstance(error, LIBRARY_ERRORS):
            return error
        return MqttError("the connection ended" if error is None else str(error))

    # --- for an adapter to override ---------------------------------------------------------------

    def ended(self) -> None:
        """Take note that the connection is over; `reason` says why."""

    def too_large(self, announced_bytes: int) -> None:
        """Take note that the broker began a packet of so many bytes.

        The connection is cut next, and `ended` is not called for that.
        """

    def full(self, sock: Any) -> bool:  # noqa: ANN401, ARG002 - a socket or TLS socket
        """Whether to read no further for now; whoever says so has to `read` again later."""
        return False

    # --- what aiomqtt calls -----------------------------------------------------------------------

    def _on_socket_open(self, client: paho.Client, userdata: Any, sock: Any) -> None:  # noqa: ANN401 - paho's signature
        """Register the socket, with a reader that bounds packets. Called in aiomqtt's thread."""
        if self._abandoned:
            return
        super()._on_socket_open(client, userdata, sock)
        self._loop.call_soon_threadsafe(self.watch, sock)

    def _on_socket_close(self, client: paho.Client, userdata: Any, sock: Any) -> None:  # noqa: ANN401 - paho's signature
        """Unregister the socket, unless it never was registered."""
        if not self._abandoned or self._misc_task is not None:
            super()._on_socket_close(client, userdata, sock)

    def _client_connect(self) -> None:
        """Connect, in a thread; close again what nobody waits for any more."""
        super()._client_connect()
        if self._abandoned and self._misc_task is None:
            self.cut()

    def watch(self, sock: Any) -> None:  # noqa: ANN401 - a socket or TLS socket
        """Take the place of aiomqtt's reader, if the socket is still open."""
        if sock.fileno() > -1:
            self._loop.add_reader(sock.fileno(), self.read, sock)

    def read(self, sock: Any) -> None:  # noqa: ANN401 - a socket or TLS socket
        """Let paho read, and stop it before it collects a packet of any size."""
        while sock.fileno() > -1:
            try:
                self._client.loop_read()  # as many packets at most as wait for an answer
            except LIBRARY_ERRORS as error:
                if not self._disconnected.done():
                    self._disconnected.set_exception(error)
                return
            announced = self._client._in_packet["remaining_length"]  # noqa: SLF001 - known nowhere else
            if announced > self._max_packet_bytes:
                self.too_large(announced)
                self.cut()
                return
            if sock.fileno() > -1 and self.full(sock):
                return
            if not isinstance(sock, ssl.SSLSocket) or sock.fileno() < 0 or not sock.pending():
                return


def _properties(opening: Opening) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = opening.max_packet_bytes
    for name, value in opening.asks.items():
        setattr(properties, name, value)
    return properties
