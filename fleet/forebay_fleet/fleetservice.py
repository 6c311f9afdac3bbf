"""The service `Fleet`, on the port of gateways: renewal of certificates, the stream, contents.

Owns the adaption of gRPC. Must not know the rules (`identity.office`, `desired`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import grpc
import structlog

from forebay_fleet._proto import fleet_pb2, fleet_pb2_grpc
from forebay_fleet.desired import states
from forebay_fleet.desired.link import Link, LinkEnded
from forebay_fleet.errors import StoreFailed
from forebay_fleet.identity.answering import PUSHBACK, refuse
from forebay_fleet.identity.refused import Refused, invalid

if TYPE_CHECKING:
    from forebay_fleet.desired.hub import Hub
    from forebay_fleet.identity.answering import Context
    from forebay_fleet.identity.door import Door
    from forebay_fleet.identity.office import Office
    from forebay_fleet.registry import RegistryThread

PART_BYTES = 256 << 10
"""What one FetchReply carries at most."""

_log = structlog.get_logger()


class FleetService(fleet_pb2_grpc.FleetServicer):
    """Adapts gRPC; see fleet.proto."""

    def __init__(self, registry: RegistryThread, office: Office, door: Door, hub: Hub) -> None:
        """Let callers in by `door`."""
        self._registry, self._office, self._door, self._hub = registry, office, door, hub

    async def Connect(  # noqa: N802 - the name of the rpc
        self, _requests: object, context: Context
    ) -> None:
        """See fleet.proto."""
        try:
            async with self._door.visit(context) as visit:
                renew = await self._registry(
                    lambda registry: self._office.behind(registry, *visit.who)
                )
                link = Link(self._hub, context, visit.who.name, renew=renew)
                await visit.during(link.run())
        except Refused as refused:
            await refuse(context, refused)
        except LinkEnded as ended:
            trailers = ((PUSHBACK, str(round(ended.wait_s * 1000))),) if ended.wait_s else ()
            await context.abort(grpc.StatusCode[ended.status], str(ended), trailers)
        except StoreFailed as error:
            await self._failed(context, error)

    async def Fetch(  # noqa: N802 - the name of the rpc
        self, request: fleet_pb2.FetchRequest, context: Context
    ) -> None:
        """See fleet.proto."""
        try:
            async with self._door.visit(context) as visit:
                await visit.during(self._parts(visit.who.name, request, context))
        except Refused as refused:
            await refuse(context, refused)
        except StoreFailed as error:
            await self._failed(context, error)

    async def _parts(self, gateway: str, request: fleet_pb2.FetchRequest, context: Context) -> None:
        offset, first = min(request.offset, 1 << 40), True
        while True:
            part = partial(
                states.part, gateway=gateway, sha256=request.sha256, offset=offset, size=PART_BYTES
            )
            found = await self._registry(part)
            if found is None:
                raise _unknown()
            size, data = found
            if offset > size:
                raise invalid(f"offset {offset} is beyond the end, {size}")
            if data or first:
                reply = fleet_pb2.FetchReply(size_bytes=size if first else 0, data=data)
                await context.write(reply)
            offset, first = offset + len(data), False
            if offset >= size:
                return

    async def _failed(self, context: Context, error: StoreFailed) -> None:
        _log.error("registry_failed", error=str(error), hint=error.hint)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the registry failed")

    async def Renew(  # noqa: N802 - the name of the rpc
        self, request: fleet_pb2.RenewRequest, context: Context
    ) -> fleet_pb2.Identity:
        """See fleet.proto."""
        try:
            async with self._door.visit(context) as visit:
                name, generation = visit.who
                return await self._registry(
                    lambda registry: self._office.renew(registry, name, generation, request)
                )
        except Refused as refused:
            await refuse(context, refused)
        except StoreFailed as error:
            await self._failed(context, error)
        raise AssertionError


def _unknown() -> Refused:
    return Refused(
        "unknown",
        "NOT_FOUND",
        "the newest state of this gateway names no such content",
        hint="a newer configuration was offered meanwhile: it comes by itself",
    )
