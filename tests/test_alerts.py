"""What Prometheus and Grafana are given: promtool takes it, each alert fires when it should.

That the metrics it names are really told: tests/unit/control/test_exposition.py and
tests/unit/fleet/http/test_metrics.py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support import prometheus

if TYPE_CHECKING:
    from pathlib import Path

DEVICE = '{instance="a",device="press"}'
LEDGER = '{instance="a",stream="telemetry",uplink="cloud"}'
GATEWAY: dict[str, prometheus.Case] = {
    "ForebayGatewayDown": ({'up{job="forebay-gateway"}': (1, 0)}, "6m"),
    "ForebayNothingIsWritten": ({"forebay_journal_writing": (1, 0)}, "2m"),
    "ForebayDataLost": (
        {f"forebay_ledger_gapped_samples{LEDGER}": ("7+0", "7+1")},
        "62m",
    ),
    "ForebayLedgerDoesNotBalance": (
        {
            f"forebay_ledger_produced_samples{LEDGER}": (100, 100),
            f"forebay_ledger_delivered_samples{LEDGER}": (60, 60),
            f"forebay_ledger_pending_samples{LEDGER}": (20, 20),
            f"forebay_ledger_gapped_samples{LEDGER}": (15, 14),
            f"forebay_ledger_quarantined_samples{LEDGER}": (5, 5),
        },
        "6m",
    ),
    "ForebayDeviceLost": ({f"forebay_device_connected{DEVICE}": (1, 0)}, "6m"),
    "ForebayDeviceSilent": (
        {
            f"forebay_device_newest_data_timestamp_seconds{DEVICE}": ("0+60", "0+0"),
            f"forebay_device_period_seconds{DEVICE}": (10, 10),
            f"forebay_device_connected{DEVICE}": (1, 1),
        },
        "20m",
    ),
    "ForebayTagsBad": (
        {f"forebay_device_tags_bad{DEVICE}": (0, 3), f"forebay_device_connected{DEVICE}": (1, 1)},
        "31m",
    ),
    "ForebayPollsMissed": (
        {
            f"forebay_device_polls_missed_total{DEVICE}": ("0+1", "0+6"),
            f"forebay_device_polls_total{DEVICE}": ("0+60", "0+60"),
        },
        "40m",
    ),
    "ForebayUplinkLost": ({"forebay_uplink_connected": (1, 0)}, "16m"),
    "ForebayUplinkStuck": ({"forebay_uplink_stuck": (0, 1)}, "11m"),
    "ForebayUplinkBehind": ({"forebay_uplink_oldest_pending_seconds": (60, 7200)}, "16m"),
    "ForebayRecordsRefused": ({"forebay_uplink_quarantined_records": (0, 1)}, "1m"),
    "ForebayPluginDown": ({"forebay_plugin_running": (1, 0)}, "11m"),
    "ForebayClockUnset": ({'forebay_clock_state{state="unsynced"}': (0, 1)}, "31m"),
    "ForebayDiskSmall": ({"forebay_journal_disk_free_bytes": (1 << 30, 1 << 20)}, "11m"),
    "ForebayFleetLost": ({"forebay_link_connected": (1, 0)}, "31m"),
}
FLEET: dict[str, prometheus.Case] = {
    "ForebayServerDown": ({'up{job="forebay-fleet"}': (1, 0)}, "3m"),
    "ForebayNothingArrives": (
        {
            'forebay_fleet_gateways{state="online"}': (1, 1),
            "forebay_fleet_newest_record_timestamp_seconds": (1e9, 0),
        },
        "20m",
    ),
    "ForebayManyOffline": (
        {
            'forebay_fleet_gateways{state="online"}': (95, 85),
            'forebay_fleet_gateways{state="offline"}': (5, 15),
        },
        "11m",
    ),
    "ForebayJournalFullSoon": (
        {'forebay_fleet_gateway_journal_full_in_seconds{gateway="a"}': (90_000, 3600)},
        "16m",
    ),
    "ForebayGatewayBehind": (
        {'forebay_fleet_gateway_buffer_seconds{gateway="a"}': (60, 7200)},
        "16m",
    ),
    "ForebayUnwell": ({"forebay_fleet_gateways_unwell": (0, 2)}, "31m"),
    "ForebayAlarm": ({"forebay_fleet_alarms": (0, 1)}, "1m"),
    "ForebayLocked": ({'forebay_fleet_gateways{state="locked"}': (0, 1)}, "1m"),
    "ForebayCertificatesExpired": ({"forebay_fleet_certificates_expired": (0, 1)}, "25h"),
    "ForebayRolloutStopped": ({'forebay_fleet_rollouts{state="stopped"}': (0, 1)}, "1m"),
    "ForebayServerDiskFull": (
        {
            "forebay_fleet_process_data_free_bytes": (50, 5),
            "forebay_fleet_process_data_size_bytes": (100, 100),
        },
        "11m",
    ),
}
CASES = {"fleet": FLEET, "gateway": GATEWAY}


def test_nothing_is_there_that_no_test_looks_at() -> None:
    """Another file of rules, or another dashboard, wants its cases here."""
    alerts = {prometheus.alerts(of).name for of in CASES}
    assert {one.name for one in prometheus.PROMETHEUS.iterdir()} == {"prometheus.yml", *alerts}
    dashboards = {one.name for one in (prometheus.PACKAGING / "grafana").iterdir()}
    assert dashboards == {f"forebay-{of}.json" for of in CASES}


def test_the_configuration_names_every_file_of_rules(promtool_binary: Path) -> None:
    configuration = prometheus.PROMETHEUS / "prometheus.yml"
    prometheus.promtool(promtool_binary, "check", "config", "--syntax-only", configuration)
    files = re.findall(r"^  - (\S+\.yml)$", configuration.read_text("utf-8"), re.MULTILINE)
    assert set(files) == {prometheus.alerts(of).name for of in CASES}


@pytest.mark.parametrize("of", CASES)
def test_promtool_takes_rules_and_dashboard(of: str, promtool_binary: Path, tmp_path: Path) -> None:
    prometheus.check(promtool_binary, of, tmp_path)


@pytest.mark.parametrize("of", CASES)
def test_each_alert_fires_when_it_should_and_not_before(
    of: str, promtool_binary: Path, tmp_path: Path
) -> None:
    prometheus.fire(promtool_binary, of, CASES[of], tmp_path)
