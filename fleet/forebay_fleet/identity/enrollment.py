"""The service `Enrollment`, on a port of its own that asks for no client certificate.

Owns the limits of that port and the adaption of gRPC to `Office`. Must not know the rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import grpc
import structlog

from forebay_fleet._proto import fleet_pb2, fleet_pb2_grpc
from forebay_fleet.errors import StoreFailed
from forebay_fleet.identity.answering import refuse
from forebay_fleet.identity.refused import Refused
from forebay_fleet.identity.throttle import Throttle, address_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay_fleet.identity.answering import Context
    from forebay_fleet.identity.challenge import Challenges
    from forebay_fleet.identity.office import Office
    from forebay_fleet.registry import Registry, RegistryThread

T = TypeVar("T")

MAX_MESSAGE_BYTES = 64 << 10
MAX_CALLS = 64
"""Calls at once; more are refused by gRPC with RESOURCE_EXHAUSTED."""
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", 8 << 10),
    ("grpc.max_concurrent_streams", 4),
    ("grpc.max_connection_idle_ms", 30_000),
    ("grpc.max_connection_age_ms", 60_000),
    ("grpc.so_reuseport", 0),
)

_log = structlog.get_logger()


class EnrollmentService(fleet_pb2_grpc.EnrollmentServicer):
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

    async def Enroll(  # noqa: N802 - the name of the rpc
        self, request: fleet_pb2.EnrollRequest, context: Context
    ) -> fleet_pb2.Identity:
        """See fleet.proto."""
        return await self._answer(context, lambda registry: self._office.enroll(registry, request))

    async def Challenge(  # noqa: N802 - the name of the rpc
        self, request: fleet_pb2.ChallengeRequest, context: Context
    ) -> fleet_pb2.ChallengeReply:
        """See fleet.proto. Says nothing of whether the gateway is known."""
        await self._listen_to(address_of(context.peer()), context)
        return fleet_pb2.ChallengeReply(nonce=self._challenges.give(request.gateway))

    async def Recover(  # noqa: N802 - the name of the rpc
        self, request: fleet_pb2.RecoverRequest, context: Context
    ) -> fleet_pb2.Identity:
        """See fleet.proto."""
        return await self._answer(context, lambda registry: self._office.recover(registry, request))

    async def _answer(self, context: Context, work: Callable[[Registry], T]) -> T:
        address = address_of(context.peer())
        await self._listen_to(address, context)
        try:
            return await self._registry(work)
        except Refused as refused:
            self._throttle.failed(address, self._now_s())
            _log.warning("enrollment_refused", address=address, code=refused.code)
            await refuse(context, refused)
        except StoreFailed as error:
            _log.error("registry_failed", error=str(error), hint=error.hint)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the registry failed")
        raise AssertionError

    async def _listen_to(self, address: str, context: Context) -> None:
        """Refuse who failed too often."""
        wait_s = self._throttle.wait_s(address, self._now_s())
        if wait_s > 0:
            busy = Refused(
                "busy",
                "RESOURCE_EXHAUSTED",
                "too many failures from this address",
                hint="wait a minute, then try once with a fresh token",
            )
            await refuse(context, busy, wait_s)
