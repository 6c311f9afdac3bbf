"""What `forebay status` says first."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import structlog

from forebay.acquisition.status import SessionStatus
from forebay.control.problems import (
    DAY_S,
    LEAST_FREE_BYTES,
    Wear,
    notes,
    of_clock,
    of_data,
    of_journal,
    of_links,
)
from forebay.events import Events
from forebay.files import SystemDisk
from forebay.interfaces import Seams
from forebay.net import SystemNetwork
from forebay.pipeline.anchors import Anchors
from forebay.testing.clock import FakeClock

PLENTY = 1 << 40


def data(
    lost: int = 0, free: int | None = PLENTY, growth: int = 0, *, dropped: int = 0, thinned: int = 0
) -> list[str]:
    stats: Any = SimpleNamespace(dropped_samples=dropped, thinned_samples=thinned)
    return list(of_data(stats, lost, free, growth))


def links(bad: int = 0, **status: Any) -> list[str]:
    session: Any = SimpleNamespace(status=SessionStatus(**status))
    return list(of_links({"press": session}, {}, {"press": bad}))


def test_all_is_well() -> None:
    assert data() == []
    assert links(state="connected") == []


def test_lost_data_comes_first_with_its_count() -> None:
    (lost,) = data(1234)
    assert lost.startswith("journal: 1,234 samples were lost")
    (dropped,) = data(dropped=12_345)
    assert dropped.startswith("journal: full, 12,345 samples were dropped undelivered")
    (thinned,) = data(thinned=1_234)
    assert "1,234 samples were taken out" in thinned
    assert data(1, dropped=1, thinned=1)[0].startswith("journal: full")


def test_a_disk_that_is_or_will_be_full_is_named() -> None:
    assert "only 255 MiB are free" in data(free=LEAST_FREE_BYTES - 1)[0]
    assert "may grow by 2,048 MiB and only 1,024 MiB" in data(0, 1 << 30, 2 << 30)[0]
    assert data(0, 2 << 30, 1 << 30) == []


async def test_a_clock_that_is_set_or_left_alone_is_named() -> None:
    clock, events = FakeClock(), Events(structlog.get_logger())
    anchors = Anchors(Seams(clock, SystemDisk(), SystemNetwork(), random.Random(1), events))

    def told() -> list[str]:
        anchors.look()
        return list(of_clock(anchors, clock.monotonic_s()))

    assert told() == []
    clock.synced = False
    (holdover,) = told()
    assert "may be off by 0 s" in holdover
    clock.step_wall(-7200)
    (stepped,) = told()
    assert stepped.startswith("clock: it was set by -7,200.0 s, 0 min ago; once since")
    await clock.advance(700)
    stepped, alone = told()
    assert "12 min ago" in stepped
    assert "rtcsync" in alone
    clock.synced = True
    await clock.advance(DAY_S)
    assert told() == []


def test_a_device_says_why_and_what_to_do() -> None:
    down = links(state="waiting", last_error="no route", last_hint="plug it in", bad=9)
    assert down == ["device press: no route (plug it in)"]
    assert links(3, state="connected") == [
        "device press: 3 tags have no usable value (forebay tags --bad)"
    ]
    (slow,) = links(state="connected", overruns=12, overrunning=True)
    assert "12 were missed" in slow
    assert links(state="connected", overruns=12) == []


def rest(trouble: str = "", quarantined: int = 0, *wear: float) -> list[str]:
    return list(of_journal(trouble, quarantined, Wear(*(wear or (0, 0, 0)))))


def test_trouble_of_the_journal_comes_before_all_else() -> None:
    assert rest() == []
    trouble, aside = rest("the disk is full", 2)
    assert trouble == "journal: nothing is written: the disk is full"
    assert aside.startswith("journal: 2 records are in quarantine (forebay journal quarantine ls")


def test_wear_is_told_after_an_hour_and_beyond_the_budget() -> None:
    (worn,) = rest("", 0, 1 << 30, 3_600.0, 20 << 30)
    assert "24.0 GiB are written a day, journal.wear_budget is 20.0 GiB" in worn
    assert rest("", 0, 1 << 30, 3_600.0, 24 << 30) == []
    assert rest("", 0, 1 << 30, 3_600.0, 0) == []
    assert rest("", 0, 1 << 40, 3_599.0, 1) == []
    assert len(rest("", 0, 24 << 30, DAY_S, (24 << 30) - 1)) == 1


def test_an_uplink_that_holds_back_says_why() -> None:
    def of(**status: Any) -> list[str]:
        forwarder: Any = SimpleNamespace(status=lambda: SimpleNamespace(**status))
        forwarders = {"cloud": forwarder}
        return [f"! {line}" for line in of_links({}, forwarders, {})] + list(notes(forwarders))

    up = {"state": "connected", "last_error": ""}
    assert of(**up, held="", stuck="") == []
    assert of(**up, held="backfill waits for 22:00", stuck="") == [
        "uplink cloud: backfill waits for 22:00"
    ]
    assert of(**up, held="backfill waits for 22:00; no credit", stuck="no credit") == [
        "! uplink cloud: no credit"
    ]


def test_a_disk_that_does_not_answer_is_said() -> None:
    (line,) = data(free=None, growth=1)
    assert line.startswith("disk: ")
    assert "does not answer" in line
