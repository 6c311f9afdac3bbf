"""A wrong clock is told of once, and so is its repair."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from forebay.drivers.opcua.serverclock import ServerClock
from forebay.events import SERVER_CLOCK_OFF, SERVER_CLOCK_RIGHT
from support.seams import system_seams

NOW_NS = 1_800_000_000 * 10**9
NOW = datetime.fromtimestamp(1_800_000_000, UTC)


@pytest.mark.parametrize("ahead_s", [-40, 40, 3 * 365 * 86_400])
def test_once_each(ahead_s: float) -> None:
    events = system_seams().events
    clock = ServerClock("press", 30.0, events)
    for _ in range(3):
        clock.note(NOW + timedelta(seconds=ahead_s), NOW_NS)
    assert events.count(SERVER_CLOCK_OFF, device="press") == 1
    for _ in range(3):
        clock.note(NOW + timedelta(seconds=20), NOW_NS)
    assert events.count(SERVER_CLOCK_RIGHT, device="press") == 1


@pytest.mark.parametrize("time", [None, 5, "now"])
def test_no_time_is_no_statement(time: object) -> None:
    events = system_seams().events
    ServerClock("press", 30.0, events).note(time, NOW_NS)
    assert events.count(SERVER_CLOCK_OFF, device="press") == 0


def test_a_time_before_all_times_is_far_off() -> None:
    events = system_seams().events
    ServerClock("press", 30.0, events).note(datetime(1601, 1, 1), NOW_NS)  # noqa: DTZ001 - as asyncua gives it
    assert events.count(SERVER_CLOCK_OFF, device="press") == 1
