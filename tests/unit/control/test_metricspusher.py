"""Metrics by OTLP: a collector gets what Prometheus would read; one that is away costs nothing."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from forebay.config.otlp import OtlpSettings
from forebay.control import metricspusher
from forebay.control.exposition import text
from forebay.control.metricspusher import MetricsPusher
from forebay.errors import RequestFailed
from forebay.events import DEVICE_LOST, METRICS_UNSENT
from forebay.testing.clock import FakeClock
from support.certificates import Authority
from support.collector import collecting
from support.journal import seams
from support.processes import free_port, until
from support.sights import sight

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as pb

    from forebay.control.figures import Sight
    from forebay.interfaces import Seams

TOKEN = "as-long-as-a-token-has-to-be"
EVERY_S = 60.0
Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


@asynccontextmanager
async def pushing(
    settings: OtlpSettings | None, parts: Seams, look: Any = None
) -> AsyncIterator[MetricsPusher]:
    pusher = MetricsPusher(look or sight, parts.events.registry, settings, parts)
    running = asyncio.create_task(pusher.run())
    try:
        yield pusher
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.wait([running])


async def advance_until(clock: FakeClock, condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await clock.advance(EVERY_S)
            await asyncio.sleep(0.02)


def here(port: int, **changes: Any) -> OtlpSettings:
    return OtlpSettings(host="127.0.0.1", port=port, **{"plaintext": True, **changes})


def attributes(of: Any) -> dict[str, str]:
    return {one.key: one.value.string_value for one in of.attributes}


def told(request: pb.ExportMetricsServiceRequest) -> Values:
    found: Values = {}
    for metric in request.resource_metrics[0].scope_metrics[0].metrics:
        points = metric.sum if metric.HasField("sum") else metric.gauge
        for point in points.data_points:
            found[metric.name, frozenset(attributes(point).items())] = point.as_double
    return found


def scraped(seen: Sight, parts: Seams) -> Values:
    body, _ = text(seen, parts.events.registry, "application/openmetrics-text; version=1.0.0")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())  # type: ignore[no-untyped-call]
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def steady(values: Values) -> Values:
    """Without those of the process, which differ from one look to the next."""
    return {at: value for at, value in values.items() if "process_" not in at[0]}


async def test_a_collector_gets_what_prometheus_would_read() -> None:
    clock = FakeClock()
    parts, port = seams(clock=clock), free_port()
    parts.events.emit(DEVICE_LOST, device="press", error="away", hint="look")
    began_ns = clock.now_ns()
    async with collecting(port) as collector, pushing(here(port), parts) as pusher:
        await advance_until(clock, lambda: len(collector.got) > 1)
        assert pusher.trouble == ""
    request = collector.got[0]
    assert steady(told(request)) == steady(scraped(await sight(), parts))
    assert told(request).keys() == scraped(await sight(), parts).keys()
    resource = request.resource_metrics[0].resource
    assert attributes(resource)["service.instance.id"] == "press-hall-1"
    sums = [
        (metric.name, metric.sum)
        for metric in request.resource_metrics[0].scope_metrics[0].metrics
        if metric.HasField("sum")
    ]
    assert {name.endswith("_total") for name, _ in sums} == {True}
    assert {one.is_monotonic for _, one in sums} == {True}
    points = [point for _, one in sums for point in one.data_points]
    assert {point.start_time_unix_nano for point in points} == {began_ns}
    assert began_ns < points[0].time_unix_nano <= clock.now_ns()


async def test_beyond_this_machine_it_shows_who_it_is(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, mine = authority.issue("collector"), authority.issue("press-hall-1")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    both = [(server.key.read_bytes(), server.cert.read_bytes())]
    credentials = grpc.ssl_server_credentials(
        both, authority.ca.read_bytes(), require_client_auth=True
    )
    clock, port = FakeClock(), free_port()
    settings = here(
        port,
        plaintext=False,
        ca=authority.ca,
        certificate=mine.cert,
        key=mine.key,
        token=tmp_path / "token",
    )
    async with (
        collecting(port, credentials) as collector,
        pushing(settings, seams(clock=clock)) as pusher,
    ):
        await advance_until(clock, lambda: collector.got)
        assert collector.brought[0]["authorization"] == f"Bearer {TOKEN}"
        pusher.follow(settings.model_copy(update={"ca": mine.cert}))
        await advance_until(clock, lambda: pusher.trouble)
        assert "is not trusted" in pusher.trouble
        (tmp_path / "token").unlink()
        pusher.follow(settings)
        await advance_until(clock, lambda: "No such file" in pusher.trouble)
        pusher.follow(None)
        await until(lambda: pusher.trouble == "", "it tells nobody, as it is asked to")


async def test_a_collector_that_is_away_is_told_of_once_and_asked_again() -> None:
    clock, port = FakeClock(), free_port()
    parts = seams(clock=clock)
    async with pushing(here(port), parts) as pusher:
        for _ in range(2):
            await advance_until(clock, lambda: "cannot be reached" in pusher.trouble)
            assert f"127.0.0.1:{port} cannot be reached: connection refused" in pusher.trouble
        async with collecting(port) as collector:
            await advance_until(clock, lambda: collector.got and not pusher.trouble)
        assert parts.events.count(METRICS_UNSENT) == 1


async def test_what_a_collector_refuses_is_told() -> None:
    clock, port = FakeClock(), free_port()
    async with (
        collecting(port) as collector,
        pushing(here(port), seams(clock=clock)) as pusher,
    ):
        collector.answer.partial_success.rejected_data_points = 7
        collector.answer.partial_success.error_message = "old\n" * 1000
        await advance_until(clock, lambda: "refuses 7 values" in pusher.trouble)
        assert "\n" not in pusher.trouble
        assert len(pusher.trouble) < 400


async def test_one_that_says_nothing_ends_by_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metricspusher, "DEADLINE_S", 0.3)
    clock = FakeClock()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with pushing(here(port), seams(clock=clock)) as pusher:
            await advance_until(clock, lambda: pusher.trouble)
            assert "DEADLINE_EXCEEDED" in pusher.trouble


async def test_without_a_journal_and_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, asked = FakeClock(), [0]

    async def look() -> Sight:
        asked[0] += 1
        if asked[0] < 3:
            raise RequestFailed("the journal is not open", hint="wait")
        return await sight()

    monkeypatch.setitem(sys.modules, "forebay.control.otlp", None)
    async with pushing(here(free_port()), seams(clock=clock), look) as pusher:
        await advance_until(clock, lambda: asked[0] >= 2)
        assert pusher.trouble == "", "that is the journal's trouble"
        await advance_until(clock, lambda: pusher.trouble)
        assert "forebay[otlp]" in pusher.trouble


async def test_a_disk_that_fails_under_it_ends_nothing() -> None:
    clock, asked = FakeClock(), [0]

    async def look() -> Sight:
        asked[0] += 1
        raise OSError(5, "Input/output error")

    async with pushing(here(free_port()), seams(clock=clock), look) as pusher:
        await advance_until(clock, lambda: asked[0] >= 2)
        assert "Input/output error" in pusher.trouble


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "collector.example.org", "plaintext": True},
        {"host": "127.0.0.1", "plaintext": True, "token": "t"},
        {"host": "collector.example.org", "certificate": "c.pem"},
    ],
)
def test_nothing_leaves_in_the_clear(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"plaintext|certificate"):
        OtlpSettings(**changes)


def test_an_address_of_ipv6_has_its_brackets() -> None:
    assert OtlpSettings(host="2001:db8::4").address == "[2001:db8::4]:4317"
