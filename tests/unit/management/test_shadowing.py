"""What of a box's values is told to the fleet server: what differs, at a pace, and all at first."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from forebay._proto import fleet_pb2 as pb
from forebay.cancellation import end
from forebay.clock import SystemClock
from forebay.config.model import FleetSettings
from forebay.management.shadowing import MOST, Shadowing
from forebay.model import Batch, Schema, Tag, ValueType
from forebay.pipeline.shadow import Shadow
from support.processes import until
from support.seams import system_seams

if TYPE_CHECKING:
    from collections.abc import Sequence

COUNT = 2 * MOST + 500
SCHEMA = Schema(
    "press",
    "fast",
    (
        *(Tag(f"f{number}", f"{number}", ValueType.FLOAT64) for number in range(COUNT)),
        Tag("name", "n", ValueType.STRING),
    ),
)


class SetClock(SystemClock):
    """A clock that is set."""

    now_s = 100.0

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        """Let it be later at once."""
        self.now_s += seconds
        await asyncio.sleep(0)


class Told:
    """What a server that hears of a box knows, and how it heard."""

    def __init__(self, interval: object = 10.0) -> None:
        self.shadow = Shadow([SCHEMA])
        runtime = SimpleNamespace(
            shadow=self.shadow,
            loaded=SimpleNamespace(
                config=SimpleNamespace(fleet=FleetSettings(shadow_interval=interval)),
                devices=[SimpleNamespace(spec=SimpleNamespace(name="press"))],
            ),
        )
        self.runtime = cast("Any", runtime)
        self.clock = SetClock()
        self.part = Shadowing(self.runtime, replace(system_seams(), clock=self.clock))
        self.pressed = 0
        self.part.news = self._news
        self.values: dict[str, pb.ShadowValue] = {}

    def _news(self) -> None:
        self.pressed += 1

    def poll(self, values: Sequence[float], name: str = "A", quality: int = 0) -> None:
        times = np.array([1_000], np.int64)
        row = np.array([values], np.float64), np.array([[name]], object)
        marks = np.full((1, COUNT + 1), quality, np.uint32)
        self.shadow.update(Batch(SCHEMA, times, times, row, marks))

    def hear(self, *, full: bool = False, after_s: float = 1.0) -> pb.ShadowReport | None:
        """Give what the next message holds, and apply it as a server does."""
        self.clock.now_s += after_s
        message = pb.AgentToServer()
        self.part.report(message, full=full)
        if not message.HasField("shadow"):
            return None
        if message.shadow.full:
            self.values.clear()
        self.values |= {one.tag: one for one in message.shadow.values}
        return message.shadow


def test_all_is_told_at_first_in_paced_messages() -> None:
    told = Told()
    told.poll([float(number) for number in range(COUNT)])
    reports = [told.hear(full=number == 0) for number in range(4)]
    sizes = [len(one.values) if one is not None else None for one in reports]
    assert sizes == [MOST, MOST, 501, None]
    assert [(one.full, one.complete) for one in reports if one is not None] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    assert told.pressed == 2  # it asks for the next message while something is left
    assert len(told.values) == COUNT + 1
    assert told.values["f7"].double_value == 7.0
    assert told.values["name"].string_value == "A"


def test_later_only_what_differs_is_told_each_interval() -> None:
    told = Told()
    values = [1.0] * COUNT
    values[5] = math.nan
    told.poll(values)
    for number in range(3):
        told.hear(full=number == 0)
    told.poll(values)  # the same again, later
    assert told.hear(after_s=5.0) is None
    assert told.hear(after_s=10.0) is None
    values[3], values[5] = 2.0, math.nan
    told.poll(values, "B")
    found = told.hear(after_s=10.0)
    assert found is not None
    assert {one.tag for one in found.values} == {"f3", "name"}
    assert not found.full
    told.poll(values, "B", quality=0x80000000)
    for _ in range(3):
        told.hear(after_s=10.0)
    assert {one.WhichOneof("value") for one in told.values.values()} == {None}


@pytest.mark.parametrize("lost_after", [0, 1, 2, 3])
def test_who_asks_for_all_gets_all_whatever_was_under_way(lost_after: int) -> None:
    told = Told()
    told.poll([1.0] * COUNT)
    for number in range(lost_after):
        told.hear(full=number == 0)
    told.values.clear()
    found = told.hear(full=True)
    assert found is not None
    assert found.full
    told.hear()
    told.hear()
    assert len(told.values) == COUNT + 1


def test_another_configuration_is_told_whole() -> None:
    told = Told()
    told.poll([1.0] * COUNT)
    for number in range(3):
        told.hear(full=number == 0)
    told.shadow.follow({"press": [Schema("press", "fast", (Tag("x", "1", ValueType.BOOL),))]})
    found = told.hear()
    assert found is not None
    assert found.full
    assert found.complete
    assert set(told.values) == {"x"}


def test_off_is_off_until_it_is_not() -> None:
    told = Told("off")
    told.poll([1.0] * COUNT)
    assert told.hear(full=True) is None
    assert told.hear(after_s=1e6) is None
    told.runtime.loaded.config.fleet = FleetSettings(shadow_interval=10.0)
    found = told.hear()
    assert found is not None
    assert found.full


@pytest.mark.parametrize("interval", [1.0, 3.0, 60.0])
async def test_the_link_is_told_when_a_look_is_due_and_not_before(interval: float) -> None:
    told = Told(interval)
    told.poll([0.0] * COUNT)
    while (report := told.hear(full=not told.values)) is not None and not report.complete:
        pass
    began_s, looks = told.clock.now_s, list[float]()

    def look() -> None:
        told.poll([float(len(looks) + 1)] + [0.0] * (COUNT - 1))
        if told.hear(after_s=0.0) is not None:
            looks.append(told.clock.now_s)

    told.part.news = look
    running = asyncio.create_task(told.part.run())
    await until(lambda: told.clock.now_s >= began_s + 10 * interval, "it is later", every_s=0)
    await end([running])
    assert 8 <= len(looks) <= 10
    apart = [later - before for before, later in pairwise(looks)]
    assert min(apart) >= interval - 0.5
    assert max(apart) <= interval + 1.0


@pytest.mark.parametrize("interval", ["off", 1.0])
async def test_nobody_is_woken_where_it_is_off_or_nobody_has_listened_yet(
    interval: float | str,
) -> None:
    told = Told(interval)
    if interval == "off":
        told.hear(full=True)
    before, end_s = told.pressed, told.clock.now_s + 600.0
    running = asyncio.create_task(told.part.run())
    await until(lambda: told.clock.now_s >= end_s, "it is later", every_s=0)
    await end([running])
    assert told.pressed == before
