"""asyncua's transport with bounds on what a server may send, and no trust in its clock.

Owns socket protocol, limits, the age of security tokens, which answer belongs to which request, and
requests encoded in advance. Must not know sessions.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.client.ua_client import UaClient, UASocketProtocol
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.ua_binary import struct_to_binary

from forebay.drivers.opcua.binary import CodecError
from forebay.drivers.opcua.codec import handle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncua.common.utils import Buffer

MAX_MESSAGE_BYTES = 16 << 20
MAX_CHUNK_BYTES = 65_535
_HEAD_BYTES = 64
"""Of an answer: its type and the handle that it echoes."""


class _Limits(TransportLimits):
    """Limits that the server's Acknowledge cannot lift for what we receive."""

    def update_client_limits(self, msg: ua.Acknowledge) -> None:
        """Take only what the server is ready to receive (Part 6, 7.1.2.4)."""
        if msg.ReceiveBufferSize:
            self.max_send_buffer = min(self.max_send_buffer, msg.ReceiveBufferSize)


_COUNT = struct.Struct("<i")


class PreparedRead:
    """A ReadRequest (Part 4, 5.11.2) whose nodes were encoded long before.

    asyncua takes some 3.5 us to encode a node, at each poll anew.
    """

    def __init__(self, nodes: Sequence[bytes]) -> None:
        """Ask for the values of `nodes`, as `encoded_node` gives them, with both timestamps."""
        self.head = ua.ReadRequest()
        self.head.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        self.nodes = _COUNT.pack(len(nodes)) + b"".join(nodes)


def encoded_node(node: ua.NodeId) -> bytes:
    """Encode what asks for the Value of `node` (a ReadValueId)."""
    return bytes(struct_to_binary(ua.ReadValueId(node, AttributeIds.Value)))


class OwnClockConnection(SecureConnection):
    """A secure channel whose tokens age by our clock alone.

    asyncua adds a token's lifetime to the time at which the server says it was made, and compares
    that with our clock: a server whose clock is behind would be dropped at each renewal. What is
    in `nodes` takes the place of the empty list at the end of the next message.
    """

    nodes = b""

    def set_channel(self, params: Any, request_type: Any, client_nonce: bytes) -> None:  # noqa: ANN401 - asyncua's
        """Take over a token as made just now."""
        params.SecurityToken.CreatedAt = datetime.now(UTC)
        super().set_channel(params, request_type, client_nonce)

    def message_to_binary(self, message: bytes, *args: Any, **kwargs: Any) -> bytes:  # noqa: ANN401 - asyncua's
        """Complete a message, and make its chunks."""
        whole = message[: -_COUNT.size] + self.nodes if self.nodes else message
        chunks: bytes = super().message_to_binary(whole, *args, **kwargs)
        return chunks


class Echo:
    """Whether the answers of one channel echo the handles of their requests, and each its own.

    An answer finds its request by the secure channel's RequestId (Part 6, 6.7.2). The handle is a
    second proof that a server did not mix two of them up. Not every server gives it: one whose
    first answer echoes something else is not held to it. 0 is no handle of ours: it says nothing.
    """

    def __init__(self) -> None:
        """Begin without an answer."""
        self._echoes: bool | None = None

    def check(self, echoed: int, wanted: int) -> None:
        """Take in what an answer echoes. CodecError if it is that of another request."""
        if self._echoes is None:
            self._echoes = echoed == wanted
        elif self._echoes and echoed not in (0, wanted):
            raise CodecError(f"an answer to request {echoed} where {wanted} was asked")


class BoundedProtocol(UASocketProtocol):
    """asyncua's protocol with a bound on what a chunk's header may promise."""

    def __init__(self, timeout_s: float, **given: Any) -> None:  # noqa: ANN401 - asyncua's
        """Wait that long for an answer."""
        super().__init__(timeout_s, **given)
        self._echo = Echo()
        made = self._connection
        self._connection: OwnClockConnection = OwnClockConnection(
            made.security_policy,
            made._limits,  # noqa: SLF001 - asyncua's own copy of them
        )

    def _send_request(self, request: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - asyncua's
        if not isinstance(request, PreparedRead):
            return super()._send_request(request, *args, **kwargs)
        self._connection.nodes = request.nodes
        try:
            return super()._send_request(request.head, *args, **kwargs)
        finally:
            self._connection.nodes = b""

    async def send_request(self, request: Any, *args: Any, **kwargs: Any) -> Buffer:  # noqa: ANN401 - asyncua's
        """Send a request and give its answer. CodecError if that is the answer to another one."""
        body: Buffer = await super().send_request(request, *args, **kwargs)
        head = request.head if isinstance(request, PreparedRead) else request
        echoed = handle(body.copy().read(min(len(body), _HEAD_BYTES)))
        self._echo.check(echoed, head.RequestHeader.RequestHandle)
        return body

    def data_received(self, data: bytes) -> None:
        """Give up on a peer that sends an endless chunk; else as asyncua does."""
        if len(self.receive_buffer or b"") > MAX_CHUNK_BYTES and self.transport is not None:
            self.transport.abort()
            return
        super().data_received(data)


class BoundedClient(UaClient):
    """asyncua's transport, made with our limits."""

    def _make_protocol(self) -> UASocketProtocol:
        chunks = MAX_MESSAGE_BYTES // 8192
        limits = _Limits(MAX_CHUNK_BYTES, MAX_CHUNK_BYTES, chunks, MAX_MESSAGE_BYTES)
        self.protocol = BoundedProtocol(
            self._timeout, security_policy=self.security_policy, limits=limits
        )
        self.protocol.on_connection_lost = self._on_transport_lost
        self.protocol.is_session_closing = self._is_session_closing
        return self.protocol
