"""What a box says of how it does: in a line, in parts, and when its journal will be full."""

from __future__ import annotations

import pytest

from forebay._proto import fleet_pb2 as pb
from forebay.interfaces import Head
from forebay.management import health
from forebay.management.health import Forecast, newest, summed_up
from forebay.management.views import JournalVitals, Vitals
from forebay.model import Stream

MIB = 1 << 20


def vitals(trouble: str = "") -> Vitals:
    """Give those of an agent that has nothing to look at but its journal."""
    return Vitals(0.0, {}, JournalVitals(0, None, trouble), {}, None, 7 * MIB, 0)


def part(name: str, error: str | None = None) -> pb.ComponentHealth:
    """Give a device's health; not well with an error."""
    return pb.ComponentHealth(
        kind="device", name=name, healthy=error is None, error=error or "", state="connected"
    )


def forecast(*seen: tuple[float, int]) -> Forecast:
    """Give one that saw (time, s; bytes pending)."""
    made = Forecast()
    for at_s, pending_bytes in seen:
        made.note(at_s, pending_bytes)
    return made


def test_what_grows_fills_the_budget_in_time() -> None:
    # 1 MiB/min, 90 MiB of 100 left after ten minutes
    seen = [(60.0 * minute, minute * MIB) for minute in range(11)]
    assert forecast(*seen).full_in_s(100 * MIB) == pytest.approx(90 * 60.0)


def test_a_forecast_follows_the_last_quarter_of_an_hour() -> None:
    slow = [(60.0 * minute, minute) for minute in range(60)]
    fast = [(3_600.0 + 5.0 * step, 60 + step * MIB) for step in range(200)]
    assert forecast(*slow, *fast).full_in_s(1_000 * MIB) == pytest.approx(801 * 5.0, rel=0.01)


@pytest.mark.parametrize(
    "seen",
    [
        [],
        [(0.0, 5)],
        [(0.0, 0), (30.0, MIB)],
        [(0.0, MIB), (600.0, MIB)],
        [(0.0, MIB), (600.0, 0)],
        [(0.0, 0), (600.0, 1)],
    ],
    ids=["nothing seen", "once", "too short", "as it was", "less", "not within a year"],
)
def test_nothing_is_foretold_that_is_not_in_sight(seen: list[tuple[float, int]]) -> None:
    assert forecast(*seen).full_in_s(100 * MIB) == 0.0


def test_a_budget_that_is_used_up_is_near_and_not_nothing() -> None:
    assert forecast((0.0, MIB), (600.0, 2 * MIB)).full_in_s(MIB) == 1.0


def test_all_well_is_said_so() -> None:
    found = summed_up(vitals(), [part("a"), part("b")])
    assert (found.healthy, found.status, found.last_error) == (True, "well", "")
    assert found.memory_bytes == 7 * MIB


def test_those_that_are_not_well_go_first_and_the_most_are_counted() -> None:
    parts = [part("fine"), *(part(f"d{number}", f"error {number}") for number in range(7))]
    found = summed_up(vitals(), parts)
    assert not found.healthy
    assert found.status == (
        "not well: device d0, device d1, device d2, device d3, device d4 and 2 more"
    )
    assert found.last_error == "error 0"
    assert [one.healthy for one in found.components] == [False] * 7 + [True]


def test_a_journal_that_takes_nothing_is_said_before_all_else() -> None:
    found = summed_up(vitals("no space left"), [part("a", "timeout")])
    assert (found.status, found.last_error) == ("no space left", "no space left")
    assert not found.healthy


def test_a_box_of_very_many_parts_says_no_more_than_the_protocol_takes() -> None:
    parts = [part(f"d{number}") for number in range(2_000)] + [part("ill", "x" * 5_000)]
    found = summed_up(vitals(), parts)
    assert len(found.components) == health.MAX_COMPONENTS
    assert found.components[0].name == "ill"
    assert len(found.last_error) == health.MAX_TEXT


def test_of_each_stream_the_newest_epoch_is_told() -> None:
    heads = [
        Head(Stream.TELEMETRY, 3 << 32, 0, 10),
        Head(Stream.TELEMETRY, 1 << 32, 0, 99),
        Head(Stream.AUDIT, 2 << 32, 0, 4),
    ]
    assert {(one.stream, one.epoch, one.next_seq) for one in newest(heads)} == {
        ("telemetry", 3 << 32, 10),
        ("audit", 2 << 32, 4),
    }
