"""Fault 36: the process stands still for a while.

What was not polled meanwhile is a gap for each device, in its place in the stream; short lateness
is none; everything else goes on.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from forebay.acquisition.standstill import BEAT_S, STANDSTILL_LEAST_S
from forebay.columnar import decode_gap
from forebay.model import GapCause, RecordKind
from support.clocks import (
    DEVICES,
    TAGS,
    S,
    anchors,
    balanced,
    boottime_ns,
    mended,
    plant,
    polled,
    progress,
)
from support.journal import journaled
from support.processes import World, until

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.model import Gap, Record

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

STOPPED_S = 6.0


async def stopped(world: World, seconds: float) -> tuple[int, int]:
    """Stop the agent for a while; give the boot times, ns, between which it surely stood still."""
    os.kill(world.agent.pid, signal.SIGSTOP)
    began_ns = boottime_ns()
    await asyncio.sleep(seconds)  # how long it stands still is what is tested
    ended_ns = boottime_ns()
    os.kill(world.agent.pid, signal.SIGCONT)
    return began_ns, ended_ns


def is_gap(record: Record, gap: Gap) -> bool:
    return record.kind is RecordKind.GAP and decode_gap(record.payload) == gap


async def test_fault_36_stand_still(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.write_config(plant(), more='commit_interval = "100 ms"')
        await world.server.start()
        await world.agent.start()
        await until(lambda: '"uplink_connected"' in world.agent.text(), "the uplink connects")
        first = await progress(world)
        await polled(world, first, 20)
        await stopped(world, 0.5)
        now = await polled(world, first, 40)
        began_ns, ended_ns = await stopped(world, STOPPED_S)
        later = await polled(world, now, 40)
        assert later.commits > now.commits
        assert later.acked > now.acked
        account = await balanced(world)
        records = await journaled(world.journal)

    assert account["gapped"] == account["pending"] == 0, account
    gaps = [decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP]
    assert {gap.cause for gap in gaps} == {GapCause.NOT_POLLED}
    assert {gap.samples for gap in gaps} == {0}, "what was never read is not counted"
    lasted_s = [(gap.time_to_ns - gap.time_from_ns) / S for gap in gaps]
    assert min(lasted_s) >= STANDSTILL_LEAST_S, "short lateness is no gap"
    assert world.agent.text().count('"stood_still"') >= 1
    rows = mended(records)
    assert account["produced"] == TAGS * sum(len(times) for times in rows.values())
    (anchor,) = anchors(records)
    offset_ns = anchor.wall_ns - anchor.monotonic_ns
    middle_ns = (began_ns + ended_ns) // 2 + offset_ns
    gaps = [gap for gap in gaps if gap.time_from_ns < middle_ns < gap.time_to_ns]
    assert sorted(gap.source for gap in gaps) == [f"d{n}" for n in range(DEVICES)]
    for gap in gaps:
        from_ns, to_ns = gap.time_from_ns - offset_ns, gap.time_to_ns - offset_ns
        slack_ns = round((BEAT_S + 0.5) * S)
        assert began_ns - slack_ns < from_ns < began_ns + slack_ns
        assert ended_ns - S // 100 < to_ns < ended_ns + 5 * S
        number = next(n for n, r in enumerate(records) if is_gap(r, gap))
        before = mended(records[:number])[gap.source]
        assert max(before) <= from_ns + round(BEAT_S * S)
        assert len(before) < len(rows[gap.source])
        assert min(rows[gap.source][len(before) :]) >= to_ns, "a row of before comes behind the gap"
