"""The session with a fleet server: channel, Hello and Welcome, records out, acks in.

Owns the connection and its options; every fault of gRPC becomes an UplinkError here. Must not know
the journal, credit or back-off.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from forebay import __version__, uplinkproto
from forebay._proto import uplink_pb2 as pb
from forebay._proto.uplink_pb2_grpc import UplinkStub
from forebay.cancellation import StrayCancellation, strict
from forebay.errors import IdentityUnusable, UplinkMisbehaved, UplinkUnavailable
from forebay.identity import ENROLL_HINT, NOT_ENROLLED, IdentityStore
from forebay.uplinks.grpc.patience import Patience
from forebay.uplinks.grpc.refusals import from_status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from forebay.errors import UplinkError
    from forebay.interfaces import Offer, Receipt, Seams, Terms
    from forebay.model import Record
    from forebay.uplinks.grpc.config import GrpcSettings

    Call = grpc.aio.StreamStreamCall[pb.FromGateway, pb.FromServer]

MAX_PEM_BYTES = 1 << 20
"""The largest certificate or key file that is read."""
MAX_ANSWER_BYTES = 1 << 20
"""The largest message taken from the server: a Welcome of some thousand epochs."""
CLOSE_TIMEOUT_S = 2.0

_OPTIONS = (
    # Pings find a dead path while nothing is sent; the server must allow them this often. gRPC by
    # itself sends no more after two without data.
    ("grpc.keepalive_time_ms", 18_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    ("grpc.max_send_message_length", -1),
    # The forwarder owns retries. Shared subchannels would bring a hidden back-off of their own.
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
)


class GrpcUplink:
    """Implements `interfaces.Uplink`; see the README for what a Receipt means here."""

    def __init__(self, name: str, settings: GrpcSettings, seams: Seams) -> None:
        """Touches neither network nor disk."""
        self._name, self._settings, self._seams = name, settings, seams
        self._channel: grpc.aio.Channel | None = None
        self._call: Call | None = None
        self._patience = Patience()

    async def connect(self, offer: Offer) -> Terms:
        """See `Uplink.connect`. The files of TLS are read each time, so that renewed ones count."""
        wait_s = self._settings.connect_timeout
        credentials = await self._credentials()
        self._channel = self._open(credentials)
        self._call = UplinkStub(self._channel).Session()
        message = uplinkproto.hello(offer, self._seams.clock.now_ns(), __version__)
        try:
            async with asyncio.timeout(wait_s):
                await self._write(message)
                answer = await self._read()
        except TimeoutError:
            raise UplinkUnavailable(
                f"{self._settings.address} agreed to no session within {wait_s:g} s",
                hint="check the address, and whether a firewall drops the connection",
            ) from None
        if answer.WhichOneof("message") != "welcome":
            raise UplinkMisbehaved(
                "the server's first message is no Welcome",
                hint="this address may serve something else: check host and port",
            )
        self._patience.opened(self._seams.clock.monotonic_s())
        return uplinkproto.terms(answer.welcome)

    async def send(
        self, records: Sequence[Record], *, historical: bool, absent_from: Sequence[int] = ()
    ) -> None:
        """See `Uplink.send`; one message, and flow control may hold the return."""
        now_s = self._seams.clock.monotonic_s()
        for record in records:
            self._patience.sent(len(record.payload), now_s)
        await self._write(
            uplinkproto.group(records, historical=historical, absent_from=absent_from)
        )

    async def receipts(self) -> AsyncIterator[Receipt]:
        """See `Uplink.receipts`.

        Kinds of message that this version does not know are passed over.
        """
        while True:
            answer = await self._read()
            kind = answer.WhichOneof("message")
            if kind == "ack":
                receipt = uplinkproto.receipt(answer.ack)
                self._patience.heard(receipt.answered, self._seams.clock.monotonic_s())
                yield receipt
            elif kind == "welcome":
                raise UplinkMisbehaved(
                    "the server said Welcome twice", hint="look at the server's log and version"
                )

    async def close(self) -> None:
        """See `Uplink.close`; bounded by CLOSE_TIMEOUT_S."""
        self._patience.ended(self._seams.clock.monotonic_s())
        call, channel = self._call, self._channel
        self._call = self._channel = None
        if call is not None:
            call.cancel()
        if channel is not None:
            with contextlib.suppress(TimeoutError, grpc.RpcError, grpc.aio.UsageError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await channel.close()

    async def _write(self, message: pb.FromGateway) -> None:
        call = self._session()
        try:
            await call.write(message)
        except (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError) as error:
            raise await self._ended(call, error) from error

    async def _read(self) -> pb.FromServer:
        call = self._session()
        try:
            answer = await strict(call.read)
        except (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError) as error:
            raise await self._ended(call, error) from error
        except StrayCancellation:  # a call that `close` cancelled ends its readers so
            raise self._closed() from None
        if answer is grpc.aio.EOF:
            raise from_status(grpc.StatusCode.OK, None, None)
        if not isinstance(answer, pb.FromServer):
            raise UplinkMisbehaved(
                "the server sent bytes that are no message of the uplink protocol",
                hint="this address may serve something else: check host and port",
            )
        return answer

    async def _ended(self, call: Call, error: Exception) -> UplinkError:
        if isinstance(error, grpc.aio.AioRpcError):
            return from_status(error.code(), error.details(), error.trailing_metadata())
        if call.done():
            trailing = await call.trailing_metadata()
            return from_status(await call.code(), await call.details(), trailing)
        return UplinkUnavailable(f"the session broke: {error}", hint="it is opened anew by itself")

    def _session(self) -> Call:
        if self._call is None:
            raise self._closed()
        return self._call

    def _closed(self) -> UplinkUnavailable:
        return UplinkUnavailable("the session is closed", hint="it is opened anew by itself")

    def _open(self, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
        address, name = self._settings.address, self._settings.server_name
        patience_ms = round(self._patience.seconds * 1000)
        options: list[tuple[str, int | str]] = [
            *_OPTIONS,
            ("grpc.keepalive_timeout_ms", patience_ms),
            ("grpc.http2.ping_timeout_ms", patience_ms),
        ]
        if credentials is None:
            # On this machine no proxy of the environment has a say.
            return grpc.aio.insecure_channel(address, [*options, ("grpc.enable_http_proxy", 0)])
        if name is not None:
            options.append(("grpc.ssl_target_name_override", name))
        return grpc.aio.secure_channel(address, credentials, options)

    async def _credentials(self) -> grpc.ChannelCredentials | None:
        settings = self._settings
        if settings.identity is not None:
            return await self._enrolled(settings.identity)
        if settings.ca is None or settings.cert is None or settings.key is None:
            return None
        return grpc.ssl_channel_credentials(
            root_certificates=await self._pem(settings.ca),
            private_key=await self._pem(settings.key),
            certificate_chain=await self._pem(settings.cert),
        )

    async def _enrolled(self, folder: Path) -> grpc.ChannelCredentials:
        try:
            identity = await asyncio.to_thread(IdentityStore(folder, self._seams.disk).current)
        except IdentityUnusable as error:
            raise UplinkUnavailable(str(error), hint=error.hint) from error
        if identity is None:
            raise UplinkUnavailable(NOT_ENROLLED, hint=ENROLL_HINT)
        return grpc.ssl_channel_credentials(
            identity.authorities, identity.key, identity.certificate
        )

    async def _pem(self, path: Path) -> bytes:
        try:
            return await asyncio.to_thread(self._seams.disk.read_bytes, path, MAX_PEM_BYTES)
        except OSError as error:
            raise UplinkUnavailable(
                f"{path} cannot be read: {error.strerror}",
                hint="give the agent's user the right to read it, or correct the path",
            ) from error
