"""The server process: listens with TLS, hands each stream to a `Session`, stops on SIGTERM.

Owns gRPC, certificates in use, signals and the order of starting and stopping. Must not know what a
record is.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import signal
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
import structlog

from forebay_fleet._proto import uplink_pb2, uplink_pb2_grpc
from forebay_fleet.committer import Committer
from forebay_fleet.errors import StoreFailed, UsageError
from forebay_fleet.identity.answering import PUSHBACK, refuse
from forebay_fleet.identity.door import Door
from forebay_fleet.identity.opening import FleetSettings, Running, open_fleet
from forebay_fleet.identity.refused import Refused
from forebay_fleet.ingest import Ingest, SessionEnded
from forebay_fleet.limits import Limits
from forebay_fleet.registry import RegistryThread
from forebay_fleet.session import Desk, Session
from forebay_fleet.store.writer import StoreWriter
from forebay_fleet.tls import Credentials, server_credentials

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STOP_GRACE_S = 5.0
"""How long sessions may take to say goodbye; what they handed over is committed in any case."""

RETURNS_PER_S = 200
"""How many gateways may come back in a second, of those that a stop sent away: a handshake costs
about a millisecond of a core."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What `serve` needs.

    `credentials` None means plaintext, which only a loopback address may have. `fleet` None means
    that no box can enroll here, and renew.
    """

    data: Path
    listen: str
    credentials: Credentials | None
    limits: Limits = field(default_factory=Limits)
    fleet: FleetSettings | None = None


def return_s(sessions: int, draw: float) -> float:
    """Give when one of `sessions` that end together is to come back, s; `draw` is in [0, 1).

    Each is told another time, so that they come one after the other to whoever serves next.
    """
    return draw * sessions / RETURNS_PER_S


class UplinkService(uplink_pb2_grpc.UplinkServicer):
    """Adapts gRPC to `Session`."""

    def __init__(self, desk: Desk, door: Door | None) -> None:
        """Let clients in by `door`, by their certificates; None: they have none."""
        self._desk = desk
        self._door = door

    async def Session(  # noqa: N802 - the name of the rpc
        self,
        _requests: object,
        context: grpc.aio.ServicerContext[uplink_pb2.FromGateway, uplink_pb2.FromServer],
    ) -> None:
        """See uplink.proto."""
        try:
            if self._door is None:
                await Session(self._desk, context, None).run()
                return
            async with self._door.visit(context) as visit:
                await visit.during(Session(self._desk, context, visit.who.name).run())
        except SessionEnded as ended:
            stopping = self._desk.stopping.is_set()
            wait_s = return_s(len(self._desk.newest), random.random()) if stopping else 0.0
            await context.abort(
                grpc.StatusCode[ended.status], str(ended), ((PUSHBACK, str(round(wait_s * 1000))),)
            )
        except Refused as refused:
            await refuse(context, refused)


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
        registry = await stack.enter_async_context(RegistryThread(settings.data))
        door = Door(registry)
        server, port = _build(settings, desk, door)
        if settings.fleet is not None and settings.credentials is not None:
            running = Running(server, port, registry, door, stopping, settings.data)
            await open_fleet(stack, settings.fleet, settings.credentials, running)
        watching = asyncio.create_task(door.watch(), name="door.watch")
        stack.callback(watching.cancel)
        await server.start()
        stack.push_async_callback(server.stop, STOP_GRACE_S)
        stack.callback(stopping.set)
        _log.info(
            "server_started", port=port, incarnation=store.incarnation, data=str(settings.data)
        )
        ready(port)
        await _first_of(watching, stopping, committer.failed)
        if watching.done():
            watching.result()  # the registry failed
    if committer.failure is not None:
        raise StoreFailed(str(committer.failure), hint=committer.failure.hint)
    _log.info("server_stopped")


def _build(settings: ServerSettings, desk: Desk, door: Door) -> tuple[grpc.aio.Server, int]:
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
    service = UplinkService(desk, door if settings.credentials is not None else None)
    uplink_pb2_grpc.add_UplinkServicer_to_server(service, server)
    try:
        if settings.credentials is None:
            port = server.add_insecure_port(settings.listen)
        else:
            credentials = server_credentials(settings.credentials, mutual=True)
            port = server.add_secure_port(settings.listen, credentials)
    except RuntimeError:
        raise UsageError(
            f"cannot listen on {settings.listen}", hint="is the port in use, the certificate sound?"
        ) from None
    return server, port


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


async def _first_of(task: asyncio.Task[None], *events: asyncio.Event) -> None:
    """Wait until one of the events is set, or the task has ended."""
    waits = [asyncio.create_task(event.wait(), name="server.wait") for event in events]
    try:
        await asyncio.wait((task, *waits), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
