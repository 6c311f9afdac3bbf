"""The port of values by gRPC: TLS with the server's own certificate, and what it bears.

Owns listening and the limits of the port. Must not know what is asked (`service`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import grpc
import structlog

from forebay_fleet.listening import listen
from forebay_fleet.rpc.service import ValuesService

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from forebay_fleet.registry import RegistryThread
    from forebay_fleet.tls import Credentials
    from forebay_fleet.values.offer import Offer

MAX_CALLS = 256
"""Calls at once; more are refused by gRPC with RESOURCE_EXHAUSTED."""
STOP_GRACE_S = 2.0
OPTIONS = (
    ("grpc.max_receive_message_length", 64 << 10),
    ("grpc.max_send_message_length", -1),  # what is sent has limits of its own
    ("grpc.max_metadata_size", 8 << 10),
    ("grpc.max_concurrent_streams", 64),
    ("grpc.max_connection_idle_ms", 60_000),  # strangers open them, too
    # Who looks on may be gone without a word.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.so_reuseport", 0),
)

_log = structlog.get_logger()


async def open_values(
    stack: AsyncExitStack,
    address: str,
    files: Credentials | None,
    offer: Offer,
    registry: RegistryThread,
) -> int:
    """Answer from `offer` until the stack unwinds; give the port.

    Raises:
        UsageError: an address that cannot be listened on, or is not loopback without `files`.
        CertificateError: certificate files that cannot be used.
    """
    server = grpc.aio.server(maximum_concurrent_rpcs=MAX_CALLS, options=OPTIONS)
    ValuesService(offer, time.time_ns).add_to(server, registry)
    port = listen(server, address, files, mutual=False)
    await server.start()
    stack.push_async_callback(server.stop, STOP_GRACE_S)
    _log.info("values_open", port=port, tls=files is not None)
    return port
