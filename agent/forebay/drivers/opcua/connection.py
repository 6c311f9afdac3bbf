"""One secured session with an OPC UA server, over asyncua.

Owns socket, secure channel, session, their renewal and their end. Must not know tags, batches or
subscriptions.

asyncua's own `Client.connect` is not used: it starts a supervisor that reconnects and tasks that
outlive a dead server. Reconnecting is the session's, and what is started here ends in `close`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClient, UASocketProtocol
from asyncua.common.connection import TransportLimits
from asyncua.common.utils import Buffer
from asyncua.crypto import security_policies
from asyncua.crypto.uacrypto import CertProperties
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.ua_binary import struct_from_binary
from cryptography import x509

from forebay.cancellation import strict
from forebay.drivers.opcua.codec import CodecError, Values, read_response
from forebay.drivers.opcua.faults import LIBRARY_ERRORS, translate, translate_handshake
from forebay.errors import DeviceError, DeviceRefused, DeviceUnreachable
from forebay.model import Quality

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from forebay.clock import Clock
    from forebay.drivers.opcua.address import Identifier, NodeAddress
    from forebay.drivers.opcua.config import OpcUaSettings
    from forebay.files import Disk

P = ParamSpec("P")
T = TypeVar("T")

MAX_MESSAGE_BYTES = 16 << 20
_MAX_CHUNK_BYTES = 65_535
_MAX_FILE_BYTES = 64 << 10
_GOODBYE_S = 1.0
"""How long a server may take to answer CloseSession before it is left."""
_CHANNEL_MS = 3_600_000
_NAMESPACES = 2255
_MAX_NODES_PER_READ = 11_705
_MAX_ITEMS_PER_CALL = 11_714
_MOST_AT_ONCE = 1000
"""What one request asks for where the server states no limit."""


class _Limits(TransportLimits):
    """Limits that the server's Acknowledge cannot lift for what we receive."""

    def update_client_limits(self, msg: ua.Acknowledge) -> None:
        """Take only what the server is ready to receive (Part 6, 7.1.2.4)."""
        if msg.ReceiveBufferSize:
            self.max_send_buffer = min(self.max_send_buffer, msg.ReceiveBufferSize)


class BoundedProtocol(UASocketProtocol):
    """asyncua's protocol with a bound on what a chunk's header may promise."""

    def data_received(self, data: bytes) -> None:
        """Give up on a peer that sends an endless chunk; else as asyncua does."""
        if len(self.receive_buffer or b"") > _MAX_CHUNK_BYTES and self.transport is not None:
            self.transport.abort()
            return
        super().data_received(data)


class _UaClient(UaClient):
    """asyncua's transport, made with our limits."""

    def _make_protocol(self) -> UASocketProtocol:
        chunks = MAX_MESSAGE_BYTES // 8192
        limits = _Limits(_MAX_CHUNK_BYTES, _MAX_CHUNK_BYTES, chunks, MAX_MESSAGE_BYTES)
        self.protocol = BoundedProtocol(
            self._timeout, security_policy=self.security_policy, limits=limits
        )
        self.protocol.on_connection_lost = self._on_transport_lost
        self.protocol.is_session_closing = self._is_session_closing
        return self.protocol


