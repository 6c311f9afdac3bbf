"""/metrics; alert rules and the dashboard name nothing that is not there."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import TYPE_CHECKING, Any

import httpx2
import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from forebay.columnar import encode_batch, encode_schema
from forebay.model import Batch, Schema, Tag, ValueType
from forebay_fleet._proto import uplink_pb2
from forebay_fleet.http import metrics
from forebay_fleet.rollouts.plans import State
from forebay_fleet.web.roster import OFFLINE, ONLINE, Standing
from support import prometheus
from support.fleet import FleetServer, Gateway, record
from support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "press-hall-1"
SECOND_NS = 10**9
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


class Site:
    """A server with its HTTPS port, and a token."""

    def __init__(self, server: FleetServer, port: int) -> None:
        self.server, self.port = server, port
        made = server.read_json(
            *("api-token", "add", "prometheus", "--role", "viewer", "--why", "metrics")
        )
        self.token: str = made["token"]

    def scrape(self, accept: str, token: str) -> httpx2.Response:
        trust = ssl.create_default_context(cafile=self.server.pki / "ca.crt")
        with httpx2.Client(verify=trust, timeout=30.0) as client:
            headers = {"authorization": f"Bearer {token}", "accept": accept}
            return client.get(f"https://localhost:{self.port}/metrics", headers=headers)

    def samples(self) -> dict[tuple[str, str], float]:
        """Give values by name and labels."""
        answer = self.scrape(OPEN_METRICS, self.token)
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        return {
            (sample.name, ",".join(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(answer.text)  # type: ignore[no-untyped-call]
            for sample in family.samples
        }

    async def send(self, *records: uplink_pb2.Record) -> None:
        async with Gateway(self.server.address, self.server.issue(NAME), NAME) as gateway:
            await gateway.send(*records)
            await gateway.ack_up_to(records[-1].seq)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for all questions."""
    port = free_port()
    with FleetServer(tmp_path_factory.mktemp("metrics"), "--web", f"127.0.0.1:{port}") as server:
        yield Site(server, port)


def standing(name: str, **changes: Any) -> Standing:
    values: dict[str, Any] = {
        "name": name,
        "state": ONLINE,
        "seen_ns": 1,
        "version": "1",
        "healthy": True,
        "ill": 0,
        "buffer_s": 0.0,
        "full_in_s": 0.0,
        "phase": "",
        "labels": {},
        "alarms": 0,
    }
    return Standing(**(values | changes))


def sight(*rows: Standing, ends_ns: tuple[int, ...] = ()) -> metrics.Sight:
    return metrics.Sight(rows, 7, 40, 9 * SECOND_NS, {State.STOPPED: 2}, ends_ns, 3, 1000, 250, 100)


def values(seen: metrics.Sight) -> dict[tuple[str, str], float]:
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in metrics.families(seen)
        for sample in family.samples
    }


def test_what_arrives_is_counted(site: Site) -> None:
    before = site.samples()
    assert before["forebay_fleet_records_total", ""] == 0
    schema = Schema("press", "fast", (Tag("level", "holding:4", ValueType.FLOAT64, "m"),))
    times = np.array([SECOND_NS, 2 * SECOND_NS, 3 * SECOND_NS])
    batch = Batch(schema, times, times, (np.array([[1.0], [2.0], [3.0]]),))
    span = (SECOND_NS, 3 * SECOND_NS)
    asyncio.run(
        site.send(
            record(1, uplink_pb2.SCHEMA, encode_schema(schema)),
            record(2, uplink_pb2.BATCH, encode_batch([batch]), samples=3, times_ns=span),
        )
    )
    after = site.samples()
    assert after["forebay_fleet_records_total", ""] == 2
    assert after["forebay_fleet_samples_total", ""] == 3
    assert time.time() - after["forebay_fleet_newest_record_timestamp_seconds", ""] < 600
    assert after["forebay_fleet_process_cpu_seconds_total", ""] > 0
    assert after["forebay_fleet_process_data_free_bytes", ""] > 0


def test_it_wants_a_token_and_speaks_both_texts(site: Site) -> None:
    assert site.scrape(OPEN_METRICS, "fba1_forged").status_code == 401
    for accept in ("text/plain", "text/plain; version=abc"):
        plain = site.scrape(accept, site.token)
        assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert "forebay_fleet_gateways{" in plain.text
        assert "# EOF" not in plain.text


def test_figures_of_the_fleet() -> None:
    found = values(
        sight(
            standing("a", ill=1, buffer_s=30.0, full_in_s=3600.0, alarms=2),
            standing("b"),
            standing("c", state=OFFLINE),
            standing("d", state="locked"),
            ends_ns=(99, 100, 101),
        )
    )
    by_state = {label: v for (name, label), v in found.items() if name == "forebay_fleet_gateways"}
    assert by_state == {"online": 2, "offline": 1, "never": 0, "locked": 1, "revoked": 0}
    assert found["forebay_fleet_gateways_unwell", ""] == 1
    assert found["forebay_fleet_gateways_full_soon", ""] == 1
    assert found["forebay_fleet_alarms", ""] == 2
    assert found["forebay_fleet_certificates_expired", ""] == 2
    assert found["forebay_fleet_newest_record_timestamp_seconds", ""] == 9
    assert found["forebay_fleet_records_total", ""] == 7
    assert found["forebay_fleet_samples_total", ""] == 40
    assert found["forebay_fleet_rollouts", "stopped"] == 2
    assert found["forebay_fleet_rollouts", "running"] == 0
    assert found["forebay_fleet_gateway_buffer_seconds", "a"] == 30
    assert ("forebay_fleet_gateway_buffer_seconds", "b") not in found
    assert found["forebay_fleet_process_sessions", ""] == 3


def test_few_gateways_are_named_however_many_there_are() -> None:
    rows = [standing(f"g{n}", buffer_s=float(n), full_in_s=1.0 + n) for n in range(1, 5000)]
    found = values(sight(*rows))
    behind = [label for name, label in found if name == "forebay_fleet_gateway_buffer_seconds"]
    full = [
        label for name, label in found if name == "forebay_fleet_gateway_journal_full_in_seconds"
    ]
    assert len(behind) == len(full) == metrics.MOST_NAMED
    assert "g4999" in behind
    assert "g1" in full
    assert len(found) < 3 * metrics.MOST_NAMED


def test_alerts_and_dashboard_name_what_is_there(site: Site) -> None:
    told = {name for name, _ in site.samples()}
    told |= {sample for sample, _ in values(sight(standing("a", buffer_s=1.0, full_in_s=1.0)))}
    asked = prometheus.named("fleet")
    assert len(asked) > 12
    assert asked <= told


def test_the_reference_names_every_metric_of_the_fleet() -> None:
    page = (prometheus.PACKAGING.parent / "docs/reference/metrics.md").read_text("utf-8")
    seen = values(sight(standing("a", buffer_s=1.0, full_in_s=1.0)))
    assert [name for name, _ in seen if f"`{name}`" not in page] == []
