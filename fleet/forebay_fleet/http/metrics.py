"""/metrics: how the fleet and this process do, as OpenMetrics for Prometheus.

Owns the names. Nothing is counted per tag, and single gateways are named only where somebody must
look at them, MOST_NAMED at most: what a scrape costs does not grow with the fleet. The figures of
the fleet come from the registry and the store, so of several servers each tells the same; what is
of one process begins with `forebay_fleet_process_`. The text is that of OpenMetrics 1.0 where the
client takes it, else that of Prometheus 0.0.4.
"""

from __future__ import annotations

import asyncio
import heapq
import shutil
from collections import Counter
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

from fastapi import Depends, Request, Response
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder

from forebay_fleet.access.http import require
from forebay_fleet.access.roles import Role
from forebay_fleet.rollouts.plans import State
from forebay_fleet.web import roster

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastapi import FastAPI
    from prometheus_client.metrics_core import Metric

    from forebay_fleet.http.context import Context
    from forebay_fleet.registry import Registry

MOST_NAMED = 100
"""How many gateways one metric names at most."""
STATES = (roster.ONLINE, roster.OFFLINE, roster.NEVER, "locked", "revoked")


class Sight(NamedTuple):
    """What a scrape is made of. `ends_ns` are of the certificates of gateways that may come."""

    rows: Sequence[roster.Standing]
    records: int
    samples: int
    newest_ns: int
    rollouts: dict[str, int]
    ends_ns: Sequence[int]
    sessions: int
    disk_bytes: int
    free_bytes: int
    now_ns: int


class _Given:
    """A collector of what is already there."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        """Give them."""
        return self._families


def add_to(app: FastAPI, context: Context) -> None:
    """Add the route; it wants a token, as REST does."""
    fleet = roster.Roster(context)
    own = ProcessCollector(namespace="forebay_fleet", registry=None)

    @app.get("/metrics", include_in_schema=False, dependencies=[Depends(require(Role.VIEWER))])
    async def metrics(request: Request) -> Response:
        """Give all metrics."""
        sight = await _see(context, fleet)
        encode, content_type = choose_encoder(format_for(request.headers.get("accept", "")))

        def text() -> bytes:
            every = CollectorRegistry()
            every.register(_Given([*families(sight), *own.collect()]))
            return encode(every)

        return Response(await asyncio.to_thread(text), headers={"content-type": content_type})


def format_for(accept: str) -> str:
    """Give what a client with this Accept is answered in: one of two formats, whatever it wants.

    The library's own reading of Accept fails on some, and promises versions that it does not write.
    """
    for part in accept.lower().split(","):
        kind, *parameters = (word.strip() for word in part.split(";"))
        versions = [word for word in parameters if word.startswith("version=")]
        if kind == "application/openmetrics-text" and versions in ([], ["version=1.0.0"]):
            return f"{kind}; version=1.0.0"
    return "text/plain; version=0.0.4"


async def _see(context: Context, fleet: roster.Roster) -> Sight:
    rows = await fleet.rows()
    stored = await context.readers(lambda store: store.gateways())
    rollouts, ends_ns = await context.registry(_read)
    disk = await asyncio.to_thread(shutil.disk_usage, context.data)
    return Sight(
        *(rows, sum(row.records for row in stored), sum(row.samples for row in stored)),
        *(max((row.last_record_ns for row in stored), default=0), rollouts, ends_ns),
        *(len(context.desk.newest), disk.total, disk.free, context.now_ns()),
    )


def _read(registry: Registry) -> tuple[dict[str, int], list[int]]:
    rollouts = {
        str(state): int(count)
        for state, count in registry.rows("SELECT state, count(*) FROM rollouts GROUP BY state")
    }
    sql = "SELECT expires_ns FROM gateways WHERE name NOT IN (SELECT name FROM denied)"
    return rollouts, [end for (end,) in registry.rows(sql)]


def families(sight: Sight) -> Iterator[Metric]:
    """Give the metrics of what was seen."""
    yield InfoMetricFamily(
        "forebay_fleet", "Version of the server.", {"version": version("forebay")}
    )
    states = Counter(dict.fromkeys(STATES, 0))
    states.update(row.state for row in sight.rows)
    yield _by("forebay_fleet_gateways", "Gateways by state.", "state", states)
    named = dict.fromkeys(map(str, State), 0) | sight.rollouts
    yield _by("forebay_fleet_rollouts", "Rollouts by state.", "state", named)
    yield from _counters(sight)
    yield from _gauges(sight)
    yield from _named(sight)


def _counters(sight: Sight) -> Iterator[Metric]:
    for name, text, value in (
        ("records", "Records stored, of all gateways.", sight.records),
        ("samples", "Samples stored, of all gateways.", sight.samples),
    ):
        yield CounterMetricFamily(f"forebay_fleet_{name}", text, value)


def _gauges(sight: Sight) -> Iterator[Metric]:
    rows = sight.rows
    unwell = sum(row.state == roster.ONLINE and not row.well for row in rows)
    full_soon = sum(0 < row.full_in_s < roster.FULL_SOON_S for row in rows)
    expired = sum(end <= sight.now_ns for end in sight.ends_ns)
    for name, text, value in (
        ("gateways_unwell", "Gateways online with something that is not well.", unwell),
        ("gateways_full_soon", "Gateways whose journal will be full within a day.", full_soon),
        ("alarms", "Journals gone back, forks and twins.", sum(row.alarms for row in rows)),
        ("certificates_expired", "Gateways whose certificate has ended.", expired),
        (
            "newest_record_timestamp_seconds",
            "When a record came last; 0: never.",
            sight.newest_ns / 1e9,
        ),
        ("process_sessions", "Open sessions for data of this process.", sight.sessions),
        ("process_data_size_bytes", "Disk that the data directory is on.", sight.disk_bytes),
        ("process_data_free_bytes", "What is free of it.", sight.free_bytes),
    ):
        yield GaugeMetricFamily(f"forebay_fleet_{name}", text, value)


def _named(sight: Sight) -> Iterator[Metric]:
    """Name those that somebody must look at: the worst first."""
    behind = GaugeMetricFamily(
        "forebay_fleet_gateway_buffer_seconds",
        "How far a gateway's data is behind; those most behind.",
        labels=["gateway"],
    )
    late = (row for row in sight.rows if row.buffer_s > 0)
    for row in heapq.nlargest(MOST_NAMED, late, key=lambda row: row.buffer_s):
        behind.add_metric([row.name], row.buffer_s)
    yield behind
    full = GaugeMetricFamily(
        "forebay_fleet_gateway_journal_full_in_seconds",
        "When a gateway's journal will be full, if it goes on so; the soonest.",
        labels=["gateway"],
    )
    filling = (row for row in sight.rows if row.full_in_s > 0)
    for row in heapq.nsmallest(MOST_NAMED, filling, key=lambda row: row.full_in_s):
        full.add_metric([row.name], row.full_in_s)
    yield full


def _by(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
