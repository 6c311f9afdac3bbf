"""The service `Enrollment`, on a port of its own that asks for no client certificate.

Owns the limits of that port and the adaption of gRPC to `Office`. Must not know the rules.

Anybody can call here. gRPC reads the request of a unary call before it calls a handler, and waits
for it as long as the caller likes; so each method is served as one with a stream of requests, which
is the same on the wire, and reads the one request itself: within REQUEST_S, and from an address
that has not too many calls open.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import structlog

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.errors import CertificateError, StoreFailed
from forebay_fleet.identity.answering import refuse
from forebay_fleet.identity.refused import Refused
from forebay_fleet.identity.throttle import Throttle, address_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.message import Message

    from forebay_fleet.identity.answering import Context
    from forebay_fleet.identity.challenge import Challenges
    from forebay_fleet.identity.office import Office
    from forebay_fleet.registry import Registry, RegistryThread

T = TypeVar("T")

MAX_MESSAGE_BYTES = 64 << 10
MAX_CALLS = 64
"""Calls at once; more are refused by gRPC with RESOURCE_EXHAUSTED."""
MOST_OF_ONE = 8
"""Calls of one address at once: boxes of one site may come from behind one."""
REQUEST_S = 10.0
"""How long a request may take to come."""
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", 8 << 10),
    ("grpc.max_concurrent_streams", 4),
    ("grpc.max_connection_idle_ms", 30_000),
    ("grpc.max_connection_age_ms", 60_000),
    ("grpc.max_connection_age_grace_ms", 20_000),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.so_reuseport", 0),
)

_log = structlog.get_logger()


class EnrollmentService:
    """Adapts gRPC to `Office`; see fleet.proto."""

    def __init__(
        self,
        registry: RegistryThread,
        office: Office,
        challenges: Challenges,
        monotonic_s: Callable[[], float],
    ) -> None:
        """Ask `office`, on the registry's thread."""
        self._registry, self._office, self._challenges = registry, office, challenges
        self._now_s = monotonic_s
        self._throttle = Throttle()
        self._calls = Counter[str]()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Have `server` serve the methods of fleet.proto."""
        methods: dict[str, tuple[Any, Callable[[Any, Context], Awaitable[Any]]]] = {
            "Enroll": (fleet_pb2.EnrollRequest, self._enroll),
            "Challenge": (fleet_pb2.ChallengeRequest, self._challenge),
            "Recover": (fleet_pb2.RecoverRequest, self._recover),
        }
        handlers = {
            name: grpc.stream_unary_rpc_method_handler(
                partial(self._serve, method),
                request_deserializer=kind.FromString,
                response_serializer=_serialized,
            )
            for name, (kind, method) in methods.items()
        }
        service = fleet_pb2.DESCRIPTOR.services_by_name["Enrollment"].full_name
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    async def _serve(
        self,
        method: Callable[[Any, Context], Awaitable[Any]],
        _requests: object,
        context: Context,
    ) -> object:
        """Read the one request of a call, and answer it."""
        address = address_of(context.peer())
        await self._listen_to(address, context)
        if self._calls[address] >= MOST_OF_ONE:
            await refuse(context, _busy("too many calls at once from this address"), 1.0)
        self._calls[address] += 1
        try:
            try:
                request: Any = await asyncio.wait_for(context.read(), REQUEST_S)
            except TimeoutError:
                request = grpc.aio.EOF
            if request is grpc.aio.EOF:
                self._throttle.failed(address, self._now_s())
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no request has come")
            return await method(request, context)
        finally:
            self._calls[address] -= 1
            if not self._calls[address]:
                del self._calls[address]

    async def _enroll(
        self, request: fleet_pb2.EnrollRequest, context: Context
    ) -> fleet_pb2.Identity:
        return await self._answer(context, lambda registry: self._office.enroll(registry, request))

    async def _challenge(
        self, request: fleet_pb2.ChallengeRequest, _: Context
    ) -> fleet_pb2.ChallengeReply:
        """Say nothing of whether the gateway is known."""
        return fleet_pb2.ChallengeReply(nonce=self._challenges.give(request.gateway))

    async def _recover(
        self, request: fleet_pb2.RecoverRequest, context: Context
    ) -> fleet_pb2.Identity:
        return await self._answer(context, lambda registry: self._office.recover(registry, request))

    async def _answer(self, context: Context, work: Callable[[Registry], T]) -> T:
        address = address_of(context.peer())
        try:
            return await self._registry(work)
        except Refused as refused:
            self._throttle.failed(address, self._now_s())
            _log.warning("enrollment_refused", address=address, code=refused.code)
            await refuse(context, refused)
        except StoreFailed as error:
            _log.error("registry_failed", error=str(error), hint=error.hint)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the registry failed")
        except CertificateError as error:
            _log.error("authority_unusable", error=str(error), hint=error.hint)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the authority cannot sign now")
        raise AssertionError

    async def _listen_to(self, address: str, context: Context) -> None:
        """Refuse who failed too often."""
        wait_s = self._throttle.wait_s(address, self._now_s())
        if wait_s > 0:
            await refuse(context, _busy("too many failures from this address"), wait_s)


def _busy(message: str) -> Refused:
    hint = "wait a minute, then try once with a fresh token"
    return Refused("busy", "RESOURCE_EXHAUSTED", message, hint=hint)


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()
