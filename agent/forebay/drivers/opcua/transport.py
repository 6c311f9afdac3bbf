"""asyncua's transport with bounds on what a server may send, and no trust in its clock.

Owns socket protocol, limits and the age of security tokens. Must not know sessions.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asyncua.client.ua_client import UaClient, UASocketProtocol
from asyncua.common.connection import SecureConnection, TransportLimits

if TYPE_CHECKING:
    from asyncua import ua

MAX_MESSAGE_BYTES = 16 << 20
MAX_CHUNK_BYTES = 65_535


class _Limits(TransportLimits):
    """Limits that the server's Acknowledge cannot lift for what we receive."""

    def update_client_limits(self, msg: ua.Acknowledge) -> None:
        """Take only what the server is ready to receive (Part 6, 7.1.2.4)."""
        if msg.ReceiveBufferSize:
            self.max_send_buffer = min(self.max_send_buffer, msg.ReceiveBufferSize)


class OwnClockConnection(SecureConnection):
    """A secure channel whose tokens age by our clock alone.

    asyncua adds a token's lifetime to the time at which the server says it was made, and compares
    that with our clock: a server whose clock is behind would be dropped at each renewal.
    """

    def set_channel(self, params: Any, request_type: Any, client_nonce: bytes) -> None:  # noqa: ANN401 - asyncua's
        """Take over a token as made just now."""
        params.SecurityToken.CreatedAt = datetime.now(UTC)
        super().set_channel(params, request_type, client_nonce)


class BoundedProtocol(UASocketProtocol):
    """asyncua's protocol with a bound on what a chunk's header may promise."""

    def __init__(self, timeout: float, **given: Any) -> None:  # noqa: ANN401 - asyncua's
        """Wait `timeout` seconds for an answer."""
        super().__init__(timeout, **given)
        made = self._connection
        self._connection = OwnClockConnection(made.security_policy, made._limits)  # noqa: SLF001

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
