"""The service `Fleet`, on the port of gateways: renewal of certificates, the stream, contents.

Owns the adaption of gRPC. Must not know the rules (`identity.office`, `desired`).
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import structlog

from forebay_fleet._proto import fleet_pb2, fleet_pb2_grpc
from forebay_fleet.desired import bundles, states
from forebay_fleet.desired.link import Link, LinkEnded
from forebay_fleet.errors import CertificateError, StoreFailed
from forebay_fleet.identity.answering import PUSHBACK, refuse
from forebay_fleet.identity.refused import Refused, invalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from forebay_fleet.artifacts.published import Published
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

    def __init__(
        self,
        registry: RegistryThread,
        office: Office,
        door: Door,
        hub: Hub,
        published: Published,
    ) -> None:
        """Let callers in by `door`."""
        self._registry, self._office, self._door, self._hub = registry, office, door, hub
        self._published = published

        self.bundles = bundles.Bundles(registry.directory)
        """What gateways deliver."""

    def add_to(self, server: grpc.aio.Server) -> None:
        """Have `server` serve the methods of fleet.proto; reports come unparsed, to be measured."""
        connect: Any = grpc.stream_stream_rpc_method_handler(
            self.Connect, response_serializer=fleet_pb2.ServerToAgent.SerializeToString
        )
        service = fleet_pb2.DESCRIPTOR.services_by_name["Fleet"].full_name
        fleet_pb2_grpc.add_FleetServicer_to_server(self, server)
        server.add_registered_method_handlers(service, {"Connect": connect})

    async def Connect(  # noqa: N802 - the name of the rpc
        self, _requests: object, context: Context
    ) -> None:
        """See fleet.proto."""
        try:
            async with self._door.visit(context) as visit:
                name, generation = visit.who
                behind = partial(self._office.behind, name=name, generation=generation)
                link = Link(self._hub, context, name, behind)
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
            found = await self._found(gateway, request, offset)
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

    async def _found(
        self, gateway: str, request: fleet_pb2.FetchRequest, offset: int
    ) -> tuple[int, bytes] | None:
        """Give the whole size and a part of what is asked for; None: not for this gateway."""
        if request.WhichOneof("what") == "metadata":
            data = await asyncio.to_thread(self._published.metadata, request.metadata)
            return None if data is None else (len(data), data[offset : offset + PART_BYTES])
        part = partial(
            states.part, gateway=gateway, sha256=request.sha256, offset=offset, size=PART_BYTES
        )
        found = await self._registry(part)
        if found is None and await self._registry(
            partial(states.names_package, gateway=gateway, sha256=request.sha256)
        ):
            return await asyncio.to_thread(self._published.part, request.sha256, offset, PART_BYTES)
        return found

    async def Deliver(  # noqa: N802 - the name of the rpc
        self, requests: AsyncIterator[fleet_pb2.DeliverRequest], context: Context
    ) -> fleet_pb2.DeliverReply:
        """See fleet.proto."""
        try:
            async with self._door.visit(context) as visit:
                await visit.during(self._delivered(visit.who.name, requests))
                return fleet_pb2.DeliverReply()
        except Refused as refused:
            await refuse(context, refused)
        except StoreFailed as error:
            await self._failed(context, error)
        raise AssertionError

    async def _delivered(
        self, gateway: str, requests: AsyncIterator[fleet_pb2.DeliverRequest]
    ) -> None:
        first = await anext(aiter(requests), None)
        if first is None:
            raise invalid("nothing was sent")
        what = bundles.wanted(gateway, first)
        if not await self._registry(lambda registry: bundles.asked(registry, what, time.time_ns())):
            raise _unknown()
        await self.bundles.keep(what, first, requests)

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
        except CertificateError as error:
            _log.error("authority_unusable", error=str(error), hint=error.hint)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the authority cannot sign now")
        raise AssertionError


def _unknown() -> Refused:
    return Refused(
        "unknown",
        "NOT_FOUND",
        "the newest state of this gateway names no such content",
        hint="a newer configuration was offered meanwhile: it comes by itself",
    )
