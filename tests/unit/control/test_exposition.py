"""What a gateway tells Prometheus: figures, alert rules and the dashboard fit each other."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from forebay import events
from forebay.control import figures
from forebay.control.exposition import streams, text
from forebay.control.figures import Clock, Sight
from forebay.control.view import JournalStatusReply, StreamStatus
from forebay.events import DEVICE_LOST, PLUGIN_STARTED, Event
from forebay.management import events as managed
from forebay.model import ClockState
from support import prometheus
from support.journal import seams
from support.scripted_agent import ScriptedAgent
from support.sights import sight

if TYPE_CHECKING:
    from pathlib import Path

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def values(seen: Sight, counted: CollectorRegistry | None = None) -> dict[tuple[str, str], float]:
    body, content_type = text(seen, counted or CollectorRegistry(), OPEN_METRICS)
    assert content_type.startswith("application/openmetrics-text")
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(body.decode())  # type: ignore[no-untyped-call]
        for sample in family.samples
    }


async def test_figures_of_a_gateway() -> None:
    found = values(await sight())
    assert found["forebay_info", "press-hall-1,0.1.0"] == 1
    assert found["forebay_ready", ""] == 1
    assert found["forebay_problems", ""] == 1
    assert found["forebay_device_connected", "press"] == 1
    assert found["forebay_device_connected", "oven"] == 0
    assert ("forebay_device_connected", "spare") not in found
    assert found["forebay_device_polls_total", "press"] == 864_000
    assert found["forebay_device_poll_seconds", "press"] == pytest.approx(0.00842)
    assert found["forebay_uplink_connected", "cloud"] == 0
    assert found["forebay_uplink_oldest_pending_seconds", "cloud"] == 75
    assert found["forebay_plugin_running", "fit"] == 0
    assert found["forebay_plugin_p99_seconds", "fit"] == pytest.approx(0.004)
    assert found["forebay_journal_writing", ""] == 1
    assert found["forebay_journal_bytes", "telemetry"] == 150 << 20
    assert found["forebay_ledger_pending_samples", "telemetry,cloud"] == 9_000
    assert found["forebay_clock_state", "synced"] == 1
    assert found["forebay_clock_state", "holdover"] == 0
    assert found["forebay_clock_error_seconds", ""] == 0.25
    assert found["forebay_link_connected", ""] == 1
    assert found["forebay_process_resident_memory_bytes", ""] > 1 << 20


async def test_what_nobody_knows_is_not_told() -> None:
    found = values(await sight(link="unenrolled", clock=Clock(ClockState.UNSYNCED, 0.0)))
    names = {name for name, _ in found}
    assert found["forebay_clock_state", "unsynced"] == 1
    assert not names & {"forebay_clock_error_seconds", "forebay_link_connected"}
    assert ("forebay_device_newest_data_timestamp_seconds", "oven") not in found
    assert ("forebay_device_line_load", "press") not in found


async def test_nobody_is_called_for_what_is_switched_off() -> None:
    """Not even for what waits for it: somebody has switched it off."""
    seen = await sight()
    (cloud, *_) = seen.uplinks
    (press, *_) = seen.devices
    off = await sight(
        devices=(replace(press, state="disabled"),),
        uplinks=(replace(cloud, state="disabled"),),
        plugins=(replace(seen.plugins[0], state="disabled"),),
    )
    assert not [name for name, _ in values(off) if "_device_" in name]
    assert not [name for name, _ in values(off) if "_uplink_" in name]
    assert not [name for name, _ in values(off) if "_plugin_" in name]
    assert values(off)["forebay_ledger_pending_samples", "telemetry,cloud"] == 9_000


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("", "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
        ("text/plain; version=abc", "text/plain; version=0.0.4"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0"),
        (
            "Application/OpenMetrics-Text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;q=.1",
            "application/openmetrics-text; version=1.0.0",
        ),
        ("application/openmetrics-text; version=2.0.0", "text/plain; version=0.0.4"),
    ],
)
async def test_the_format_is_what_the_client_can_read(accept: str, answered: str) -> None:
    body, content_type = text(await sight(), CollectorRegistry(), accept)
    assert content_type.startswith(f"{answered};")
    assert body.endswith(b"# EOF\n") == answered.startswith("application")


async def test_what_happened_is_counted_beside() -> None:
    sink = seams().events
    sink.emit(DEVICE_LOST, device="oven")
    sink.emit(DEVICE_LOST, device="oven")
    assert values(await sight(), sink.registry)["forebay_device_losses_total", "oven"] == 2


def test_no_figure_is_named_as_what_happened() -> None:
    """One name is one thing: counters of events and figures share a prefix."""
    counters = {
        f"forebay_{one.counter}"
        for module in (events, managed)  # each declares its own
        for one in vars(module).values()
        if isinstance(one, Event)
    }
    assert f"forebay_{PLUGIN_STARTED.counter}" in counters
    told = [f"forebay_{figure.name}" for table in figures.TABLES for figure in table.figures]
    assert len(told) == len(set(told))
    assert not counters & set(told)


async def test_a_name_of_a_device_cannot_forge_a_metric() -> None:
    agent = ScriptedAgent()
    (first, *_) = agent.device_list
    agent.device_list[:] = [replace(first, name='a"} 1\nforebay_ready 0\n#')]
    found = values(await sight(agent))
    assert found["forebay_ready", ""] == 1


def test_epochs_of_a_stream_are_one() -> None:
    parts = tuple(
        StreamStatus("events", n, 1, 2, n, 90, 1, 5, oldest, 9)
        for n, oldest in ((1, 0), (2, 7), (3, 8))
    )
    journal = JournalStatusReply("/j", parts, 0.0, 0.0, 0, 0, 0, 0)
    assert streams(journal) == [figures.Stream("events", 6, 90, 3, 15, 7)]


async def test_alerts_and_dashboard_name_what_is_there() -> None:
    every = {f"forebay_{f.name}{'_total' * f.counts}" for t in figures.TABLES for f in t.figures}
    told = every | {name for name, _ in values(await sight())}
    asked = prometheus.named("gateway")
    assert len(asked) > 25
    assert asked <= told


async def test_promtool_finds_nothing_to_say_against_the_text(
    promtool_binary: Path, tmp_path: Path
) -> None:
    body, _ = text(await sight(), CollectorRegistry(), "text/plain")
    (tmp_path / "metrics.txt").write_bytes(body)
    linting = await asyncio.create_subprocess_exec(
        promtool_binary,
        "check",
        "metrics",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await linting.communicate(body)
    assert (linting.returncode, said.decode()) == (0, "")
