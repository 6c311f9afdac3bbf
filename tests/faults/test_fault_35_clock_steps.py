"""Fault 35: the wall clock steps by an hour and by ten years, ahead and back, under load.

Polls, commits and acknowledgements go on at their pace; order is by seq; each step has its anchor,
by which every time can be mended; nothing is deleted.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from forebay.model import GapCause, RecordKind
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from support.clocks import (
    AGING,
    DEVICES,
    PERIOD_S,
    YEAR_S,
    FakeTime,
    S,
    anchors,
    balanced,
    boottime_ns,
    files,
    gap_causes,
    looked,
    mended,
    plant,
    polled,
    progress,
)
from support.journal import entry, journal, journaled
from support.processes import World, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

STEPS_S = (3_600, -3_600, 10 * YEAR_S, -10 * YEAR_S, 0)
POLLS = 20
"""Polls of each device between two steps."""


async def test_fault_35_clock_steps(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        clock = FakeTime(tmp_path, "+0")
        world.agent.environment = clock.environment
        world.write_config(plant(), more='commit_interval = "100 ms"\nmax_age = "60 s"')
        await world.server.start()
        began_ns = boottime_ns()
        await world.agent.start()
        await until(lambda: '"uplink_connected"' in world.agent.text(), "the uplink connects")
        seen = [await progress(world)]
        seen.append(await polled(world, seen[0], POLLS))
        for step_s in STEPS_S:
            clock.set(step_s)
            seen.append(await polled(world, seen[-1], POLLS))
        _, status = await world.ask("status")
        account = await balanced(world)
        ended_ns = boottime_ns()
        records = await journaled(world.journal)

    undisturbed_s = POLLS * PERIOD_S
    for step, (before, after) in zip((None, *STEPS_S), pairwise(seen), strict=True):
        lasted_s = after.at_s - before.at_s
        assert 0.9 * undisturbed_s < lasted_s < 5 * undisturbed_s, (step, before, after)
        assert after.commits - before.commits > lasted_s, (step, before, after)
        assert after.acked - before.acked > lasted_s, (step, before, after)
    assert any("clock" in problem for problem in status["problems"]), status
    assert world.agent.text().count('"uplink_connected"') == 1, "a step ended the session"
    assert account["gapped"] == account["pending"] == 0, account
    assert gap_causes(records) <= {GapCause.NOT_POLLED}, "nothing is lost"

    positions = [record.position for record in records]
    assert positions == sorted(positions)
    told = anchors(records)
    offsets = [round((a.wall_ns - a.monotonic_ns) / S) for a in told]
    moved = [b - a for a, b in pairwise(offsets) if a != b]
    assert moved == [b - a for a, b in pairwise((0, *STEPS_S))]
    found = mended(records)
    assert len(found) == DEVICES
    for device, times in found.items():
        assert times == sorted(times), f"{device}: times go back once they are mended"
        assert began_ns < times[0] < times[-1] < ended_ns, device
    raw = [r.time_min_ns for r in records if r.kind is RecordKind.BATCH]
    assert max(raw) - min(raw) > 19 * YEAR_S * S, "rows are never restamped"
    assert raw != sorted(raw)


@pytest.mark.parametrize("synced", [True, False])
@pytest.mark.parametrize("step_s", [10 * YEAR_S, -10 * YEAR_S])
async def test_fault_35_a_clock_that_is_set_wrong_deletes_nothing(
    step_s: int,
    synced: bool,  # noqa: FBT001
) -> None:
    """By a time server that errs, with the kernel's word for it, or by hand."""
    clock = FakeClock()
    async with journal(FaultyDisk(), AGING, clock=clock) as log:
        log.cursor("cloud")
        await log.submit([entry(n, size=1000, samples=1) for n in range(1, 30)])
        before = files(log)
        await looked(log)
        clock.step_wall(step_s)
        clock.synced = synced
        await clock.advance(130)
        await log.submit([entry(n, size=1000, samples=1) for n in range(32, 60)])
        await looked(log)
        clock.step_wall(-step_s)
        clock.synced = True
        await clock.advance(130)
        await looked(log)
        assert len(before) > 2
        assert files(log)[: len(before)] == before
        await clock.advance(2 * AGING.max_age_s)
        await looked(log)
        assert not set(files(log)) & set(before), "in time they are old"
