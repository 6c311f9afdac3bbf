"""Fault 34: the box boots with its clock at 1970.

It polls and journals, deletes nothing, says why no session comes about, and what it stamped then is
mended by the anchors once the clock is set. Whether the kernel calls a clock disciplined is the
machine's own affair, so what that means for ages is tried at the seam.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay.model import ClockState, GapCause, RecordKind
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from support.clocks import (
    AGING,
    DEVICES,
    YEAR_S,
    FakeTime,
    S,
    anchors,
    balanced,
    boottime_ns,
    drained,
    files,
    gap_causes,
    looked,
    mended,
    plant,
    polled,
    progress,
)
from support.journal import entry, journal, journaled, read_all
from support.processes import World, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


async def test_fault_34_boot_in_1970(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        clock = FakeTime(tmp_path, "@1970-01-01 00:01:00")
        world.agent.environment = clock.environment
        world.write_config(plant(), more='commit_interval = "100 ms"\nmax_age = "60 s"')
        await world.server.start()
        began_ns = boottime_ns()
        await world.agent.start()
        await until(lambda: "certificate is not yet valid" in world.agent.text(), "TLS refuses")
        _, uplinks = await world.ask("uplinks")
        assert "this machine's clock" in uplinks["uplinks"][0]["last_hint"]
        first = await progress(world)
        now = await polled(world, first, 30)
        assert now.commits > first.commits + 5
        assert now.acked == 0

        clock.set(0)
        await until(lambda: '"uplink_connected"' in world.agent.text(), "the uplink connects")
        await drained(world)
        await polled(world, now, 30)
        account = await balanced(world)
        ended_ns = boottime_ns()
        records = await journaled(world.journal)

    assert account["gapped"] == account["pending"] == 0, account
    assert gap_causes(records) <= {GapCause.NOT_POLLED}, "nothing is lost"
    told = anchors(records)
    assert told[0].wall_ns < YEAR_S * S
    assert told[0].state is ClockState.UNSYNCED
    assert [a.wall_ns > 50 * YEAR_S * S for a in told] == [False] + [True] * (len(told) - 1)
    assert len(told) >= 2
    found = mended(records)
    assert len(found) == DEVICES
    for device, times in found.items():
        assert times == sorted(times), f"{device}: times go back once they are mended"
        assert began_ns < times[0] < times[-1] < ended_ns, device
    raw = [r.time_min_ns for r in records if r.kind is RecordKind.BATCH]
    assert min(raw) < YEAR_S * S < max(raw), "rows are never restamped"


async def test_fault_34_what_was_sealed_in_1970_is_not_old_once_the_clock_is_set() -> None:
    """It goes when something goes that was sealed after it, by a clock that was right."""
    clock = FakeClock(wall_ns=60 * S)
    clock.synced = False
    disk = FaultyDisk()
    for first in (1, 31):  # sealed in use, and by the end of a run
        async with journal(disk, AGING, clock=clock) as log:
            log.cursor("cloud")
            await log.submit([entry(n, size=1000, samples=1) for n in range(first, first + 30)])
            await clock.advance(2 * AGING.max_age_s)
            await looked(log)
    async with journal(disk, AGING, clock=clock) as log:
        log.cursor("cloud")
        old = files(log)
        assert len(old) > 10
        clock.step_wall(56 * YEAR_S)
        clock.synced = True
        await log.submit([entry(n, size=1000, samples=1) for n in range(61, 91)])
        await looked(log)
        for _ in range(3):
            await clock.advance(AGING.max_age_s / 4)
            await looked(log)
        assert files(log)[: len(old)] == old
        await clock.advance(AGING.max_age_s / 2)
        await looked(log)
        assert not set(files(log)) & set(old), "now they are old"
        assert GapCause.RETENTION_AGE in gap_causes(await read_all(log))
