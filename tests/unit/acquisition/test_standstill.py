"""The pulse of the process: what it takes for a standstill, and how many it remembers."""

from __future__ import annotations

import asyncio
import random

import structlog

from forebay.acquisition.standstill import BEAT_S, STANDSTILL_LEAST_S, Pulse
from forebay.events import STOOD_STILL, Events
from forebay.files import SystemDisk
from forebay.interfaces import Seams
from forebay.net import SystemNetwork
from forebay.testing.clock import FakeClock

S = 1_000_000_000


def world() -> tuple[FakeClock, Events, Pulse]:
    clock, events = FakeClock(), Events(structlog.get_logger())
    seams = Seams(clock, SystemDisk(), SystemNetwork(), random.Random(1), events)
    return clock, events, Pulse(seams)


async def test_a_running_process_never_stood_still() -> None:
    clock, events, pulse = world()
    running = asyncio.create_task(pulse.run(), name="pulse")
    await clock.advance(600)
    running.cancel()
    assert pulse.count == events.count(STOOD_STILL) == 0


def test_the_time_before_the_first_beat_says_nothing() -> None:
    clock, _, pulse = world()
    clock.freeze(100)
    pulse.beat()
    assert pulse.count == 0


def test_a_pause_counts_from_its_least_length_on_steps_of_the_wall_clock_do_not() -> None:
    clock, events, pulse = world()
    pulse.beat()
    clock.freeze(STANDSTILL_LEAST_S - 0.01)
    pulse.beat()
    clock.step_wall(3_600)
    pulse.beat()
    assert pulse.count == 0
    clock.suspend(STANDSTILL_LEAST_S)
    pulse.beat()
    (found,) = pulse.since(0)
    assert found.lasted_s == STANDSTILL_LEAST_S
    assert found.to_ns == clock.boottime_ns()
    assert events.count(STOOD_STILL) == 1
    assert STANDSTILL_LEAST_S > 2 * BEAT_S


def test_whoever_asks_is_given_what_it_has_not_seen() -> None:
    clock, _, pulse = world()
    pulse.beat()
    for _ in range(40):
        clock.freeze(5)
        pulse.beat()
    assert pulse.count == 40
    assert [found.number for found in pulse.since(38)] == [39, 40]
    assert pulse.since(40) == []
    assert len(pulse.since(0)) == 16, "a bounded memory"
