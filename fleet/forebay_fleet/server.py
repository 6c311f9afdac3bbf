"""The server process: listens with TLS, hands each stream to a `Session`, stops on SIGTERM.

Owns gRPC, certificates in use, signals and the order of starting and stopping. Must not know what a
record is.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
import structlog

from forebay_fleet._proto import uplink_pb2, uplink_pb2_grpc
from forebay_fleet.carried import sealing
from forebay_fleet.carried.spool import Spool
from forebay_fleet.carried.taking import Taking
from forebay_fleet.desired import signing
from forebay_fleet.errors import StoreFailed
from forebay_fleet.identity.answering import PUSHBACK, refuse
from forebay_fleet.identity.door import Door
from forebay_fleet.identity.opening import FleetSettings, Opened, Running, open_fleet
from forebay_fleet.identity.refused import Refused
from forebay_fleet.ingest import SessionEnded
from forebay_fleet.intake import open_store
from forebay_fleet.limits import Limits
from forebay_fleet.listening import listen
from forebay_fleet.outside import Inside, open_outside
from forebay_fleet.registry import RegistryThread
from forebay_fleet.returning import Returns
from forebay_fleet.session import Desk, Session
from forebay_fleet.store.owning import lock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from forebay_fleet.stream.connecting import StreamSettings
    from forebay_fleet.stream.publishing import StreamIntake
    from forebay_fleet.tls import Credentials

HANDSHAKE_MS = 20_000
"""How long a connection may take to say who it is."""
MOST_FILES = 65_536
STOP_GRACE_S = 5.0
"""How long sessions may take to say goodbye; what they handed over is committed in any case."""

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
    web: str | None = None
    """IP:PORT of the page and REST."""
    values: str | None = None
    """IP:PORT of values by gRPC."""
    oidc: Path | None = None
    """File that says where people sign in beside passwords."""
    stream: StreamSettings | None = None
    """Where records go in place of a store of this process: workers commit them."""


class UplinkService(uplink_pb2_grpc.UplinkServicer):
    """Adapts gRPC to `Session`."""

    def __init__(self, desk: Desk, door: Door | None) -> None:
        """Let clients in by `door`, by their certificates; None: they have none."""
        self._desk = desk
        self._door = door
        self._returns = Returns(lambda: len(desk.newest))

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
            wait_s = self._returns.wait_s() if stopping else 0.0
            await context.abort(
                grpc.StatusCode[ended.status], str(ended), ((PUSHBACK, str(round(wait_s * 1000))),)
            )
        except Refused as refused:
            await refuse(context, refused)
        except StoreFailed as error:
            _log.error("registry_failed", error=str(error), hint=error.hint)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the database of the server failed")


async def serve(settings: ServerSettings, ready: Callable[[int], None]) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is called with the port once gateways may come.

    Raises:
        UsageError: an address that cannot be listened on.
        CertificateError: certificate files that cannot be used.
        StoreError: the store cannot be used; StoreFailed if the disk failed while running.
    """
    limits = settings.limits
    _open_files()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        own = None
        if settings.stream is None:
            own = await open_store(stack, settings.data, limits)
        intake = own or await _open_stream(stack, settings, limits)
        desk = Desk(intake, limits, stopping)
        registry = await stack.enter_async_context(RegistryThread(settings.data))
        door = Door(registry)
        server, port = _build(settings, desk, door)
        opened = Opened(None, None)
        if settings.fleet is not None and settings.credentials is not None:
            running = Running(server, port, registry, door, stopping, settings.data)
            opened = await open_fleet(stack, settings.fleet, settings.credentials, running)
        if own is not None and opened.hub is not None:
            keys = signing.load(settings.data), sealing.load(settings.data)
            taking = Taking(own.ingest, own.committer, registry, keys, time.time_ns)
            carried = asyncio.create_task(Spool(settings.data, taking).watch(), name="carried")
            stack.callback(carried.cancel)
        await open_outside(stack, settings, Inside(desk, registry, opened))
        watching = asyncio.create_task(door.watch(), name="door.watch")
        stack.callback(watching.cancel)
        await server.start()
        stack.push_async_callback(server.stop, STOP_GRACE_S)
        stack.callback(stopping.set)
        incarnation = "" if own is None else own.incarnation
        _log.info("server_started", port=port, incarnation=incarnation, data=str(settings.data))
        ready(port)
        await _first_of(watching, stopping, *([] if own is None else [own.committer.failed]))
        if watching.done():
            watching.result()  # the registry failed
    if own is not None and own.committer.failure is not None:
        raise StoreFailed(str(own.committer.failure), hint=own.committer.failure.hint)
    _log.info("server_stopped")


async def _open_stream(
    stack: AsyncExitStack, settings: ServerSettings, limits: Limits
) -> StreamIntake:
    """Have records go into the stream. StoreError if there is none that keeps them."""
    from forebay_fleet.stream.connecting import open_line
    from forebay_fleet.stream.publishing import StreamIntake

    assert settings.stream is not None
    # Its name is in there: of two with one name, each would take the boxes of the other for gone.
    stack.callback(os.close, lock(settings.data))
    line = await open_line(stack, settings.stream)
    return await stack.enter_async_context(StreamIntake(line, limits, time.time_ns))


def _build(settings: ServerSettings, desk: Desk, door: Door) -> tuple[grpc.aio.Server, int]:
    limits = settings.limits
    keepalive_ms = int(limits.keepalive_s * 1000)
    server = grpc.aio.server(
        maximum_concurrent_rpcs=limits.max_calls,
        options=[
            ("grpc.max_receive_message_length", limits.max_message_bytes),
            ("grpc.keepalive_time_ms", keepalive_ms),
            ("grpc.keepalive_timeout_ms", int(limits.keepalive_timeout_s * 1000)),
            # Without these gRPC's own minute counts, and an idle session is not watched at all.
            ("grpc.http2.ping_timeout_ms", int(limits.keepalive_timeout_s * 1000)),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", keepalive_ms // 4),
            ("grpc.so_reuseport", 0),
        ],
    )
    service = UplinkService(desk, door if settings.credentials is not None else None)
    uplink_pb2_grpc.add_UplinkServicer_to_server(service, server)
    return server, listen(server, settings.listen, settings.credentials, mutual=True)


def _open_files() -> None:
    """Let this process have as many files as it may: each box has two connections or more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if most > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


async def _first_of(task: asyncio.Task[None], *events: asyncio.Event) -> None:
    """Wait until one of the events is set, or the task has ended."""
    waits = [asyncio.create_task(event.wait(), name="server.wait") for event in events]
    try:
        await asyncio.wait((task, *waits), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
