"""One secured session with an OPC UA server, over asyncua.

Owns socket, secure channel, session, their renewal and their end. Must not know tags, batches or
subscriptions.

asyncua's own `Client.connect` is not used: it starts a supervisor that reconnects and tasks that
outlive a dead server. Reconnecting is the session's, and what is started here ends in `close`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar, cast

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.utils import Buffer
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.ua_binary import struct_from_binary

from forebay.cancellation import strict
from forebay.drivers.opcua.binary import CodecError
from forebay.drivers.opcua.chunks import in_chunks
from forebay.drivers.opcua.codec import Values, read_response, republish_response
from forebay.drivers.opcua.faults import LIBRARY_ERRORS, translate, translate_handshake
from forebay.drivers.opcua.security import Security
from forebay.drivers.opcua.serverclock import ServerClock
from forebay.drivers.opcua.transport import (
    MAX_MESSAGE_BYTES,
    BoundedClient,
    PreparedRead,
    encoded_node,
)
from forebay.errors import DeviceError, DeviceRefused, DeviceUnreachable
from forebay.model import Quality

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from forebay.drivers.opcua.address import Identifier, NodeAddress
    from forebay.drivers.opcua.codec import Notification
    from forebay.drivers.opcua.config import OpcUaSettings
    from forebay.drivers.opcua.structures import Structure
    from forebay.interfaces import DeviceSpec, Seams

P = ParamSpec("P")
T = TypeVar("T")

_GOODBYE_S = 1.0
"""How long a server may take to answer CloseSession before it is left."""
_CHANNEL_MS = 3_600_000
_LEAST_SESSION_MS = 1000
_LEAST_CHANNEL_MS = 10_000
"""A server that grants no time at all is not asked without a pause."""
_DAY_S = 86_400.0
_MOST_AT_ONCE = 1000
"""What one request asks for where the server states no limit."""
_MOST_ITEMS_AT_ONCE = 200
"""Monitored items of one request, whatever the server allows. To write the request for 1,000 and to
read its answer holds the event loop for 45 ms, and every poll of other devices with it."""
_NAMESPACES = ObjectIds.Server_NamespaceArray
_STATE = ObjectIds.Server_ServerStatus_State
_TIME = ObjectIds.Server_ServerStatus_CurrentTime
_LIMITS = {
    ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead: "max_nodes_per_read",
    ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall: (
        "max_items_per_call"
    ),
    ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse: "max_nodes_per_browse",
    ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData: (
        "max_nodes_per_history"
    ),
}
"""What the server may state of itself (Part 5, 6.3.11), and the attribute that keeps it."""


class Connection:
    """A session with one server. Used once: `connect`, requests, `close`."""

    def __init__(self, spec: DeviceSpec, settings: OpcUaSettings, seams: Seams) -> None:
        """Prepare; nothing is sent. `settings` are those of `spec`."""
        logging.getLogger("asyncua").setLevel(
            logging.CRITICAL + 1
        )  # all of it comes as DeviceErrors
        self.max_nodes_per_read = _MOST_AT_ONCE
        self.max_items_per_call = _MOST_ITEMS_AT_ONCE
        self.max_nodes_per_browse = _MOST_AT_ONCE
        self.max_nodes_per_history = _MOST_AT_ONCE
        self._device, self._settings, self._clock = spec.name, settings, seams.clock
        self._security = Security(spec, settings, seams)
        self._server_clock = ServerClock(spec.name, settings.clock_tolerance, seams.events)
        self.structures: dict[NodeAddress, Structure] = {}
        """The layouts of structures whose fields are wanted, as learned after `connect`."""
        self._namespaces: tuple[str, ...] = ()
        self._keeper: asyncio.Task[None] | None = None
        self._failure: DeviceError | None = None
        client = self._client = Client(settings.endpoint, timeout=settings.timeout)
        client.uaclient = self._ua = BoundedClient(settings.timeout)
        client.name = client.description = f"forebay {spec.name}"
        client.application_uri = f"urn:forebay:{spec.name}"
        client.session_timeout = int(settings.session_timeout * 1000)
        client.secure_channel_timeout = _CHANNEL_MS
        client.max_messagesize = MAX_MESSAGE_BYTES

    async def connect(self) -> None:
        """Open channel and session, and learn the server's namespaces and limits.

        Raises DeviceErrors.
        """
        doing = f"connecting to {self._settings.endpoint}"
        try:
            await strict(self._open)
        except DeviceError as error:
            raise await self._security.explained(error) from error
        except LIBRARY_ERRORS as error:
            told = translate_handshake(error, doing)
            raise await self._security.explained(told) from error
        await self._learn()
        self._security.tell_expiry()
        self._keeper = asyncio.create_task(self._keep(), name=f"opcua[{self._device}].keep")
        self._keeper.add_done_callback(self._kept)

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
                    await strict(self._ua.session.close_session, delete_subscriptions=True)
                    await strict(self._ua.close_secure_channel)
        except LIBRARY_ERRORS:
            pass  # it is gone, or behaves as if it were: there is nobody left to tell
        finally:
            if protocol.transport is not None:
                protocol.transport.abort()
            self._ua.disconnect_socket()
            await asyncio.sleep(0)  # the loop reports the end to the protocol before we are done

    async def lost(self) -> NoReturn:
        """Wait until the connection is lost, and raise why."""
        protocol, keeper = self._ua.protocol, self._keeper
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if protocol is not None and protocol.transport is not None and keeper is not None:
            told = protocol.on_connection_lost

            def tell(error: Exception | None) -> None:
                if told is not None:
                    told(error)
                if not gone.done():
                    gone.set_result(None)

            protocol.on_connection_lost = tell
            await asyncio.wait([keeper, gone], return_when=asyncio.FIRST_COMPLETED)
        raise self._failure or DeviceUnreachable(
            "the server closed the connection",
            hint="see the server's own log; the session connects again",
            status=Quality.BAD_NOT_CONNECTED,
        )

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
        return await self.read_encoded([encoded_node(node) for node in nodes])

    async def read_encoded(self, nodes: Sequence[bytes]) -> Values:
        """Read the Value of nodes that `encoded_node` gave, in one request. Raises DeviceErrors."""
        body = await self._send(PreparedRead(nodes), "reading", self._settings.timeout)
        try:
            values = read_response(body, len(nodes))
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

    async def ask(self, request: Any, doing: str) -> bytes:  # noqa: ANN401 - an asyncua request
        """Send a request and give the body of its answer. Raises DeviceErrors."""
        return await self._send(request, doing, self._settings.timeout)

    async def republish(self, subscription: int, sequence: int) -> Notification:
        """Ask for a notification again that did not come. Raises DeviceErrors."""
        request = ua.RepublishRequest()
        request.Parameters.SubscriptionId = cast("Any", subscription)
        request.Parameters.RetransmitSequenceNumber = cast("Any", sequence)
        body = await self._send(request, "asking again for changes", self._settings.timeout)
        try:
            return republish_response(body, subscription)
        except ValueError as error:
            raise translate(error, "asking again for changes") from error

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

    async def _open(self) -> None:
        await self._security.secure(self._client)
        await self._client.connect_socket()
        self._security.reached()
        await self._client.send_hello()
        await self._client.open_secure_channel()
        await self._client.create_session()
        await self._security.activate(self._client)

    async def _learn(self) -> None:
        """Ask for namespaces, clock and limits, fewer at once if that is more than it answers."""
        ids = [_NAMESPACES, _TIME, *_LIMITS]
        pieces, _ = await in_chunks(ids, len(ids), self._read_standard)
        found: dict[int, Any] = {}
        for piece, answer in pieces:
            if not isinstance(answer, DeviceRefused):
                found |= zip(piece, answer, strict=False)
        names = found.get(_NAMESPACES)
        if isinstance(names, list):
            self._namespaces = tuple(str(name) for name in names)
        for number, attribute in _LIMITS.items():
            setattr(self, attribute, _limit(found.get(number), getattr(self, attribute)))

    async def _read_standard(self, ids: Sequence[int]) -> list[Any]:
        """Read nodes of namespace 0; on the way hold the server's clock against ours."""
        request = ua.ReadParameters(
            NodesToRead=[ua.ReadValueId(_node(number), AttributeIds.Value) for number in ids]
        )
        before_ns = self._clock.now_ns()
        answers = await self.call("reading the server's state", self._ua.session.read, request)
        found = [a.Value.Value if a.Value is not None else None for a in answers]
        if _TIME in ids[: len(found)]:
            asked_ns = (before_ns + self._clock.now_ns()) // 2
            self._server_clock.note(found[ids.index(_TIME)], asked_ns)
        return found

    # --- staying ---------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Keep the session alive between rare polls, and renew the channel after 75% of its life.

        The share is that of Part 4, 5.6.2.1.
        """
        clock = self._clock
        every_s = max(_LEAST_SESSION_MS, self._client.session_timeout) / 3000
        told_s = clock.monotonic_s()
        renew_at_s = clock.monotonic_s() + self._renewal_s()
        try:
            while True:
                wait_s = min(every_s, renew_at_s - clock.monotonic_s())
                await clock.sleep(wait_s)
                if clock.monotonic_s() >= renew_at_s:
                    await strict(self._client.open_secure_channel, renew=True)
                    self._ua.revolve_security_token()
                    renew_at_s = clock.monotonic_s() + self._renewal_s()
                else:
                    await self._read_standard((_STATE, _TIME))
                if clock.monotonic_s() - told_s >= _DAY_S:
                    told_s = clock.monotonic_s()
                    self._security.tell_expiry()
        except DeviceError as error:
            self.fail(error)
        except LIBRARY_ERRORS as error:
            self.fail(translate(error, "keeping the session alive"))

    def _renewal_s(self) -> float:
        return max(_LEAST_CHANNEL_MS, self._client.secure_channel_timeout) * 0.00075

    def _kept(self, task: asyncio.Task[None]) -> None:
        """Lose the connection rather than the one who keeps it, whatever ended that."""
        fault = None if task.cancelled() else task.exception()
        if isinstance(fault, Exception):
            self.fail(translate(fault, "keeping the session alive"))


def _node(identifier: Identifier, namespace: int = 0) -> ua.NodeId:
    return ua.NodeId(cast("Any", identifier), cast("Any", namespace))


def _limit(value: object, most: int) -> int:
    """Turn a stated operation limit, 0 meaning none (Part 5, 6.3.11), into one to use."""
    return min(value, most) if isinstance(value, int) and value > 0 else most
