"""The server process: listens with TLS, hands each stream to a `Session`, stops on SIGTERM.

Owns gRPC, certificates in use, signals and the order of starting and stopping. Must not know what a
record is.
"""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import structlog

from forebay_fleet._proto import uplink_pb2, uplink_pb2_grpc
from forebay_fleet.committer import Committer
from forebay_fleet.errors import CertificateError, StoreFailed, UsageError
from forebay_fleet.ingest import Ingest, SessionEnded
from forebay_fleet.limits import Limits
from forebay_fleet.session import Desk, Session
from forebay_fleet.store.writer import StoreWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STOP_GRACE_S = 5.0
"""How long sessions may take to say goodbye; what they handed over is committed in any case."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Credentials:
    """PEM files: the server's certificate and key, and the CA whose gateways are let in."""

    certificate: Path
    key: Path
    client_ca: Path


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What `serve` needs.

    `credentials` None means plaintext, which only a loopback address may have.
    """

    data: Path
    listen: str
    credentials: Credentials | None
    limits: Limits = field(default_factory=Limits)


class UplinkService(uplink_pb2_grpc.UplinkServicer):
    """Adapts gRPC to `Session`."""

    def __init__(self, desk: Desk, *, authenticated: bool) -> None:
        """`authenticated` says that clients have certificates."""
        self._desk = desk
        self._authenticated = authenticated

    async def Session(  # noqa: N802 - the name of the rpc
        self,
        _requests: object,
        context: grpc.aio.ServicerContext[uplink_pb2.FromGateway, uplink_pb2.FromServer],
    ) -> None:
        """See uplink.proto."""
        certified = _common_name(context.auth_context()) if self._authenticated else None
        try:
            await Session(self._desk, context, certified).run()
        except SessionEnded as ended:
            await context.abort(grpc.StatusCode[ended.status], str(ended))


async def serve(settings: ServerSettings, ready: Callable[[int], None]) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is called with the port once gateways may come.

    Raises:
        UsageError: an address that cannot be listened on.
        CertificateError: certificate files that cannot be used.
        StoreError: the store cannot be used; StoreFailed if the disk failed while running.
    """
    limits = settings.limits
    _check_plaintext(settings)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        store = stack.enter_context(StoreWriter(settings.data))
        committer = Committer(store, limits.commit_bytes, limits.memory_bytes)
        await stack.enter_async_context(committer)
        ingest = Ingest(store, limits, time.time_ns)
        desk = Desk(ingest, committer, limits, stopping)
        server, port = _build(settings, desk)
        await server.start()
        stack.push_async_callback(server.stop, STOP_GRACE_S)
        stack.callback(stopping.set)
        _log.info(
            "server_started", port=port, incarnation=store.incarnation, data=str(settings.data)
        )
        ready(port)
        await _first_of(stopping, committer.failed)
    if committer.failure is not None:
        raise StoreFailed(str(committer.failure), hint=committer.failure.hint)
    _log.info("server_stopped")


def _build(settings: ServerSettings, desk: Desk) -> tuple[grpc.aio.Server, int]:
    limits = settings.limits
    keepalive_ms = int(limits.keepalive_s * 1000)
    server = grpc.aio.server(
        maximum_concurrent_rpcs=limits.max_sessions,
        options=[
            ("grpc.max_receive_message_length", limits.max_message_bytes),
            ("grpc.keepalive_time_ms", keepalive_ms),
            ("grpc.keepalive_timeout_ms", int(limits.keepalive_timeout_s * 1000)),
            # Without these gRPC's own minute counts, and an idle session is not watched at all.
            ("grpc.http2.ping_timeout_ms", int(limits.keepalive_timeout_s * 1000)),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", keepalive_ms // 4),
            ("grpc.so_reuseport", 0),
        ],
    )
    service = UplinkService(desk, authenticated=settings.credentials is not None)
    uplink_pb2_grpc.add_UplinkServicer_to_server(service, server)
    try:
        if settings.credentials is None:
            port = server.add_insecure_port(settings.listen)
        else:
            port = server.add_secure_port(settings.listen, _credentials(settings.credentials))
    except RuntimeError:
        raise UsageError(
            f"cannot listen on {settings.listen}", hint="is the port in use, the certificate sound?"
        ) from None
    return server, port


def _credentials(files: Credentials) -> grpc.ServerCredentials:
    try:
        key, certificate = files.key.read_bytes(), files.certificate.read_bytes()
        client_ca = files.client_ca.read_bytes()
    except OSError as error:
        raise CertificateError(str(error), hint="make them with: forebay-fleet ca issue") from error
    return grpc.ssl_server_credentials([(key, certificate)], client_ca, require_client_auth=True)


def _check_plaintext(settings: ServerSettings) -> None:
    """Plaintext never leaves the machine."""
    host = settings.listen.rpartition(":")[0].strip("[]")
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise UsageError(
            f"{settings.listen!r} is no address to listen on", hint="write IP:PORT or [IPv6]:PORT"
        ) from None
    if settings.credentials is None and not loopback:
        raise UsageError(
            f"plaintext on {host} is refused", hint="use certificates, or listen on 127.0.0.1"
        )


def _common_name(auth: Any) -> str:  # noqa: ANN401 - a mapping of names to lists of bytes
    """Give the client certificate's common name; empty, which no gateway has, unless it is one."""
    names = auth.get("x509_common_name") or []
    return bytes(names[0]).decode("utf-8", "replace") if len(names) == 1 else ""


async def _first_of(*events: asyncio.Event) -> None:
    """Wait until one of the events is set."""
    waits = [asyncio.create_task(event.wait(), name="server.wait") for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