class Connection:
    """A session with one server. Used once: `connect`, requests, `close`."""

    def __init__(self, device: str, settings: OpcUaSettings, disk: Disk, clock: Clock) -> None:
        """Prepare; nothing is sent."""
        logging.getLogger("asyncua").setLevel(
            logging.CRITICAL + 1
        )  # all of it comes as DeviceErrors
        self.max_nodes_per_read = _MOST_AT_ONCE
        self.max_items_per_call = _MOST_AT_ONCE
        self._device, self._settings, self._disk, self._clock = device, settings, disk, clock
        self._namespaces: tuple[str, ...] = ()
        self._keeper: asyncio.Task[None] | None = None
        self._failure: DeviceError | None = None
        client = self._client = Client(settings.endpoint, timeout=settings.timeout)
        client.uaclient = self._ua = _UaClient(settings.timeout)
        client.name = client.description = f"forebay {device}"
        client.application_uri = f"urn:forebay:{device}"
        client.session_timeout = int(settings.session_timeout * 1000)
        client.secure_channel_timeout = _CHANNEL_MS
        client.max_messagesize = MAX_MESSAGE_BYTES

    async def connect(self) -> None:
        """Open channel and session, and learn the server's namespaces and limits.

        Raises DeviceErrors.
        """
        doing = f"connecting to {self._settings.endpoint}"
        try:
            await self._secure()
            await self._client.connect_socket()
            await self._client.send_hello()
            await self._client.open_secure_channel()
            await self._client.create_session()
            await self._activate()
        except DeviceError:
            raise
        except LIBRARY_ERRORS as error:
            raise translate_handshake(error, doing) from error
        await self._learn()
        self._keeper = asyncio.create_task(self._keep(), name=f"opcua[{self._device}].keep")

    async def close(self) -> None:
        """End session, channel and socket, politely if the server still answers; never raises."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        protocol = self._ua.protocol
        if protocol is None:
            return
        try:
            if protocol.transport is not None and self._failure is None:
                async with asyncio.timeout(_GOODBYE_S):
                    await self._ua.session.close_session(delete_subscriptions=True)
                    await self._ua.close_secure_channel()
        except LIBRARY_ERRORS:
            pass  # it is gone, or behaves as if it were: there is nobody left to tell
        finally:
            if protocol.transport is not None:
                protocol.transport.abort()
            self._ua.disconnect_socket()
            await asyncio.sleep(0)  # the loop reports the end to the protocol before we are done

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The server's namespace URIs in the order of their indexes, as of `connect`."""
        return self._namespaces

    def node_id(self, address: NodeAddress) -> ua.NodeId | None:
        """Give the node under the server's present indexes; None if it does not know the URI."""
        if address.uri is None:
            return _node(address.identifier, address.namespace)
        if address.uri not in self._namespaces:
            return None
        return _node(address.identifier, self._namespaces.index(address.uri))

    async def read_values(self, nodes: Sequence[ua.NodeId]) -> Values:
        """Read the Value of `nodes` in one request. Raises DeviceErrors."""
        request = ua.ReadRequest()
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.NodesToRead = [
            ua.ReadValueId(node, AttributeIds.Value) for node in nodes
        ]
        body = await self._send(request, "reading", self._settings.timeout)
        try:
            values = read_response(body)
        except ValueError as error:
            raise translate(error, "reading") from error
        if len(values.handles) != len(nodes):
            wrong = CodecError(f"{len(values.handles)} values for {len(nodes)} nodes")
            raise translate(wrong, "reading")
        return values

    async def publish(self, acks: Sequence[ua.SubscriptionAcknowledgement]) -> bytes:
        """Send one PublishRequest and give the body of its answer, however long that takes.

        Raises DeviceErrors.
        """
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = list(acks)
        return await self._send(request, "waiting for changes", 0)

    async def create_subscription(
        self, request: ua.CreateSubscriptionRequest
    ) -> ua.CreateSubscriptionResult:
        """Create a subscription without starting asyncua's publish loop. Raises DeviceErrors."""
        body = await self._send(request, "subscribing", self._settings.timeout)
        try:
            answer = struct_from_binary(ua.CreateSubscriptionResponse, Buffer(body))
        except LIBRARY_ERRORS as error:
            raise translate(error, "subscribing") from error
        made: ua.CreateSubscriptionResult = answer.Parameters
        return made

    async def call(
        self, doing: str, service: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Await a service of `session`, its exceptions turned into DeviceErrors."""
        if self._failure is not None:
            raise self._failure
        try:
            return await strict(service, *args, **kwargs)
        except LIBRARY_ERRORS as error:
            raise translate(error, doing) from error

    @property
    def session(self) -> Any:  # noqa: ANN401 - asyncua's UaSession, whose name is known to adapters of asyncua only
        """The session of asyncua, for services that are rare."""
        return self._ua.session

    def fail(self, error: DeviceError) -> None:
        """Let every request, pending or to come, end with the loss of this connection."""
        if self._failure is None:
            self._failure = error
        if self._ua.protocol is not None and self._ua.protocol.transport is not None:
            self._ua.protocol.transport.abort()

    async def _send(self, request: Any, doing: str, timeout_s: float) -> bytes:  # noqa: ANN401 - an asyncua request
        if self._failure is not None:
            raise self._failure
        protocol = self._ua.protocol
        if protocol is None:
            raise DeviceUnreachable(
                f"{doing}: not connected", hint="connect first", status=Quality.BAD_NOT_CONNECTED
            )
        try:
            return bytes(await strict(protocol.send_request, request, timeout_s))
        except LIBRARY_ERRORS as error:
            raise self._reason(error, doing) from error

    def _reason(self, error: Exception, doing: str) -> DeviceError:
        """Give why the connection was given up, if it was; else what `error` means."""
        return translate(error, doing) if self._failure is None else self._failure

    # --- opening ---------------------------------------------------------------------------------

    async def _secure(self) -> None:
        """Load certificates and key, and take our application URI from our certificate."""
        settings = self._settings
        if settings.security_policy == "None":
            return
        certificate = await self._file(settings.certificate)
        key = await self._file(settings.key)
        server = await self._file(settings.server_certificate)
        uri = _application_uri(certificate)
        if uri:
            self._client.application_uri = uri
        await self._client.set_security(
            getattr(security_policies, f"SecurityPolicy{settings.security_policy}"),
            certificate,
            key,
            server_certificate=server,
            mode=ua.MessageSecurityMode[settings.security_mode],
        )

    async def _activate(self) -> None:
        """Log in; a password goes over the wire encrypted or not at all."""
        settings = self._settings
        if not settings.username or settings.password_file is None:
            await self._client.activate_session()
            return
        policy = self._client.server_policy(ua.UserTokenType.UserName).SecurityPolicyUri
        token_open = not policy or policy == security_policies.SecurityPolicyNone.URI
        if (
            token_open
            and self._client.security_policy.Mode != ua.MessageSecurityMode.SignAndEncrypt
        ):
            raise DeviceRefused(
                "the server would take the password in the clear",
                hint="use a security_policy, or let the server ask for encrypted passwords",
                status=Quality.BAD_CONFIGURATION_ERROR,
            )
        raw = await self._read_file(settings.password_file)
        password = raw.decode().rstrip("\r\n")
        await self._client.activate_session(username=settings.username, password=password)

    async def _learn(self) -> None:
        ids = [_node(i) for i in (_NAMESPACES, _MAX_NODES_PER_READ, _MAX_ITEMS_PER_CALL)]
        request = ua.ReadParameters(
            NodesToRead=[ua.ReadValueId(n, AttributeIds.Value) for n in ids]
        )
        answers = await self.call("reading the server's limits", self._ua.session.read, request)
        found = [a.Value.Value if a.Value is not None else None for a in answers]
        names, reads, items = (*found, None, None, None)[:3]
        if isinstance(names, list):
            self._namespaces = tuple(str(name) for name in names)
        self.max_nodes_per_read = _limit(reads)
        self.max_items_per_call = _limit(items)

    async def _file(self, path: Path | None) -> CertProperties:
        content = await self._read_file(path) if path is not None else b""
        return CertProperties(content, "pem" if b"-----BEGIN" in content else "der")

    async def _read_file(self, path: Path) -> bytes:
        try:
            return await asyncio.to_thread(self._disk.read_bytes, path, _MAX_FILE_BYTES)
        except OSError as error:
            raise DeviceRefused(
                f"cannot read {path}: {error.strerror}",
                hint="check the path and who may read the file",
                status=Quality.BAD_CONFIGURATION_ERROR,
            ) from error

    # --- staying ---------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Keep the session alive between rare polls, and renew the channel after 75% of its life.

        The share is that of Part 4, 5.6.2.1.
        """
        clock = self._clock
        every_s = self._client.session_timeout / 3000
        renew_at_s = clock.monotonic_s() + self._client.secure_channel_timeout * 0.00075
        state = ua.ReadParameters(
            NodesToRead=[ua.ReadValueId(_node(ObjectIds.Server_ServerStatus_State))]
        )
        try:
            while True:
                wait_s = min(every_s, renew_at_s - clock.monotonic_s())
                await clock.sleep(wait_s)
                if clock.monotonic_s() >= renew_at_s:
                    await strict(self._client.open_secure_channel, renew=True)
                    self._ua.revolve_security_token()
                    life_s = self._client.secure_channel_timeout * 0.00075
                    renew_at_s = clock.monotonic_s() + life_s
                else:
                    await strict(self._ua.session.read, state)
        except LIBRARY_ERRORS as error:
            self.fail(translate(error, "keeping the session alive"))


def _node(identifier: Identifier, namespace: int = 0) -> ua.NodeId:
    return ua.NodeId(cast("Any", identifier), cast("Any", namespace))


def _limit(value: object) -> int:
    """Turn a stated operation limit, 0 meaning none (Part 5, 6.3.11), into one to use."""
    return min(value, _MOST_AT_ONCE) if isinstance(value, int) and value > 0 else _MOST_AT_ONCE


def _application_uri(certificate: CertProperties) -> str | None:
    """Give the URI that the certificate is for: servers refuse any other (Part 6, 6.2.2)."""
    content = certificate.path_or_content
    if not isinstance(content, bytes):
        return None
    pem = certificate.extension == "pem"
    loaded = (
        x509.load_pem_x509_certificate(content) if pem else x509.load_der_x509_certificate(content)
    )
    try:
        names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return uris[0] if uris else None
