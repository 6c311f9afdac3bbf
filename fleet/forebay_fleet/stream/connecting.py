"""The connection to NATS, and the stream: made if it is not there, and never taken unchecked.

Owns the address, TLS and the stream's settings. Must not know what parcels hold.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import nats
import nats.errors
import nats.js.errors
import structlog
from nats.js import api

from forebay_fleet.errors import StoreAway, StoreError, UsageError
from forebay_fleet.stream.naming import MAX_PARCEL_BYTES, STREAM, SUBJECTS

if TYPE_CHECKING:
    from contextlib import AsyncExitStack
    from pathlib import Path

    from nats.aio.client import Client
    from nats.js.client import JetStreamContext

CONNECT_S = 15.0
CALL_S = 5.0
"""How long JetStream may take to answer a question."""
MOST_REPLICAS = 3
PENDING_BYTES = 64 << 20
"""What may wait in memory while the connection is being made again."""
_EXISTS = 10058

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Where the stream is.

    `servers` are addresses of NATS with commas between; `ca` and `credentials` are files.
    `replicas` None: as many as servers are named, 3 at most.
    """

    servers: str
    ca: Path | None = None
    credentials: Path | None = None
    replicas: int | None = None
    max_bytes: int = 16 << 30

    @property
    def addresses(self) -> list[str]:
        """The servers one by one."""
        return [one.strip() for one in self.servers.split(",") if one.strip()]


class Line(NamedTuple):
    """An open connection."""

    client: Client
    stream: JetStreamContext


async def open_line(stack: AsyncExitStack, settings: StreamSettings) -> Line:
    """Connect until the stack unwinds, and see that the stream is there.

    Raises:
        UsageError: an address that cannot be, or plaintext to another machine.
        StoreAway: no server answers.
        StoreError: the stream is there and may lose what it has acknowledged, or takes too little.
    """
    addresses = checked(settings)
    context = None
    if any(one.startswith("tls://") for one in addresses):
        context = ssl.create_default_context(cafile=settings.ca)
    reported = _Reports()
    try:
        async with asyncio.timeout(CONNECT_S):
            client = await nats.connect(
                addresses,
                name="forebay-fleet",
                tls=context,
                tls_handshake_first=context is not None,  # before it, names and passwords are read
                user_credentials=None
                if settings.credentials is None
                else str(settings.credentials),
                connect_timeout=5,
                reconnect_time_wait=0.5,
                max_reconnect_attempts=-1,
                ping_interval=5,
                max_outstanding_pings=2,
                pending_size=PENDING_BYTES,
                error_cb=reported.error,
                disconnected_cb=reported.lost,
                reconnected_cb=reported.back,
            )
    except (nats.errors.Error, OSError, TimeoutError) as error:
        shown = ", ".join(_shown(one) for one in addresses)
        raise StoreAway(
            f"no NATS at {shown}: {str(error) or 'no answer'}",
            hint="is it running, the address right?",
        ) from None
    stack.push_async_callback(_close, client)
    reported.open = True
    stack.callback(reported.close)
    if client.max_payload < MAX_PARCEL_BYTES:
        raise StoreError(
            f"NATS takes messages of {client.max_payload:,} bytes at most",
            hint=f"set max_payload: {MAX_PARCEL_BYTES} in its configuration",
        )
    stream = client.jetstream(timeout=CALL_S)
    await _ensure(stream, settings, min(len(addresses), MOST_REPLICAS))
    return Line(client, stream)


def checked(settings: StreamSettings) -> list[str]:
    """Give the addresses; plaintext never leaves the machine. Raises UsageError."""
    addresses = settings.addresses
    for one in addresses:
        parts = urlsplit(one)
        if parts.scheme not in {"nats", "tls"} or not parts.hostname:
            raise UsageError("--stream has an address of no NATS", hint="write tls://HOST:4222")
        if parts.scheme == "nats" and not _loopback(parts.hostname):
            raise UsageError(
                f"plaintext to {parts.hostname} is refused", hint="write tls://HOST:4222"
            )
    if not addresses:
        raise UsageError("--stream names no server", hint="write tls://HOST:4222,tls://HOST2:4222")
    return addresses


async def _ensure(stream: JetStreamContext, settings: StreamSettings, replicas: int) -> None:
    config = api.StreamConfig(
        name=STREAM,
        subjects=[SUBJECTS],
        retention=api.RetentionPolicy.WORK_QUEUE,
        storage=api.StorageType.FILE,
        discard=api.DiscardPolicy.NEW,
        num_replicas=settings.replicas or replicas,
        max_bytes=settings.max_bytes,
        max_msg_size=MAX_PARCEL_BYTES,
    )
    try:
        try:
            found = (await stream.add_stream(config)).config
        except nats.js.errors.BadRequestError as error:
            if error.err_code != _EXISTS:
                raise
            found = (await stream.stream_info(STREAM)).config
    except nats.js.errors.APIError as error:
        raise StoreError(
            f"the stream cannot be made: {error.description}",
            hint="JetStream needs as many servers as --replicas says, and room",
        ) from None
    except (nats.errors.Error, TimeoutError) as error:
        raise StoreAway(
            f"JetStream does not answer: {error}",
            hint="is it enabled, does the cluster have a leader?",
        ) from None
    wrong = [
        name
        for name, right in (
            ("storage", found.storage == api.StorageType.FILE),
            ("discard", found.discard == api.DiscardPolicy.NEW),
            ("retention", found.retention == api.RetentionPolicy.WORK_QUEUE),
            ("max_age", not found.max_age),
        )
        if not right
    ]
    has, wanted = found.num_replicas or 1, config.num_replicas or 1
    if has < wanted:
        raise StoreError(
            f"the stream {STREAM} is on {has} servers, and {wanted} are asked for: one that dies "
            "could take records along",
            hint=f"nats stream update {STREAM} --replicas={wanted}, or fewer by --replicas",
        )
    if wrong:
        raise StoreError(
            f"the stream {STREAM} is there with another {', '.join(wrong)}: it could lose records",
            hint=f"remove it when it is empty: nats stream rm {STREAM}",
        )


class _Reports:
    """What the connection tells of itself, told once each time."""

    def __init__(self) -> None:
        """Have told nothing."""
        self._said = ""
        self.open = False
        """Whether it is a loss if the connection ends."""

    async def error(self, error: Exception) -> None:
        """Tell of an error, not the same again and again."""
        if str(error) != self._said:
            self._said = str(error)
            _log.warning("stream_error", error=self._said or type(error).__name__)

    async def lost(self) -> None:
        """Tell that the connection is lost."""
        if self.open:
            _log.warning("stream_lost", hint="another server of NATS is tried")

    def close(self) -> None:
        """Expect the end."""
        self.open = False

    async def back(self) -> None:
        """Tell that there is one again."""
        self._said = ""
        _log.info("stream_back")


async def _close(client: Client) -> None:
    with suppress(nats.errors.Error, OSError, TimeoutError):
        await client.close()


def _shown(address: str) -> str:
    return urlsplit(address).netloc.rpartition("@")[2]


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
