"""What `forebay top` says of answers: what is ill, what is late, what a line draws."""

from __future__ import annotations

import pytest

from forebay._proto import control_pb2 as pb
from forebay.cli.top import sheets

SECOND = 1_000_000_000
NOW = 1_795_000_000 * SECOND


def device(**changes: object) -> pb.DeviceStatus:
    known = {"name": "press", "state": "connected", "period_s": 0.5, "polls": 9}
    return pb.DeviceStatus(**(known | {"last_data_ns": NOW - SECOND // 2} | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "late_s"),
    [
        ({}, 0.0),
        ({"last_data_ns": NOW - 6 * SECOND}, 5.5),
        ({"last_data_ns": NOW - 6 * SECOND, "last_poll_ms": 500.0}, 5.0),
        ({"last_data_ns": NOW - 6 * SECOND, "period_s": 0.0}, 0.0),  # told, not polled
        ({"last_data_ns": NOW - 6 * SECOND, "period_s": 4.0}, 0.0),  # less than a period
        ({"last_data_ns": NOW - 6 * SECOND, "state": "waiting"}, 0.0),
        ({"last_data_ns": 0}, 0.0),
    ],
)
def test_lateness(changes: dict[str, object], late_s: float) -> None:
    assert sheets.lateness(device(**changes), NOW) == pytest.approx(late_s)


def test_what_is_ill_comes_first_and_is_marked_without_colour() -> None:
    lost = device(name="oven", state="waiting", last_error="no answer\x1b[2J", last_hint="look")
    sheet = sheets.devices(pb.DevicesReply(devices=[device(), lost]), NOW)
    assert [row.cells[:3] for row in sheet.rows] == [
        ("!", "oven", "waiting"),
        (" ", "press", "connected"),
    ]
    assert "no answer\N{REPLACEMENT CHARACTER}[2J; next: look" in sheet.rows[0].detail
    assert sheet.rows[0].part == "device oven"


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ((), ""),
        ((5.0, 5.0), "▁▁"),
        ((0.0, 7.0, 3.0), "▁█▄"),
        ((float("nan"), 1.0, float("inf"), 2.0), "▁█"),
        ((-1e308, 1e308), "▁▁"),
        (tuple(map(float, range(100))), "▁▂▂▃▄▄▅▅▆▇▇█"),
    ],
)
def test_a_line_draws_the_last_values(values: tuple[float, ...], drawn: str) -> None:
    assert sheets.spark(values) == drawn


def test_the_journal_says_how_long_its_room_lasts() -> None:
    stream = pb.StreamStatus(stream="telemetry", bytes=4 << 20, max_bytes=10 << 20, overflow="thin")
    status = pb.JournalStatusReply(streams=[stream], max_bytes=100 << 20)
    segment = pb.SegmentStatus(
        stream="telemetry",
        bytes=4 << 20,
        samples=9,
        time_min_ns=NOW - 1_000 * SECOND,
        time_max_ns=NOW,
    )
    row = sheets.journal(status, pb.SegmentsReply(segments=[segment]), NOW).rows[0]
    assert row.cells[-2:] == ("25 min", "thin")  # 6 MiB at 4 MiB in 1,000 s
    still = sheets.journal(status, pb.SegmentsReply(), NOW).rows[0]
    assert still.cells[-2:] == ("-", "thin")
