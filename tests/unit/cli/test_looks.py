"""What a person sees at 80 columns, word for word: `looks/NAME.txt` for each picture.

After a wanted change, run with FOREBAY_LOOKS=write and read the difference.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from forebay._proto import control_pb2 as pb
from forebay.cli import (
    devices,
    journal,
    journal_forecast,
    journal_offline,
    journal_quarantine,
    ledger,
    output,
    plan,
    plugins,
    status,
    tags,
    uplinks,
)
from forebay.control.view import LedgerLine, StatusReply
from forebay.control.wire import message, tag_message
from forebay.journal.forecast import PoolForecast, Rate, TagCost, Thinning
from forebay.journal.verify import Problem, Report, StreamReport
from forebay.model import Stream
from support.scripted_agent import NOW, PLANNED, ScriptedAgent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import RenderableType

LOOKS = Path(__file__).with_name("looks")
AGENT = ScriptedAgent()
QUIET = StatusReply("press-hall-1", "0.1.0", 3.2, "starting", 2, 2, 125, 0.0, 31 << 20)
LONG = replace(
    AGENT.device_list[1],
    name="press-line-12-hydraulics-station",
    last_error="the device at 10.0.0.7:4840 closed the connection while the session was opened",
    last_hint="look at the device's list of trusted certificates, and at its limit of sessions",
)
HUGE = LedgerLine("telemetry", "cloud", 10**12, 10**12 - 10**9, 10**9, 0, 0)
SOUND = Report(
    "/var/lib/forebay/journal",
    [
        StreamReport("events", 3, 120, 100, 400, 0, 48 << 20, 2),
        StreamReport("telemetry", 480, 1_250_000, 1_240_000, 900_000_000, 12_500, 7 << 30, 2, 3, 7),
    ],
    notes=[Problem("telemetry/0.seg.bad", "no record in it could be read; kept for people")],
)
UNSOUND = replace(
    SOUND,
    problems=[
        Problem(
            "telemetry/000000070000beef-0000000000000065.seg",
            "record 117 (5000 samples): the payload is damaged, and no gap names 117",
        )
    ]
    * 2,
)
HOURLY = PoolForecast(
    (Stream.TELEMETRY, Stream.BULK),
    7 << 30,
    5 << 30,
    1 << 30,
    Rate(60_000.0, 50_000.0, 3_600.0),
    90_000.0,
    400_000.0,
)
FORECAST = journal_forecast.Forecast(
    "/var/lib/forebay/journal",
    {
        3_600: [HOURLY, replace(HOURLY, streams=(Stream.EVENTS,), thins_in_s=None, drops_in_s=5e4)],
        86_400: [replace(HOURLY, rate=Rate(70_000.0, 55_000.0, 86_400.0), drops_in_s=0.0)],
    },
    [Thinning(10, 1_000_000, 412_000, 5_000, 1_400, 3_599.0)],
    [TagCost("press-line-12-hydraulics", "vibration/axis x", 0.412, 2.5e9)],
    26.0 * (1 << 30),
    20 << 30,
)


def device_parts(*found: object) -> Iterable[RenderableType]:
    return devices.parts([message(pb.DeviceStatus, one) for one in found], NOW)


def ledger_parts(*found: LedgerLine) -> Iterable[RenderableType]:
    return ledger.parts([message(pb.LedgerLine, line) for line in found])


def pictures() -> Iterator[tuple[str, Iterable[RenderableType]]]:
    """Every picture: name, what is drawn."""
    yield "status", status.lines(message(pb.StatusReply, AGENT.status_reply))
    waiting = replace(QUIET, uplinks=1, uplinks_connected=1, notes=("uplink cloud: it waits",))
    yield "status-held", status.lines(message(pb.StatusReply, waiting))
    yield "status-quiet", status.lines(message(pb.StatusReply, QUIET))
    yield "devices", device_parts(*AGENT.device_list)
    yield "devices-long", device_parts(replace(AGENT.device_list[0], overruns=12, tags_bad=3), LONG)
    shared = replace(AGENT.device_list[0], line="192.0.2.7:502", line_load=0.374)
    yield "devices-shared", device_parts(shared, *AGENT.device_list[1:])
    yield "devices-none", device_parts()
    yield "plan", plan.parts(message(pb.PlanReply, PLANNED))
    yield "plan-none", plan.parts(pb.PlanReply(device="press-line-12-hydraulics"))
    yield "tags", tags.parts([tag_message(found) for found in AGENT.tags], NOW)
    yield "ledger", ledger_parts(*AGENT.ledger_lines)
    yield "ledger-wrong", ledger_parts(replace(AGENT.ledger_lines[0], gapped=3))
    yield "ledger-huge", ledger_parts(HUGE)
    yield "ledger-none", ledger_parts()
    yield "uplinks", uplinks.parts([message(pb.UplinkStatus, one) for one in AGENT.uplink_list])
    held = replace(
        AGENT.uplink_list[0],
        state="connected",
        held="the budget of 200 MiB a day is spent: only live data is sent until midnight",
        pending_records=88_400,
        live_records=12,
        backfill_records=88_388,
        sent_today_bytes=200 << 20,
        quarantined_records=2,
        unheard_messages=1_204,
    )
    yield "uplinks-held", uplinks.parts([message(pb.UplinkStatus, held)])
    yield "uplinks-none", uplinks.parts([])
    yield "journal-status", journal.status_parts(message(pb.JournalStatusReply, AGENT.journal), NOW)
    ill = replace(
        AGENT.journal,
        trouble="no space left on the disk, which others have filled; tried again each second",
        streams=(replace(AGENT.journal.streams[0], epoch=6 << 32), *AGENT.journal.streams),
        bytes_written=26 << 30,
        bytes_written_s=86_400.0,
        wear_bytes_per_day=20 << 30,
        thinned_samples=1_234_567,
        quarantined_records=2,
    )
    yield "journal-status-ill", journal.status_parts(message(pb.JournalStatusReply, ill), NOW)
    yield "journal-verify", journal_offline.report_parts(SOUND)
    yield "journal-verify-wrong", journal_offline.report_parts(UNSOUND)
    yield "journal-forecast", journal_forecast.parts(FORECAST)
    aside = [message(pb.QuarantinedRecord, one) for one in AGENT.aside]
    yield "quarantine-ls", journal_quarantine.parts(aside, NOW)
    yield "quarantine-none", journal_quarantine.parts([], NOW)
    segments = [message(pb.SegmentStatus, one) for one in AGENT.segment_list]
    yield "journal-ls", journal.segment_parts(segments, NOW)
    records = [message(pb.RecordSummary, one) for one in AGENT.records]
    yield "journal-show", journal.record_parts(records)
    older = message(pb.RecordSummary, replace(AGENT.records[1], epoch=6 << 32))
    yield "journal-show-runs", journal.record_parts([older, *records])

    found = [message(pb.PluginStatus, one) for one in AGENT.plugins.found]
    yield "plugins-ls", plugins.parts(found)
    yield "plugins-none", plugins.parts([])
    yield "plugins-show", plugins.one_parts(found[0])
    yield "plugins-show-refused", plugins.one_parts(found[2])


@pytest.fixture(autouse=True)
def in_utc_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("name", [name for name, _ in pictures()])
def test_look(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.show(dict(pictures())[name])
    seen = "".join(f"{line.rstrip()}\n" for line in capsys.readouterr().out.splitlines())
    file = LOOKS / f"{name}.txt"
    if os.environ.get("FOREBAY_LOOKS") == "write":
        file.write_text(seen)
    assert max(len(line) for line in seen.splitlines()) <= 80
    assert seen == file.read_text()


def test_no_look_is_left_over() -> None:
    assert {file.stem for file in LOOKS.iterdir()} == {name for name, _ in pictures()}
