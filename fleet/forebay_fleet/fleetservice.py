"""The service `Fleet`, on the port of gateways: renewal of certificates.

Owns the adaption of gRPC. Must not know the rules (`identity.office`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import structlog

from forebay_fleet._proto import fleet_pb2, fleet_pb2_grpc
from forebay_fleet.errors import StoreFailed
from forebay_fleet.identity.answering import refuse
from forebay_fleet.identity.refused import Refused

if TYPE_CHECKING:
    from forebay_fleet.identity.answering import Context
    from forebay_fleet.identity.door import Door
    from forebay_fleet.identity.office import Office
    from forebay_fleet.registry import RegistryThread

_log = structlog.get_logger()


class FleetService(fleet_pb2_grpc.FleetServicer):
    """Adapts gRPC; see fleet.proto."""

    def __init__(self, registry: RegistryThread, office: Office, door: Door) -> None:
        """Let callers in by `door`."""
        self._registry, self._office, self._door = registry, office, door

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
            _log.error("registry_failed", error=str(error), hint=error.hint)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the registry failed")
        raise AssertionError
