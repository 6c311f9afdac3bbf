"""A collector of OpenTelemetry: gRPC's own code of OTLP, and what came."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as pb
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Collector(MetricsServiceServicer):
    """Keeps what comes, and says `answer`."""

    def __init__(self) -> None:
        self.got: list[pb.ExportMetricsServiceRequest] = []
        self.brought: list[dict[str, Any]] = []
        self.answer = pb.ExportMetricsServiceResponse()

    async def Export(  # noqa: N802 - it is called so
        self, request: pb.ExportMetricsServiceRequest, context: Any
    ) -> pb.ExportMetricsServiceResponse:
        self.got.append(request)
        self.brought.append(dict(context.invocation_metadata()))
        return self.answer


@asynccontextmanager
async def collecting(
    port: int, credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[Collector]:
    collector, server = Collector(), grpc.aio.server()
    add_MetricsServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    if credentials is None:
        server.add_insecure_port(f"127.0.0.1:{port}")
    else:
        server.add_secure_port(f"127.0.0.1:{port}", credentials)
    await server.start()
    try:
        yield collector
    finally:
        await server.stop(None)
