"""The figures of a running agent as a collector of OpenTelemetry takes them: OTLP 1.

Owns how metric families become a message. A metric has the name that Prometheus reads, so that
rules and dashboards fit both ways. Needs the extra `otlp`. Must not know where the figures come
from, nor how the message goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric as Family

METHOD = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
SCOPE = "forebay"


def message(
    families: Iterable[Family], about: Mapping[str, str], since_ns: int, now_ns: int
) -> bytes:
    """Give the message of what was found at `now_ns`, where counters count since `since_ns`.

    `about` says who tells it, in OpenTelemetry's words. May be called beside the event loop.
    """
    request = ExportMetricsServiceRequest()
    told = request.resource_metrics.add()
    told.resource.attributes.extend(_attributes(about))
    scope = told.scope_metrics.add()
    scope.scope.name = SCOPE
    for family in families:
        scope.metrics.extend(_metrics(family, since_ns, now_ns))
    return request.SerializeToString()


def refusal(answer: bytes) -> str:
    """Say what a collector's answer refuses, empty for nothing. ValueError: that is no answer."""
    try:
        said = ExportMetricsServiceResponse.FromString(answer).partial_success
    except DecodeError as error:
        raise ValueError("that is no answer of a collector") from error
    if not said.rejected_data_points:
        return ""
    return f"refuses {said.rejected_data_points} values: {said.error_message[:200]!r}"


def _metrics(family: Family, since_ns: int, now_ns: int) -> Iterator[Metric]:
    """Give the metrics of one family: one for each name among its samples."""
    found: dict[str, Metric] = {}
    for sample in family.samples:
        if sample.name.endswith("_created"):
            continue  # when a counter began is told with each value
        metric = found.get(sample.name)
        if metric is None:
            metric = found[sample.name] = Metric(name=sample.name, description=family.documentation)
        if family.type == "counter":
            metric.sum.is_monotonic = True
            metric.sum.aggregation_temporality = (
                AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
            )
            point = metric.sum.data_points.add(start_time_unix_nano=since_ns)
        else:
            point = metric.gauge.data_points.add()
        point.time_unix_nano = now_ns
        point.as_double = sample.value
        point.attributes.extend(_attributes(sample.labels))
    yield from found.values()


def _attributes(named: Mapping[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=named[key])) for key in named]
